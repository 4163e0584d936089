//! A client that says exactly what a test tells it to, and shows exactly what comes back.

use std::{collections::VecDeque, time::Duration};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use whinchat_broker::BrokerHandle;
use whinchat_codec::{
    ConnAck, Connect, DecodeLimits, Disconnect, DisconnectReason, Guarantee, Packet, PacketId,
    ProtocolVersion, PubAck, PubComp, PubRec, PubRel, Publish, QoS, SubAck, Subscribe,
    Subscription, SubscriptionOptions, UnsubAck, Unsubscribe, Utf8String, Will,
};
use whinchat_transport::{DialOptions, Endpoint, Stream, dial};

/// Long enough for any machine; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// One connection, seen from the client's side.
pub(crate) struct Peer {
    stream: Stream,
    version: ProtocolVersion,
    unread: BytesMut,
    /// What came while something else was waited for.
    set_aside: VecDeque<Packet>,
}

pub(crate) const V31: ProtocolVersion = ProtocolVersion::V31;
pub(crate) const V311: ProtocolVersion = ProtocolVersion::V311;
pub(crate) const V5: ProtocolVersion = ProtocolVersion::V5;

impl Peer {
    /// Connected to the broker in memory, nothing sent.
    pub(crate) fn silent(broker: &BrokerHandle, version: ProtocolVersion) -> Self {
        Self::on(broker.connect_in_memory(), version)
    }

    /// On a stream of the test's own making.
    pub(crate) fn on(stream: Stream, version: ProtocolVersion) -> Self {
        Self {
            stream,
            version,
            unread: BytesMut::new(),
            set_aside: VecDeque::new(),
        }
    }

    /// Connected to the broker's first TCP listener, nothing sent.
    pub(crate) async fn over_tcp(broker: &BrokerHandle, version: ProtocolVersion) -> Self {
        let endpoint = broker
            .local_endpoints()
            .iter()
            .find(|endpoint| matches!(endpoint, Endpoint::Tcp { .. }))
            .expect("a TCP listener");
        Self::at(endpoint, version).await
    }

    /// Connected to a listener, nothing sent.
    pub(crate) async fn at(endpoint: &Endpoint, version: ProtocolVersion) -> Self {
        let options = DialOptions::default();
        Self {
            stream: dial(endpoint, &options).await.expect("the broker listens"),
            version,
            unread: BytesMut::new(),
            set_aside: VecDeque::new(),
        }
    }

    pub(crate) fn version(&self) -> ProtocolVersion {
        self.version
    }

    /// Connected with a clean session.
    pub(crate) async fn connected(
        broker: &BrokerHandle,
        version: ProtocolVersion,
        client_id: &str,
    ) -> Self {
        let (peer, connack) = Self::connected_with(broker, connect(version, client_id)).await;
        assert!(!connack.session_present);
        peer
    }

    /// Connected with this CONNECT, and what it was answered.
    pub(crate) async fn connected_with(broker: &BrokerHandle, connect: Connect) -> (Self, ConnAck) {
        let mut peer = Self::silent(broker, connect.version);
        let connack = peer.log_in(connect).await;
        assert!(!connack.reason.is_error(), "{connack:?}");
        (peer, connack)
    }

    pub(crate) async fn log_in(&mut self, connect: Connect) -> ConnAck {
        self.send(Packet::Connect(Box::new(connect))).await;
        match self.receive().await {
            Packet::ConnAck(connack) => connack,
            other => panic!("expected CONNACK, got {other:?}"),
        }
    }

    pub(crate) async fn send(&mut self, packet: impl IntoPacket) {
        let mut bytes = BytesMut::new();
        packet
            .into_packet()
            .encode(self.version, &mut bytes)
            .expect("a packet of this version");
        self.send_bytes(&bytes).await;
    }

