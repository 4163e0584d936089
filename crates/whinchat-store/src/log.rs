//! The seam itself: what a log promises to the shards that append to it.
//!
//! Owns the trait, positions and failure. Leaves to the implementations: when a group is committed.

use std::{fmt, io, sync::Arc};

/// The position of a group in the order of a log: the first group is 1.
///
/// Positions are handed out without gaps in the order in which the groups are committed, so one
/// number says everything about what is durable: all groups up to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(u64);

impl Lsn {
    /// Before the first group: nothing is committed, and there is nothing to wait for.
    pub const ZERO: Self = Self(0);

    /// The position of what is not kept: no commit reaches it.
    pub const NEVER: Self = Self(u64::MAX);

    /// The position with this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number of this position.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a shard leaves with [`Log::subscribe`]: called with the position up to which all is
/// committed.
///
/// It runs on whichever thread commits, which may be another shard's. It must return at once, must
/// not panic, and must call nothing of the log but [`Log::committed`].
pub type Wake = Box<dyn Fn(Lsn) + Send + Sync>;

/// One order of groups of records, shared by all shards.
pub trait Log: Send + Sync {
    /// Puts the records of one turn of `shard` behind everything appended before.
    ///
    /// Takes the bytes and leaves `group` empty with a capacity to write the next turn into. Never
    /// waits for a disk. An empty group adds nothing: the answer is then the position of the last
    /// group of any shard.
    ///
    /// After a failure, and after [`close`](Self::close), the answer is [`Lsn::NEVER`] and the group
    /// is not kept.
    fn append(&self, shard: usize, group: &mut Vec<u8>) -> Lsn;

    /// All groups up to this position are committed. Never goes back.
    fn committed(&self) -> Lsn;

    /// Registers the one callback of `shard`; a second call replaces the first.
    ///
    /// It is called once per commit, in the order of commits, unless the commit happened inside the
    /// `append` that it belongs to: read [`committed`](Self::committed) after appending. It is also
    /// called, with an unchanged position, when the log fails; [`failure`](Self::failure) then says why.
    fn subscribe(&self, shard: usize, wake: Wake);

    /// Bytes appended and not yet committed: what a shard that reads from publishers bounds.
    fn pending_bytes(&self) -> usize;

    /// Why nothing will be committed any more, or `None` while the log works.
    ///
    /// A failed write or sync is final: what the operating system still holds of it is unknown, so
    /// a later success would prove nothing. Acknowledge nothing any more and end the process.
    fn failure(&self) -> Option<LogFailure>;

    /// What the log has done since it was opened.
    fn stats(&self) -> LogStats;

    /// Commits what was appended and stops. Returns when that is done; a second call does nothing.
    fn close(&self);

    /// The log as a row of segments, if it is one: then it grows until the oldest are given up.
    fn segments(&self) -> Option<&dyn LogSegments> {
        None
    }
}

/// Where a group of records was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The segment's epoch: later segments have larger ones.
    pub segment: u64,
    /// The first byte of the group's records in the segment's file.
    pub offset: u64,
}

/// How safe a group is when it counts as committed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Durability {
    /// The operating system has it: it survives the end of the process. It is synced within a second.
    Written,
    /// It is synced: it survives a loss of power.
    #[default]
    Synced,
}

/// A log in segments, of which only the oldest can be given up.
pub trait LogSegments: Send + Sync {
    /// As [`Log::append`], and says where the group will be; `None` after a failure, after [`Log::close`], and for an empty group.
    ///
    /// The group counts as committed once it is as safe as `durability` says. Groups are committed in their order: one that has only to be
    /// written waits for those before it that have to be synced. [`Log::append`] asks for [`Durability::Synced`].
    fn append_placed(&self, group: &mut Vec<u8>, durability: Durability) -> Option<(Lsn, Place)>;

    /// Reads `length` bytes that were committed, from `offset` behind the place of their group.
    ///
    /// Waits for the disk if the operating system does not have them in memory.
    ///
    /// # Errors
    /// What the disk answers; [`io::ErrorKind::NotFound`] if the segment was given up, [`io::ErrorKind::UnexpectedEof`] if it ends before.
    fn read(&self, place: Place, offset: u64, length: usize) -> io::Result<Vec<u8>>;

    /// The log is of no more use, although it has committed all so far: what it holds cannot be read back. [`Log::failure`] says so from now on.
    fn fail(&self, failure: LogFailure);

    /// The number of the segment that was appended to last; it only grows. What is appended from now on lies in this one or a later one.
    fn newest(&self) -> u64;

    /// How many segments are needed.
    fn needed(&self) -> usize;

    /// Bytes of the files of the segments that are needed.
    fn needed_bytes(&self) -> u64;

    /// Bytes of all files, those that wait for their next use included.
    fn bytes(&self) -> u64;

    /// Bytes of the volume that the files lie on, used or not; `None` if it has no bound, or does not say.
    fn volume_bytes(&self) -> Option<u64>;

    /// Bytes that can still be appended: in the present segment, in files that were made in advance, on the volume. [`u64::MAX`] if there is no bound.
    fn room(&self) -> u64;

    /// Gives up all segments before `segment`: what they held is superseded, and what supersedes it is committed. A restart knows of it when
    /// the next group is committed.
    fn release(&self, segment: u64);

    /// Whether the disk had no room for the next segment when it was asked last. What is appended still finds room in the present one, so take
    /// only what empties queues until this is over.
    fn is_full(&self) -> bool;
}

/// Counters of one log since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogStats {
    /// Commits: groups that became durable together count once.
    pub commits: u64,
    /// Groups appended.
    pub groups: u64,
    /// Bytes of records appended.
    pub bytes: u64,
}

/// A log that can commit nothing any more.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the log failed to {operation} at byte {offset} of {name}: {error}")]
#[non_exhaustive]
pub struct LogFailure {
    /// What was being done: `write`, `sync` or `read`.
    pub operation: &'static str,
    /// The position in the file, in bytes.
    pub offset: u64,
    /// The file, as it was named when the log was opened.
    pub name: Arc<str>,
    /// What the operating system answered.
    #[source]
    pub error: Arc<io::Error>,
}

impl LogFailure {
    /// `operation` failed at the byte `offset` of `name`.
    #[must_use]
    pub fn new(operation: &'static str, offset: u64, name: &str, error: io::Error) -> Self {
        Self {
            operation,
            offset,
            name: name.into(),
            error: Arc::new(error),
        }
    }
}
