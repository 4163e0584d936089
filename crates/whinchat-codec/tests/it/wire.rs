//! Packets written out by hand, to and from bytes.

use bytes::{Bytes, BytesMut};
use whinchat_codec::{
    Connect, ConnectRef, DecodeLimits, Disconnect, DisconnectReason, Guarantee, Packet, PacketId,
    PacketRef, ProtocolVersion, Publish, PublishFrame, PublishProperties, QoS, Subscribe,
    SubscribeProperties, Subscription, SubscriptionOptions, Utf8String, Will, WillProperties,
    decode,
};

#[track_caller]
fn both_ways(packet: &Packet, version: ProtocolVersion, bytes: &[u8]) {
    let mut out = BytesMut::new();
    packet.encode(version, &mut out).expect("encodes");
    assert_eq!(out[..], *bytes);
    assert_eq!(packet.encoded_len(version), Ok(bytes.len()));
    let parent = Bytes::copy_from_slice(bytes);
    let (decoded, len) = Packet::decode(&parent, version, &DecodeLimits::default())
        .expect("decodes")
        .expect("is whole");
    assert_eq!(decoded, *packet);
    assert_eq!(len, bytes.len());
}

fn text(text: &str) -> Utf8String {
    Utf8String::try_from(text).expect("a valid string")
}

#[test]
fn connect_of_each_version() {
    for (version, head) in [
        (
            ProtocolVersion::V31,
            &b"\x10\x10\x00\x06MQIsdp\x03\x02\x00\x3C\x00\x02ab"[..],
        ),
        (
            ProtocolVersion::V311,
            b"\x10\x0E\x00\x04MQTT\x04\x02\x00\x3C\x00\x02ab",
        ),
        (
            ProtocolVersion::V5,
            b"\x10\x0F\x00\x04MQTT\x05\x02\x00\x3C\x00\x00\x02ab",
        ),
    ] {
        let connect = Connect::new(version, text("ab"));
        both_ways(&Packet::Connect(connect.into()), version, head);
    }
}

#[test]
fn connect_with_everything() {
    let mut connect = Connect::new(ProtocolVersion::V5, text("c"));
    connect.will = Some(Will {
        topic: text("w"),
        payload: Bytes::from_static(b"gone"),
        qos: QoS::AtLeastOnce,
        retain: true,
        properties: WillProperties::new().with_will_delay_interval(5),
    });
    connect.user_name = Some(text("u"));
    connect.password = Some(Bytes::from_static(b"p"));
    connect.properties.set_receive_maximum(10).unwrap();
    both_ways(
        &Packet::Connect(connect.clone().into()),
        ProtocolVersion::V5,
        b"\x10\x26\x00\x04MQTT\x05\xEE\x00\x3C\x03\x21\x00\x0A\x00\x01c\
          \x05\x18\x00\x00\x00\x05\x00\x01w\x00\x04gone\x00\x01u\x00\x01p",
    );
    let shown = format!("{connect:?}");
    assert!(
        !shown.contains("gone") && !shown.contains("\"u\""),
        "{shown}"
    );
}

#[test]
fn publish_of_each_kind() {
    let publish = Publish {
        guarantee: Guarantee::AtMostOnce,
        retain: true,
        topic: text("a/b"),
        properties: PublishProperties::new(),
        payload: Bytes::from_static(b"hi"),
    };
    both_ways(
        &Packet::Publish(publish.clone()),
        ProtocolVersion::V311,
        b"\x31\x07\x00\x03a/bhi",
    );
    let id = PacketId::new(10).unwrap();
    let publish = Publish {
        guarantee: Guarantee::ExactlyOnce { id, dup: true },
        properties: PublishProperties::new()
            .with_message_expiry_interval(60)
            .with_user_property("k", "v")
            .unwrap(),
        ..publish
    };
    both_ways(
        &Packet::Publish(publish),
        ProtocolVersion::V5,
        b"\x3D\x16\x00\x03a/b\x00\x0A\x0C\x02\x00\x00\x00\x3C\x26\x00\x01k\x00\x01vhi",
    );
}

#[test]
fn subscribe_with_options() {
    let subscribe = Subscribe {
        packet_id: PacketId::MIN,
        properties: SubscribeProperties::new()
            .with_subscription_identifier(128)
            .unwrap(),
        subscriptions: vec![Subscription {
            filter: text("a/#"),
            options: SubscriptionOptions {
                no_local: true,
                ..SubscriptionOptions::new(QoS::ExactlyOnce)
            },
        }],
    };
    both_ways(
        &Packet::Subscribe(subscribe),
        ProtocolVersion::V5,
        b"\x82\x0C\x00\x01\x03\x0B\x80\x01\x00\x03a/#\x06",
    );
}

