//! MQTT 3.1, 3.1.1 and 5.0 packets: decode and encode, `no_std`.
#![no_std]
#![warn(clippy::indexing_slicing, clippy::cast_possible_truncation)]

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
pub use property::*;
pub use publish_frame::PublishFrame;
pub use qos::{Guarantee, InvalidQoS, QoS};
pub use reason::{
    AuthReason, ConnAckReason, DisconnectReason, InvalidReason, PubAckReason, PubCompReason,
    PubRecReason, PubRelReason, SubAckReason, UnsubAckReason,
};
pub use string::Utf8String;
pub use version::ProtocolVersion;
