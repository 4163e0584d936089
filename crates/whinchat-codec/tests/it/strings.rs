//! Strings against a plain definition of what they may hold.

use bytes::{BufMut, Bytes, BytesMut};
use proptest::prelude::*;
use whinchat_codec::{
    DecodeErrorKind, DecodeLimits, EncodeErrorKind, PacketRef, ProtocolVersion, PublishRef,
    Utf8String, decode,
};

const V5: ProtocolVersion = ProtocolVersion::V5;

/// A PUBLISH with these bytes as topic name, or as Content Type behind the topic name `t`.
fn publish(topic: &[u8], content_type: &[u8]) -> BytesMut {
    let mut body = BytesMut::new();
    body.put_u16(u16::try_from(topic.len()).expect("a short topic"));
    body.put_slice(topic);
    let mut out = BytesMut::new();
    let properties_len = 3 + content_type.len();
    body.put_u8(u8::try_from(properties_len).expect("a short content type"));
    body.put_u8(0x03);
    body.put_u16(u16::try_from(content_type.len()).expect("a short content type"));
    body.put_slice(content_type);
    out.put_u8(0x30);
    out.put_u8(u8::try_from(body.len() & 0x7F).expect("seven bits") | 0x80);
    out.put_u8(u8::try_from(body.len() >> 7).expect("a short packet"));
    if body.len() < 0x80 {
        out.truncate(1);
        out.put_u8(u8::try_from(body.len()).expect("a short packet"));
    }
    out.put_slice(&body);
    out
}

/// The plain definition.
fn fault(bytes: &[u8], is_topic: bool) -> Option<DecodeErrorKind> {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Some(DecodeErrorKind::InvalidUtf8);
    };
    if text.chars().any(|character| character == '\0') {
        return Some(DecodeErrorKind::NulCharacter);
    }
    let has_wildcard = text.chars().any(|character| matches!(character, '+' | '#'));
    (is_topic && has_wildcard).then_some(DecodeErrorKind::Wildcard)
}

/// Mostly letters, with what matters thrown in anywhere.
fn nearly_a_string() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        20 => b'a'..=b'z',
        1 => Just(0),
        1 => Just(b'+'),
        1 => Just(b'#'),
        1 => Just(b'/'),
        1 => any::<u8>(),
    ];
    let letters = prop::collection::vec(b'a'..=b'z', 1..100);
    let text = any::<String>().prop_map(String::into_bytes);
    prop_oneof![prop::collection::vec(byte, 1..100), letters, text]
        .prop_filter("not empty and short", |bytes| {
            (1..=120).contains(&bytes.len())
        })
}

proptest! {
    #[test]
    fn a_topic_name_is_refused_exactly_for_what_it_must_not_hold(topic in nearly_a_string()) {
        let bytes = publish(&topic, b"c");
        let found = decode(&bytes, V5, &DecodeLimits::default());
        match fault(&topic, true) {
            // A string with two faults may be refused for either.
            Some(_) => prop_assert!(found.is_err()),
            None => prop_assert!(matches!(found, Ok(Some(_))), "{found:?}"),
        }
    }

    #[test]
    fn a_property_string_is_refused_exactly_for_what_it_must_not_hold(text in nearly_a_string()) {
        let bytes = publish(b"t", &text);
        let found = decode(&bytes, V5, &DecodeLimits::default());
        match fault(&text, false) {
            Some(_) => prop_assert!(found.is_err()),
            None => {
                let Ok(Some((PacketRef::Publish(publish), _))) = found else {
                    return Err(TestCaseError::fail(format!("{found:?}")));
                };
                let shown = publish.properties.content_type().map(str::as_bytes);
                prop_assert_eq!(shown, Some(&text[..]));
            }
        }
    }

    #[test]
    fn an_encoder_refuses_what_a_decoder_would(topic in nearly_a_string()) {
        let Ok(topic) = std::str::from_utf8(&topic) else {
            return Ok(());
        };
        let publish = PublishRef {
            guarantee: whinchat_codec::Guarantee::AtMostOnce,
            retain: false,
            topic,
            properties: Default::default(),
            payload: b"",
        };
        let mut out = BytesMut::from(&b"kept"[..]);
        let encoded = publish.encode(V5, &mut out);
        prop_assert_eq!(encoded.is_err(), fault(topic.as_bytes(), true).is_some());
        if encoded.is_err() {
            prop_assert_eq!(&out[..], b"kept");
        }
    }

    #[test]
    fn a_utf8_string_takes_what_a_packet_can_carry(bytes in nearly_a_string()) {
        let taken = Utf8String::try_from(Bytes::from(bytes.clone()));
        prop_assert_eq!(taken.is_ok(), fault(&bytes, false).is_none());
        if let Ok(taken) = taken {
            prop_assert_eq!(taken.as_bytes(), &bytes[..]);
        }
    }
}

/// Ill-formed UTF-8 of every kind: T-13.
#[test]
fn mqtt_1_5_4_1_ill_formed_utf8_is_refused_in_a_topic_and_in_a_property() {
    for bytes in [
        &b"\xC0\x80"[..],            // U+0000, too long
        b"\xC1\xBF",                 // U+007F, too long
        b"\xE0\x80\xAF",             // U+002F, too long
        b"\xED\xA0\x80",             // high surrogate
        b"\xED\xBF\xBF",             // low surrogate
        b"\xED\xA0\xBD\xED\xB8\x80", // a pair of surrogates
        b"\xF4\x90\x80\x80",         // above U+10FFFF
        b"\xF0\x80\x80\xAF",         // U+002F in four bytes
        b"\xF8\x88\x80\x80\x80",     // five bytes
        b"\x80",                     // a continuation alone
        b"\xE2\x82",                 // cut
        b"\xFF",
        b"aaaaaaaaaaaaaaaaaaaaaaa\xE2\x82", // cut behind a long run of ASCII
    ] {
        for (packet, field) in [
            (publish(bytes, b"c"), "topic name"),
            (publish(b"t", bytes), "Content Type"),
        ] {
            let error = decode(&packet, V5, &DecodeLimits::default()).unwrap_err();
            assert_eq!(error.kind(), DecodeErrorKind::InvalidUtf8, "{bytes:X?}");
            assert_eq!(error.field(), field);
            assert_eq!(error.reason().code(), 0x81);
            assert_eq!(error.statement(V5), Some("MQTT-1.5.4-1"));
        }
    }
}

#[test]
fn mqtt_1_5_4_3_a_byte_order_mark_is_kept() {
    let packet = publish("\u{FEFF}a\u{FEFF}".as_bytes(), b"c");
    let decoded = decode(&packet, V5, &DecodeLimits::default()).unwrap();
    let Some((PacketRef::Publish(publish), _)) = decoded else {
        panic!("not a PUBLISH")
    };
    assert_eq!(publish.topic, "\u{FEFF}a\u{FEFF}");
}

#[test]
fn a_string_of_65536_bytes_is_too_long_for_any_packet() {
    let long = "x".repeat(65_536);
    let error = Utf8String::try_from(long.as_str()).unwrap_err();
    assert_eq!(
        error.kind(),
        EncodeErrorKind::TooLong {
            bytes: 65_536,
            max: 65_535
        }
    );
    assert!(Utf8String::try_from(&long[1..]).is_ok());
}
