//! The logs through their public face.

#![expect(
    clippy::unwrap_used,
    reason = "a failed step of a test is a failed test"
)]

mod backup;
mod contract;
mod delayed;
mod directory;
mod durable;
mod record;
mod repair;
mod verify;
