//! The MQTT protocol engine for clients and servers: no I/O, no clock, `no_std`.
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

mod connection;
mod limits;
mod message;
mod output;
mod refused;
mod state;
mod ticket;
mod time;
mod violation;

pub use connection::{
    Acked, Answer, ConnAckOptions, Connection, Delivery, Event, IncomingPublish, Role, Topic,
};
pub use limits::{QueueLimits, QueuePolicy, SessionLimits};
pub use message::{DeliveryOptions, Message, PublishHead, TopicAlias};
pub use output::{DropReason, Effect, Output};
pub use refused::Refused;
pub use state::{SessionSnapshot, SessionState, SnapshotError, UnackedMessage};
pub use ticket::Ticket;
pub use time::{Instant, WallTime};
pub use violation::Violation;
