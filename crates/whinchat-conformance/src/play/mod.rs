//! Plays scenes against a broker that is reached over byte streams.

mod target;
mod verdict;

pub use target::{Options, Setup, Target};
pub use verdict::{Failure, Played, Verdict};
