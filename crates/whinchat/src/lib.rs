//! Whinchat: an MQTT broker and client tools in one program, and its layers as libraries.
//!
//! The program is `whinchat` (`cargo install whinchat`). As a dependency this crate gives every
//! layer under one name and version; each is also a crate of its own.
//!
//! - [`codec`]: bytes to packets and back.
//! - [`topic`]: topic names, filters, and finding one by the other.
//! - [`session`]: the protocol engine for both ends, without sockets and clocks.
//! - [`client`]: the async client.
//! - [`broker`]: the broker, to be started inside a program or a test.

pub use whinchat_broker as broker;
pub use whinchat_client as client;
pub use whinchat_codec as codec;
pub use whinchat_session as session;
pub use whinchat_topic as topic;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/tutorial.md")]
struct Tutorial;
