//! A log that can be read, and that commits or waits as a test says.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use parking_lot::Mutex;
use whinchat_store::{Log, LogFailure, LogStats, Lsn, Wake, record};

/// Commits at once unless it is held.
#[derive(Default)]
pub(crate) struct OpenLog {
    groups: Mutex<Vec<Vec<u8>>>,
    committed: AtomicU64,
    is_held: AtomicBool,
    wakes: Mutex<Vec<Wake>>,
}

impl OpenLog {
    /// What is appended from here on stays uncommitted.
    pub(crate) fn hold(&self) {
        self.is_held.store(true, Ordering::SeqCst);
    }

    /// Commits all, and again at once from here on.
    pub(crate) fn release(&self) {
        self.is_held.store(false, Ordering::SeqCst);
        let groups = self.groups.lock().len() as u64;
        self.committed.store(groups, Ordering::SeqCst);
        for wake in &*self.wakes.lock() {
            wake(Lsn::new(groups));
        }
    }

    /// The kinds of the records in each group.
    pub(crate) fn kinds(&self) -> Vec<Vec<u8>> {
        let groups = self.groups.lock();
        let kinds = groups.iter().map(|group| {
            record::read(group)
                .map(|record| record.expect("a whole record").kind.number())
                .collect()
        });
        kinds.collect()
    }

    /// The bodies of all records of this kind.
    pub(crate) fn records(&self, kind: u8) -> Vec<Vec<u8>> {
        let groups = self.groups.lock();
        let records = groups.iter().flat_map(|group| record::read(group));
        records
            .map(|record| record.expect("a whole record"))
            .filter(|record| record.kind.number() == kind)
            .map(|record| record.body.to_vec())
            .collect()
    }
}

/// The handle that a broker takes.
pub(crate) fn open_log() -> Arc<OpenLog> {
    Arc::default()
}

impl Log for OpenLog {
    fn append(&self, _shard: usize, group: &mut Vec<u8>) -> Lsn {
        let mut groups = self.groups.lock();
        if !group.is_empty() {
            groups.push(std::mem::take(group));
        }
        let last = groups.len() as u64;
        if !self.is_held.load(Ordering::SeqCst) {
            self.committed.store(last, Ordering::SeqCst);
        }
        Lsn::new(last)
    }

    fn committed(&self) -> Lsn {
        Lsn::new(self.committed.load(Ordering::SeqCst))
    }

    fn subscribe(&self, _shard: usize, wake: Wake) {
        self.wakes.lock().push(wake);
    }

    fn pending_bytes(&self) -> usize {
        0
    }

    fn failure(&self) -> Option<LogFailure> {
        None
    }

    fn stats(&self) -> LogStats {
        LogStats::default()
    }

    fn close(&self) {}
}