    /// Sends what the broker may close the connection for before it has all of it.
    pub(crate) async fn send_refused(&mut self, packet: impl IntoPacket) {
        let mut bytes = BytesMut::new();
        packet
            .into_packet()
            .encode(self.version, &mut bytes)
            .expect("a packet of this version");
        self.stream.write_all(&bytes).await.ok();
    }

    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream
            .write_all(bytes)
            .await
            .expect("the broker reads");
    }

    /// Sends as much of `bytes` as the broker takes before `until` is ready; how many those were.
    pub(crate) async fn send_until(
        &mut self,
        bytes: &[u8],
        until: impl Future<Output = ()>,
    ) -> usize {
        tokio::select! {
            biased;
            taken = self.stream.write(bytes) => taken.expect("the broker reads"),
            () = until => 0,
        }
    }

    /// The next packet from the broker.
    #[track_caller]
    pub(crate) fn receive(&mut self) -> impl Future<Output = Packet> {
        let caller = std::panic::Location::caller();
        async move {
            match tokio::time::timeout(PATIENCE, self.next()).await {
                Ok(Some(packet)) => packet,
                Ok(None) => panic!("{caller}: the broker closed the connection"),
                Err(_) => panic!("{caller}: nothing came"),
            }
        }
    }

    /// The next packet, which must be a PUBLISH.
    #[track_caller]
    pub(crate) fn receive_publish(&mut self) -> impl Future<Output = Publish> {
        let caller = std::panic::Location::caller();
        let next = self.receive();
        async move {
            match next.await {
                Packet::Publish(publish) => publish,
                other => panic!("{caller}: expected PUBLISH, got {other:?}"),
            }
        }
    }

    /// The broker closes the connection without another packet.
    #[track_caller]
    pub(crate) fn receive_end(&mut self) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move {
            match tokio::time::timeout(PATIENCE, self.next()).await {
                Ok(None) => {}
                Ok(Some(packet)) => panic!("{caller}: expected the end, got {packet:?}"),
                Err(_) => panic!("{caller}: the connection stays open"),
            }
        }
    }

    /// The next packet, or `None` if the broker closes.
    pub(crate) async fn receive_or_end(&mut self) -> Option<Packet> {
        tokio::time::timeout(PATIENCE, self.next())
            .await
            .expect("a packet or the end")
    }

    /// Reads until the broker closes.
    pub(crate) async fn read_to_end(&mut self) {
        while self.receive_or_end().await.is_some() {}
    }

    /// DISCONNECT with this reason, then the end; in 3.x the end alone.
    #[track_caller]
    pub(crate) fn receive_disconnect(
        &mut self,
        reason: DisconnectReason,
    ) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move {
            if self.version == V5 {
                match self.receive().await {
                    Packet::Disconnect(disconnect) => {
                        assert_eq!(disconnect.reason, reason, "{caller}")
                    }
                    other => panic!("{caller}: expected DISCONNECT, got {other:?}"),
                }
            }
            self.receive_end().await;
        }
    }

    /// Asserts that nothing is on its way: PINGREQ is answered with PINGRESP and nothing before it.
    #[track_caller]
    pub(crate) fn receive_nothing(&mut self) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move {
            self.send(Packet::PingReq).await;
            match self.receive().await {
                Packet::PingResp => {}
                other => panic!("{caller}: expected nothing, got {other:?}"),
            }
        }
    }

    /// Waits for this packet; messages that overtake it are received later.
    #[track_caller]
    pub(crate) fn receive_before_more_messages(
        &mut self,
        expected: Packet,
    ) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move {
            let mut overtook = VecDeque::new();
            loop {
                match self.receive().await {
                    got if got == expected => break,
                    message @ Packet::Publish(_) => overtook.push_back(message),
                    other => panic!("{caller}: expected {expected:?}, got {other:?}"),
                }
            }
            overtook.append(&mut self.set_aside);
            self.set_aside = overtook;
        }
    }

    async fn next(&mut self) -> Option<Packet> {
        if let Some(packet) = self.set_aside.pop_front() {
            return Some(packet);
        }
        loop {
            let bytes = self.unread.clone().freeze();
            let limits = DecodeLimits::default();
            match Packet::decode(&bytes, self.version, &limits)
                .expect("the broker sends valid packets")
            {
                Some((packet, used)) => {
                    let _ = self.unread.split_to(used);
                    return Some(packet);
                }
                None => match self.stream.read_buf(&mut self.unread).await {
                    Ok(0) | Err(_) => return None,
                    Ok(_) => {}
                },
            }
        }
    }

    /// Subscribes and returns what was granted.
    pub(crate) async fn subscribe(&mut self, filter: &str, qos: QoS) -> SubAck {
        self.subscribe_with(subscribe(1, &[(filter, SubscriptionOptions::new(qos))]))
            .await
    }

    pub(crate) async fn subscribe_with(&mut self, subscribe: Subscribe) -> SubAck {
        self.send(Packet::Subscribe(subscribe)).await;
        match self.receive().await {
            Packet::SubAck(suback) => suback,
            other => panic!("expected SUBACK, got {other:?}"),
        }
    }

    /// Unsubscribes and returns the answer.
    pub(crate) async fn unsubscribe(&mut self, filters: &[&str]) -> UnsubAck {
        self.send(Packet::Unsubscribe(Unsubscribe {
            packet_id: packet_id(2),
            properties: Default::default(),
            filters: filters.iter().map(|filter| text(filter)).collect(),
        }))
        .await;
        match self.receive().await {
            Packet::UnsubAck(unsuback) => unsuback,
            other => panic!("expected UNSUBACK, got {other:?}"),
        }
    }

    /// The next message, acknowledged to the end of its exchange.
    #[track_caller]
    pub(crate) fn take(&mut self) -> impl Future<Output = Publish> {
        let caller = std::panic::Location::caller();
        async move {
            let publish = match self.receive().await {
                Packet::Publish(publish) => publish,
                other => panic!("{caller}: expected PUBLISH, got {other:?}"),
            };
            match publish.guarantee {
                Guarantee::AtMostOnce => {}
                Guarantee::AtLeastOnce { id, .. } => self.send(puback(id.get())).await,
                Guarantee::ExactlyOnce { id, .. } => {
                    self.send(pubrec(id.get())).await;
                    self.receive_before_more_messages(pubrel(id.get())).await;
                    self.send(pubcomp(id.get())).await;
                }
            }
            publish
        }
    }

    /// The payload of the next message, which is acknowledged.
    #[track_caller]
    pub(crate) fn take_payload(&mut self) -> impl Future<Output = String> {
        let take = self.take();
        async move { String::from_utf8_lossy(&take.await.payload).into_owned() }
    }

    /// The payloads of the next messages are these, in this order; each is acknowledged.
    #[track_caller]
    pub(crate) fn take_payloads(&mut self, expected: &[&str]) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move {
            for payload in expected {
                assert_eq!(self.take_payload().await, *payload, "{caller}");
            }
        }
    }

    /// Publishes at QoS 2 and goes through the whole exchange.
    pub(crate) async fn publish_completed(&mut self, topic: &str, payload: &str) {
        self.send(publish(topic, payload).exactly_once(1)).await;
        match self.receive().await {
            Packet::PubRec(answer) => assert!(!answer.reason.is_error(), "{answer:?}"),
            other => panic!("expected PUBREC, got {other:?}"),
        }
        self.send(pubrel(1)).await;
        assert_eq!(self.receive().await, pubcomp(1));
    }

    /// Publishes at QoS 0 and waits until the broker has read it.
    pub(crate) async fn publish_read(&mut self, message: Publish) {
        self.send(message).await;
        self.receive_nothing().await;
    }

    /// Publishes at QoS 1 and waits for the PUBACK.
    pub(crate) async fn publish_acked(&mut self, topic: &str, payload: &str) -> PubAck {
        self.send(publish(topic, payload).at_least_once(1)).await;
        match self.receive().await {
            Packet::PubAck(puback) => puback,
            other => panic!("expected PUBACK, got {other:?}"),
        }
    }

    /// Closes the socket without a word.
    pub(crate) fn cut(self) {
        drop(self);
    }

    /// Closes the socket with a reset.
    pub(crate) fn reset(self) {
        let Stream::Tcp(socket) = self.stream else {
            panic!("only TCP has resets")
        };
        socket.set_zero_linger().expect("a TCP option");
    }

    /// Says goodbye and waits until the broker has closed.
    pub(crate) async fn disconnect(mut self) {
        self.send(Packet::Disconnect(Disconnect::new(
            DisconnectReason::NormalDisconnection,
        )))
        .await;
        self.receive_end().await;
    }
}

