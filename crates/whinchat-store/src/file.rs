//! A log on one preallocated file: one committer thread, one write and one `fdatasync` per commit.
//!
//! ```text
//! shards --append--> [ active buffer ] --swap--> committer: write, fdatasync, committed = last --> wake each shard
//! ```
//!
//! While the committer syncs, the shards fill the other buffer; the next commit is whatever has
//! arrived meanwhile, so no timer decides how large a group commit is.
//!
//! There is **no recovery**: the file is a ring that begins again at its front when it is full,
//! and opening it forgets what it held. It shows what an ack costs that waits for a disk.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
};

use parking_lot::{Condvar, Mutex};

use crate::{Log, LogFailure, LogStats, Lsn, Wake, subscribers::Subscribers};

/// A buffer that one large commit made larger than this is given back.
const BUFFER_KEPT_BYTES: usize = 4 << 20;

/// How a [`FileLog`] is opened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FileLogOptions {
    /// Size of the file in bytes, written once when it is opened; 64 MiB unless set.
    pub capacity_bytes: u64,
}

impl Default for FileLogOptions {
    fn default() -> Self {
        Self {
            capacity_bytes: 64 << 20,
        }
    }
}

/// A log that syncs each commit to a file: one write and one `fdatasync` for all that was appended
/// meanwhile.
///
/// It has **no recovery**: the file is a ring that begins again at its front when it is full, and
/// creating a log forgets what the file held. It shows what an ack costs that waits for a disk, and
/// protects nothing. Dropping it commits what was appended.
pub struct FileLog {
    shared: Arc<Shared>,
    committer: Mutex<Option<thread::JoinHandle<()>>>,
}

struct Shared {
    active: Mutex<Active>,
    /// The committer waits here for something to commit.
    work: Condvar,
    committed: AtomicU64,
    pending_bytes: AtomicUsize,
    commits: AtomicU64,
    failure: OnceLock<LogFailure>,
    subscribers: Subscribers,
}

#[derive(Default)]
struct Active {
    buffer: Vec<u8>,
    groups: u64,
    bytes: u64,
    closed: bool,
}

impl FileLog {
    /// Creates `path` (or empties it), readable by its owner alone, preallocates it and starts the
    /// committer thread.
    ///
    /// # Errors
    ///
    /// What the operating system answers to creating, filling or syncing the file, or to starting
    /// the thread; [`io::ErrorKind::InvalidInput`] for a capacity of 0.
    pub fn create(path: &Path, options: &FileLogOptions) -> io::Result<Self> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)?;
        preallocate(&file, options.capacity_bytes)?;
        Self::start(
            file,
            Arc::from(path.to_string_lossy()),
            options.capacity_bytes,
        )
    }

    fn start(file: impl LogFile, name: Arc<str>, capacity: u64) -> io::Result<Self> {
        if capacity == 0 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a log file needs a capacity above 0 bytes",
            ));
        }
        let shared = Arc::new(Shared {
            active: Mutex::default(),
            work: Condvar::new(),
            committed: AtomicU64::new(0),
            pending_bytes: AtomicUsize::new(0),
            commits: AtomicU64::new(0),
            failure: OnceLock::new(),
            subscribers: Subscribers::default(),
        });
        let committer = Committer {
            shared: Arc::clone(&shared),
            ring: Ring {
                file,
                name,
                capacity,
                position: 0,
            },
        };
        let committer = thread::Builder::new()
            .name("whinchat-log".to_owned())
            .spawn(move || committer.run())?;
        Ok(Self {
            shared,
            committer: Mutex::new(Some(committer)),
        })
    }
}

/// Zeros are written, not only reserved: a later sync then has no file metadata to write.
fn preallocate(file: &File, capacity: u64) -> io::Result<()> {
    static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
    let mut offset = 0;
    while offset < capacity {
        let step = (capacity - offset).min(ZEROS.len() as u64);
        file.write_all_at(
            &ZEROS[..usize::try_from(step).unwrap_or(ZEROS.len())],
            offset,
        )?;
        offset += step;
    }
    file.sync_all()
}

impl Log for FileLog {
    fn append(&self, _shard: usize, group: &mut Vec<u8>) -> Lsn {
        let mut active = self.shared.active.lock();
        if group.is_empty() {
            return Lsn::new(active.groups);
        }
        if active.closed {
            group.clear();
            return Lsn::NEVER;
        }
        active.groups += 1;
        let lsn = Lsn::new(active.groups);
        active.bytes += group.len() as u64;
        self.shared
            .pending_bytes
            .fetch_add(group.len(), Ordering::Relaxed);
        let was_empty = active.buffer.is_empty();
        active.buffer.append(group);
        drop(active);
        if was_empty {
            self.shared.work.notify_one();
        }
        lsn
    }

