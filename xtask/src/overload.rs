//! `cargo xtask overload`: clients that take more than their share, beside clients that behave and are timed.
//!
//! The attacks are in `whinchat-testkit`; this builds the program and what attacks it, both optimized.

use crate::Outcome;
use crate::interop::broker::program;
use crate::models::{FEATURES, example};
use crate::process::run as run_command;

pub(crate) const USAGE: &str = "
Usage: cargo xtask overload [--only ATTACK] [--seconds N] [--readers N] [--memory MIB]

  cargo xtask overload                              all attacks, each for 5 seconds
  cargo xtask overload --only together --seconds 60 one of them for a minute
  --readers N      connections that read nothing, of those attacks that have them; 1,000 unless told otherwise
  --memory MIB     limits.memory_size of the broker; 256 unless told otherwise

Attacks: stopped-qos0 and stopped-qos1 (readers that stop, T-82 and T-83), churn (pings and subscriptions without end, T-86), large (1 MiB to readers that stop, T-87), firehose (a publisher without a
pause and a subscriber of everything that is ten times too slow, T-88), together (all of them with a quarter of the readers each, T-85).

Beside each, 100 pairs exchange 1,000 messages a second at QoS 1. A finding is: one of them is cut, loses a message or gets it twice; their 99th percentile is above twice what it is when all is
quiet and above 10 ms more; the process is larger than 110 % of its bound; nothing is counted as dropped or refused; the broker ends, or ends badly when told to.
";

pub(crate) fn run(args: &[String]) -> Outcome {
    let program = program(None)?;
    let mut all = vec![program.to_string_lossy().into_owned()];
    all.extend_from_slice(args);
    run_command(&mut example("overload", FEATURES, &all))
}
