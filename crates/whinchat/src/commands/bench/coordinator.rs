//! A run from the first connection to the last message: starts the threads, says when to publish, and sees when all has
//! arrived.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::sync::{Semaphore, watch};

use super::clock::now_ns;
use super::failure::Failure;
use super::gauge::Gauge;
use super::load::{Load, Pace, Stop, Topology};
use super::meter::{Cost, Meter, memory};
use super::process::Memory;
use super::progress::Progress;
use super::subscriber::Tally;
use super::thread::{Common, Notice, Phase, Thread};

/// How often the coordinator looks. It tells nothing about the figures, which come from the stamps.
const TICK: Duration = Duration::from_millis(20);

/// A publisher whose window nothing opens for so long goes on without what is outstanding.
const STALL: Duration = Duration::from_secs(3);

/// No connection may become ready for so long.
const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// Connections that are made at the same time: fewer than the backlog of any broker.
const DIALING: usize = 64;

/// File descriptors beside the connections.
const OTHER_DESCRIPTORS: u64 = 50;

/// What a run came to.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) tally: Tally,
    pub(super) sent: u64,
    /// Messages that a fixed rate asked for and that could not be sent in time.
    pub(super) unsent: u64,
    /// From the first message's time to the arrival of the last.
    pub(super) elapsed: Duration,
    /// How often a closed window had to be opened by hand, because messages were lost.
    pub(super) stalls: u64,
    pub(super) connect: Cost,
    pub(super) publish: Cost,
    /// Before the first connection and with all of them idle.
    pub(super) broker_memory: Option<(Memory, Memory)>,
    pub(super) broker_memory_after: Option<Memory>,
    pub(super) failures: Vec<String>,
}

/// Does what `load` says.
///
/// # Errors
/// A connection could not be made. What goes wrong afterwards is part of the outcome.
pub(super) fn run(load: Load, progress: &Progress) -> Result<Outcome, Failure> {
    let connections = load.connections();
    allow_descriptors(connections)?;
    let load = Arc::new(load);
    let gauges: Arc<[Gauge]> = (0..load.topology.publishers())
        .map(|_| Gauge::new(load.topology.copies().into()))
        .collect();
    let (phase, phases) = watch::channel(Phase::Connect);
    let (notices, noticed) = mpsc::channel();
    let common = Common {
        load: Arc::clone(&load),
        gauges: Arc::clone(&gauges),
        phase: phases,
        dialing: Arc::new(Semaphore::new(DIALING)),
        notices,
    };

    let memory_before = memory(&load)?;
    let connecting = Meter::start(&load)?;
    let mut threads = Vec::new();
    for plans in load.by_thread() {
        threads.push(Thread::spawn(common.clone(), plans)?);
    }
    drop(common);
    let mut coordinator = Coordinator {
        load: &load,
        gauges: &gauges,
        noticed,
        progress,
        failures: Vec::new(),
    };
    coordinator.wait_until_ready()?;
    let connect = connecting.stop()?;
    if let Topology::Idle { .. } = load.topology {
        coordinator.hold();
    }
    let memory_idle = memory(&load)?;

    let publishing = Meter::start(&load)?;
    let start_ns = now_ns();
    phase.send_replace(Phase::Publish { start_ns });
    let stalls = coordinator.wait_until_settled();
    let publish = publishing.stop()?;
    let broker_memory_after = memory(&load)?;

    phase.send_replace(Phase::Close);
    let mut tally = Tally::new();
    for thread in threads {
        tally.add(&thread.join().map_err(|_| Failure::ThreadEnded)??);
    }
    coordinator.collect_failures();
    Ok(Outcome {
        sent: gauges.iter().map(Gauge::sent).sum(),
        unsent: gauges.iter().map(Gauge::unsent).sum(),
        elapsed: Duration::from_nanos(tally.last_ns.saturating_sub(start_ns)),
        tally,
        stalls,
        connect,
        publish,
        broker_memory: memory_before.zip(memory_idle),
        broker_memory_after,
        failures: coordinator.failures,
    })
}

