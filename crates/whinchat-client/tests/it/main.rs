//! The client against a scripted broker, over streams inside the process and on a clock that is pushed.

#![expect(clippy::unwrap_used, reason = "a failed test says where")]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "anything but what is expected fails"
)]

mod acks;
mod broker;
mod cancelling;
mod closing;
mod conformance;
mod connecting;
mod hostile_broker;
#[cfg(feature = "json")]
mod json_payloads;
mod publishing;
mod queueing;
mod real_broker;
mod reconnecting;
mod requests;
mod subscribing;