/// A CONNECT with a clean session and no keep alive.
pub(crate) fn connect(version: ProtocolVersion, client_id: &str) -> Connect {
    Connect {
        clean_start: true,
        keep_alive: 0,
        ..Connect::new(version, text(client_id))
    }
}

/// A CONNECT for a session that outlives its connection.
pub(crate) fn connect_durable(version: ProtocolVersion, client_id: &str) -> Connect {
    let mut connect = Connect {
        clean_start: false,
        keep_alive: 0,
        ..Connect::new(version, text(client_id))
    };
    if version == V5 {
        connect.properties.set_session_expiry_interval(3600);
    }
    connect
}

pub(crate) fn subscribe(id: u16, filters: &[(&str, SubscriptionOptions)]) -> Subscribe {
    Subscribe {
        packet_id: packet_id(id),
        properties: Default::default(),
        subscriptions: filters
            .iter()
            .map(|(filter, options)| Subscription {
                filter: text(filter),
                options: *options,
            })
            .collect(),
    }
}

/// A PUBLISH at QoS 0, to be refined.
pub(crate) fn publish(topic: &str, payload: &str) -> Publish {
    Publish {
        guarantee: Guarantee::AtMostOnce,
        retain: false,
        topic: text(topic),
        properties: Default::default(),
        payload: Bytes::copy_from_slice(payload.as_bytes()),
    }
}

