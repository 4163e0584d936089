//! Fuzz bodies of the codec.

mod decode;
mod fields;
mod packets;
mod properties;
mod streams;

use whinchat_codec::{DecodeError, DecodeLimits, Packet, PacketRef, ProtocolVersion};

pub use decode::{decode_v5, decode_v31, decode_v311, roundtrip};
pub use fields::{utf8, varint};
pub use packets::{downgrade, encode, json};
pub use properties::properties;
pub(super) use properties::property_section;
pub use streams::{framed, split};

/// The version that a byte chooses.
fn version(byte: u8) -> ProtocolVersion {
    ProtocolVersion::ALL[usize::from(byte % 3)]
}

/// The limits that a byte chooses: none, or such as are met soon.
fn limits(byte: u8) -> DecodeLimits {
    if byte & 0x80 == 0 {
        return DecodeLimits::default();
    }
    DecodeLimits::default()
        .with_packet_size(4096)
        .with_properties_bytes(256)
        .with_user_properties(4)
        .with_string_bytes(128)
        .with_topic_levels(8)
        .with_filters(4)
}

/// What is left of a packet when it is written: 3.1 cannot say whether the session is there. // v31 M31-26
fn as_written(mut packet: Packet, version: ProtocolVersion) -> Packet {
    if let (Packet::ConnAck(connack), ProtocolVersion::V31) = (&mut packet, version) {
        connack.session_present = false;
    }
    packet
}

/// Every error can be shown and answered.
fn check_error(error: DecodeError) -> DecodeError {
    assert!(!error.to_string().is_empty());
    assert!(error.reason().code() >= 0x80 && error.connack_reason().code() >= 0x80);
    for version in ProtocolVersion::ALL {
        let _ = error.statement(version);
    }
    error
}

/// Lists hold as many items as they say, properties only what their packet may have.
fn check_lists(packet: &PacketRef<'_>) {
    match packet {
        PacketRef::Subscribe(subscribe) => {
            assert_eq!(
                subscribe.subscriptions.len(),
                subscribe.subscriptions.count()
            );
        }
        PacketRef::SubAck(suback) => assert_eq!(suback.reasons.len(), suback.reasons.count()),
        PacketRef::Unsubscribe(unsubscribe) => {
            assert_eq!(unsubscribe.filters.len(), unsubscribe.filters.count())
        }
        PacketRef::UnsubAck(unsuback) => {
            assert_eq!(unsuback.reasons.len(), unsuback.reasons.count())
        }
        PacketRef::Connect(_)
        | PacketRef::ConnAck(_)
        | PacketRef::Publish(_)
        | PacketRef::PubAck(_)
        | PacketRef::PubRec(_)
        | PacketRef::PubRel(_)
        | PacketRef::PubComp(_)
        | PacketRef::PingReq
        | PacketRef::PingResp
        | PacketRef::Disconnect(_)
        | PacketRef::Auth(_) => {}
    }
}

/// A packet of this first byte and these pieces.
fn packet(first_byte: u8, body: &[&[u8]]) -> Vec<u8> {
    let mut packet = vec![first_byte];
    let mut length: usize = body.iter().map(|piece| piece.len()).sum();
    loop {
        let digit = (length % 128) as u8;
        length /= 128;
        packet.push(if length > 0 { digit | 0x80 } else { digit });
        if length == 0 {
            break;
        }
    }
    packet.extend(body.concat());
    packet
}
