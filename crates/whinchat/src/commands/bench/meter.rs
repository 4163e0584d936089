//! What a phase of a run takes: time, and processor time of the broker and of this program.

use std::time::{Duration, Instant};

use super::failure::Failure;
use super::load::Load;
use super::process::{Memory, Process};

/// What one phase took.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cost {
    pub(super) time: Duration,
    pub(super) broker_cpu: Option<Duration>,
    pub(super) broker_written_bytes: Option<u64>,
    pub(super) own_cpu: Option<Duration>,
}

/// Measures a phase.
pub(super) struct Meter {
    start: Instant,
    broker: Option<(Process, Duration, Option<u64>)>,
    own: Option<Duration>,
}

impl Meter {
    pub(super) fn start(load: &Load) -> Result<Self, Failure> {
        let broker = match load.pid {
            Some(pid) => {
                let process = Process::new(pid);
                Some((
                    process,
                    process
                        .cpu()
                        .map_err(|error| Failure::Process { pid, error })?,
                    process.written_bytes(),
                ))
            }
            None => None,
        };
        Ok(Self {
            start: Instant::now(),
            broker,
            own: Process::own().cpu().ok(),
        })
    }

    pub(super) fn stop(self) -> Result<Cost, Failure> {
        let time = self.start.elapsed();
        let (broker_cpu, broker_written_bytes) = match self.broker {
            Some((process, before, written_before)) => {
                let pid = process.id();
                let after = process
                    .cpu()
                    .map_err(|error| Failure::Process { pid, error })?;
                let written = process.written_bytes().zip(written_before);
                (
                    Some(after.saturating_sub(before)),
                    written.map(|(after, before)| after.saturating_sub(before)),
                )
            }
            None => (None, None),
        };
        let own_cpu = self
            .own
            .zip(Process::own().cpu().ok())
            .map(|(before, after)| after.saturating_sub(before));
        Ok(Cost {
            time,
            broker_cpu,
            broker_written_bytes,
            own_cpu,
        })
    }
}

/// The broker's memory, if its process is known.
pub(super) fn memory(load: &Load) -> Result<Option<Memory>, Failure> {
    load.pid
        .map(|pid| {
            Process::new(pid)
                .memory()
                .map_err(|error| Failure::Process { pid, error })
        })
        .transpose()
}
