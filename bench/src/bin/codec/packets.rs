//! The packets that everybody reads and writes.

use bytes::{Bytes, BytesMut};
use whinchat_codec::{
    Connect, ConnectProperties, Guarantee, Packet, PacketId, ProtocolVersion, PubAck, PubAckReason,
    Publish, PublishProperties, Utf8String,
};

/// The same packet many times.
pub struct Sample {
    pub version: ProtocolVersion,
    pub bytes: Bytes,
    pub count: usize,
}

type Make = fn(usize) -> Sample;

pub const PACKETS: [(&str, Make); 5] = [
    ("PUBLISH 3.1.1, QoS 0", |count| {
        publish(
            ProtocolVersion::V311,
            PublishProperties::default(),
            false,
            count,
        )
    }),
    ("PUBLISH 3.1.1, QoS 1", |count| {
        publish(
            ProtocolVersion::V311,
            PublishProperties::default(),
            true,
            count,
        )
    }),
    ("PUBLISH 5.0, three properties", |count| {
        publish(ProtocolVersion::V5, properties(), false, count)
    }),
    ("CONNECT 5.0", connect),
    ("PUBACK 3.1.1", puback),
];

fn sample(version: ProtocolVersion, packet: &Packet, count: usize) -> Sample {
    let mut bytes = BytesMut::new();
    for _ in 0..count {
        packet.encode(version, &mut bytes).expect("a valid packet");
    }
    Sample {
        version,
        bytes: bytes.freeze(),
        count,
    }
}

/// A topic name of 24 bytes, a payload of 64.
fn publish(
    version: ProtocolVersion,
    properties: PublishProperties,
    is_acknowledged: bool,
    count: usize,
) -> Sample {
    let guarantee = if is_acknowledged {
        Guarantee::AtLeastOnce {
            id: PacketId::MIN,
            dup: false,
        }
    } else {
        Guarantee::AtMostOnce
    };
    let publish = Publish {
        guarantee,
        retain: false,
        topic: Utf8String::from_static("plant/7/line/3/pressures"),
        properties,
        payload: Bytes::from_static(&[0x2e; 64]),
    };
    sample(version, &Packet::Publish(publish), count)
}

/// In the order in which most of the others write them, so that their bytes can be compared.
fn properties() -> PublishProperties {
    PublishProperties::default()
        .with_payload_format_indicator(true)
        .with_message_expiry_interval(3600)
        .with_content_type("application/json")
        .expect("a valid content type")
}

/// With user name, password and two properties.
fn connect(count: usize) -> Sample {
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
    sample(
        ProtocolVersion::V5,
        &Packet::Connect(Box::new(connect)),
        count,
    )
}

fn puback(count: usize) -> Sample {
    let puback = PubAck {
        packet_id: PacketId::MIN,
        reason: PubAckReason::Success,
        properties: Default::default(),
    };
    sample(ProtocolVersion::V311, &Packet::PubAck(puback), count)
}

impl Sample {
    /// The bytes of one packet.
    pub fn one(&self) -> &[u8] {
        &self.bytes[..self.bytes.len() / self.count]
    }
}
