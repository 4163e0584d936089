//! A broker that does exactly what a test says: it takes each connection, and sends and expects packets one at a time.
//!
//! Time is paused in these tests, so that a packet that never comes fails the test at once and not after a minute.

use std::{io, time::Duration};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
    time::timeout,
};
use whinchat_client::{Client, ClientOptions, Stream, Version};
use whinchat_codec::{
    ConnAck, ConnAckProperties, ConnAckReason, Connect, DecodeLimits, Guarantee, Packet, PacketId,
    ProtocolVersion, PubAck, PubAckReason, PubComp, PubCompReason, PubRec, PubRecReason, PubRel,
    Publish, PublishProperties, QoS, SubAck, SubAckReason, Subscribe, Utf8String,
};
use whinchat_transport::{Cutter, MemoryStream};

/// Longer than anything a client does by itself.
const NEVER: Duration = Duration::from_secs(3600);

pub(crate) struct Broker {
    streams: mpsc::UnboundedReceiver<MemoryStream>,
}

/// One connection of a client, seen from the broker.
pub(crate) struct Connection {
    stream: Stream,
    cutter: Cutter,
    read: BytesMut,
    version: ProtocolVersion,
}

/// A broker, and options of a client that reaches it.
pub(crate) fn broker() -> (Broker, ClientOptions) {
    broker_with_buffer(64 * 1024)
}

/// The same with streams that hold so many bytes.
pub(crate) fn broker_with_buffer(bytes: usize) -> (Broker, ClientOptions) {
    let (sender, streams) = mpsc::unbounded_channel();
    let options = ClientOptions::over(move || {
        let (ours, theirs) = MemoryStream::pair(bytes);
        let refused = sender.send(theirs).is_err();
        async move {
            if refused {
                Err(io::ErrorKind::ConnectionRefused.into())
            } else {
                Ok(ours.into())
            }
        }
    });
    (
        Broker { streams },
        options
            .version(Version::Only(ProtocolVersion::V5))
            .client_id("c")
            .unwrap(),
    )
}

/// A connected client of a broker that accepts everything.
pub(crate) async fn connected() -> (Broker, Connection, Client) {
    let (mut broker, options) = broker();
    let (connection, client) = broker.connect(options).await;
    (broker, connection, client)
}

/// The same in this version.
pub(crate) async fn connected_in(version: ProtocolVersion) -> (Broker, Connection, Client) {
    let (mut broker, options) = broker();
    let (connection, client) = broker
        .connect(options.version(Version::Only(version)))
        .await;
    (broker, connection, client)
}

impl Broker {
    /// The next connection, before its CONNECT.
    pub(crate) async fn accept(&mut self) -> Connection {
        let stream = timeout(NEVER, self.streams.recv())
            .await
            .expect("the client does not connect")
            .unwrap();
        Connection {
            cutter: stream.cutter(),
            stream: stream.into(),
            read: BytesMut::new(),
            version: ProtocolVersion::V5,
        }
    }

    /// The next connection, accepted without a session.
    pub(crate) async fn accept_new(&mut self) -> Connection {
        self.accept_with(false, ConnAckProperties::new()).await
    }

    /// The next connection, accepted with the session of the one before.
    pub(crate) async fn accept_resumed(&mut self) -> Connection {
        self.accept_with(true, ConnAckProperties::new()).await
    }

    pub(crate) async fn accept_with(
        &mut self,
        session_present: bool,
        properties: ConnAckProperties,
    ) -> Connection {
        let mut connection = self.accept().await;
        connection.expect_connect().await;
        connection.connack(session_present, properties).await;
        connection
    }

    /// Connects a client.
    pub(crate) async fn connect(&mut self, options: ClientOptions) -> (Connection, Client) {
        let (connection, client) = tokio::join!(self.accept_new(), options.connect());
        (connection, client.unwrap())
    }

    /// Whether the client tries to connect within this time.
    pub(crate) async fn is_tried_within(&mut self, time: Duration) -> bool {
        matches!(timeout(time, self.streams.recv()).await, Ok(Some(_)))
    }
}

