//! The durable log: segments on a disk, one order, one committer, read back when it is opened.
//!
//! ```text
//!  shards ──append──► [ chunks ] ──take──► committer: write, sync, committed = last ──► tell each shard once
//!                      one lock                │
//!                                              └──► segments: oldest ... newest, free ones
//! ```
//!
//! While the committer syncs, the shards append to the next chunks; a commit is whatever arrived meanwhile, so no timer decides how large it is.
//! The bytes are described in [`segment`], where they go in [`place`], the files in [`segments`], reading back in [`recovery`].

mod backup;
mod commit;
mod place;
mod recovery;
mod repair;
mod salvage;
mod segment;
mod segments;
mod verify;

use std::{
    error::Error,
    io,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use parking_lot::{Condvar, Mutex};

use crate::{
    Durability, Log, LogFailure, LogSegments, LogStats, Lsn, Place, Wake,
    disk::{Disk, Volume, allocate, read_full},
    subscribers::Subscribers,
};

pub use self::{
    backup::{BackedUp, BackupError, backup},
    recovery::{Damage, OpenError, Recovered, Replayed},
    repair::{Dropped, Repaired, Verdict, repair},
    verify::{Verified, verify},
};
use self::{
    commit::{NotCommitted, Writer, is_full},
    place::{Appended, Chunk, padded},
    segment::GROUP_HEADER_BYTES,
    segments::{LogFile, Segments},
};

/// How a [`DurableLog`] is kept.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct DurableLogOptions {
    /// Size of a segment's file in bytes: 64 MiB unless set, at least 8 KiB. A group that does not fit gets a segment of its own.
    pub segment_bytes: u64,
}

impl Default for DurableLogOptions {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
        }
    }
}

/// How long the disk is left alone after it had no room, and how long written groups may stay unsynced.
const RETRY: Duration = Duration::from_millis(200);
const SYNC_AT_LEAST_EVERY: Duration = Duration::from_secs(1);

/// A log on a [`Disk`] that is read back when it is opened.
///
/// Dropping it commits what was appended.
pub struct DurableLog {
    shared: Arc<Shared>,
    threads: Mutex<Vec<thread::JoinHandle<()>>>,
}

struct Shared {
    disk: Arc<dyn Disk>,
    options: DurableLogOptions,
    appended: Mutex<Appended>,
    /// The committer waits here for something to commit.
    work: Condvar,
    writer: Mutex<Pending>,
    segments: Mutex<Segments>,
    /// Who makes files in advance waits here for something to do.
    segments_changed: Condvar,
    /// The segment of the last group.
    newest: AtomicU64,
    committed: AtomicU64,
    /// The last group that is on the disk whatever happens to the machine.
    synced: AtomicU64,
    pending_bytes: AtomicUsize,
    commits: AtomicU64,
    groups: AtomicU64,
    bytes: AtomicU64,
    is_full: AtomicBool,
    /// Somebody makes files in advance, and knows whether there is room for them.
    makes_room: AtomicBool,
    is_closed: AtomicBool,
    failure: OnceLock<LogFailure>,
    subscribers: Subscribers,
}

/// The right to commit, and what was taken and is not committed yet.
#[derive(Default)]
struct Pending {
    writer: Writer,
    chunks: Vec<Chunk>,
    last: u64,
    /// The strongest that one of the groups asks for.
    durability: Durability,
    bytes: usize,
}

/// How one commit went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    /// There was nothing to commit.
    Nothing,
    /// All up to here is committed.
    Done(Lsn),
    /// The disk has no room: nothing is lost, and a later commit may succeed.
    Full,
    /// The log has failed: see [`Log::failure`].
    Failed,
}

