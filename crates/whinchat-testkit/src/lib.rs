//! What Whinchat's own tests share: a clock, links that cut, transcripts, packet builders, the
//! bodies of the fuzz targets.
//!
//! Not published. Nothing but tests and benches depends on it.

#[cfg(feature = "transcripts")]
mod arguments;
mod builders;
mod clock;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod link;
mod message;
#[cfg(feature = "models")]
pub mod model;
mod output;
#[cfg(feature = "torture")]
pub mod overload;
mod pair;
#[cfg(feature = "planted-bugs")]
pub mod planted;
#[cfg(feature = "transcripts")]
pub mod reference_server;
#[cfg(any(
    feature = "fuzzing",
    feature = "torture",
    all(feature = "models", feature = "transcripts")
))]
mod small_store;
#[cfg(all(feature = "models", feature = "transcripts"))]
pub mod stepped_target;
#[cfg(feature = "torture")]
pub mod torture;
#[cfg(feature = "transcripts")]
pub mod transcript;

pub use builders::{PublishBuilder, connect, id, publish};
pub use clock::Clock;
pub use link::Link;
pub use message::{TestMessage, read_message, write_message};
pub use output::TestOutput;
pub use pair::{Endpoint, Pair, Received};
