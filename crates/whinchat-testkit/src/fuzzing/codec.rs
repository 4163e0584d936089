//! Fuzz bodies of the codec.

use bytes::BytesMut;
use tokio_util::codec::Decoder as _;
use whinchat_codec::framed::Codec;
use whinchat_codec::{
    DecodeError, DecodeLimits, Packet, PacketRef, Property, PropertyIter, PropertyValue,
    ProtocolVersion, PublishRef, SubAckReason,
};

/// Splits off the first byte, which chooses version and limits.
fn settings(data: &[u8]) -> Option<(ProtocolVersion, DecodeLimits, &[u8])> {
    let (first, rest) = data.split_first()?;
    let version = ProtocolVersion::ALL[usize::from(first % 3)];
    let limits = if first & 0x80 == 0 {
        DecodeLimits::default()
    } else {
        DecodeLimits::default()
            .with_packet_size(4096)
            .with_properties_bytes(256)
            .with_user_properties(4)
            .with_string_bytes(128)
            .with_topic_levels(8)
            .with_filters(4)
    };
    Some((version, limits, rest))
}

/// A stream of packets: each is read whole, uses no more than is there, and is the same when read again.
pub fn decode(data: &[u8]) {
    let Some((mut version, limits, mut stream)) = settings(data) else {
        return;
    };
    while let Ok(Some((packet, used))) =
        whinchat_codec::decode(stream, version, &limits).map_err(check_error)
    {
        assert!(
            (1..=stream.len()).contains(&used),
            "{used} of {} bytes",
            stream.len()
        );
        let whole = whinchat_codec::decode(&stream[..used], version, &limits);
        assert_eq!(
            whole,
            Ok(Some((packet, used))),
            "what follows changes a packet"
        );
        let cut = whinchat_codec::decode(&stream[..used - 1], version, &limits);
        assert_eq!(
            cut,
            Ok(None),
            "a packet without its last byte is incomplete"
        );
        check_lists(&packet);
        if let PacketRef::Connect(connect) = packet {
            version = connect.version;
        }
        stream = &stream[used..];
    }
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

/// What was decoded is written in a form that is no longer, has the announced length, and decodes to the same packet.
pub fn roundtrip(data: &[u8]) {
    let Some((version, limits, bytes)) = settings(data) else {
        return;
    };
    let Ok(Some((packet, used))) = whinchat_codec::decode(bytes, version, &limits) else {
        return;
    };
    let version = if let PacketRef::Connect(connect) = packet {
        connect.version
    } else {
        version
    };
    // 3.1 reads a failed subscription, which some servers send, and never writes one. // v31 M31-47
    if let (ProtocolVersion::V31, PacketRef::SubAck(mut suback)) = (version, packet)
        && suback.reasons.any(SubAckReason::is_error)
    {
        return;
    }
    let mut written = BytesMut::new();
    packet
        .encode(version, &mut written)
        .expect("what was decoded can be encoded");
    assert_eq!(packet.encoded_len(version), Ok(written.len()));
    assert!(
        written.len() <= used,
        "written in {} bytes, came in {used}",
        written.len()
    );
    let written = written.freeze();

    let again = whinchat_codec::decode(&written, version, &limits);
    assert_eq!(
        again,
        Ok(Some((packet, written.len()))),
        "another packet than before"
    );

    let (owned, _) = Packet::decode(&written, version, &limits)
        .expect("as the borrowed packet")
        .expect("as the borrowed packet");
    assert_eq!(owned.as_packet_ref(), packet, "the owned packet is another");
    let mut twice = BytesMut::new();
    owned
        .encode(version, &mut twice)
        .expect("as the borrowed packet");
    assert_eq!(twice, written, "the second writing differs from the first");
}

/// However a stream is cut into reads, the same packets and the same error come out.
///
/// The second byte says how many of the next bytes are lengths of reads.
pub fn split(data: &[u8]) {
    let Some((version, limits, rest)) = settings(data) else {
        return;
    };
    let Some((count, rest)) = rest.split_first() else {
        return;
    };
    let (lengths, stream) = rest.split_at(rest.len().min(usize::from(count % 32)));

    let (whole, pieces) = (
        read(version, limits, [stream]),
        read(version, limits, reads(lengths, stream)),
    );
    assert_eq!(pieces, whole, "the same stream read in pieces");
}

/// The stream in reads of these lengths, taken again and again; a length of 0 stands for 1.
fn reads<'a>(lengths: &'a [u8], mut stream: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut lengths = lengths.iter().cycle();
    std::iter::from_fn(move || {
        let length = lengths
            .next()
            .map_or(1, |length| usize::from(*length).max(1));
        let (read, rest) = stream.split_at(length.min(stream.len()));
        stream = rest;
        (!read.is_empty()).then_some(read)
    })
}

/// All packets of a stream that arrives in these reads, and the error that ends it.
fn read<'a>(
    version: ProtocolVersion,
    limits: DecodeLimits,
    reads: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Packet>, Option<String>) {
    let mut codec = Codec::new(limits).with_version(version);
    let mut buffer = BytesMut::new();
    let mut packets = Vec::new();
    for read in reads {
        buffer.extend_from_slice(read);
        loop {
            match codec.decode(&mut buffer) {
                Ok(Some(packet)) => packets.push(packet),
                Ok(None) => break,
                Err(error) => return (packets, Some(error.to_string())),
            }
        }
    }
    (packets, None)
}

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
    let packet = framed(first_byte, &[head, section]);

    let limits = DecodeLimits::default();
    let Ok(Some((packet, _))) =
        whinchat_codec::decode(&packet, ProtocolVersion::V5, &limits).map_err(check_error)
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

/// A PUBLISH with these bytes as its topic name is accepted exactly when the standard library says that they are text,
/// and the text is a topic name.
pub fn utf8(data: &[u8]) {
    let length = u16::try_from(data.len()).unwrap_or(u16::MAX);
    let topic = &data[..usize::from(length)];
    let packet = framed(0x30, &[&length.to_be_bytes(), topic, &[0]]);

    let expected = std::str::from_utf8(topic)
        .ok()
        .filter(|text| !text.is_empty() && !text.contains(['\0', '+', '#']));
    let found = whinchat_codec::decode(&packet, ProtocolVersion::V5, &DecodeLimits::default());
    let found = found.ok().flatten().map(|(packet, _)| {
        let PacketRef::Publish(PublishRef { topic, .. }) = packet else {
            panic!("a PUBLISH was read as {packet:?}");
        };
        topic
    });
    assert_eq!(found, expected);
}

/// A packet of this first byte and these pieces.
fn framed(first_byte: u8, body: &[&[u8]]) -> Vec<u8> {
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

/// Finds the property section of a 5.0 packet that begins like one of the [`PROPERTY_HEADS`]: which one, and the bytes
/// from its length on. The reverse of what [`properties`] does.
pub(super) fn property_section(packet: &[u8]) -> Option<(u8, &[u8])> {
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