impl DurableLog {
    /// Reads the log of `disk` back, one group after the other, and goes on with it: starts the thread that commits.
    ///
    /// `replay` gets each group in order; what it answers with an error ends the opening.
    ///
    /// # Errors
    /// If the log cannot be read or is damaged; the disk is then as it was.
    pub fn open(
        disk: Arc<dyn Disk>,
        options: DurableLogOptions,
        replay: impl FnMut(Replayed<'_>) -> Result<(), Box<dyn Error + Send + Sync>>,
    ) -> Result<(Self, Recovered), OpenError> {
        let (log, recovered) = Self::open_stepped(disk, options, replay)?;
        let started = log.start();
        match started {
            Ok(()) => Ok((log, recovered)),
            Err(error) => Err(OpenError::Io {
                what: "start a thread for",
                file: log.shared.disk.describe(""),
                error,
            }),
        }
    }

    /// The same without threads: commits happen in [`commit`](Self::commit). For tests that decide when.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_stepped(
        disk: Arc<dyn Disk>,
        options: DurableLogOptions,
        mut replay: impl FnMut(Replayed<'_>) -> Result<(), Box<dyn Error + Send + Sync>>,
    ) -> Result<(Self, Recovered), OpenError> {
        let opened = recovery::open(Arc::clone(&disk), &mut replay)?;
        let last = opened.next_sequence - 1;
        let segment_bytes = options.segment_bytes.max(8 << 10);
        let shared = Shared {
            disk,
            options: DurableLogOptions { segment_bytes },
            appended: Mutex::new(Appended::new(
                opened.next_epoch,
                opened.next_sequence,
                segment_bytes,
            )),
            work: Condvar::new(),
            writer: Mutex::default(),
            segments: Mutex::new(opened.segments),
            segments_changed: Condvar::new(),
            newest: AtomicU64::new(opened.next_epoch),
            committed: AtomicU64::new(last),
            synced: AtomicU64::new(last),
            pending_bytes: AtomicUsize::new(0),
            commits: AtomicU64::new(0),
            groups: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            is_full: AtomicBool::new(false),
            makes_room: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
            failure: OnceLock::new(),
            subscribers: Subscribers::default(),
        };
        let log = Self {
            shared: Arc::new(shared),
            threads: Mutex::default(),
        };
        Ok((log, opened.recovered))
    }

    fn start(&self) -> io::Result<()> {
        let mut threads = self.threads.lock();
        let shared = Arc::clone(&self.shared);
        threads.push(
            thread::Builder::new()
                .name("whinchat-log".to_owned())
                .spawn(move || shared.commit_until_closed())?,
        );
        let shared = Arc::clone(&self.shared);
        shared.makes_room.store(true, Ordering::Relaxed);
        threads.push(
            thread::Builder::new()
                .name("whinchat-log-room".to_owned())
                .spawn(move || shared.make_room_until_closed())?,
        );
        Ok(())
    }

    /// Commits what was appended, in this thread.
    pub fn commit(&self) -> Commit {
        self.shared.commit(Durability::Written)
    }

    /// Stops at once, as a crash does: what was appended and is not committed is forgotten.
    pub fn abandon(&self) {
        self.shared.appended.lock().forget();
        self.close();
    }

    /// The oldest segment that is needed.
    #[must_use]
    pub fn oldest_segment(&self) -> u64 {
        self.shared.segments.lock().oldest()
    }
}

impl LogSegments for DurableLog {
    fn append_placed(&self, group: &mut Vec<u8>, durability: Durability) -> Option<(Lsn, Place)> {
        if group.is_empty() {
            return None;
        }
        let shared = &*self.shared;
        let mut appended = shared.appended.lock();
        if appended.closed {
            group.clear();
            return None;
        }
        let was_empty = appended.is_empty();
        let (sequence, place) =
            appended.push(group, durability, shared.synced.load(Ordering::Acquire));
        shared.newest.store(place.segment, Ordering::Release);
        let framed = GROUP_HEADER_BYTES + padded(group.len());
        shared.pending_bytes.fetch_add(framed, Ordering::Relaxed);
        drop(appended);
        shared.groups.fetch_add(1, Ordering::Relaxed);
        shared
            .bytes
            .fetch_add(group.len() as u64, Ordering::Relaxed);
        group.clear();
        if was_empty {
            shared.work.notify_one();
        }
        Some((Lsn::new(sequence), place))
    }

