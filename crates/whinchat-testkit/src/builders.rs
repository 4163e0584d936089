//! One word per packet, for tests that speak in packets.

use bytes::{Bytes, BytesMut};
use whinchat_codec::{
    Connect, Guarantee, PacketId, ProtocolVersion, Publish, PublishProperties, QoS, Utf8String,
};

/// A packet id.
///
/// # Panics
/// If it is 0.
pub fn id(number: u16) -> PacketId {
    PacketId::new(number).expect("a packet id is not 0")
}

/// A PUBLISH with QoS 0, to be refined: `publish("a/b").qos2(7).dup().payload("x")`.
///
/// # Panics
/// If `topic` is no string that MQTT can carry.
pub fn publish(topic: &str) -> PublishBuilder {
    PublishBuilder(Publish {
        guarantee: Guarantee::AtMostOnce,
        retain: false,
        topic: Utf8String::try_from(topic).expect("a test's topic is valid"),
        properties: PublishProperties::new(),
        payload: Bytes::new(),
    })
}

/// A CONNECT without anything, kept as a session: Clean Start 0 and no expiry in 5.0.
///
/// # Panics
/// If `client_id` is no string that MQTT can carry.
pub fn connect(version: ProtocolVersion, client_id: &str) -> Connect {
    let client_id = Utf8String::try_from(client_id).expect("a test's client id is valid");
    let mut connect = Connect::new(version, client_id);
    connect.clean_start = false;
    if version.is_v5() {
        connect.properties.set_session_expiry_interval(u32::MAX);
    }
    connect
}

/// A PUBLISH under construction.
#[derive(Clone, Debug)]
pub struct PublishBuilder(Publish);

impl PublishBuilder {
    /// QoS 1 with this packet id.
    #[must_use]
    pub fn qos1(self, number: u16) -> Self {
        self.guarantee(Guarantee::new(QoS::AtLeastOnce, id(number), false))
    }

    /// QoS 2 with this packet id.
    #[must_use]
    pub fn qos2(self, number: u16) -> Self {
        self.guarantee(Guarantee::new(QoS::ExactlyOnce, id(number), false))
    }

    /// Any guarantee.
    #[must_use]
    pub const fn guarantee(mut self, guarantee: Guarantee) -> Self {
        self.0.guarantee = guarantee;
        self
    }

    /// DUP; without effect at QoS 0.
    #[must_use]
    pub const fn dup(mut self) -> Self {
        if let Some(id) = self.0.guarantee.packet_id() {
            self.0.guarantee = Guarantee::new(self.0.guarantee.qos(), id, true);
        }
        self
    }

    /// RETAIN.
    #[must_use]
    pub const fn retain(mut self) -> Self {
        self.0.retain = true;
        self
    }

    /// The payload.
    #[must_use]
    pub fn payload(mut self, payload: impl AsRef<[u8]>) -> Self {
        self.0.payload = Bytes::copy_from_slice(payload.as_ref());
        self
    }

    /// The packet.
    pub fn build(self) -> Publish {
        self.0
    }

    /// The packet as bytes.
    ///
    /// # Panics
    /// If this version cannot carry it.
    pub fn encode(self, version: ProtocolVersion) -> BytesMut {
        let mut out = BytesMut::new();
        self.0
            .encode(version, &mut out)
            .expect("a test's packet is valid");
        out
    }
}
