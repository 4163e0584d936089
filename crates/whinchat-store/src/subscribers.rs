//! The callbacks of the shards, and the one place where they are called.

use parking_lot::{Mutex, MutexGuard};

use crate::{Lsn, Wake};

/// One callback per shard.
#[derive(Default)]
pub(crate) struct Subscribers(Mutex<Vec<Option<Wake>>>);

impl Subscribers {
    /// Sets the callback of `shard`.
    pub(crate) fn set(&self, shard: usize, wake: Wake) {
        let mut wakes = self.0.lock();
        if wakes.len() <= shard {
            wakes.resize_with(shard + 1, || None);
        }
        wakes[shard] = Some(wake);
    }

    /// Holds off all other commits: taken before a commit is decided and kept until every shard was
    /// told, so that shards hear of commits in their order.
    pub(crate) fn lock(&self) -> Told<'_> {
        Told(self.0.lock())
    }
}

/// The right to commit and to tell.
pub(crate) struct Told<'a>(MutexGuard<'a, Vec<Option<Wake>>>);

impl Told<'_> {
    /// Tells each shard that all up to `lsn` is committed.
    pub(crate) fn tell(&self, lsn: Lsn) {
        self.0.iter().flatten().for_each(|wake| wake(lsn));
    }
}
