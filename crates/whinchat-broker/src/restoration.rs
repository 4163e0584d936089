//! The shards take back what an earlier broker kept, all together and in three steps: who there is, what they are owed, and who is away.

use std::sync::Barrier;

use parking_lot::{Mutex, RwLock};
use whinchat_session::SnapshotError;

use crate::{commons::Commons, core::checkpoint::Checkpoint, shard::Shard};

pub(crate) struct Restoration {
    checkpoint: RwLock<Checkpoint>,
    /// The shards, and whoever waits for them.
    step: Barrier,
    failure: Mutex<Option<SnapshotError>>,
}

impl Restoration {
    /// Takes back what the shards share.
    pub(crate) fn new(mut checkpoint: Checkpoint, commons: &Commons) -> Self {
        checkpoint.restore_shared(commons);
        Self {
            checkpoint: RwLock::new(checkpoint),
            step: Barrier::new(commons.shards() + 1),
            failure: Mutex::new(None),
        }
    }

    /// Called by each shard before its first turn.
    pub(crate) fn restore(&self, shard: &mut Shard) {
        shard.restore_sessions(&mut self.checkpoint.write());
        self.step.wait();
        if let Err(error) = shard.restore_states(&self.checkpoint.read()) {
            *self.failure.lock() = Some(error);
        }
        self.step.wait();
        if self.failure.lock().is_none() {
            shard.restore_absences(&mut self.checkpoint.write());
        }
        self.step.wait();
    }

    /// Returns when all shards have taken back what is theirs.
    pub(crate) fn wait(&self) -> Result<(), SnapshotError> {
        for _ in 0..3 {
            self.step.wait();
        }
        // What was not taken is not needed.
        *self.checkpoint.write() = Checkpoint::default();
        let failure = *self.failure.lock();
        failure.map_or(Ok(()), Err)
    }
}