impl Connection {
    pub(crate) async fn expect_connect(&mut self) -> Connect {
        match self.expect().await {
            Packet::Connect(connect) => {
                self.version = connect.version;
                *connect
            }
            other => panic!("expected CONNECT, got {other:?}"),
        }
    }

    pub(crate) async fn connack(&mut self, session_present: bool, properties: ConnAckProperties) {
        let reason = ConnAckReason::Success;
        self.send(Packet::ConnAck(ConnAck {
            session_present,
            reason,
            properties,
        }))
        .await;
    }

    pub(crate) async fn refuse(&mut self, reason: ConnAckReason) {
        let properties = ConnAckProperties::new();
        self.send(Packet::ConnAck(ConnAck {
            session_present: false,
            reason,
            properties,
        }))
        .await;
    }

    /// The next packet that is no PINGREQ; those are answered.
    #[track_caller]
    pub(crate) fn expect(&mut self) -> impl Future<Output = Packet> {
        let place = std::panic::Location::caller();
        async move {
            match timeout(NEVER, self.next()).await {
                Ok(Some(packet)) => packet,
                Ok(None) => panic!("{place}: the client ended the connection"),
                Err(_) => panic!("{place}: the client sends nothing"),
            }
        }
    }

    /// Expects the client to say nothing within this time (PINGREQ excepted).
    #[track_caller]
    pub(crate) fn expect_silence(&mut self, time: Duration) -> impl Future<Output = ()> {
        let place = std::panic::Location::caller();
        async move {
            if let Ok(packet) = timeout(time, self.next()).await {
                panic!("{place}: expected nothing, got {packet:?}");
            }
        }
    }

    /// Expects the client to end the connection without a further packet.
    #[track_caller]
    pub(crate) fn expect_end(&mut self) -> impl Future<Output = ()> {
        let place = std::panic::Location::caller();
        async move {
            match timeout(NEVER, self.next()).await {
                Ok(None) => {}
                Ok(Some(packet)) => panic!("{place}: expected the end, got {packet:?}"),
                Err(_) => panic!("{place}: the client keeps the connection"),
            }
        }
    }

