//! The bodies of the fuzz targets, compiled and run in the ordinary tests so that they do not rot.
//!
//! Each takes any bytes and panics when a promise is broken. [`seeds`] makes their first inputs from the golden vectors.

mod codec;
mod engine;
mod letter;
mod seed;
mod topic;
mod witness;

pub use codec::{decode, properties, roundtrip, split, utf8};
pub use engine::engine;
pub use seed::{Seed, TARGETS, Target, seeds};
pub use topic::topic;
