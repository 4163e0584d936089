//! The transcripts of `whinchat-conformance`, played on every kind of broker with a clock that is pushed.
//!
//! Our own choices are asked for: the strict reading. What a scene needs decides the [`setups`] that it is played in;
//! each is played in the first of them that it can be played in.

mod setups;

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    io,
    time::Duration,
};

use tokio::sync::Mutex;
use whinchat_codec::QoS;
use whinchat_conformance::{Options, Play, Target, Verdict, broker_scenes, plays, run};
use whinchat_transport::Stream;

use self::setups::{SETUPS, Setup};
use crate::{
    harness::{TestBroker, on_every_broker_with, on_two_brokers_with},
    peer::{Peer, V5},
};

/// A broker in one of the setups.
struct Judged<'a> {
    broker: &'a TestBroker,
    setup: &'a Setup,
    /// Scenes that wait for the broker to settle wait together: whoever asks gets a number, and here is the number up
    /// to which all have what they asked for.
    asked: Cell<u64>,
    settled: Mutex<u64>,
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
        let own = self.asked.get() + 1;
        self.asked.set(own);
        let mut settled = self.settled.lock().await;
        if *settled < own {
            let asked = self.asked.get();
            self.broker.settle().await;
            *settled = asked;
        }
    }

    fn setup(&self) -> whinchat_conformance::Setup {
        self.setup.conformance()
    }
}

/// Plays scenes in a setup on every broker: the names of those that passed, and what failed.
async fn play_in(
    setup: &Setup,
    plays: &[Play<'_>],
    options: &Options,
) -> (BTreeSet<String>, Vec<String>) {
    let passed = RefCell::new(BTreeSet::new());
    let failures = RefCell::new(Vec::new());
    let scene = async |broker: &TestBroker| {
        let judged = Judged {
            broker,
            setup,
            asked: Cell::new(0),
            settled: Mutex::new(0),
        };
        let options = setup.logged_in(options);
        let played = run(plays, &judged, &options, |_| {}).await;
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
    };
    if options.split {
        on_two_brokers_with(setup.refine, scene).await;
    } else {
        on_every_broker_with(setup.refine, scene).await;
    }
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

/// Plays every scene in the first of the setups that it can be played in, where it has to pass.
async fn every_scene_passes(options: &Options) {
    let mut plays = plays(broker_scenes());
    let mut failures = Vec::new();
    for setup in SETUPS {
        let (passed, more_failures) = play_in(setup, &plays, options).await;
        failures.extend(more_failures);
        plays.retain(|play| !passed.contains(&play.scene.name(play.version)));
    }
    assert!(
        failures.is_empty(),
        "{} failures\n{}",
        failures.len(),
        failures.join("\n")
    );
    let names: Vec<String> = plays
        .iter()
        .map(|play| play.scene.name(play.version))
        .collect();
    assert!(names.is_empty(), "no setup is one for {names:#?}");
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
