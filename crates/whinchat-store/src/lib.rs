//! What must survive a restart, and when it counts as stored: the log seam of the Whinchat broker.
//!
//! The words: a **record** is one change of state ([`record`]); a **group** is the records that one
//! shard made in one turn; a **commit** is one or more groups that became durable together; an
//! [`Lsn`] is the position of a group in the one order of the log.
//!
//! # Contract
//!
//! A shard encodes the records of its turn into one buffer and hands it to [`Log::append`] *before*
//! any effect of that turn becomes visible to another session or on a socket. The answer is the
//! [`Lsn`] to wait for. Whatever vouches for the group (an ack, a QoS 2 PUBLISH) leaves once
//! [`Log::committed`] has reached it. A shard that has to wait is woken by the callback it gave to
//! [`Log::subscribe`].
//!
//! This crate knows the framing of a record: kind, version, partition, bytes. What the bytes mean,
//! and the state that replays them, is the broker's business.
//!
//! # Logs
//!
//! | log | commits | survives |
//! | --- | --- | --- |
//! | [`MemoryLog`] | inside `append` | nothing |
//! | [`DelayedLog`] | after a seeded random number of appends or ticks | nothing; finds code that does not wait |
//! | [`DurableLog`] | one write and one sync for all that is queued | a log in segments that is read back |
//!
//! ```
//! use whinchat_store::{Log, MemoryLog, RecordKind, record};
//!
//! let log = MemoryLog::new();
//! let mut group = Vec::new();
//! record::write(&mut group, RecordKind::required(1), 1, 42, |body| body.extend(b"state"));
//! let lsn = log.append(0, &mut group);
//! assert!(group.is_empty());
//! assert!(log.committed() >= lsn);
//! ```

/// Whether the bug of this name was planted.
#[cfg(feature = "planted-bugs")]
macro_rules! planted {
    ($bug:ident) => {
        $crate::planted::is_planted($crate::planted::Bug::$bug)
    };
}
#[cfg(not(feature = "planted-bugs"))]
macro_rules! planted {
    ($bug:ident) => {
        false
    };
}

mod delayed;
pub mod disk;
mod durable;
mod log;
mod memory;
#[cfg(feature = "planted-bugs")]
pub mod planted;
pub mod record;
mod subscribers;

pub use delayed::DelayedLog;
pub use durable::{
    BackedUp, BackupError, Commit, Damage, Dropped, DurableLog, DurableLogOptions, OpenError,
    Recovered, Repaired, Replayed, Verdict, Verified, backup, repair, verify,
};
pub use log::{Durability, Log, LogFailure, LogSegments, LogStats, Lsn, Place, Wake};
pub use memory::MemoryLog;
pub use record::{Record, RecordError, RecordKind, Records};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
