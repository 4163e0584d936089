//! The transcripts of `whinchat-conformance`, played on every kind of broker with a clock that is pushed.
//!
//! Our own choices are asked for: the strict reading. A scene has its broker for itself, as the clock is the
//! broker's.

use std::{cell::RefCell, io, time::Duration};

use whinchat_conformance::{
    Offers, Options, Play, Setup, Target, Verdict, broker_scenes, play, plays,
};
use whinchat_transport::Stream;

use crate::harness::{TestBroker, on_every_broker};

impl Target for TestBroker {
    type Stream = Stream;

    async fn connect(&self) -> io::Result<Stream> {
        Ok(self.connect_in_memory())
    }

    async fn pass(&self, time: Duration) {
        self.advance(time).await;
    }

    async fn settle(&self, _: Duration) {
        Self::settle(self).await;
    }

    fn setup(&self) -> Setup {
        Setup::default()
    }
}

/// Plays every scene on every broker and says which ones failed.
async fn all_pass(options: Options) {
    let failures = RefCell::new(Vec::new());
    for one in plays(broker_scenes()) {
        on_every_broker(async |broker: &TestBroker| {
            let failure = failure(one, broker, &options).await;
            failures.borrow_mut().extend(failure);
        })
        .await;
    }
    let failures = failures.into_inner();
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

async fn failure(one: Play<'_>, broker: &TestBroker, options: &Options) -> Option<String> {
    let offers = Offers::learn(broker, options).await.expect("a broker");
    let played = play(one, broker, &offers, options).await;
    match played.verdict {
        Verdict::Passed | Verdict::NotTested(_) => None,
        Verdict::Failed(failure) => Some(format!(
            "{} on {broker:?}: {}\n{failure}",
            played.place, played.name
        )),
        Verdict::NotOffered(what) => Some(format!("{}: {}: {what}", played.place, played.name)),
    }
}

fn strict() -> Options {
    let mut options = Options::default();
    options.strict = true;
    options
}

#[tokio::test]
async fn every_transcript_passes() {
    all_pass(strict()).await;
}

#[tokio::test]
async fn every_transcript_passes_byte_by_byte() {
    let mut options = strict();
    options.split = true;
    all_pass(options).await;
}
