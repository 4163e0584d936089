//! The packets that both benches read and write.

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use whinchat_codec::{
    Connect, ConnectProperties, DecodeLimits, Guarantee, Packet, PacketId, PacketRef,
    ProtocolVersion, Publish, PublishProperties, QoS, Subscribe, SubscribeProperties, Subscription,
    SubscriptionOptions, Utf8String, decode,
};

/// A packet as bytes and as a value.
pub(crate) struct Case {
    pub(crate) version: ProtocolVersion,
    pub(crate) packet: Packet,
    pub(crate) bytes: Bytes,
}

impl Case {
    fn new(version: ProtocolVersion, packet: Packet) -> Self {
        let mut bytes = BytesMut::new();
        packet
            .encode(version, &mut bytes)
            .expect("the cases are valid");
        let case = Self {
            version,
            packet,
            bytes: bytes.freeze(),
        };
        // The first call pays for symbols that are bound when they are first used.
        case.decode(&DecodeLimits::default());
        case
    }

    /// Looked at where it is made, as by an engine: moving it on would cost more than to read it.
    #[inline]
    pub(crate) fn decode(&self, limits: &DecodeLimits) {
        black_box(&decode(black_box(&self.bytes), self.version, limits));
    }

    /// Into a buffer that has room, as a connection has.
    #[inline]
    pub(crate) fn encode(&self, packet: &PacketRef<'_>, out: &mut BytesMut) {
        out.clear();
        packet
            .encode(self.version, out)
            .expect("the cases are valid");
    }
}

const TOPIC: Utf8String = Utf8String::from_static("plant/7/line/3/pressures");

fn publish(version: ProtocolVersion, properties: PublishProperties) -> Case {
    let publish = Publish {
        guarantee: Guarantee::AtMostOnce,
        retain: false,
        topic: TOPIC,
        properties,
        payload: Bytes::from_static(&[0x2e; 64]),
    };
    Case::new(version, Packet::Publish(publish))
}

/// PUBLISH 3.1.1: a topic name of 24 bytes, a payload of 64.
pub(crate) fn publish_v311() -> Case {
    publish(ProtocolVersion::V311, PublishProperties::default())
}

/// The same in 5.0 with three properties.
pub(crate) fn publish_v5() -> Case {
    let properties = PublishProperties::default()
        .with_payload_format_indicator(true)
        .with_message_expiry_interval(3600)
        .with_content_type("application/json")
        .expect("a valid content type");
    publish(ProtocolVersion::V5, properties)
}

/// CONNECT 5.0 with user name, password and two properties.
pub(crate) fn connect_v5() -> Case {
    let connect = Connect {
        version: ProtocolVersion::V5,
        clean_start: false,
        keep_alive: 60,
        client_id: Utf8String::from_static("sensor-0042"),
        will: None,
        user_name: Some(Utf8String::from_static("plant-7")),
        password: Some(Bytes::from_static(b"not a secret")),
        properties: ConnectProperties::default()
            .with_session_expiry_interval(3600)
            .with_receive_maximum(100)
            .expect("in range"),
    };
    Case::new(ProtocolVersion::V5, Packet::Connect(Box::new(connect)))
}

/// SUBSCRIBE 5.0 with two filters.
pub(crate) fn subscribe_v5() -> Case {
    let subscribe = Subscribe {
        packet_id: PacketId::MIN,
        properties: SubscribeProperties::default(),
        subscriptions: vec![
            Subscription {
                filter: Utf8String::from_static("plant/7/+/pressures"),
                options: SubscriptionOptions::new(QoS::AtLeastOnce),
            },
            Subscription {
                filter: Utf8String::from_static("plant/7/alarms/#"),
                options: SubscriptionOptions::new(QoS::ExactlyOnce),
            },
        ],
    };
    Case::new(ProtocolVersion::V5, Packet::Subscribe(subscribe))
}
