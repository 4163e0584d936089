//! Fuzz bodies of the broker and of what it reads from people.

mod config;
mod endpoint;
mod peer;
mod stepped;

pub use config::{config, mosquitto_conf};
pub use endpoint::endpoint;
pub use stepped::broker;
