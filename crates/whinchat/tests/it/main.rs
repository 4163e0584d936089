//! The program as its users meet it: run, fed, signalled.
#![expect(
    clippy::unwrap_used,
    reason = "a failed step of a test is a failed test"
)]

mod config;
mod serve;
