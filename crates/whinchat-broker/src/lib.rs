//! An embeddable MQTT 3.1, 3.1.1 and 5.0 broker.

pub mod access;
/// Whether the bug of this name was planted.
#[cfg(feature = "planted-bugs")]
macro_rules! planted {
    ($bug:ident) => {
        whinchat_session::planted::is_planted(whinchat_session::planted::Bug::$bug)
    };
}
#[cfg(not(feature = "planted-bugs"))]
macro_rules! planted {
    ($bug:ident) => {
        false
    };
}

mod ack;
mod admin;
mod broker;
mod clock;
mod commons;
pub mod config;
mod core;
pub mod hooks;
mod limits;
pub mod metrics;
mod restoration;
mod settings;
mod shard;
mod stepped;
mod store;

pub use crate::core::checkpoint::Checkpoint;
pub use crate::core::export::{
    BadField, ExportError, ExportHeader, ExportLine, ExportedMessage, ExportedOrphan,
    ExportedSession,
};
pub use crate::core::import::{Import, ImportError, Imported};
pub use crate::core::kept::{Kept, KeptMessage, KeptSession, KeptWill};
pub use ack::AckWithoutStore;
pub use admin::Readiness;
pub use broker::{Broker, BrokerHandle, StartError};
pub use clock::{Clock, ClockHand};
pub use limits::{BrokerLimits, Limit, QueueOverflow};
pub use settings::SettingsError;
pub use stepped::SteppedBroker;
pub use store::{Store, UnreadableGroup, check_group, record_name};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
