//! The MQTT protocol engine for clients and servers: no I/O, no clock, `no_std` + `alloc`.
//!
//! # The words
//!
//! A [`Connection`] is one end of one transport and ends with it. A [`SessionState`] outlives it:
//! messages in flight, the queue behind them, and the QoS 2 ids of the peer. A [`Message`] is what
//! the application publishes, a delivery is one message on its way to one peer. Both ends are
//! roles of one engine, and 3.1, 3.1.1 and 5.0 are arms of the same functions.
//!
//! # The contract
//!
//! The driver owns sockets, time and storage. It passes in packets, moments and commits, lends the
//! session and an [`Output`] for one call, and writes what the call has left in the buffer. One
//! packet gives at most one [`Event`]. The whole contract, with a loop that runs, is at
//! [`Connection`].
//!
//! # What waits for the log
//!
//! Where the state of a session has to survive, [`Output::record`] answers each [`Effect`] with a
//! [`Ticket`], and [`Connection::handle_committed`] says up to which ticket all is durable.
//! Answers leave in the order of what they answer, each behind its ticket; a QoS 2 PUBLISH and a
//! PUBREL leave behind that of their record. With [`Ticket::NONE`] nothing waits.
//!
//! # What goes wrong
//!
//! [`Violation`]: the peer broke a rule, the connection has to be closed. [`Refused`]: our caller
//! asked for what cannot be, nothing has happened. [`DropReason`]: a message will not be
//! delivered. Negative acknowledgements are none of these: they are decisions of the application.
//!
//! # Layout
//!
//! `connection/` has one file per chapter of the specification, `state/` what outlives it,
//! [`SessionLimits`] every bound with its default. Nothing panics on what a peer sends; the
//! engine reads no clock and draws no random numbers.
//!
//! # Features
//!
//! `std` (default): conversions from and to `std::time`. `extra-platforms`: forwarded to `bytes`.
#![cfg_attr(not(feature = "std"), no_std)]
#![warn(clippy::indexing_slicing)]

extern crate alloc;

/// Whether the bug of this name was planted.
#[cfg(feature = "planted-bugs")]
macro_rules! planted {
    ($bug:ident) => {
        $crate::planted::is_planted($crate::planted::Bug::$bug)
    };
}
#[cfg(not(feature = "planted-bugs"))]
macro_rules! planted {
    ($bug:ident) => {
        false
    };
}

mod connection;
mod limits;
mod message;
mod output;
#[cfg(feature = "planted-bugs")]
pub mod planted;
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
pub use state::{
    AwaitedPart, InFlightPart, QueuedPart, SessionSnapshot, SessionState, SnapshotError,
    SnapshotParts, UnackedMessage,
};
pub use ticket::Ticket;
pub use time::{Instant, WallTime};
pub use violation::Violation;

#[cfg(all(doctest, feature = "std"))]
#[doc = include_str!("../README.md")]
struct Readme;
