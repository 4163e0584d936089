//! The broker, driven through connections in memory and over sockets.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a test names what it expects; all else is a failure"
)]

mod peer;
mod qos;
