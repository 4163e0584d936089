//! A broker without threads: each shard takes a turn when its owner says so.
//!
//! The shards are those of [`Broker::start`], polled by hand instead of by a runtime, so that nothing
//! but time and threads is left out. Which shard is next, when the clock moves and when the log
//! commits is the owner's choice: one seed gives one course of events.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Wake, Waker},
};

use whinchat_session::SnapshotError;
use whinchat_store::{Commit, DurableLog, Log, disk::DataDirectory};
use whinchat_transport::{Peer, Stream};

use crate::{
    Broker, StartError,
    broker::MEMORY_STREAM_BYTES,
    commons::Commons,
    core::{checkpoint::Checkpoint, keys::ShardId, mail::Mail},
    metrics::Metrics,
    shard::{
        Shard,
        accept::Accepting,
        driver::{Driver, Tick},
    },
};

/// A broker whose shards take their turns in the caller's thread, for tests and simulations.
///
/// ```
/// use std::{task::{Context, Waker}, time::Duration};
/// use whinchat_broker::{Broker, Clock};
///
/// # fn main() -> Result<(), whinchat_broker::StartError> {
/// let (clock, hand) = Clock::manual();
/// let mut broker = Broker::builder().threads(2).clock(clock).start_stepped()?;
/// let mut client = broker.connect_in_memory();
/// let cx = &mut Context::from_waker(Waker::noop());
/// let pingreq_is_no_connect = [0xC0, 0];
/// assert!(client.poll_write(cx, &pingreq_is_no_connect).is_ready());
/// assert!(broker.settle(100), "nothing is left to do");
/// let mut answer = [0; 16];
/// assert!(matches!(client.poll_read(cx, &mut answer), std::task::Poll::Ready(Ok(0))));
/// hand.advance(Duration::from_secs(3600));
/// assert!(broker.settle(100));
/// # Ok(())
/// # }
/// ```
///
/// Dropping it is a crash: every connection is closed without a word, what was in memory is gone, and
/// the log is left as it is.
pub struct SteppedBroker {
    commons: Arc<Commons>,
    shards: Vec<SteppedShard>,
    next_shard: usize,
    /// Its store's log, if it has a store.
    log: Option<Arc<DurableLog>>,
    _data_directory: Option<DataDirectory>,
}

struct SteppedShard {
    driver: Pin<Box<Driver>>,
    woken: Arc<Woken>,
    waker: Waker,
}

/// Set when a shard has something to do.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Broker {
    /// Makes the broker without starting a thread: [`SteppedBroker::turn`] runs it.
    ///
    /// Its connections are those of [`SteppedBroker::connect_in_memory`]: listeners and the admin port
    /// of the configuration are left out. It works inside any runtime or none. Everything follows from
    /// what the caller does, provided that the clock is a [manual](crate::Clock::manual) one, the log
    /// moves by itself only inside `append`, there is no authenticator (those have a thread of their
    /// own) and no client asks for an assigned client id (those are random).
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start), as far as the configuration is to blame.
    pub fn start_stepped(mut self) -> Result<SteppedBroker, StartError> {
        let held = self.take_data_directory()?;
        let opened = match self.store.take() {
            Some(store) => Some(store.open_stepped(&self.clock)?),
            None => None,
        };
        let (log, checkpoint) = opened.unzip();
        if let Some(log) = &log {
            self.log = Some(Arc::clone(log) as Arc<dyn Log>);
        }
        let commons = self.commons()?;
        let shards = (0..commons.shards())
            .map(|position| SteppedShard::new(position, &commons))
            .collect::<Result<_, _>>()?;
        let mut broker = SteppedBroker {
            commons,
            shards,
            next_shard: 0,
            log,
            _data_directory: held,
        };
        if let Some(checkpoint) = checkpoint {
            broker.restore(checkpoint)?;
        }
        Ok(broker)
    }
}

impl SteppedShard {
    fn new(position: usize, commons: &Arc<Commons>) -> Result<Self, StartError> {
        let accepting = Accepting::attach(Vec::new()).map_err(StartError::Thread)?;
        let shard = Shard::new(ShardId::new(position), Arc::clone(commons), accepting);
        let tick = Tick::Clock(commons.clock.now());
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        Ok(Self {
            driver: Box::pin(Driver::new(shard, tick)),
            waker: Waker::from(Arc::clone(&woken)),
            woken,
        })
    }

