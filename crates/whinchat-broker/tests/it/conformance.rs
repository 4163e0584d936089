//! The transcripts of `whinchat-conformance`, played on every kind of broker with a clock that is pushed.
//!
//! Our own choices are asked for: the strict reading. What a scene needs decides the [`setups`] that it is played in;
//! each is played in one at least.

mod setups;

use std::{cell::RefCell, collections::BTreeSet, io, time::Duration};

use whinchat_codec::QoS;
use whinchat_conformance::{Options, Target, Verdict, broker_scenes, plays, run};
use whinchat_transport::Stream;

use self::setups::{SETUPS, Setup};
use crate::{
    harness::{TestBroker, on_every_broker_with},
    peer::{Peer, V5},
};

/// A broker in one of the setups.
struct Judged<'a> {
    broker: &'a TestBroker,
    setup: &'a Setup,
}

impl Target for Judged<'_> {
    type Stream = Stream;

    async fn connect(&self) -> io::Result<Stream> {
        Ok(self.broker.connect_in_memory())
    }

    async fn pass(&self, time: Duration) {
        self.broker.advance(time).await;
    }

    fn moves_clock(&self) -> bool {
        true
    }

    async fn settle(&self, _: Duration) {
        self.broker.settle().await;
    }

    fn setup(&self) -> whinchat_conformance::Setup {
        self.setup.conformance()
    }
}

/// Plays every scene in a setup on every broker: the names of those that passed, and what failed.
async fn play_in(setup: &Setup, options: &Options) -> (BTreeSet<String>, Vec<String>) {
    let passed = RefCell::new(BTreeSet::new());
    let failures = RefCell::new(Vec::new());
    on_every_broker_with(setup.refine, async |broker: &TestBroker| {
        let judged = Judged { broker, setup };
        let options = setup.logged_in(options);
        let plays = plays(broker_scenes());
        let played = run(&plays, &judged, &options, |_| {}).await;
        for one in played.expect("a broker that lets us in") {
            match one.verdict {
                Verdict::Passed => {
                    passed.borrow_mut().insert(one.name);
                }
                Verdict::Failed(failure) => failures.borrow_mut().push(format!(
                    "{}: {}\n{} {broker:?}\n{failure}\n",
                    one.place, one.name, setup.name
                )),
                Verdict::NotOffered(_) | Verdict::NotTested(_) => {}
            }
        }
        assert_nothing_is_left(broker).await;
    })
    .await;
    (passed.into_inner(), failures.into_inner())
}

/// The player takes sessions and retained messages away when a scene has ended.
async fn assert_nothing_is_left(broker: &TestBroker) {
    broker.settle().await;
    let sessions = broker.metrics().sum_gauge(|shard| shard.sessions.value());
    assert_eq!(sessions, 0, "sessions that are left on {broker:?}");
    let mut last = Peer::connected(broker, V5, "probe-last").await;
    last.subscribe("#", QoS::AtMostOnce).await;
    last.receive_nothing().await;
    last.disconnect().await;
}

/// Plays every scene in all setups. Each passes in one at least, and fails in none.
async fn every_scene_passes(options: &Options) {
    let mut passed = BTreeSet::new();
    let mut failures = Vec::new();
    for setup in SETUPS {
        let (more_passed, more_failures) = play_in(setup, options).await;
        passed.extend(more_passed);
        failures.extend(more_failures);
    }
    assert!(
        failures.is_empty(),
        "{} failures\n{}",
        failures.len(),
        failures.join("\n")
    );
    let missing: Vec<String> = plays(broker_scenes())
        .into_iter()
        .map(|play| play.scene.name(play.version))
        .filter(|name| !passed.contains(name))
        .collect();
    assert!(missing.is_empty(), "not played in any setup: {missing:#?}");
}

fn strict() -> Options {
    let mut options = Options::default();
    options.strict = true;
    options
}

#[tokio::test]
async fn every_transcript_passes() {
    every_scene_passes(&strict()).await;
}

#[tokio::test]
async fn every_transcript_passes_byte_by_byte() {
    let mut options = strict();
    options.split = true;
    every_scene_passes(&options).await;
}
