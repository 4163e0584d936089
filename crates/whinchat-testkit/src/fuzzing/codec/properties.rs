//! Property sections.

use whinchat_codec::{
    DecodeLimits, PacketRef, Property, PropertyIter, PropertyValue, ProtocolVersion,
};

use super::{check_error, check_lists, packet};

/// What stands before the Property Length in each packet that has one, with its first byte.
const PROPERTY_HEADS: [(u8, &[u8]); 14] = [
    (0x10, b"\x00\x04MQTT\x05\x02\x00\x3c"),
    (0x10, b"\x00\x04MQTT\x05\x06\x00\x3c\x00\x00\x01c"),
    (0x20, b"\x00\x00"),
    (0x30, b"\x00\x01t"),
    (0x40, b"\x00\x07\x00"),
    (0x50, b"\x00\x07\x00"),
    (0x62, b"\x00\x07\x00"),
    (0x70, b"\x00\x07\x00"),
    (0x82, b"\x00\x07"),
    (0x90, b"\x00\x07"),
    (0xA2, b"\x00\x07"),
    (0xB0, b"\x00\x07"),
    (0xE0, b"\x00"),
    (0xF0, b"\x18"),
];

/// A property section and what follows it, in the packet that the first byte chooses: what is accepted is allowed
/// there, in range, once where once is the rule, and as long as it says.
pub fn properties(data: &[u8]) {
    let Some((choice, section)) = data.split_first() else {
        return;
    };
    let (first_byte, head) = PROPERTY_HEADS[usize::from(*choice) % PROPERTY_HEADS.len()];
    let bytes = packet(first_byte, &[head, section]);

    let limits = DecodeLimits::default();
    let Ok(Some((packet, _))) =
        whinchat_codec::decode(&bytes, ProtocolVersion::V5, &limits).map_err(check_error)
    else {
        return;
    };
    check_lists(&packet);
    let packet_type = packet.packet_type();
    let allowed = |property: Property| property.is_allowed_in(packet_type);
    let once = |property: Property| !property.is_repeatable_in(packet_type);
    match packet {
        PacketRef::Connect(connect) => {
            check_section(connect.properties.iter(), allowed, once);
            if let Some(will) = connect.will {
                let once = |property| property != Property::UserProperty;
                check_section(will.properties.iter(), Property::is_allowed_in_will, once);
            }
        }
        PacketRef::ConnAck(connack) => check_section(connack.properties.iter(), allowed, once),
        PacketRef::Publish(publish) => check_section(publish.properties.iter(), allowed, once),
        PacketRef::PubAck(ack) => check_section(ack.properties.iter(), allowed, once),
        PacketRef::PubRec(ack) => check_section(ack.properties.iter(), allowed, once),
        PacketRef::PubRel(ack) => check_section(ack.properties.iter(), allowed, once),
        PacketRef::PubComp(ack) => check_section(ack.properties.iter(), allowed, once),
        PacketRef::Subscribe(subscribe) => {
            check_section(subscribe.properties.iter(), allowed, once)
        }
        PacketRef::SubAck(suback) => check_section(suback.properties.iter(), allowed, once),
        PacketRef::Unsubscribe(unsubscribe) => {
            check_section(unsubscribe.properties.iter(), allowed, once)
        }
        PacketRef::UnsubAck(unsuback) => check_section(unsuback.properties.iter(), allowed, once),
        PacketRef::Disconnect(disconnect) => {
            check_section(disconnect.properties.iter(), allowed, once)
        }
        PacketRef::Auth(auth) => check_section(auth.properties.iter(), allowed, once),
        PacketRef::PingReq | PacketRef::PingResp => {}
    }
}

fn check_section(
    properties: PropertyIter<'_>,
    allowed: impl Fn(Property) -> bool,
    once: impl Fn(Property) -> bool,
) {
    let mut seen = Vec::new();
    for (property, value) in properties {
        assert!(allowed(property), "{property} is not allowed there");
        assert!(
            !(once(property) && seen.contains(&property)),
            "{property} twice"
        );
        seen.push(property);
        let number = match value {
            PropertyValue::Byte(number) => u32::from(number),
            PropertyValue::TwoByteInteger(number) => u32::from(number),
            PropertyValue::FourByteInteger(number) | PropertyValue::VariableByteInteger(number) => {
                number
            }
            PropertyValue::Utf8String(text) => {
                assert!(!text.contains('\0'), "{property} with U+0000");
                continue;
            }
            PropertyValue::Utf8StringPair(name, value) => {
                assert!(
                    !name.contains('\0') && !value.contains('\0'),
                    "{property} with U+0000"
                );
                continue;
            }
            PropertyValue::BinaryData(_) => continue,
        };
        let (min, max) = property.range();
        assert!((min..=max).contains(&number), "{property} is {number}");
    }
}

/// Finds the property section of a 5.0 packet that begins like one of the [`PROPERTY_HEADS`]: which one, and the bytes
/// from its length on. The reverse of what [`properties`] does.
pub(in crate::fuzzing) fn property_section(packet: &[u8]) -> Option<(u8, &[u8])> {
    let (first_byte, rest) = packet.split_first()?;
    let continued = rest.iter().take_while(|byte| **byte >= 0x80).count();
    let body = rest.get(continued + 1..)?;
    (0..)
        .zip(PROPERTY_HEADS)
        .find_map(|(place, (first, head))| {
            let section = body.strip_prefix(head)?;
            (first == *first_byte).then_some((place, section))
        })
}