#[test]
fn disconnect_in_its_three_lengths() {
    let normal = Disconnect::new(DisconnectReason::NormalDisconnection);
    both_ways(
        &Packet::Disconnect(normal),
        ProtocolVersion::V5,
        b"\xE0\x00",
    );
    let mut with_will = Disconnect::new(DisconnectReason::DisconnectWithWill);
    both_ways(
        &Packet::Disconnect(with_will.clone()),
        ProtocolVersion::V5,
        b"\xE0\x01\x04",
    );
    with_will.properties.set_session_expiry_interval(1);
    both_ways(
        &Packet::Disconnect(with_will),
        ProtocolVersion::V5,
        b"\xE0\x07\x04\x05\x11\x00\x00\x00\x01",
    );
}

#[test]
fn an_unsupported_level_says_which_connack_to_send() {
    for (bytes, answer) in [
        (
            &b"\x10\x0C\x00\x04MQTT\x03\x02\x00\x3C\x00\x00"[..],
            ProtocolVersion::V311,
        ),
        (
            b"\x10\x0C\x00\x04MQTT\x06\x02\x00\x3C\x00\x00",
            ProtocolVersion::V5,
        ),
    ] {
        let error = decode(bytes, ProtocolVersion::V5, &DecodeLimits::default()).unwrap_err();
        assert_eq!(error.connack_reason().code(), 0x84);
        assert_eq!(error.version(), Some(answer));
    }
}

#[test]
fn a_frame_is_patched_with_packet_id_and_dup() {
    let publish = Publish {
        guarantee: Guarantee::AtLeastOnce {
            id: PacketId::MIN,
            dup: false,
        },
        retain: false,
        topic: text("a/b"),
        properties: PublishProperties::new().with_message_expiry_interval(1),
        payload: Bytes::from(vec![b'x'; 300]),
    };
    let frame = PublishFrame::new(&publish.borrowed(), ProtocolVersion::V5).unwrap();
    let id = PacketId::new(0x1234).unwrap();
    let mut out = BytesMut::from(&b"before"[..]);
    frame.append_to(&mut out, Some((id, true)));
    let (packet, len) = decode(&out[6..], ProtocolVersion::V5, &DecodeLimits::default())
        .unwrap()
        .unwrap();
    assert_eq!(len, frame.len());
    let PacketRef::Publish(copy) = packet else {
        panic!("not a PUBLISH")
    };
    assert_eq!(copy.guarantee, Guarantee::AtLeastOnce { id, dup: true });
    assert_eq!((copy.topic, copy.payload), ("a/b", &publish.payload[..]));
    let mut parts = BytesMut::new();
    copy.encode_head(ProtocolVersion::V5, &mut parts).unwrap();
    assert_eq!(parts.len(), len - copy.payload.len());
    parts.extend_from_slice(copy.payload);
    assert_eq!(parts[..], out[6..]);
}

#[test]
fn a_3_1_connect_may_end_before_user_name_and_password() {
    let bytes = b"\x10\x0F\x00\x06MQIsdp\x03\xC3\x00\x3C\x00\x01a";
    let (packet, _) = decode(bytes, ProtocolVersion::V5, &DecodeLimits::default())
        .unwrap()
        .unwrap();
    let PacketRef::Connect(ConnectRef {
        user_name,
        password,
        ..
    }) = packet
    else {
        panic!("not a CONNECT")
    };
    assert_eq!((user_name, password), (None, None));
}

#[test]
fn the_default_limits_refuse_nothing_that_the_protocol_allows() {
    let subscribe = Subscribe {
        packet_id: PacketId::MIN,
        properties: SubscribeProperties::new(),
        subscriptions: vec![
            Subscription {
                filter: text("a"),
                options: SubscriptionOptions::default(),
            };
            65_536
        ],
    };
    let mut out = BytesMut::new();
    subscribe.encode(ProtocolVersion::V5, &mut out).unwrap();
    let all = DecodeLimits::default();
    assert!(matches!(
        decode(&out, ProtocolVersion::V5, &all),
        Ok(Some(_))
    ));
    let some = all.with_filters(65_534);
    let error = decode(&out, ProtocolVersion::V5, &some).unwrap_err();
    assert_eq!(error.reason().code(), 0x97);
}
