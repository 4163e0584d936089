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
mod open_log;
mod peer;

mod ack_levels;
mod authentication;
mod authorization;
mod bad_input;
mod config;
mod conformance;
mod connect;
mod cuts;
mod docs;
mod export;
mod flow;
mod full_store;
mod golden_logs;
mod intercept;
mod limits;
mod long_queues;
mod metrics;
mod moving;
mod power_cuts;
mod qos;
mod replay;
mod restart;
mod retained;
mod retained_races;
mod review;
mod sessions;
mod shared;
mod shutdown;
mod slow_disk;
mod sockets;
mod stepped;
mod subscriptions;
mod system_topics;
mod will_restart;
mod wills;
