//! Where a broker keeps what must survive, and how it is read back.

use std::sync::Arc;

use whinchat_store::{DurableLog, DurableLogOptions, Log, OpenError, RecordKind, disk::Disk};

use crate::{
    clock::Clock,
    core::{
        checkpoint::Checkpoint,
        records::{self, read::BadRecord},
        replay::{self, Replay, ReplayError},
        spill::Spill,
    },
};

/// A durable log that a broker begins with and goes on with.
pub struct Store {
    disk: Arc<dyn Disk>,
    options: DurableLogOptions,
    progress: Option<Progress>,
}

/// Told of the bytes that were read back, and that there are.
pub(crate) type Progress = Box<dyn FnMut(u64, u64) + Send>;

impl Store {
    /// The log on this disk.
    #[must_use]
    pub fn new(disk: Arc<dyn Disk>, options: DurableLogOptions) -> Self {
        Self {
            disk,
            options,
            progress: None,
        }
    }

    /// Calls `progress` while the log is read back: with the bytes that were read, and that there are.
    #[must_use]
    pub fn on_progress(mut self, progress: impl FnMut(u64, u64) + Send + 'static) -> Self {
        self.progress = Some(Box::new(progress));
        self
    }

    /// What a broker on this clock would begin with.
    ///
    /// # Errors
    ///
    /// If the log cannot be read or is damaged. Nothing is changed in either case.
    pub fn read(self, clock: &Clock) -> Result<Checkpoint, OpenError> {
        let mut replay = Replay::spilling();
        let read = reader(&mut replay, self.progress);
        let (log, _) = DurableLog::open_stepped(self.disk, self.options, read)?;
        log.abandon();
        Ok(replay.finish(clock, &Arc::new(Spill::new(Arc::new(log)))))
    }

    pub(crate) fn open(self, clock: &Clock) -> Result<(Arc<dyn Log>, Checkpoint), OpenError> {
        let Self {
            disk,
            options,
            progress,
        } = self;
        let mut replay = Replay::spilling();
        let read = reader(&mut replay, progress);
        let (log, recovered) = DurableLog::open(disk, options, read)?;
        if let Some((file, offset)) = &recovered.torn {
            tracing::info!(
                file,
                offset,
                "the log ended in bytes that nobody was promised; they were cut off"
            );
        }
        let log: Arc<dyn Log> = Arc::new(log);
        let spill = Arc::new(Spill::new(Arc::clone(&log)));
        Ok((log, replay.finish(clock, &spill)))
    }

    /// The same without threads, for a stepped broker.
    pub(crate) fn open_stepped(
        self,
        clock: &Clock,
    ) -> Result<(Arc<DurableLog>, Checkpoint), OpenError> {
        let mut replay = Replay::spilling();
        let read = reader(&mut replay, self.progress);
        let (log, _) = DurableLog::open_stepped(self.disk, self.options, read)?;
        let log = Arc::new(log);
        let spill = Arc::new(Spill::new(Arc::clone(&log) as Arc<dyn Log>));
        Ok((log, replay.finish(clock, &spill)))
    }
}

/// Whether a broker could read the records of this group.
///
/// # Errors
///
/// With the first record that it could not read.
pub fn check_group(records: &[u8]) -> Result<(), UnreadableGroup> {
    replay::check(records).map_err(UnreadableGroup)
}

/// How `docs/records.md` calls a kind of records; `None` for one that this release does not know.
#[must_use]
pub fn record_name(kind: RecordKind) -> Option<&'static str> {
    records::name(kind)
}

/// Why a group cannot be read, though its checksum is right.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error(transparent)]
pub struct UnreadableGroup(ReplayError);

impl UnreadableGroup {
    /// A later release wrote it: there is nothing wrong with it.
    #[must_use]
    pub fn is_newer(&self) -> bool {
        matches!(self.0, ReplayError::Record(BadRecord::Unknown { .. }))
    }
}

fn reader(
    replay: &mut Replay,
    mut progress: Option<Progress>,
) -> impl FnMut(whinchat_store::Replayed<'_>) -> Result<(), Box<dyn std::error::Error + Send + Sync>>
{
    move |group| {
        if let Some(progress) = &mut progress {
            let (done, all) = group.progress;
            progress(done, all);
        }
        Ok(replay.group(&group).map_err(UnreadableGroup)?)
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