    fn is_ready(&self) -> bool {
        self.woken.0.load(Ordering::SeqCst)
    }
}

impl SteppedBroker {
    /// The shards that have something to do, by position.
    pub fn ready_shards(&self) -> impl Iterator<Item = usize> {
        let shards = self.shards.iter().enumerate();
        shards.filter_map(|(position, shard)| shard.is_ready().then_some(position))
    }

    /// One turn of the shard at `position`; false if it has nothing to do, or is not there.
    pub fn turn(&mut self, position: usize) -> bool {
        let Some(shard) = self
            .shards
            .get_mut(position)
            .filter(|shard| shard.is_ready())
        else {
            return false;
        };
        shard.woken.0.store(false, Ordering::SeqCst);
        let turn = shard
            .driver
            .as_mut()
            .poll(&mut Context::from_waker(&shard.waker));
        debug_assert!(turn.is_pending(), "nobody has told it to end");
        true
    }

    /// Takes turns, the lowest ready shard first, until none has anything to do: false if `turns_max`
    /// turns were not enough.
    #[must_use]
    pub fn settle(&mut self, turns_max: usize) -> bool {
        for _ in 0..turns_max {
            let Some(next) = self.ready_shards().next() else {
                return true;
            };
            self.turn(next);
        }
        self.ready_shards().next().is_none()
    }

    /// A client's end of a new connection. It arrives at the shards in rotation, and goes from there
    /// to the shard where its session lives.
    pub fn connect_in_memory(&mut self) -> Stream {
        let shard = self.next_shard % self.shards.len();
        self.next_shard += 1;
        self.connect_in_memory_to(shard)
    }

    /// The same, at the shard at `position`, or at the last one.
    pub fn connect_in_memory_to(&mut self, position: usize) -> Stream {
        let (client, server) = Stream::pair(MEMORY_STREAM_BYTES);
        let shard = ShardId::new(position.min(self.shards.len() - 1));
        if let Ok(stream) = server.detach() {
            let peer = Peer::Memory;
            self.commons
                .send_from_outside(shard, Mail::Inside { stream, peer });
        }
        client
    }

    /// Commits what the shards have appended to the log of a [`Store`](crate::Store); nothing without one.
    pub fn commit_store(&self) -> Option<Commit> {
        self.log.as_ref().map(|log| log.commit())
    }

    /// The state that a restart has to find again. Letters that one shard has written to another and
    /// that are not read yet are no part of it: [settle](Self::settle) before.
    #[must_use]
    pub fn checkpoint(&self) -> Checkpoint {
        let mut checkpoint = Checkpoint::of(&self.commons);
        for shard in &self.shards {
            shard.driver.shard().add_to_checkpoint(&mut checkpoint);
        }
        checkpoint
    }

    /// Takes over the state of an earlier broker on the same clock, into one that has had no connection
    /// yet. Clients that were connected then have lost their connection now.
    ///
    /// # Errors
    ///
    /// If a session cannot be read. The broker is of no use then.
    pub fn restore(&mut self, mut checkpoint: Checkpoint) -> Result<(), SnapshotError> {
        checkpoint.restore_shared(&self.commons);
        for shard in &mut self.shards {
            let shard = shard.driver.shard_mut();
            shard.restore_sessions(&mut checkpoint);
        }
        for shard in &mut self.shards {
            shard.driver.shard_mut().restore_states(&checkpoint)?;
        }
        for shard in &mut self.shards {
            shard.driver.shard_mut().restore_absences(&mut checkpoint);
            shard.woken.0.store(true, Ordering::SeqCst);
        }
        Ok(())
    }

    /// All metrics.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.commons.metrics
    }
}

impl Drop for SteppedBroker {
    fn drop(&mut self) {
        if let Some(log) = &self.log {
            log.abandon();
        }
        self.shards.clear();
        self.commons.stop_service();
    }
}

impl std::fmt::Debug for SteppedBroker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SteppedBroker")
            .field("shards", &self.shards.len())
            .field("ready", &self.ready_shards().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