    fn committed(&self) -> Lsn {
        Lsn::new(self.shared.committed.load(Ordering::Acquire))
    }

    fn subscribe(&self, shard: usize, wake: Wake) {
        self.shared.subscribers.set(shard, wake);
    }

    fn pending_bytes(&self) -> usize {
        self.shared.pending_bytes.load(Ordering::Relaxed)
    }

    fn failure(&self) -> Option<LogFailure> {
        self.shared.failure.get().cloned()
    }

    fn stats(&self) -> LogStats {
        let active = self.shared.active.lock();
        LogStats {
            commits: self.shared.commits.load(Ordering::Relaxed),
            groups: active.groups,
            bytes: active.bytes,
        }
    }

    fn close(&self) {
        self.shared.active.lock().closed = true;
        self.shared.work.notify_one();
        let committer = self.committer.lock().take();
        if let Some(committer) = committer {
            // The thread runs no code that panics but the callbacks, whose contract forbids it.
            let _ = committer.join();
        }
    }
}

impl Drop for FileLog {
    fn drop(&mut self) {
        self.close();
    }
}

struct Committer<F> {
    shared: Arc<Shared>,
    ring: Ring<F>,
}

impl<F: LogFile> Committer<F> {
    fn run(mut self) {
        let mut batch = Vec::new();
        while let Some(last) = self.next_batch(&mut batch) {
            if let Err(failure) = self.ring.write_and_sync(&batch) {
                self.fail(failure);
                return;
            }
            let told = self.shared.subscribers.lock();
            self.shared.committed.store(last, Ordering::Release);
            self.shared.commits.fetch_add(1, Ordering::Relaxed);
            self.shared
                .pending_bytes
                .fetch_sub(batch.len(), Ordering::Relaxed);
            told.tell(Lsn::new(last));
            drop(told);
            batch.clear();
            batch.shrink_to(BUFFER_KEPT_BYTES);
        }
    }

    /// Waits for appended groups, swaps them into the empty `batch`, and gives the position of the
    /// last one; `None` once the log is closed and all is written.
    fn next_batch(&self, batch: &mut Vec<u8>) -> Option<u64> {
        let mut active = self.shared.active.lock();
        while active.buffer.is_empty() {
            if active.closed {
                return None;
            }
            self.shared.work.wait(&mut active);
        }
        std::mem::swap(&mut active.buffer, batch);
        Some(active.groups)
    }

    fn fail(&self, failure: LogFailure) {
        let told = self.shared.subscribers.lock();
        {
            let mut active = self.shared.active.lock();
            active.closed = true;
            active.buffer = Vec::new();
        }
        // Set once: this thread ends here.
        let _ = self.shared.failure.set(failure);
        told.tell(Lsn::new(self.shared.committed.load(Ordering::Acquire)));
    }
}

/// What the committer asks of a file; the seam through which tests let a disk fail.
trait LogFile: Send + 'static {
    fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()>;
    fn sync_data(&mut self) -> io::Result<()>;
}

impl LogFile for File {
    fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, offset)
    }

    fn sync_data(&mut self) -> io::Result<()> {
        Self::sync_data(self)
    }
}

/// A file of fixed size that is written round and round.
struct Ring<F> {
    file: F,
    name: Arc<str>,
    capacity: u64,
    position: u64,
}

impl<F: LogFile> Ring<F> {
    fn write_and_sync(&mut self, mut bytes: &[u8]) -> Result<(), LogFailure> {
        while !bytes.is_empty() {
            let room = usize::try_from(self.capacity - self.position).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at(bytes.len().min(room));
            self.file
                .write_all_at(now, self.position)
                .map_err(|error| self.failure("write", error))?;
            self.position = (self.position + now.len() as u64) % self.capacity;
            bytes = later;
        }
        self.file
            .sync_data()
            .map_err(|error| self.failure("sync", error))
    }

    fn failure(&self, operation: &'static str, error: io::Error) -> LogFailure {
        LogFailure {
            operation,
            offset: self.position,
            name: Arc::clone(&self.name),
            error: Arc::new(error),
        }
    }
}

#[cfg(test)]
mod tests;
