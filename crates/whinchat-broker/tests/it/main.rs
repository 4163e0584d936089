//! The broker through its public face.
#![expect(
    clippy::unwrap_used,
    reason = "a failed step of a test is a failed test"
)]

mod config;
mod docs;
mod metrics;