    async fn next(&mut self) -> Option<Packet> {
        loop {
            let parent = Bytes::copy_from_slice(&self.read);
            if let Some((packet, length)) =
                Packet::decode(&parent, self.version, &DecodeLimits::default())
                    .expect("the client sends valid packets")
            {
                let _ = self.read.split_to(length);
                if matches!(packet, Packet::PingReq) {
                    self.send(Packet::PingResp).await;
                    continue;
                }
                return Some(packet);
            }
            if self.stream.read_buf(&mut self.read).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    pub(crate) async fn send(&mut self, packet: Packet) {
        let mut bytes = BytesMut::new();
        packet.encode(self.version, &mut bytes).unwrap();
        self.send_bytes(&bytes).await;
    }

    /// Sends any bytes. That the client has hung up is for a later expectation to tell.
    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    /// Expects a PUBLISH.
    pub(crate) async fn expect_publish(&mut self) -> Publish {
        match self.expect().await {
            Packet::Publish(publish) => publish,
            other => panic!("expected PUBLISH, got {other:?}"),
        }
    }

    /// Expects a SUBSCRIBE and grants what it asks for.
    pub(crate) async fn grant(&mut self) -> Subscribe {
        let subscribe = self.expect_subscribe().await;
        let reasons = subscribe
            .subscriptions
            .iter()
            .map(|subscription| SubAckReason::try_from(subscription.options.qos as u8).unwrap())
            .collect();
        self.suback(&subscribe, reasons).await;
        subscribe
    }

    pub(crate) async fn expect_subscribe(&mut self) -> Subscribe {
        match self.expect().await {
            Packet::Subscribe(subscribe) => subscribe,
            other => panic!("expected SUBSCRIBE, got {other:?}"),
        }
    }

    pub(crate) async fn suback(&mut self, subscribe: &Subscribe, reasons: Vec<SubAckReason>) {
        let properties = Default::default();
        self.send(Packet::SubAck(SubAck {
            packet_id: subscribe.packet_id,
            properties,
            reasons,
        }))
        .await;
    }

    /// Sends PUBACK.
    pub(crate) async fn puback(&mut self, id: PacketId) {
        self.puback_with(id, PubAckReason::Success).await;
    }

    pub(crate) async fn puback_with(&mut self, id: PacketId, reason: PubAckReason) {
        self.send(Packet::PubAck(PubAck {
            packet_id: id,
            reason,
            properties: Default::default(),
        }))
        .await;
    }

    /// Takes a QoS 2 message through to its end.
    pub(crate) async fn complete_qos2(&mut self, packet_id: PacketId) {
        self.send(pubrec(packet_id)).await;
        assert!(
            matches!(self.expect().await, Packet::PubRel(PubRel { packet_id: id, .. }) if id == packet_id)
        );
        self.send(pubcomp(packet_id)).await;
    }

    /// Delivers a message.
    pub(crate) async fn deliver(&mut self, publish: Publish) {
        self.send(Packet::Publish(publish)).await;
    }

    /// Expects the PUBACK of this id.
    #[track_caller]
    pub(crate) fn expect_puback(&mut self, number: u16) -> impl Future<Output = ()> {
        let place = std::panic::Location::caller();
        async move {
            match self.expect().await {
                Packet::PubAck(puback) => assert_eq!(puback.packet_id, id(number), "{place}"),
                other => panic!("{place}: expected PUBACK {number}, got {other:?}"),
            }
        }
    }

    /// Ends the connection as a pulled cable does.
    pub(crate) fn cut(self) {
        self.cutter.cut();
    }
}

pub(crate) fn pubrec(packet_id: PacketId) -> Packet {
    Packet::PubRec(PubRec {
        packet_id,
        reason: PubRecReason::Success,
        properties: Default::default(),
    })
}

pub(crate) fn pubcomp(packet_id: PacketId) -> Packet {
    Packet::PubComp(PubComp {
        packet_id,
        reason: PubCompReason::Success,
        properties: Default::default(),
    })
}

pub(crate) fn id(number: u16) -> PacketId {
    PacketId::new(number).unwrap()
}

/// A message for the client.
pub(crate) fn message(topic: &str, payload: &'static str) -> Publish {
    Publish {
        guarantee: Guarantee::AtMostOnce,
        retain: false,
        topic: Utf8String::try_from(topic).unwrap(),
        properties: PublishProperties::new(),
        payload: Bytes::from_static(payload.as_bytes()),
    }
}

pub(crate) trait Qos {
    /// The same at QoS 1 with this packet id.
    fn qos1(self, number: u16) -> Self;
    /// The same at QoS 2 with this packet id.
    fn qos2(self, number: u16) -> Self;
    /// The same with DUP.
    fn dup(self) -> Self;
    /// The same with this subscription identifier.
    fn identified(self, identifier: u32) -> Self;
}

impl Qos for Publish {
    fn qos1(mut self, number: u16) -> Self {
        self.guarantee = Guarantee::new(QoS::AtLeastOnce, id(number), false);
        self
    }

    fn qos2(mut self, number: u16) -> Self {
        self.guarantee = Guarantee::new(QoS::ExactlyOnce, id(number), false);
        self
    }

    fn dup(mut self) -> Self {
        self.guarantee = Guarantee::new(
            self.guarantee.qos(),
            self.guarantee.packet_id().unwrap(),
            true,
        );
        self
    }

    fn identified(mut self, identifier: u32) -> Self {
        self.properties
            .add_subscription_identifier(identifier)
            .unwrap();
        self
    }
}

/// A message as `topic=payload`, to be compared at a glance.
pub(crate) fn text(message: &whinchat_client::Message) -> String {
    format!(
        "{}={}",
        message.topic(),
        String::from_utf8_lossy(message.payload())
    )
}
