//! MQTT 3.1, 3.1.1 and 5.0 packets: bytes to packets and back.
//!
//! A **packet** is what travels on the wire. [`decode`] reads one from the start of a buffer
//! without allocating; [`PacketRef`] borrows all it holds, [`Packet`] owns it as slices of the
//! buffer. One set of types serves all three versions: the [`ProtocolVersion`] is an argument,
//! and 3.x is the same type without properties. Only a CONNECT carries its version itself.
//!
//! ```
//! use bytes::BytesMut;
//! use whinchat_codec::{
//!     DecodeLimits, Guarantee, PacketId, PacketRef, ProtocolVersion, PublishProperties,
//!     PublishRef, decode,
//! };
//!
//! // To bytes.
//! let properties = PublishProperties::new()
//!     .with_message_expiry_interval(60)
//!     .with_content_type("application/json")?;
//! let id = PacketId::new(7).expect("not 0");
//! let publish = PublishRef {
//!     guarantee: Guarantee::AtLeastOnce { id, dup: false },
//!     retain: false,
//!     topic: "bank/account/BA-1001-2025/deposit",
//!     properties: properties.borrowed(),
//!     payload: br#"{"amount": 100.0}"#,
//! };
//! let mut buffer = BytesMut::new();
//! publish.encode(ProtocolVersion::V5, &mut buffer)?;
//!
//! // And back. Half a packet is no error: call again when more bytes are there.
//! let limits = DecodeLimits::default().with_packet_size(64 * 1024);
//! assert_eq!(decode(&buffer[..20], ProtocolVersion::V5, &limits)?, None);
//! match decode(&buffer, ProtocolVersion::V5, &limits) {
//!     Ok(Some((PacketRef::Publish(publish), len))) => {
//!         assert_eq!(len, buffer.len());
//!         assert_eq!(publish.properties.message_expiry_interval(), Some(60));
//!         assert_eq!(publish.guarantee.packet_id(), Some(id));
//!     }
//!     Ok(Some((packet, _))) => panic!("a {} was not expected", packet.packet_type()),
//!     Ok(None) => panic!("more bytes were not expected"),
//!     // Says packet, field and rule, and the code for the DISCONNECT.
//!     Err(error) => panic!("{error}: answer {:#04X}", error.reason().code()),
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The contract
//!
//! - No input makes the crate panic, and none makes it reserve memory for a length that was only
//!   declared. Bytes are cut in one file, `reader.rs`; there is no unsafe code.
//! - [`DecodeLimits`] are checked while reading, an oversized packet as soon as its length is
//!   known. The default accepts all that the protocol allows: a server sets its own.
//! - A [`DecodeError`] is the peer's fault and alone says what to answer; an [`EncodeError`] is
//!   the caller's, and then nothing was written.
//! - What is encoded is the shortest form. Encoding never drops what a version does not have, it
//!   refuses: [`Packet::downgrade`] is for that.
//! - A property section keeps its bytes and its order; changing one property changes no other.
//! - Left to others: which packet may come when, the syntax of topic filters, aliases, sessions.
//!
//! # Layout
//!
//! | what | where |
//! | --- | --- |
//! | one packet's fields and rules, all versions together | its struct: [`Connect`], [`Publish`], ... |
//! | properties | one type per packet: [`PublishProperties`], ...; the table is [`Property`] |
//! | reason codes | one enum per packet: [`PubAckReason`], ... |
//! | a PUBLISH encoded once for many subscribers | [`PublishFrame`] |
//! | where a packet ends, from its first bytes | [`frame_len`] |
//!
//! # Features
//!
//! `std` (default) lets the UTF-8 check pick its vector instructions at run time; without it the
//! crate is `no_std` + `alloc`. `serde` makes packets JSON and back, with binary data as base64.
//! `tokio-util-07` has the `framed` module. `arbitrary` and `proptest` make packets for tests.
//! `extra-platforms` is for cores without atomic compare-and-swap.
#![no_std]
#![deny(clippy::indexing_slicing, clippy::cast_possible_truncation)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod error;
mod frame;
#[cfg(feature = "tokio-util-07")]
pub mod framed;
#[cfg(feature = "arbitrary")]
mod generate;
#[cfg(feature = "serde")]
mod json;
mod limits;
mod packet;
mod packet_id;
mod packet_type;
mod property;
mod publish_frame;
mod qos;
mod reader;
mod reason;
mod rule;
mod slices;
#[cfg(feature = "proptest")]
pub mod strategy;
mod string;
mod varint;
mod version;
mod writer;

pub use error::{DecodeError, DecodeErrorKind, EncodeError, EncodeErrorKind};
pub use frame::frame_len;
pub use limits::DecodeLimits;
pub use packet::{
    Auth, AuthRef, ConnAck, ConnAckRef, Connect, ConnectRef, Disconnect, DisconnectRef, Filters,
    Packet, PacketRef, PubAck, PubAckRef, PubComp, PubCompRef, PubRec, PubRecRef, PubRel,
    PubRelRef, Publish, PublishRef, RetainHandling, SubAck, SubAckReasons, SubAckRef, Subscribe,
    SubscribeRef, Subscription, SubscriptionOptions, SubscriptionRef, Subscriptions, UnsubAck,
    UnsubAckReasons, UnsubAckRef, Unsubscribe, UnsubscribeRef, Will, WillRef, decode,
};
pub use packet_id::PacketId;
pub use packet_type::PacketType;
pub use property::{
    AuthProperties, AuthPropertiesRef, ConnAckProperties, ConnAckPropertiesRef, ConnectProperties,
    ConnectPropertiesRef, DataType, DisconnectProperties, DisconnectPropertiesRef, Property,
    PropertyIter, PropertyValue, PubAckProperties, PubAckPropertiesRef, PubCompProperties,
    PubCompPropertiesRef, PubRecProperties, PubRecPropertiesRef, PubRelProperties,
    PubRelPropertiesRef, PublishProperties, PublishPropertiesRef, SubAckProperties,
    SubAckPropertiesRef, SubscribeProperties, SubscribePropertiesRef, SubscriptionIdentifiers,
    UnsubAckProperties, UnsubAckPropertiesRef, UnsubscribeProperties, UnsubscribePropertiesRef,
    UserProperties, WillProperties, WillPropertiesRef,
};
pub use publish_frame::PublishFrame;
pub use qos::{Guarantee, InvalidQoS, QoS};
pub use reason::{
    AuthReason, ConnAckReason, DisconnectReason, InvalidReason, PubAckReason, PubCompReason,
    PubRecReason, PubRelReason, SubAckReason, UnsubAckReason,
};
pub use string::Utf8String;
pub use version::ProtocolVersion;

/// Runs the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
