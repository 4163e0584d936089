//! The brokers that the scenes of this suite are played on.
//!
//! Every scene runs on five of them: one shard and two, answers at once and answers that wait for a
//! log that commits late, and two shards with a store. What holds on one of them only is a defect. Time
//! stands still unless a scene moves it.

use std::{fmt, ops::Deref, time::Duration};

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use whinchat_broker::{
    Broker, BrokerHandle, BrokerLimits, Clock, ClockHand, Store, config::Config,
};
use whinchat_store::{DelayedLog, DurableLogOptions, disk::SimulatedDisk};

use crate::peer::{Peer, V5};

/// A running broker with a hand on its clock.
pub(crate) struct TestBroker {
    handle: BrokerHandle,
    hand: ClockHand,
    setup: Setup,
    /// How many clients have looked whether the broker has settled; each has a name of its own.
    probes: AtomicU64,
}

/// Says what makes the broker differ.
impl fmt::Debug for TestBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.setup.fmt(f)
    }
}

/// What makes one broker differ from the next.
#[derive(Clone, Copy, Debug)]
struct Setup {
    shards: u16,
    log: LogKind,
    /// Of a late log, and of what the scene leaves to chance.
    seed: u64,
}

/// What the answers of a broker wait for.
#[derive(Clone, Copy, Debug)]
enum LogKind {
    /// For nothing.
    None,
    /// For a log that commits late and keeps nothing.
    Late,
    /// For a store on a disk in memory, with segments so small that the oldest are given up again and again.
    Durable,
}

/// Says which broker a scene failed on.
struct SayOnPanic(Setup);

impl Drop for SayOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "failed with {:?} (WHINCHAT_TEST_SEED repeats a seed)",
                self.0
            );
        }
    }
}

/// Plays a scene on every kind of broker.
pub(crate) async fn on_every_broker(scene: impl AsyncFn(&TestBroker)) {
    on_every_broker_with(|builder| builder, scene).await;
}

/// Plays a scene on every kind of broker, each refined in the same way.
pub(crate) async fn on_every_broker_with(
    refine: impl Fn(Broker) -> Broker,
    scene: impl AsyncFn(&TestBroker),
) {
    let kinds = [
        (1, LogKind::None),
        (2, LogKind::None),
        (1, LogKind::Late),
        (2, LogKind::Late),
        (2, LogKind::Durable),
    ];
    on_brokers(&kinds, refine, scene).await;
}

/// Plays what takes long on the two kinds of brokers that have the least in common.
pub(crate) async fn on_two_brokers_with(
    refine: impl Fn(Broker) -> Broker,
    scene: impl AsyncFn(&TestBroker),
) {
    on_brokers(&[(1, LogKind::None), (2, LogKind::Late)], refine, scene).await;
}

/// Each kind is how many shards there are, and the log.
async fn on_brokers(
    kinds: &[(u16, LogKind)],
    refine: impl Fn(Broker) -> Broker,
    scene: impl AsyncFn(&TestBroker),
) {
    let seed = std::env::var("WHINCHAT_TEST_SEED")
        .ok()
        .map(|seed| seed.parse().expect("a seed is a number"));
    for (shards, log) in kinds.iter().copied() {
        let setup = Setup {
            shards,
            log,
            seed: seed.unwrap_or_else(|| fastrand::u64(..)),
        };
        let _say = SayOnPanic(setup);
        let broker = TestBroker::start(setup, &refine);
        scene(&broker).await;
        broker.end().await;
    }
}

/// The default limits, changed.
pub(crate) fn limited(change: impl Fn(&mut BrokerLimits)) -> impl Fn(Broker) -> Broker {
    configured(move |config| change(&mut config.limits))
}

/// The default configuration, changed.
pub(crate) fn configured(change: impl Fn(&mut Config)) -> impl Fn(Broker) -> Broker {
    move |builder| {
        let mut config = Config::embedded();
        change(&mut config);
        builder.config(config)
    }
}

impl TestBroker {
    fn start(setup: Setup, refine: &impl Fn(Broker) -> Broker) -> Self {
        let (clock, hand) = Clock::manual();
        let mut builder = refine(Broker::builder()).threads(setup.shards).clock(clock);
        builder = match setup.log {
            LogKind::None => builder,
            LogKind::Late => builder.log(Arc::new(DelayedLog::new(setup.seed))),
            LogKind::Durable => {
                let mut options = DurableLogOptions::default();
                options.segment_bytes = 8 << 10;
                builder.store(Store::new(Arc::new(SimulatedDisk::new()), options))
            }
        };
        Self {
            handle: builder.start().expect("a broker starts"),
            hand,
            setup,
            probes: AtomicU64::new(0),
        }
    }

    /// What a scene leaves to chance, under a name of its own.
    pub(crate) fn random(&self, name: &str) -> fastrand::Rng {
        fastrand::Rng::with_seed(self.setup.seed ^ xxhash_rust::xxh3::xxh3_64(name.as_bytes()))
    }

    /// Moves the clock, and waits for nothing.
    pub(crate) fn move_clock(&self, by: Duration) {
        self.hand.advance(by);
    }

    /// Moves the clock, and waits until every shard has acted on it and on what the others said.
    pub(crate) async fn advance(&self, by: Duration) {
        self.hand.advance(by);
        self.settle().await;
    }

    /// Waits until every shard has had turns enough to act on what it has and what that brings.
    pub(crate) async fn settle(&self) {
        let mut probes = Vec::new();
        for shard in 0..self.setup.shards {
            let number = self.probes.fetch_add(1, Ordering::Relaxed);
            let client_id = self.client_id_on(shard, &format!("probe-{number}"));
            probes.push(Peer::connected(&self.handle, V5, &client_id).await);
        }
        for _ in 0..3 {
            for probe in &mut probes {
                probe.receive_nothing().await;
            }
        }
        for probe in probes {
            probe.disconnect().await;
        }
    }

    /// Waits until this is so; a test that waits for something that never is has failed.
    pub(crate) async fn settle_until(&self, is_so: impl Fn() -> bool) {
        for _ in 0..1000 {
            self.settle().await;
            if is_so() {
                return;
            }
        }
        panic!("it did not come to that");
    }

    /// A client id that begins with `name` and whose session lives on this shard; on any, if there
    /// is one shard only.
    pub(crate) fn client_id_on(&self, shard: u16, name: &str) -> String {
        const PARTITIONS: u64 = 64;
        (0..)
            .map(|number| format!("{name}-{number}"))
            .find(|id| {
                let partition = xxhash_rust::xxh3::xxh3_64(id.as_bytes()) % PARTITIONS;
                partition % u64::from(self.setup.shards) == u64::from(shard % self.setup.shards)
            })
            .expect("ids without end")
    }

    async fn end(self) {
        let Self { handle, .. } = self;
        let stopping = handle.clone();
        tokio::task::spawn_blocking(move || stopping.shutdown(Duration::from_secs(5)))
            .await
            .expect("a broker stops");
        let metrics = handle.metrics();
        assert_eq!(
            metrics.shared().panics.value(),
            0,
            "panics inside the broker"
        );
        let open = metrics.sum_gauge(|shard| shard.connections.value());
        assert_eq!(open, 0, "connections that were not given back");
    }
}

impl Deref for TestBroker {
    type Target = BrokerHandle;

    fn deref(&self) -> &BrokerHandle {
        &self.handle
    }
}
