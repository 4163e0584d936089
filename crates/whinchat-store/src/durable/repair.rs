//! What a damaged log still has, put into a new row of segments.
//!
//! ```text
//!  old files ──salvage──► groups that are valid, in order ──► new files, headers last ──► old files removed
//! ```
//!
//! The new row has epochs of its own, far above all others, and its segments wait: they count only when the header of the last one is written, and that is one
//! sector. Until then a reader finds the old log, from then on the new one. Nothing of the old files is changed before.

use std::{error::Error, fmt, sync::Arc};

use crate::disk::{Disk, DiskFile, allocate, write_all};

use super::{
    place::padded,
    recovery::OpenError,
    salvage::{self, Salvaged},
    segment::{GROUP_HEADER_BYTES, HEADER_BYTES, Header, Stamp, push_group, seal},
};

/// How far the epochs of the new row are above all others: a row that was never finished shares none with a log that goes on.
const EPOCHS_APART: u64 = 1 << 32;

/// What becomes of a group whose checksum is right.
#[derive(Debug)]
pub enum Verdict {
    /// It stays.
    Keep,
    /// Its records cannot be read: it is dropped, for this reason.
    Drop(Box<dyn Error + Send + Sync>),
    /// It must not be touched, since a later release wrote it: the repair ends, and nothing was changed.
    Refuse(Box<dyn Error + Send + Sync>),
}

/// What a repair did.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Repaired {
    /// Groups that are in the new row.
    pub kept: u64,
    /// What is not, in the order of the log.
    pub dropped: Vec<Dropped>,
}

/// Something that a repair could not keep.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Dropped {
    /// Bytes in which no valid group begins, and the groups that should be there.
    Groups {
        /// The file.
        file: String,
        /// The first byte.
        from: u64,
        /// The byte behind the last.
        to: u64,
        /// The first group that is missing.
        first: u64,
        /// The last group that is missing.
        last: u64,
    },
    /// The oldest segments are in no file: which groups they had is not known.
    Segments {
        /// The first epoch.
        first: u64,
        /// The last epoch.
        last: u64,
        /// The file of the segment behind them.
        before: String,
    },
    /// No file has these groups.
    Missing {
        /// The first group that is missing.
        first: u64,
        /// The last group that is missing.
        last: u64,
        /// The file with the group behind them.
        before: String,
    },
    /// A group whose records cannot be read.
    Records {
        /// The file.
        file: String,
        /// Where its records begin, in bytes.
        offset: u64,
        /// Its sequence.
        sequence: u64,
        /// What is wrong with them.
        why: String,
    },
    /// A file whose header is not valid. What it holds was kept if that tells its epoch.
    Header {
        /// The file.
        file: String,
        /// Groups of it that were kept.
        kept: u64,
    },
    /// The end of the log, which had never been vouched for.
    Tail {
        /// The file.
        file: String,
        /// The first byte.
        from: u64,
    },
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = |what: &str, first: u64, last: u64| {
            if first == last {
                format!("{what} {first} is")
            } else {
                format!("{what}s {first} to {last} are")
            }
        };
        match self {
            Self::Groups {
                file,
                from,
                to,
                first,
                last,
            } => write!(
                f,
                "{file}, bytes {from} to {to}: {} not valid",
                row("group", *first, *last)
            ),
            Self::Segments {
                first,
                last,
                before,
            } => write!(
                f,
                "before {before}: {} in no file",
                row("segment", *first, *last)
            ),
            Self::Missing {
                first,
                last,
                before,
            } => write!(
                f,
                "before {before}: {} in no file",
                row("group", *first, *last)
            ),
            Self::Records {
                file,
                offset,
                sequence,
                why,
            } => write!(
                f,
                "{file}, byte {offset}: group {sequence} cannot be read: {why}"
            ),
            Self::Header { file, kept } => write!(
                f,
                "{file}, byte 0: the header is not valid; {kept} groups behind it were kept"
            ),
            Self::Tail { file, from } => write!(
                f,
                "{file}, from byte {from}: a torn end that nobody was promised"
            ),
        }
    }
}

