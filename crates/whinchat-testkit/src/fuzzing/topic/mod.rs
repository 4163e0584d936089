//! Fuzz bodies of the topic crate: what is fast against what is plain.

mod filter_index;
mod matching;
mod name_index;
mod shared_groups;

pub use filter_index::filter_index;
pub use matching::matching;
pub use name_index::name_index;
pub use shared_groups::shared_groups;

use super::steps::Steps;

/// Few levels, so that names and filters meet, and their neighbours in every order that there is.
const LEVELS: [&str; 16] = [
    "a", "b", "", "+", "#", "$x", "a", "ab", "é", "b", "+", "#", "-", "~", "A", "0",
];

/// A topic name or filter, or a text that is none, of 1 to 5 of the [`LEVELS`].
fn text(steps: &mut Steps<'_>) -> String {
    let count = 1 + steps.below(5);
    let levels: Vec<_> = (0..count)
        .map(|_| LEVELS[steps.below(LEVELS.len())])
        .collect();
    levels.join("/")
}
