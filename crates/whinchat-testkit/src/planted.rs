//! Bugs are planted, one after the other, and each has to be found: a licence for the models and the transcripts.
//!
//! Read [`find`] first. A finder that finds something without a bug is no finder: that is looked at first.

use std::{future::Future, panic::catch_unwind, time::Instant};

use proptest_state_machine::StateMachineTest;
use whinchat_conformance::{Offers, Options, Verdict, broker_scenes, play, plays};
use whinchat_session::planted::Bug;
use whinchat_store::planted::Bug as LogBug;

use crate::{
    model::{
        broker::Broker,
        engine::Engine,
        run::{Plan, run},
    },
    reference_server::{Offered, ReferenceServer},
    stepped_target::SteppedTarget,
    torture::images,
};

/// A bug of any crate.
#[derive(Clone, Copy, Debug)]
pub enum Planted {
    /// One of the engine or the broker.
    Broker(Bug),
    /// One of the log.
    Log(LogBug),
}

impl Planted {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        let of_the_broker = Bug::ALL.iter().copied().map(Self::Broker);
        of_the_broker.chain(LogBug::ALL.iter().copied().map(Self::Log))
    }

    /// Its name, in one word.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Broker(bug) => format!("{bug:?}"),
            Self::Log(bug) => format!("{bug:?}"),
        }
    }

    /// What it does.
    #[must_use]
    pub const fn what(self) -> &'static str {
        match self {
            Self::Broker(bug) => bug.what(),
            Self::Log(bug) => bug.what(),
        }
    }

    /// It shows only when a broker starts on what an earlier one had stored.
    const fn is_of_the_store(self) -> bool {
        match self {
            Self::Broker(bug) => bug.is_of_the_store(),
            Self::Log(_) => true,
        }
    }
}

fn plant(bug: Option<Planted>) {
    let (mut of_the_broker, mut of_the_log) = (None, None);
    match bug {
        Some(Planted::Broker(bug)) => of_the_broker = Some(bug),
        Some(Planted::Log(bug)) => of_the_log = Some(bug),
        None => {}
    }
    whinchat_session::planted::plant(of_the_broker);
    whinchat_store::planted::plant(of_the_log);
}

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
pub fn find(bug: Option<Planted>) -> Option<Found> {
    plant(bug);
    let began = Instant::now();
    // The others know of no disk.
    let looks =
        |finder: &&Finder| bug.is_none_or(|bug| bug.is_of_the_store() == finder.knows_the_store);
    let found = FINDERS.iter().filter(looks).find_map(|finder| {
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
    knows_the_store: bool,
    find: fn() -> Option<String>,
}

const FINDERS: [Finder; 5] = [
    Finder {
        name: "engine model",
        knows_the_store: false,
        find: model::<Engine>,
    },
    Finder {
        name: "broker model",
        knows_the_store: false,
        find: model::<Broker>,
    },
    Finder {
        name: "transcripts on the engine",
        knows_the_store: false,
        find: transcripts_on_the_engine,
    },
    Finder {
        name: "transcripts on the broker",
        knows_the_store: false,
        find: transcripts_on_the_broker,
    },
    Finder {
        name: "images of the disk",
        knows_the_store: true,
        find: images_of_the_disk,
    },
];

/// Enough for every bug of the store.
const IMAGES: u64 = 10_000;

fn images_of_the_disk() -> Option<String> {
    let looked = catch_unwind(|| images(IMAGES, 1));
    match looked {
        Ok((_, None)) => None,
        Ok((row, Some(_))) => Some(format!("{} images", row.cycles)),
        Err(_) => Some("a panic".to_owned()),
    }
}

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