/// Keeps every valid group of the log of `disk` in a new row of segments of `segment_bytes`, and removes the old files: make a copy of them first.
///
/// `judge` gets the records of each valid group. `progress` is called with the bytes that were read, and that there are. A call that ends early, by an
/// error or a loss of power, leaves the old log or the new one; then it can be made again.
///
/// # Errors
/// If the disk cannot be read or written, or a part of the log belongs to a later release or to another log.
pub fn repair(
    disk: &Arc<dyn Disk>,
    segment_bytes: u64,
    mut judge: impl FnMut(&[u8]) -> Verdict,
    progress: impl FnMut(u64, u64),
) -> Result<Repaired, OpenError> {
    let found = salvage::look(&**disk)?;
    let mut row = Row {
        disk: &**disk,
        log: found.log,
        first_epoch: found.largest_epoch + EPOCHS_APART,
        segment_bytes: segment_bytes.max(2 * HEADER_BYTES),
        next_name: found.next_name,
        next_sequence: 1,
        segments: Vec::new(),
        open: Vec::new(),
    };
    let mut repaired = Repaired::default();
    let written = salvage::walk(&**disk, &found, progress, |group| match group {
        Salvaged::Dropped(dropped) => {
            repaired.dropped.push(dropped);
            Ok(())
        }
        Salvaged::Group {
            file,
            offset,
            sequence,
            records,
        } => match judge(records) {
            Verdict::Keep => {
                repaired.kept += 1;
                row.push(records)
            }
            Verdict::Drop(why) => {
                repaired.dropped.push(Dropped::Records {
                    file: file.to_owned(),
                    offset,
                    sequence,
                    why: why.to_string(),
                });
                Ok(())
            }
            Verdict::Refuse(error) => Err(OpenError::Replay {
                file: file.to_owned(),
                offset,
                error,
            }),
        },
    })
    .and_then(|()| row.put_in_force());
    if let Err(error) = written {
        row.take_back();
        return Err(error);
    }
    // Those without a valid header first: as long as there is one, no reader goes on.
    for name in found.damaged.iter().chain(&found.others) {
        disk.remove(name).map_err(|error| OpenError::Io {
            what: "remove",
            file: disk.describe(name),
            error,
        })?;
    }
    disk.sync_names().map_err(|error| OpenError::Io {
        what: "sync",
        file: disk.describe(""),
        error,
    })?;
    Ok(repaired)
}

/// The new row: segments whose groups are safe and whose headers are not written yet, and the groups of the next one.
struct Row<'a> {
    disk: &'a dyn Disk,
    log: u64,
    first_epoch: u64,
    segment_bytes: u64,
    next_name: u64,
    next_sequence: u64,
    segments: Vec<NewSegment>,
    open: Vec<u8>,
}

struct NewSegment {
    name: String,
    file: Arc<dyn DiskFile>,
    size: u64,
    first_sequence: u64,
}

impl Row<'_> {
    fn push(&mut self, records: &[u8]) -> Result<(), OpenError> {
        let size = (GROUP_HEADER_BYTES + padded(records.len())) as u64;
        if !self.open.is_empty()
            && HEADER_BYTES + self.open.len() as u64 + size > self.segment_bytes
        {
            self.close()?;
        }
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        push_group(&mut self.open, records, sequence, sequence - 1);
        Ok(())
    }

    fn epoch(&self, index: usize) -> u64 {
        self.first_epoch + index as u64
    }

    /// Makes the file for the groups that were pushed since the last one, without its header.
    fn close(&mut self) -> Result<(), OpenError> {
        let mut groups = std::mem::take(&mut self.open);
        let in_it = count(&groups);
        let stamp = Stamp {
            log: self.log,
            epoch: self.epoch(self.segments.len()),
        };
        seal(&mut groups, stamp);
        let name = format!("log-{:06}", self.next_name);
        self.next_name += 1;
        let failed = |what, error| OpenError::Io {
            what,
            file: self.disk.describe(&name),
            error,
        };
        let size = self.segment_bytes.max(HEADER_BYTES + groups.len() as u64);
        let file = allocate(self.disk, &name, size).map_err(|error| failed("allocate", error))?;
        let written = write_all(&*file, &groups, HEADER_BYTES)
            .and_then(|()| file.sync())
            .map_err(|error| failed("write", error));
        self.segments.push(NewSegment {
            name,
            file,
            size,
            first_sequence: self.next_sequence - in_it,
        });
        groups.clear();
        self.open = groups;
        written
    }

    /// Writes the headers, that of the last segment last.
    fn put_in_force(&mut self) -> Result<(), OpenError> {
        // Without a single group too: something has to say that the old files are not needed.
        if !self.open.is_empty() || self.segments.is_empty() {
            self.close()?;
        }
        for (index, segment) in self.segments.iter().enumerate() {
            let header = Header {
                log: self.log,
                epoch: self.epoch(index),
                first_sequence: segment.first_sequence,
                oldest_epoch: self.first_epoch,
                size: segment.size,
                waits: index + 1 < self.segments.len(),
            };
            write_all(&*segment.file, &header.encode(), 0)
                .and_then(|()| segment.file.sync())
                .map_err(|error| OpenError::Io {
                    what: "write",
                    file: self.disk.describe(&segment.name),
                    error,
                })?;
        }
        Ok(())
    }

    /// Removes what was begun, unless it may be in force already: a row is whole or not there.
    fn take_back(&self) {
        // The last first: without it the others count for nothing. What cannot be removed is found again, and waits in vain.
        for segment in self.segments.iter().rev() {
            if self.disk.remove(&segment.name).is_err() {
                return;
            }
            let _ = self.disk.sync_names();
        }
    }
}

/// How many groups a buffer has.
fn count(groups: &[u8]) -> u64 {
    let mut at = 0;
    let mut count = 0;
    while let Some(length) = groups.get(at + 4..at + 8) {
        let length = u32::from_le_bytes([length[0], length[1], length[2], length[3]]);
        at += GROUP_HEADER_BYTES + padded(length as usize);
        count += 1;
    }
    count
}
