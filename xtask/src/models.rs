//! `cargo xtask models`: plain models of what is owed to whom, against the engine and the broker.
//!
//! The models and the program that runs them are in `whinchat-testkit`; it is built without debug
//! assertions and with optimization, so that a million steps take less than two minutes.

use crate::Outcome;
use crate::process::{cargo, run as run_command};

pub(crate) const USAGE: &str = "
Usage: cargo xtask models [--steps N] [--minutes M] [--seed S] [MODEL]

  cargo xtask models                      a million steps of all models, from a random seed on
  cargo xtask models engine --minutes 60  one model for an hour
  cargo xtask models --seed 7 --steps 1   the one case with this seed again

Models: engine (two engines, and what each owes the other), broker (2 to 8 clients of a broker). The seed is
printed; so are the steps of a case that fails, shrunk.
";

pub(crate) fn run(args: &[String]) -> Outcome {
    run_command(&mut example("models", FEATURES, args))
}

/// What the models and the torturer need: with the same features for both, everything below them is compiled once.
pub(crate) const FEATURES: &str = "models,torture";

/// A program of the testkit, with the features that it needs.
pub(crate) fn example(name: &str, features: &str, args: &[String]) -> std::process::Command {
    let mut command = cargo([
        "run",
        "--quiet",
        "--profile",
        "ci",
        "--package",
        "whinchat-testkit",
        "--features",
        features,
        "--example",
        name,
        "--",
    ]);
    command.args(args);
    command
}

#[cfg(test)]
mod tests {
    use super::{FEATURES, example};
    use crate::process::shown;

    #[test]
    fn arguments_go_to_the_program() {
        let args = ["--seed".to_owned(), "7".to_owned()];
        assert_eq!(
            shown(&example("models", FEATURES, &args)),
            "cargo run --quiet --profile ci --package whinchat-testkit --features models,torture --example models -- --seed 7"
        );
    }
}
