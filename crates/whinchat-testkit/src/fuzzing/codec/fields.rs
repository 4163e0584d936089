//! Single fields against their plain definitions.

use bytes::BytesMut;
use whinchat_codec::{
    DecodeErrorKind, DecodeLimits, Guarantee, PacketRef, PacketType, ProtocolVersion,
    PublishProperties, PublishRef, decode, frame_len,
};

use super::packet;

/// A PUBLISH with these bytes as its topic name is accepted exactly when the standard library says that they are text,
/// and the text is a topic name.
pub fn utf8(data: &[u8]) {
    let length = u16::try_from(data.len()).unwrap_or(u16::MAX);
    let topic = &data[..usize::from(length)];
    let bytes = packet(0x30, &[&length.to_be_bytes(), topic, &[0]]);

    let expected = std::str::from_utf8(topic)
        .ok()
        .filter(|text| !text.is_empty() && !text.contains(['\0', '+', '#']));
    let found = decode(&bytes, ProtocolVersion::V5, &DecodeLimits::default());
    let found = found.ok().flatten().map(|(packet, _)| {
        let PacketRef::Publish(PublishRef { topic, .. }) = packet else {
            panic!("a PUBLISH was read as {packet:?}");
        };
        topic
    });
    assert_eq!(found, expected);
}

/// A Variable Byte Integer as Remaining Length, as Property Length and as Subscription Identifier: read as its definition
/// says, and written in the shortest form.
pub fn varint(data: &[u8]) {
    let Some((first, bytes)) = data.split_first() else {
        return;
    };
    let expected = defined(bytes);
    remaining_length(*first, bytes, expected);
    property_length(bytes, expected);
    subscription_identifier(bytes, expected);
    if let Some((number, _)) = data.split_first_chunk::<4>() {
        written(u32::from_be_bytes(*number));
    }
}

/// Section 1.5.5 of MQTT 5.0, step by step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Defined {
    /// Value, bytes, and whether they are the fewest.
    Value(u32, usize, bool),
    Incomplete,
    TooLong,
}

fn defined(bytes: &[u8]) -> Defined {
    let (mut multiplier, mut value) = (1_u64, 0_u64);
    for (place, byte) in (1..).zip(bytes) {
        value += u64::from(byte & 127) * multiplier;
        if byte & 128 == 0 {
            let fewest = (1..=4).find(|len| value < 1 << (7 * len));
            let value = u32::try_from(value).expect("four bytes hold 28 bits");
            return Defined::Value(value, place, fewest == Some(place));
        }
        multiplier *= 128;
        if place == 4 {
            return Defined::TooLong;
        }
    }
    Defined::Incomplete
}

fn remaining_length(first: u8, bytes: &[u8], expected: Defined) {
    let stream = [&[first], bytes].concat();
    let found = frame_len(&stream, &DecodeLimits::default());
    let expected_len = match expected {
        // Packet type 0 is refused without a look at what follows.
        _ if first < 0x10 => None,
        Defined::Value(value, len, _) => Some(Some(value as usize + 1 + len)),
        Defined::Incomplete => Some(None),
        Defined::TooLong => None,
    };
    assert_eq!(found.ok(), expected_len, "{stream:02x?}");
    // A PINGREQ may have no other length than 0, and in 5.0 in no other form than the shortest.
    let ping = [&[0xC0], bytes].concat();
    for version in ProtocolVersion::ALL {
        let accepted = matches!(
            decode(&ping, version, &DecodeLimits::default()),
            Ok(Some((PacketRef::PingReq, _)))
        );
        let expected = matches!(
            expected,
            Defined::Value(0, _, minimal) if minimal || !version.is_v5()
        );
        assert_eq!(accepted, expected, "{ping:02x?} in {version}");
    }
}

fn property_length(bytes: &[u8], expected: Defined) {
    let body = packet(0x30, &[&[0, 1, b't'], bytes]);
    let found = decode(&body, ProtocolVersion::V5, &DecodeLimits::default());
    match expected {
        Defined::Value(0, len, true) => {
            let Ok(Some((PacketRef::Publish(publish), _))) = found else {
                panic!("no properties: {found:?}");
            };
            assert_eq!(publish.payload, &bytes[len..]);
        }
        Defined::Value(_, _, false) => {
            assert_eq!(kind(found), Some(DecodeErrorKind::LengthNotMinimal))
        }
        Defined::TooLong => assert_eq!(kind(found), Some(DecodeErrorKind::LengthTooLong)),
        Defined::Incomplete => assert_eq!(kind(found), Some(DecodeErrorKind::Truncated)),
        Defined::Value(value, len, true) => {
            let is_there = bytes.len() - len >= value as usize;
            assert!(
                is_there || kind(found) == Some(DecodeErrorKind::Truncated),
                "{found:?}"
            );
        }
    }
}

fn kind(
    found: Result<Option<(PacketRef<'_>, usize)>, whinchat_codec::DecodeError>,
) -> Option<DecodeErrorKind> {
    let error = found.err()?;
    assert_eq!(error.packet(), Some(PacketType::Publish));
    Some(error.kind())
}

fn subscription_identifier(bytes: &[u8], expected: Defined) {
    let Defined::Value(value, len, minimal) = expected else {
        return;
    };
    let section = [&[0x0b], &bytes[..len]].concat();
    let length = u8::try_from(section.len()).expect("at most five bytes");
    let bytes = packet(0x30, &[&[0, 1, b't', length], &section]);
    let found = decode(&bytes, ProtocolVersion::V5, &DecodeLimits::default());
    let ids = match found {
        Ok(Some((PacketRef::Publish(publish), _))) => {
            Some(publish.properties.subscription_identifiers().collect())
        }
        _ => None,
    };
    let is_valid = minimal && value > 0;
    assert_eq!(ids, is_valid.then(|| vec![value]), "{bytes:02x?}");
}

fn written(number: u32) {
    let mut properties = PublishProperties::new();
    let is_valid = (1..=268_435_455).contains(&number);
    assert_eq!(
        properties.add_subscription_identifier(number).is_ok(),
        is_valid
    );
    if !is_valid {
        return;
    }
    let publish = PublishRef {
        guarantee: Guarantee::AtMostOnce,
        retain: false,
        topic: "t",
        properties: properties.borrowed(),
        payload: b"",
    };
    let mut out = BytesMut::new();
    publish
        .encode(ProtocolVersion::V5, &mut out)
        .expect("a valid packet");
    let [0x30, _, 0, 1, b't', _, 0x0b, id @ ..] = &out[..] else {
        panic!("{out:02x?}");
    };
    assert_eq!(defined(id), Defined::Value(number, id.len(), true));
}
