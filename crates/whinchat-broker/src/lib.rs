//! An embeddable MQTT 3.1, 3.1.1 and 5.0 broker.

pub mod access;
mod admin;
pub mod config;
pub mod hooks;
mod limits;
pub mod metrics;

pub use admin::Readiness;
pub use limits::{BrokerLimits, Limit, QueueOverflow};
