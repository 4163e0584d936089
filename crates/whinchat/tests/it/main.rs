//! The program as its users meet it: run, fed, signalled.
#![expect(
    clippy::unwrap_used,
    reason = "a failed step of a test is a failed test"
)]
#![expect(
    clippy::duplicate_mod,
    reason = "each example is compiled as it stands, with its own copy of what it shares"
)]

mod bench;
mod broker;
mod config;
mod conformance;
mod embedding;
mod examples;
mod line;
mod manual;
mod publish;
mod rr;
mod serve;
mod store;
mod sub;
mod tutorial;
mod usage;
