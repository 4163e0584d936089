//! `cargo xtask planted`: bugs are planted, and the models, the transcripts and the images of the disk have to find each of them.

use crate::models::example;
use crate::process::run as run_command;
use crate::{Outcome, no_arguments};

pub(crate) const USAGE: &str = "
Usage: cargo xtask planted

Plants each bug of `whinchat_session::planted::Bug` and `whinchat_store::planted::Bug` in turn, in a build that has them. Bugs of the
protocol are looked for by the models and the transcripts, those of the store by the images of the disk (see torture), until one
finds it. Prints who found it and after how much. Fails if one is not found, or if something is found without a bug.
";

pub(crate) fn run(args: &[String]) -> Outcome {
    no_arguments(args)?;
    run_command(&mut example("planted", "planted-bugs", &[]))
}
