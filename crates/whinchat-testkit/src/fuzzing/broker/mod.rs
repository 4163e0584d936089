//! Fuzz bodies of the broker and of what it reads from people.

mod config;
mod endpoint;
mod peer;
mod replay;
mod stepped;

pub use config::{config, mosquitto_conf};
pub use endpoint::endpoint;
pub use replay::replay;
pub(super) use stepped::kept_of;
pub use stepped::{broker, stored};
