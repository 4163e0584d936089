//! Fuzz bodies of the engine: each role alone under a peer that does anything, both together, and a session out of bytes.

mod client;
mod end;
mod letter;
mod pair;
mod server;
mod snapshot;
mod witness;

pub use client::client;
pub use pair::pair;
pub use server::server;
pub use snapshot::snapshot;
