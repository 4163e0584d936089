//! Bugs are planted, one after the other, and each has to be found: a licence for the models and the transcripts.
//!
//! Read [`find`] first. A finder that finds something without a bug is no finder: that is looked at first.

mod stepped_target;

use std::{future::Future, time::Instant};

use proptest_state_machine::StateMachineTest;
use whinchat_conformance::{Offers, Options, Verdict, broker_scenes, play, plays};
use whinchat_session::planted::{Bug, plant};

use self::stepped_target::SteppedTarget;
use crate::{
    model::{
        broker::Broker,
        engine::Engine,
        run::{Plan, run},
    },
    reference_server::{Offered, ReferenceServer},
};

/// How a bug was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// By what.
    pub finder: &'static str,
    /// After how much.
    pub after: String,
    /// In how many milliseconds.
    pub millis: u128,
}

/// Runs the finders until one finds something: with this bug, or with none.
pub fn find(bug: Option<Bug>) -> Option<Found> {
    plant(bug);
    let began = Instant::now();
    let found = FINDERS.iter().find_map(|finder| {
        (finder.find)().map(|after| Found {
            finder: finder.name,
            after,
            millis: began.elapsed().as_millis(),
        })
    });
    plant(None);
    found
}

/// Something that looks for bugs: after how much it has found one.
struct Finder {
    name: &'static str,
    find: fn() -> Option<String>,
}

const FINDERS: [Finder; 4] = [
    Finder {
        name: "engine model",
        find: model::<Engine>,
    },
    Finder {
        name: "broker model",
        find: model::<Broker>,
    },
    Finder {
        name: "transcripts on the engine",
        find: transcripts_on_the_engine,
    },
    Finder {
        name: "transcripts on the broker",
        find: transcripts_on_the_broker,
    },
];

/// Enough for every bug that it can find, and soon over for the others.
const STEPS: u64 = 30_000;

fn model<M: StateMachineTest>() -> Option<String> {
    let plan = Plan {
        seed: 1,
        steps: STEPS,
        time: None,
    };
    run::<M>(plan)
        .err()
        .map(|failure| format!("{} steps", failure.steps))
}

fn strict() -> Options {
    let mut options = Options::default();
    options.strict = true;
    options
}

fn on_a_still_clock<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without sockets can be made")
        .block_on(future)
}

fn transcripts_on_the_engine() -> Option<String> {
    on_a_still_clock(async {
        let mut played = 0;
        for offered in Offered::each()
            .into_iter()
            .filter(|one| !one.asks_for_login)
        {
            let options = strict();
            let server = ReferenceServer::new(offered);
            let offers = match Offers::learn(&server, &options).await {
                Ok(offers) => offers,
                Err(error) => return Some(format!("the first CONNECT: {error}")),
            };
            for one in plays(broker_scenes()) {
                played += 1;
                let server = ReferenceServer::new(offered);
                let verdict = play(one, &server, &offers, &options).await.verdict;
                if matches!(verdict, Verdict::Failed(_)) {
                    return Some(format!("{played} scenes"));
                }
            }
        }
        None
    })
}

fn transcripts_on_the_broker() -> Option<String> {
    on_a_still_clock(async {
        let options = strict();
        let target = SteppedTarget::new();
        let offers = match Offers::learn(&target, &options).await {
            Ok(offers) => offers,
            Err(error) => return Some(format!("the first CONNECT: {error}")),
        };
        for (number, one) in plays(broker_scenes()).into_iter().enumerate() {
            let target = SteppedTarget::new();
            let verdict = play(one, &target, &offers, &options).await.verdict;
            if matches!(verdict, Verdict::Failed(_)) {
                return Some(format!("{} scenes", number + 1));
            }
        }
        None
    })
}
