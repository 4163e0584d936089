//! Strategies for proptest: packets that are valid for a version.
//!
//! ```
//! use proptest::prelude::*;
//! use whinchat_codec::{Packet, ProtocolVersion, strategy};
//!
//! proptest!(|(packet in strategy::packet(ProtocolVersion::V311))| {
//!     prop_assert!(packet.encoded_len(ProtocolVersion::V311).is_ok());
//! });
//! ```

use ::arbitrary::Unstructured;
use alloc::vec::Vec;
use proptest::prelude::{Strategy, any};
use proptest::sample::select;

use crate::{Packet, PacketType, ProtocolVersion, Publish, Utf8String, generate};

/// Enough for every choice of the largest packets; shorter inputs give simpler packets.
const BYTES_MAX: usize = 600;

fn from_bytes<T: core::fmt::Debug>(
    make: impl Fn(&mut Unstructured<'_>) -> ::arbitrary::Result<T>,
) -> impl Strategy<Value = T> {
    proptest::collection::vec(any::<u8>(), 0..BYTES_MAX)
        .prop_filter_map("too few bytes for a choice", move |bytes: Vec<u8>| {
            make(&mut Unstructured::new(&bytes)).ok()
        })
}

/// Any of the three versions.
pub fn version() -> impl Strategy<Value = ProtocolVersion> {
    select(ProtocolVersion::ALL.as_slice())
}

/// Any packet that `version` can encode.
pub fn packet(version: ProtocolVersion) -> impl Strategy<Value = Packet> {
    from_bytes(move |u| Packet::arbitrary_for(version, u))
}

/// Any packet of this type that `version` can encode; 3.x has no AUTH and gives a PINGREQ for
/// it.
pub fn packet_of(
    packet_type: PacketType,
    version: ProtocolVersion,
) -> impl Strategy<Value = Packet> {
    from_bytes(move |u| Packet::arbitrary_of(packet_type, version, u))
}

/// Any version and a packet that it can encode.
pub fn versioned_packet() -> impl Strategy<Value = (ProtocolVersion, Packet)> {
    from_bytes(|u| {
        let version = *u.choose(&ProtocolVersion::ALL)?;
        Ok((version, Packet::arbitrary_for(version, u)?))
    })
}

/// Any PUBLISH that `version` can encode.
pub fn publish(version: ProtocolVersion) -> impl Strategy<Value = Publish> {
    packet_of(PacketType::Publish, version).prop_filter_map("not a PUBLISH", |packet| {
        if let Packet::Publish(publish) = packet {
            Some(publish)
        } else {
            None
        }
    })
}

/// Any string that a packet can carry.
pub fn utf8_string() -> impl Strategy<Value = Utf8String> {
    from_bytes(|u| u.arbitrary())
}

/// Any string that can stand in a PUBLISH: not empty, no wildcards.
pub fn topic_name() -> impl Strategy<Value = Utf8String> {
    from_bytes(generate::topic_name)
}
