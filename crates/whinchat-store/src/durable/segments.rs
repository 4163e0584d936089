//! The files of a log: those that are needed, oldest first, and those that wait for their next use.
//!
//! ```text
//!   oldest                                newest
//!   [ epoch 5 ][ epoch 6 ][ epoch 7 ] ... [ epoch 9 ]      free: [ ][ ]
//!       └─ released ──────────────────────────────────────────────►┘
//! ```
//!
//! Only the oldest segments are ever given up, so what is needed is always one unbroken row. A free file is used again for the next segment; its new header is
//! synced before anything behind it is overwritten, and tells from which epoch on the row is needed.

use std::{collections::VecDeque, io, sync::Arc};

use crate::disk::{Disk, DiskFile, allocate, write_all};

use super::segment::{Header, Stamp};

/// Free files that are kept when the log becomes smaller.
const FREE_KEPT: usize = 2;

/// A segment that is needed.
pub(crate) struct Segment {
    pub(crate) epoch: u64,
    pub(crate) file: LogFile,
}

/// A file of the log.
#[derive(Clone)]
pub(crate) struct LogFile {
    pub(crate) name: Arc<str>,
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) size: u64,
}

pub(crate) struct Segments {
    disk: Arc<dyn Disk>,
    log: u64,
    needed: VecDeque<Segment>,
    free: Vec<LogFile>,
    /// The oldest epoch that is needed.
    oldest: u64,
    next_name: u64,
}

impl Segments {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        log: u64,
        needed: VecDeque<Segment>,
        free: Vec<LogFile>,
        oldest: u64,
        next_name: u64,
    ) -> Self {
        Self {
            disk,
            log,
            needed,
            free,
            oldest,
            next_name,
        }
    }

    pub(crate) fn describe(&self, file: &LogFile) -> Arc<str> {
        Arc::from(self.disk.describe(&file.name))
    }

    pub(crate) fn oldest(&self) -> u64 {
        self.oldest
    }

    /// Bytes of all files.
    pub(crate) fn bytes(&self) -> u64 {
        let free = self.free.iter().map(|file| file.size);
        self.needed_bytes() + free.sum::<u64>()
    }

    pub(crate) fn needed_bytes(&self) -> u64 {
        let sizes = self.needed.iter().map(|segment| segment.file.size);
        sizes.sum()
    }

    pub(crate) fn needed(&self) -> usize {
        self.needed.len()
    }

    pub(crate) fn file(&self, epoch: u64) -> Option<&LogFile> {
        let first = self.needed.front()?.epoch;
        let place = usize::try_from(epoch.checked_sub(first)?).ok()?;
        self.needed.get(place).map(|segment| &segment.file)
    }

    /// Whether a segment of the usual size can begin without asking the disk for room.
    pub(crate) fn has_free(&self, size: u64) -> bool {
        self.free.iter().any(|file| file.size >= size)
    }

    /// The name for a new file.
    pub(crate) fn new_name(&mut self) -> Arc<str> {
        let name = format!("log-{:06}", self.next_name);
        self.next_name += 1;
        Arc::from(name)
    }

    /// A file that was allocated for later.
    pub(crate) fn add_free(&mut self, file: LogFile) {
        self.free.push(file);
    }

    /// Begins the segment `epoch`: takes a free file or makes one, and makes its header safe.
    ///
    /// Everything of the segment before must be synced: whoever reads the header believes that.
    pub(crate) fn begin(
        &mut self,
        epoch: u64,
        first_sequence: u64,
        size: u64,
    ) -> io::Result<(Stamp, LogFile)> {
        let free = self.free.iter().position(|file| file.size >= size);
        let file = match free {
            Some(index) => self.free.swap_remove(index),
            None => {
                let name = self.new_name();
                let file = allocate(&*self.disk, &name, size)?;
                LogFile { name, file, size }
            }
        };
        let header = Header {
            log: self.log,
            epoch,
            first_sequence,
            oldest_epoch: self.oldest.min(epoch),
            size: file.size,
            waits: false,
        };
        let written = write_all(&*file.file, &header.encode(), 0).and_then(|()| file.file.sync());
        if let Err(error) = written {
            self.free.push(file);
            return Err(error);
        }
        self.needed.push_back(Segment {
            epoch,
            file: file.clone(),
        });
        self.remove_surplus();
        Ok((header.stamp(), file))
    }

    /// Nothing in segments before `epoch` is needed any more, and that is committed. Whether there were any: the header of the next segment says so.
    pub(crate) fn release(&mut self, epoch: u64) -> bool {
        let before = self.oldest;
        while self.needed.len() > 1
            && let Some(oldest) = self.needed.front()
            && oldest.epoch < epoch
        {
            let released = self.needed.pop_front().expect("there is one");
            self.free.push(released.file);
            self.oldest = released.epoch + 1;
        }
        self.oldest > before
    }

    /// Called when a header is safe that no longer needs what is free.
    fn remove_surplus(&mut self) {
        let keep = FREE_KEPT.max(self.needed.len() / 8);
        while self.free.len() > keep {
            let file = self.free.pop().expect("there are more");
            // One that cannot be removed is found again at the next start, as free.
            let _ = self.disk.remove(&file.name);
        }
    }
}