    fn read(&self, place: Place, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let file = {
            let segments = self.shared.segments.lock();
            let file = segments
                .file(place.segment)
                .ok_or(io::ErrorKind::NotFound)?;
            Arc::clone(&file.file)
        };
        let mut bytes = vec![0; length];
        if read_full(&*file, &mut bytes, place.offset + offset)? == length {
            Ok(bytes)
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }

    fn fail(&self, failure: LogFailure) {
        self.shared.fail(failure);
    }

    fn newest(&self) -> u64 {
        self.shared.newest.load(Ordering::Acquire)
    }

    fn needed(&self) -> usize {
        self.shared.segments.lock().needed()
    }

    fn needed_bytes(&self) -> u64 {
        self.shared.segments.lock().needed_bytes()
    }

    fn bytes(&self) -> u64 {
        self.shared.segments.lock().bytes()
    }

    fn volume_bytes(&self) -> Option<u64> {
        self.shared.volume().map(|volume| volume.bytes)
    }

    fn room(&self) -> u64 {
        let Some(volume) = self.shared.volume() else {
            return u64::MAX;
        };
        let present = self.shared.appended.lock().room();
        let segments = self.shared.segments.lock();
        present + segments.bytes() - segments.needed_bytes() + volume.available_bytes
    }

    fn release(&self, segment: u64) {
        if self.shared.segments.lock().release(segment) {
            self.shared.appended.lock().end_segment();
        }
        self.shared.segments_changed.notify_one();
    }

    fn is_full(&self) -> bool {
        self.shared.is_full.load(Ordering::Relaxed)
    }
}

impl Shared {
    fn volume(&self) -> Option<Volume> {
        self.disk.volume().ok().flatten()
    }

    /// Commits what was appended, each group at least as it asked for.
    fn commit(&self, at_least: Durability) -> Commit {
        let mut pending = self.writer.lock();
        if self.failure.get().is_some() {
            return Commit::Failed;
        }
        {
            let mut appended = self.appended.lock();
            if pending.chunks.is_empty() && appended.is_empty() {
                return Commit::Nothing;
            }
            let (chunks, last, durability) = appended.take();
            pending.durability = pending.durability.max(durability);
            pending.bytes += chunks.iter().map(|chunk| chunk.bytes.len()).sum::<usize>();
            pending.chunks.extend(chunks);
            pending.last = last;
        }
        let Pending {
            writer,
            chunks,
            last,
            durability,
            bytes,
        } = &mut *pending;
        let sync = at_least.max(*durability) == Durability::Synced;
        match writer.write(&self.segments, chunks, sync && !planted!(CommitNotSynced)) {
            Ok(()) => {}
            Err(NotCommitted::Full) => {
                self.is_full.store(true, Ordering::Relaxed);
                return Commit::Full;
            }
            Err(NotCommitted::Failed(failure)) => {
                self.fail(failure);
                return Commit::Failed;
            }
        }
        *durability = Durability::Written;
        if sync {
            self.synced.store(*last, Ordering::Release);
        }
        let mut appended = self.appended.lock();
        for chunk in chunks.drain(..) {
            appended.give_back(chunk.bytes);
        }
        drop(appended);
        self.pending_bytes
            .fetch_sub(std::mem::take(bytes), Ordering::Relaxed);
        self.commits.fetch_add(1, Ordering::Relaxed);
        if !self.makes_room.load(Ordering::Relaxed) {
            self.is_full.store(false, Ordering::Relaxed);
        }
        // Still with the right to commit, so that shards hear of commits in their order.
        let told = self.subscribers.lock();
        self.committed.store(*last, Ordering::Release);
        told.tell(Lsn::new(*last));
        Commit::Done(Lsn::new(*last))
    }

    fn fail(&self, failure: LogFailure) {
        let told = self.subscribers.lock();
        self.appended.lock().forget();
        // The first failure is the one to tell.
        let _ = self.failure.set(failure);
        told.tell(Lsn::new(self.committed.load(Ordering::Acquire)));
    }

