//! Fuzz bodies of the store.

mod record;
mod recovery;

pub use record::record;
pub use recovery::recovery;
