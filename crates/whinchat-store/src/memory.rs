//! A log that keeps nothing: each group counts as committed when it is appended.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::{Log, LogFailure, LogStats, Lsn, Wake};

/// The log of a broker without a store: an ack waits for nothing, and nothing survives a restart.
///
/// It only numbers the groups. Its subscribers are never called, because every commit happens
/// inside the `append` it belongs to.
#[derive(Debug, Default)]
pub struct MemoryLog {
    stats: Mutex<LogStats>,
    last: AtomicU64,
}

impl MemoryLog {
    /// A log without groups.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Log for MemoryLog {
    fn append(&self, _shard: usize, group: &mut Vec<u8>) -> Lsn {
        if group.is_empty() {
            return self.committed();
        }
        let mut stats = self.stats.lock();
        stats.groups += 1;
        stats.commits += 1;
        stats.bytes += group.len() as u64;
        group.clear();
        self.last.store(stats.groups, Ordering::Release);
        Lsn::new(stats.groups)
    }

    fn committed(&self) -> Lsn {
        Lsn::new(self.last.load(Ordering::Acquire))
    }

    fn subscribe(&self, _shard: usize, _wake: Wake) {}

    fn pending_bytes(&self) -> usize {
        0
    }

    fn failure(&self) -> Option<LogFailure> {
        None
    }

    fn stats(&self) -> LogStats {
        *self.stats.lock()
    }

    fn close(&self) {}
}