    /// The committer's thread.
    fn commit_until_closed(&self) {
        loop {
            let at_least = if self.is_sync_due() {
                Durability::Synced
            } else {
                Durability::Written
            };
            match self.commit(at_least) {
                Commit::Done(_) => {
                    self.segments_changed.notify_one();
                }
                Commit::Full if self.appended.lock().closed => return,
                Commit::Full => {
                    let mut appended = self.appended.lock();
                    self.work.wait_for(&mut appended, RETRY);
                }
                Commit::Failed => return,
                Commit::Nothing => {
                    if !self.wait_for_work() {
                        return;
                    }
                }
            }
        }
    }

    /// Waits for appended groups, and syncs meanwhile what is only written; false once the log is closed and there are none.
    fn wait_for_work(&self) -> bool {
        let unsynced_since = self.writer.lock().writer.unsynced_since();
        let sync_at = unsynced_since.map(|since| since + SYNC_AT_LEAST_EVERY);
        let mut appended = self.appended.lock();
        while appended.is_empty() && !appended.closed {
            let Some(at) = sync_at else {
                self.work.wait(&mut appended);
                continue;
            };
            if self.work.wait_until(&mut appended, at).timed_out() {
                drop(appended);
                self.sync();
                return true;
            }
        }
        !appended.is_empty()
    }

    fn is_sync_due(&self) -> bool {
        let unsynced_since = self.writer.lock().writer.unsynced_since();
        unsynced_since.is_some_and(|since| since.elapsed() >= SYNC_AT_LEAST_EVERY)
    }

    fn sync(&self) {
        let mut pending = self.writer.lock();
        match pending.writer.sync(&self.segments) {
            // What was taken and found no room is not written, and not among what is committed.
            Ok(()) => self
                .synced
                .store(self.committed.load(Ordering::Acquire), Ordering::Release),
            Err(NotCommitted::Failed(failure)) => self.fail(failure),
            Err(NotCommitted::Full) => {}
        }
    }

    /// Allocates the next segment while the present one is written to, so that a commit seldom waits for it.
    fn make_room_until_closed(&self) {
        loop {
            let name = {
                let mut segments = self.segments.lock();
                loop {
                    if self.is_closed.load(Ordering::Relaxed) {
                        return;
                    }
                    if !segments.has_free(self.options.segment_bytes) {
                        break;
                    }
                    self.is_full.store(false, Ordering::Relaxed);
                    self.segments_changed.wait(&mut segments);
                }
                segments.new_name()
            };
            let size = self.options.segment_bytes;
            match allocate(&*self.disk, &name, size) {
                Ok(file) => self.segments.lock().add_free(LogFile { name, file, size }),
                // Whatever it is: the committer meets it too if it lasts, and says so.
                Err(error) => {
                    self.is_full.store(is_full(&error), Ordering::Relaxed);
                    let mut segments = self.segments.lock();
                    self.segments_changed.wait_for(&mut segments, RETRY);
                }
            }
        }
    }
}

impl Log for DurableLog {
    fn append(&self, _shard: usize, group: &mut Vec<u8>) -> Lsn {
        if group.is_empty() {
            return Lsn::new(self.shared.appended.lock().last_sequence());
        }
        self.append_placed(group, Durability::Synced)
            .map_or(Lsn::NEVER, |(lsn, _)| lsn)
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
        LogStats {
            commits: self.shared.commits.load(Ordering::Relaxed),
            groups: self.shared.groups.load(Ordering::Relaxed),
            bytes: self.shared.bytes.load(Ordering::Relaxed),
        }
    }

    fn segments(&self) -> Option<&dyn LogSegments> {
        Some(self)
    }

    fn close(&self) {
        let shared = &*self.shared;
        shared.appended.lock().closed = true;
        shared.work.notify_one();
        {
            let _segments = shared.segments.lock();
            shared.is_closed.store(true, Ordering::Relaxed);
            shared.segments_changed.notify_all();
        }
        for thread in self.threads.lock().drain(..) {
            // The threads run no code that panics but the callbacks, whose contract forbids it.
            let _ = thread.join();
        }
        shared.commit(Durability::Synced);
        shared.sync();
    }
}

impl Drop for DurableLog {
    fn drop(&mut self) {
        self.close();
    }
}
