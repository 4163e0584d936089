//! The broker, driven through connections in memory and over sockets.
#![expect(
    clippy::unwrap_used,
    reason = "a failed step of a test is a failed test"
)]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a test names what it expects; all else is a failure"
)]

mod harness;
mod log_lines;
mod peer;

mod bad_input;
mod config;
mod connect;
mod docs;
mod limits;
mod metrics;
mod qos;
mod retained;
mod sessions;
mod shared;
mod subscriptions;