struct Coordinator<'a> {
    load: &'a Load,
    gauges: &'a [Gauge],
    noticed: mpsc::Receiver<Notice>,
    progress: &'a Progress,
    failures: Vec<String>,
}

impl Coordinator<'_> {
    fn wait_until_ready(&self) -> Result<(), Failure> {
        let connections = self.load.connections();
        for connected in 0..connections {
            match self.noticed.recv_timeout(READY_TIMEOUT) {
                Ok(Notice::Ready) => self.progress.connected(connected + 1, connections),
                Ok(Notice::Failed { failure, .. }) => return Err(failure),
                Err(RecvTimeoutError::Timeout) => {
                    return Err(Failure::NotReady {
                        connected,
                        connections,
                        seconds: READY_TIMEOUT.as_secs(),
                    });
                }
                Err(RecvTimeoutError::Disconnected) => return Err(Failure::ThreadEnded),
            }
        }
        Ok(())
    }

    /// Lets idle connections be idle.
    fn hold(&mut self) {
        let Stop::After(duration) = self.load.stop else {
            return;
        };
        let end = Instant::now() + duration;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            self.collect_failures();
            std::thread::sleep(left.min(TICK));
        }
        self.collect_failures();
    }

    /// Returns when every message has arrived, or nothing has come for as long as [`Load::drain`]. Gives the number of
    /// stalls.
    fn wait_until_settled(&mut self) -> u64 {
        let start = Instant::now();
        let mut watched: Vec<_> = self
            .gauges
            .iter()
            .map(|_| Watched {
                seen: (0, 0),
                since: start,
            })
            .collect();
        let mut stalls = 0;
        let mut last_progress = (start, 0);
        loop {
            let now = Instant::now();
            self.collect_failures();
            let is_over =
                matches!(self.load.stop, Stop::After(duration) if now - start >= duration);
            if is_over {
                self.gauges.iter().for_each(Gauge::wake);
            }
            let finished = self.gauges.iter().all(Gauge::is_finished);
            if finished && self.gauges.iter().all(|gauge| gauge.outstanding() == 0) {
                break;
            }
            if let Pace::Window(_) = self.load.pace {
                for (gauge, watched) in self.gauges.iter().zip(&mut watched) {
                    stalls += u64::from(watched.open_if_stalled(gauge, now));
                }
            }
            let moved = self
                .gauges
                .iter()
                .map(|gauge| gauge.sent() + gauge.delivered())
                .sum();
            if moved != last_progress.1 {
                last_progress = (now, moved);
            } else if (finished || is_over || !self.failures.is_empty())
                && now - last_progress.0 >= self.load.drain
            {
                break;
            }
            self.progress.published(self.load, self.gauges, now - start);
            std::thread::sleep(TICK);
        }
        self.collect_failures();
        stalls
    }

    fn collect_failures(&mut self) {
        while let Ok(notice) = self.noticed.try_recv() {
            if let Notice::Failed { client_id, failure } = notice {
                self.failures.push(format!("{client_id}: {failure}"));
            }
        }
    }
}

/// When a publisher last got anywhere.
struct Watched {
    seen: (u64, u64),
    since: Instant,
}

impl Watched {
    fn open_if_stalled(&mut self, gauge: &Gauge, now: Instant) -> bool {
        let seen = (gauge.sent(), gauge.delivered());
        if seen != self.seen {
            *self = Self { seen, since: now };
        } else if !gauge.is_finished() && gauge.outstanding() > 0 && now - self.since >= STALL {
            gauge.write_off();
            self.since = now;
            return true;
        }
        false
    }
}

/// Raises the limit of open files as far as this process may.
fn allow_descriptors(connections: u32) -> Result<(), Failure> {
    let needed = u64::from(connections) + OTHER_DESCRIPTORS;
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < needed) {
        limit.current = limit.maximum;
        // If it is not raised, the check below says so.
        let _ = setrlimit(Resource::Nofile, limit);
    }
    match getrlimit(Resource::Nofile).current {
        Some(limit) if limit < needed => Err(Failure::Descriptors { connections, limit }),
        Some(_) | None => Ok(()),
    }
}
