//! The program as its users meet it: run, fed, signalled.
#![expect(
    clippy::unwrap_used,
    reason = "a failed step of a test is a failed test"
)]

mod bench;
mod broker;
mod config;
mod manual;
mod publish;
mod rr;
mod serve;
mod sub;
mod usage;
