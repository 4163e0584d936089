//! `cargo xtask bench`: what Whinchat costs, counted and measured, beside others.
//!
//! [`instructions`] is the same on every run of one machine and so may be judged; all other parts measure, and write what
//! they found to `docs/performance/`.

mod brokers;
mod chart;
mod curves;
mod instructions;
mod load;
mod memory;
mod peers;
mod report;
mod resident;
mod scenarios;
mod section;

use crate::Outcome;
use crate::process::{cargo, run as run_command};

pub(crate) const USAGE: &str = "
Usage: cargo xtask bench [CRATE | --check | --update]
       cargo xtask bench broker [OPTIONS OF whinchat bench --compare mosquitto]

       cargo xtask bench brokers [--rounds N] [--seconds N] [--only TEXT]
       cargo xtask bench curves [--seconds N]
       cargo xtask bench memory [--seconds N] [--profile NAME]
       cargo xtask bench codec | client
       cargo xtask bench report [--check]

Runs the instruction-count benches of every crate, or of one, and compares them with xtask/instructions.toml. With --check it fails if a count has
grown by more than 3 %, which is judged only with the compiler and the valgrind that the file names; --update writes the file. Needs valgrind and
gungraun-runner (cargo xtask setup).

With `broker`: builds the program as it is released, and measures it and Debian's mosquitto alternately. A few minutes.

With `brokers`: the scenarios of the goals with our broker and all others that are installed, in turn. With `curves`: what each part costs as its work grows.
With `memory`: connections by the million without sockets, and what is resident after a load; --profile ci builds sooner.
With `codec` and `client`: those of others beside ours, from the package in bench/.
All of them write to docs/performance/, from which `report` makes docs/performance.md and its pictures. About ten minutes each, on a machine that does nothing else.
";

pub(crate) fn run(args: &[String]) -> Outcome {
    match args {
        [name, options @ ..] if name == "broker" => beside_mosquitto(options),
        [name, options @ ..] if name == "brokers" => brokers::run(options),
        [name, options @ ..] if name == "curves" => curves::run(options),
        [name, options @ ..] if name == "memory" => memory::run(options),
        [name] if name == "codec" => peers::codec(),
        [name] if name == "client" => peers::client(),
        [name, options @ ..] if name == "report" => report::run(options),
        options => instructions::run(options),
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
