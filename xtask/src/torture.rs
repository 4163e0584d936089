//! `cargo xtask torture`: brokers that are killed under load, and a book of what they had acknowledged.
//!
//! The methods are in `whinchat-testkit`; this builds the program and the torturer, both optimized.

use crate::Outcome;
use crate::interop::broker::program;
use crate::models::{FEATURES, example};
use crate::process::run as run_command;

pub(crate) const USAGE: &str = "
Usage: cargo xtask torture [--only METHOD] [--kills N] [--cuts N] [--rounds N] [--faults N] [--images N] [--answers N] [--seed S] [--broker COMMAND [--config TEXT]]

  cargo xtask torture                                  all methods, each for some seconds
  cargo xtask torture --only kills --kills 1000        a thousand kills
  cargo xtask torture --only images --images 100000    a hundred thousand images of the disk
  cargo xtask torture --only images --images 1 --seed 7  all images of the course of events with this seed
  cargo xtask torture --only cuts --cuts 300           three hundred power cuts
  cargo xtask torture --only full --rounds 30          thirty times a disk that is full
  cargo xtask torture --only faults --faults 100       a hundred faults
  cargo xtask torture --only trace --answers 100000    a hundred thousand answers
  cargo xtask torture --only kills --broker mosquitto  Debian's mosquitto with persistence

Methods: images (power is lost at every moment of a course of events, on a disk in memory), kills (kill -9 under load, on the same directory), cuts (copies of a file
system under load, as a power cut leaves it), full (a disk without room), faults (system calls that fail), trace (system calls: each answer leaves after its sync). One that cannot run here says so; asked for with --only, it fails. Of another broker COMMAND is the command line, in which {port},
{dir} and {config} are replaced; TEXT is what the file {config} holds. The seed is printed. What was found is listed with the ids
of messages and clients, and then the chore fails.
";

pub(crate) fn run(args: &[String]) -> Outcome {
    let program = program(None)?;
    let mut all = vec![program.to_string_lossy().into_owned()];
    all.extend_from_slice(args);
    run_command(&mut example("torture", FEATURES, &all))
}
