//! `cargo xtask bench`: what Whinchat costs, counted and measured, beside others.
//!
//! [`instructions`] is the same on every run of one machine and so may be judged; all other parts measure, and write what
//! they found to `docs/performance/`.

mod instructions;

use crate::Outcome;
use crate::process::{cargo, run as run_command};

pub(crate) const USAGE: &str = "
Usage: cargo xtask bench [CRATE]
       cargo xtask bench broker [OPTIONS OF whinchat bench --compare mosquitto]

Runs the instruction-count benches of every crate, or of one. Needs valgrind and gungraun-runner (cargo xtask setup).

With `broker`: builds the program as it is released, and measures it and Debian's mosquitto alternately. A few minutes.
";

pub(crate) fn run(args: &[String]) -> Outcome {
    match args {
        [name, options @ ..] if name == "broker" => beside_mosquitto(options),
        [] => instructions::run(None),
        [name] => instructions::run(Some(name)),
        [_, extra, ..] => Err(format!("unexpected argument `{extra}`; see --help").into()),
    }
}

fn beside_mosquitto(options: &[String]) -> Outcome {
    let bench = [
        "run",
        "--quiet",
        "--release",
        "--package",
        "whinchat",
        "--",
        "bench",
        "--compare",
        "mosquitto",
    ];
    run_command(cargo(bench).args(options))
}
