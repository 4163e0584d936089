//! A log in memory whose commits come late, in steps of random size: it finds code that acts on an
//! effect before its commit.
//!
//! Two sources of progress: each `append` and each tick takes one step; after a random number of
//! steps a random part of what is waiting is committed, oldest first. The owner may tick by hand
//! ([`DelayedLog::manual`]) or leave it to a helper thread ([`DelayedLog::new`]) that ticks once per
//! millisecond while anything waits. The sizes follow from the seed; which group falls into which
//! commit also depends on how the shards' appends interleave.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use parking_lot::{Condvar, Mutex};

use crate::{Log, LogFailure, LogStats, Lsn, Wake, subscribers::Subscribers};

/// Steps between two commits, at most.
const STEPS_MAX: u32 = 8;
const TICK: Duration = Duration::from_millis(1);

/// A log in memory that commits after a seeded random number of appends and ticks.
pub struct DelayedLog {
    shared: Arc<Shared>,
    ticker: Mutex<Option<thread::JoinHandle<()>>>,
}

struct Shared {
    state: Mutex<State>,
    /// The helper thread waits here while nothing is pending.
    work: Condvar,
    committed: AtomicU64,
    subscribers: Subscribers,
}

struct State {
    random: fastrand::Rng,
    /// Sizes of the groups not yet committed, oldest first.
    waiting: VecDeque<usize>,
    steps_left: u32,
    stats: LogStats,
    closed: bool,
}

impl DelayedLog {
    /// A log that makes progress by itself: a helper thread ticks it once per millisecond while
    /// anything waits. The thread ends with the log.
    ///
    /// # Panics
    ///
    /// If the operating system gives no thread.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let log = Self::manual(seed);
        let shared = Arc::clone(&log.shared);
        let ticker = thread::Builder::new()
            .name("whinchat-delayed-log".to_owned())
            .spawn(move || tick_while_open(&shared))
            .expect("the operating system gives a thread");
        *log.ticker.lock() = Some(ticker);
        log
    }

    /// A log that moves only by `append` and [`tick`](Self::tick): for tests that drive time.
    #[must_use]
    pub fn manual(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let steps_left = random.u32(1..=STEPS_MAX);
        Self {
            shared: Arc::new(Shared {
                state: Mutex::new(State {
                    random,
                    waiting: VecDeque::new(),
                    steps_left,
                    stats: LogStats::default(),
                    closed: false,
                }),
                work: Condvar::new(),
                committed: AtomicU64::new(0),
                subscribers: Subscribers::default(),
            }),
            ticker: Mutex::new(None),
        }
    }

    /// One step without an append. Some tick within the next eight commits at least one waiting group.
    pub fn tick(&self) {
        self.shared.step();
    }

    /// Commits all that was appended.
    pub fn commit_all(&self) {
        self.shared.commit(|_, waiting| waiting);
    }
}

fn tick_while_open(shared: &Shared) {
    loop {
        {
            let mut state = shared.state.lock();
            while state.waiting.is_empty() && !state.closed {
                shared.work.wait(&mut state);
            }
            if state.closed {
                return;
            }
        }
        thread::sleep(TICK);
        shared.step();
    }
}

impl Shared {
    fn step(&self) {
        let due = {
            let mut state = self.state.lock();
            state.steps_left -= 1;
            let due = state.steps_left == 0;
            if due {
                state.steps_left = state.random.u32(1..=STEPS_MAX);
            }
            due
        };
        if due {
            self.commit(|random, waiting| random.usize(1..=waiting));
        }
    }

    /// Commits as many of the oldest groups as `choose` says, given how many (not 0) are waiting.
    fn commit(&self, choose: impl FnOnce(&mut fastrand::Rng, usize) -> usize) {
        let told = self.subscribers.lock();
        let committed = {
            let mut state = self.state.lock();
            let State {
                random,
                waiting,
                stats,
                ..
            } = &mut *state;
            if waiting.is_empty() {
                return;
            }
            let groups = choose(random, waiting.len());
            waiting.drain(..groups);
            stats.commits += 1;
            stats.groups - waiting.len() as u64
        };
        self.committed.store(committed, Ordering::Release);
        told.tell(Lsn::new(committed));
    }
}

impl Log for DelayedLog {
    fn append(&self, _shard: usize, group: &mut Vec<u8>) -> Lsn {
        let mut state = self.shared.state.lock();
        if group.is_empty() {
            return Lsn::new(state.stats.groups);
        }
        if state.closed {
            group.clear();
            return Lsn::NEVER;
        }
        state.stats.groups += 1;
        let lsn = Lsn::new(state.stats.groups);
        state.stats.bytes += group.len() as u64;
        state.waiting.push_back(group.len());
        group.clear();
        drop(state);
        self.shared.work.notify_one();
        self.shared.step();
        lsn
    }

    fn committed(&self) -> Lsn {
        Lsn::new(self.shared.committed.load(Ordering::Acquire))
    }

    fn subscribe(&self, shard: usize, wake: Wake) {
        self.shared.subscribers.set(shard, wake);
    }

    fn pending_bytes(&self) -> usize {
        self.shared.state.lock().waiting.iter().sum()
    }

    fn failure(&self) -> Option<LogFailure> {
        None
    }

    fn stats(&self) -> LogStats {
        self.shared.state.lock().stats
    }

    fn close(&self) {
        self.shared.state.lock().closed = true;
        self.commit_all();
        self.shared.work.notify_all();
        let ticker = self.ticker.lock().take();
        if let Some(ticker) = ticker {
            // The thread runs no code that panics but the callbacks, whose contract forbids it.
            let _ = ticker.join();
        }
    }
}

impl Drop for DelayedLog {
    fn drop(&mut self) {
        self.close();
    }
}
