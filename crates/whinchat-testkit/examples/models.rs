//! Runs the models: `models [--steps N] [--seed S] [--minutes M] [MODEL...]`. `cargo xtask models` starts it.
#![expect(clippy::print_stdout, reason = "its output is its result")]

use std::{process::ExitCode, time::Duration};

use whinchat_testkit::model::{
    broker::Broker,
    engine::Engine,
    run::{Done, Failure, Plan, run},
};

/// A model by name, and its share of the steps.
const MODELS: [(&str, u64, Run); 2] = [("engine", 1, run::<Engine>), ("broker", 1, run::<Broker>)];

type Run = fn(Plan) -> Result<Done, Box<Failure>>;

const STEPS: u64 = 1_000_000;

fn main() -> ExitCode {
    let mut plan = Plan {
        seed: fastrand::u64(..),
        steps: STEPS,
        time: None,
    };
    let mut names = Vec::new();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut number = || args.next().and_then(|value| value.parse().ok());
        let is_known = match arg.as_str() {
            "--steps" => number().map(|steps| plan.steps = steps),
            "--seed" => number().map(|seed| plan.seed = seed),
            "--minutes" => number().map(|minutes: u64| {
                plan.steps = u64::MAX;
                plan.time = Some(Duration::from_secs(minutes * 60));
            }),
            name if !name.starts_with('-') => {
                names.push(name.to_owned());
                Some(())
            }
            _ => None,
        };
        if is_known.is_none() {
            eprintln!("{arg}: expected --steps N, --seed S, --minutes M or the name of a model");
            return ExitCode::from(2);
        }
    }
    // A failed case panics many times while it is shrunk; what it comes to is printed at the end.
    std::panic::set_hook(Box::new(|_| {}));
    let chosen = |name: &str| names.is_empty() || names.iter().any(|chosen| chosen == name);
    let models: Vec<_> = MODELS.iter().filter(|(name, ..)| chosen(name)).collect();
    let shares: u64 = models.iter().map(|(_, share, _)| share).sum();
    for (name, share, run) in models {
        let part = Plan {
            steps: (plan.steps / shares).saturating_mul(*share),
            time: plan
                .time
                .map(|time| time * (*share as u32) / (shares as u32)),
            ..plan
        };
        match run(part) {
            Ok(done) => println!(
                "{name}: {} steps in {} cases from seed {} on, nothing found",
                done.steps, done.cases, plan.seed
            ),
            Err(failure) => {
                println!("{name}: {failure}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}
