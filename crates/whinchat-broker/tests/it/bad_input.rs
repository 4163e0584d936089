//! What a broken or hostile peer sends to the running broker: it is answered as stated, and nobody
//! else notices.
//!
//! The numbers T-01 to T-59 are rows of the threat catalogue. Those that need another transport, a
//! durable store or a load rig are tested with them.

mod connection;
mod flows;
mod framing;
mod topics;
mod vectors;

use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use whinchat_broker::BrokerHandle;
use whinchat_codec::{DecodeLimits, Packet, ProtocolVersion, QoS};
use whinchat_transport::Stream;

use crate::peer::{IntoPacket, Peer, Refine, V5, V311, puback, publish};

/// Long enough for any machine; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// Two clients that behave, and what the broker held when only they were there.
struct Witnesses<'b> {
    broker: &'b BrokerHandle,
    subscriber: Peer,
    publisher: Peer,
    sent: u32,
    held: Held,
}

/// What the broker holds for its clients.
#[derive(Debug, PartialEq, Eq)]
struct Held {
    connections: u64,
    sessions: u64,
    subscriptions: u64,
    shared_subscriptions: u64,
}

impl Held {
    fn by(broker: &BrokerHandle) -> Self {
        let metrics = broker.metrics();
        Self {
            connections: metrics.sum_gauge(|shard| shard.connections.value()),
            sessions: metrics.sum_gauge(|shard| shard.sessions.value()),
            subscriptions: metrics.sum_gauge(|shard| shard.subscriptions.value()),
            shared_subscriptions: metrics.sum_gauge(|shard| shard.shared_subscriptions.value()),
        }
    }
}

impl<'b> Witnesses<'b> {
    async fn of(broker: &'b BrokerHandle) -> Self {
        let mut subscriber = Peer::connected(broker, V5, "good-subscriber").await;
        subscriber.subscribe("good/+", QoS::AtLeastOnce).await;
        let publisher = Peer::connected(broker, V5, "good-publisher").await;
        let mut witnesses = Self {
            broker,
            subscriber,
            publisher,
            sent: 0,
            held: Held::by(broker),
        };
        witnesses.notice_nothing().await;
        witnesses
    }

    /// A message goes from one to the other, and nothing else has reached either.
    async fn notice_nothing(&mut self) {
        self.sent += 1;
        let text = self.sent.to_string();
        self.publisher
            .send(publish("good/news", &text).at_least_once(1))
            .await;
        assert_eq!(self.publisher.receive().await, puback(1));
        let got = self.subscriber.receive_publish().await;
        assert_eq!((&*got.topic, &*got.payload), ("good/news", text.as_bytes()));
        let id = got.guarantee.packet_id().expect("a QoS 1 message").get();
        self.subscriber.send(puback(id)).await;
    }

    /// The offenders have gone: what the broker kept for them is free, and nothing panicked.
    async fn are_alone_again(mut self) {
        self.notice_nothing().await;
        eventually(
            || Held::by(self.broker) == self.held,
            || format!("{:?} is held, not {:?}", Held::by(self.broker), self.held),
        )
        .await;
        assert_eq!(self.broker.metrics().shared().panics.value(), 0);
    }
}

/// Waits until the broker's threads have come to where `is_so` holds.
async fn eventually(is_so: impl Fn() -> bool, or_else: impl Fn() -> String) {
    let begun = std::time::Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{}", or_else());
        tokio::task::yield_now().await; // a metric has no event to wait for
    }
}

/// A connection that sends bytes and shows what comes back.
struct Raw {
    stream: Stream,
    version: ProtocolVersion,
    received: BytesMut,
}

/// What came back until the broker closed the connection.
#[derive(Debug, PartialEq)]
struct Answer(Vec<Packet>);

impl Raw {
    fn silent(broker: &BrokerHandle, version: ProtocolVersion) -> Self {
        Self {
            stream: broker.connect_in_memory(),
            version,
            received: BytesMut::new(),
        }
    }

    /// Sends the bytes as they are; the broker may close while they are on their way.
    async fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    /// Everything up to the end of the connection; `Err` with what came if it stays open.
    async fn until_closed(mut self) -> Result<Answer, Vec<Packet>> {
        let read = async {
            while self
                .stream
                .read_buf(&mut self.received)
                .await
                .is_ok_and(|count| count > 0)
            {}
        };
        let ended = tokio::time::timeout(PATIENCE, read).await;
        let packets = decoded(&self.received, self.version);
        match ended {
            Ok(()) => Ok(Answer(packets)),
            Err(_) => Err(packets),
        }
    }
}

/// All packets in what the broker sent. A CONNECT of a version to come is answered in the form of 5.0.
fn decoded(bytes: &[u8], version: ProtocolVersion) -> Vec<Packet> {
    let limits = DecodeLimits::default();
    let mut rest = bytes::Bytes::copy_from_slice(bytes);
    let mut packets = Vec::new();
    while let Some((packet, used)) = Packet::decode(&rest, version, &limits)
        .or_else(|_| Packet::decode(&rest, V5, &limits))
        .or_else(|_| Packet::decode(&rest, V311, &limits))
        .expect("the broker sends valid packets")
    {
        packets.push(packet);
        let _ = rest.split_to(used);
    }
    assert!(rest.is_empty(), "a cut packet: {rest:?}");
    packets
}

/// The packets one behind the other, as one write.
fn encoded(version: ProtocolVersion, packets: impl IntoIterator<Item = Packet>) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    for packet in packets {
        packet
            .into_packet()
            .encode(version, &mut bytes)
            .expect("a packet of this version");
    }
    bytes.to_vec()
}