/// What a test may send.
pub(crate) trait IntoPacket {
    fn into_packet(self) -> Packet;
}

impl IntoPacket for Packet {
    fn into_packet(self) -> Packet {
        self
    }
}

impl IntoPacket for Publish {
    fn into_packet(self) -> Packet {
        Packet::Publish(self)
    }
}

/// Words to refine a PUBLISH with.
pub(crate) trait Refine {
    fn at_least_once(self, id: u16) -> Self;
    fn exactly_once(self, id: u16) -> Self;
    fn dup(self) -> Self;
    fn retained(self) -> Self;
}

impl Refine for Publish {
    fn at_least_once(self, id: u16) -> Self {
        Self {
            guarantee: Guarantee::AtLeastOnce {
                id: packet_id(id),
                dup: false,
            },
            ..self
        }
    }

    fn exactly_once(self, id: u16) -> Self {
        Self {
            guarantee: Guarantee::ExactlyOnce {
                id: packet_id(id),
                dup: false,
            },
            ..self
        }
    }

    fn dup(mut self) -> Self {
        match &mut self.guarantee {
            Guarantee::AtMostOnce => panic!("QoS 0 has no DUP"),
            Guarantee::AtLeastOnce { dup, .. } | Guarantee::ExactlyOnce { dup, .. } => *dup = true,
        }
        self
    }

    fn retained(self) -> Self {
        Self {
            retain: true,
            ..self
        }
    }
}

/// A Will at QoS 0, to be refined.
pub(crate) fn will(topic: &str, payload: &str) -> Will {
    Will {
        topic: text(topic),
        payload: Bytes::copy_from_slice(payload.as_bytes()),
        qos: QoS::AtMostOnce,
        retain: false,
        properties: Default::default(),
    }
}

pub(crate) fn puback(id: u16) -> Packet {
    Packet::PubAck(PubAck::success(packet_id(id)))
}

pub(crate) fn pubrec(id: u16) -> Packet {
    Packet::PubRec(PubRec::success(packet_id(id)))
}

pub(crate) fn pubrel(id: u16) -> Packet {
    Packet::PubRel(PubRel::success(packet_id(id)))
}

pub(crate) fn pubcomp(id: u16) -> Packet {
    Packet::PubComp(PubComp::success(packet_id(id)))
}

pub(crate) fn packet_id(id: u16) -> PacketId {
    PacketId::new(id).expect("packet ids begin with 1")
}

pub(crate) fn text(text: &str) -> Utf8String {
    Utf8String::try_from(text).expect("a valid string")
}
