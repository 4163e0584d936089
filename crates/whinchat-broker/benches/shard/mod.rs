//! One shard, its clients in memory, and one PUBLISH from end to end.

use std::{
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::BytesMut;
use whinchat_broker::{Broker, Clock, ClockHand, SteppedBroker};
use whinchat_codec::{
    ConnectRef, DecodeLimits, Guarantee, PacketId, PacketRef, ProtocolVersion, PubAckRef,
    PubCompRef, PubRecRef, PubRelRef, PublishRef, QoS, SubscribeRef, Subscription,
    SubscriptionOptions, decode,
};
use whinchat_transport::Stream;

const VERSION: ProtocolVersion = ProtocolVersion::V311;
const TOPIC: &str = "sensors/temperature/lab1";
const PAYLOAD: &[u8; 64] = &[b'x'; 64];
const TURNS_MAX: usize = 1_000;

/// What is published, and to whom.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    pub(crate) qos: QoS,
    pub(crate) subscribers: usize,
    /// Frames of one write.
    pub(crate) frames: usize,
    pub(crate) retain: bool,
    /// Whether the subscribers have sessions that outlive their connections.
    pub(crate) kept: bool,
}

impl Case {
    pub(crate) const fn new(qos: QoS, subscribers: usize) -> Self {
        Self {
            qos,
            subscribers,
            frames: 1,
            retain: false,
            kept: false,
        }
    }
}

/// A client that answers what the protocol wants answered, and nothing else.
struct Client {
    stream: Stream,
    out: BytesMut,
}

/// A broker of one shard and its clients.
pub(crate) struct Bench {
    broker: SteppedBroker,
    _clock: ClockHand,
    publisher: Client,
    subscribers: Vec<Client>,
    published: BytesMut,
    buffer: Vec<u8>,
    /// PUBLISH packets that have come to subscribers.
    pub(crate) delivered: usize,
}

impl Client {
    fn connect(broker: &mut SteppedBroker, client_id: &str, clean_start: bool) -> Self {
        let connect = ConnectRef {
            version: VERSION,
            clean_start,
            keep_alive: 0,
            client_id,
            will: None,
            user_name: None,
            password: None,
            properties: Default::default(),
        };
        let mut out = BytesMut::new();
        connect.encode(VERSION, &mut out).unwrap();
        Self {
            stream: broker.connect_in_memory(),
            out,
        }
    }

    fn subscribe(&mut self, qos: QoS) {
        let subscriptions = [Subscription {
            filter: TOPIC.try_into().unwrap(),
            options: SubscriptionOptions::new(qos),
        }];
        let subscribe = SubscribeRef {
            packet_id: PacketId::MIN,
            properties: Default::default(),
            subscriptions: subscriptions.as_slice().into(),
        };
        subscribe.encode(VERSION, &mut self.out).unwrap();
    }

    fn write(&mut self) {
        if self.out.is_empty() {
            return;
        }
        let cx = &mut Context::from_waker(Waker::noop());
        let Poll::Ready(Ok(written)) = self.stream.poll_write(cx, &self.out) else {
            panic!("a client's pipe is full or broken");
        };
        assert_eq!(written, self.out.len(), "the pipe takes a whole batch");
        self.out.clear();
    }

    /// Reads what has come and appends the answers. Gives the number of PUBLISH packets, or nothing if nothing came.
    fn read(&mut self, buffer: &mut [u8]) -> Option<usize> {
        let cx = &mut Context::from_waker(Waker::noop());
        let Poll::Ready(read) = self.stream.poll_read(cx, buffer) else {
            return None;
        };
        let mut rest = &buffer[..read.unwrap()];
        let mut delivered = 0;
        while let Some((packet, len)) = decode(rest, VERSION, &DecodeLimits::default()).unwrap() {
            match packet {
                PacketRef::Publish(publish) => {
                    delivered += 1;
                    match publish.guarantee {
                        Guarantee::AtMostOnce => {}
                        Guarantee::AtLeastOnce { id, .. } => PubAckRef::success(id)
                            .encode(VERSION, &mut self.out)
                            .unwrap(),
                        Guarantee::ExactlyOnce { id, .. } => PubRecRef::success(id)
                            .encode(VERSION, &mut self.out)
                            .unwrap(),
                    }
                }
                PacketRef::PubRec(pubrec) => PubRelRef::success(pubrec.packet_id)
                    .encode(VERSION, &mut self.out)
                    .unwrap(),
                PacketRef::PubRel(pubrel) => PubCompRef::success(pubrel.packet_id)
                    .encode(VERSION, &mut self.out)
                    .unwrap(),
                PacketRef::ConnAck(_)
                | PacketRef::SubAck(_)
                | PacketRef::PubAck(_)
                | PacketRef::PubComp(_) => {}
                PacketRef::Connect(_)
                | PacketRef::Subscribe(_)
                | PacketRef::Unsubscribe(_)
                | PacketRef::UnsubAck(_)
                | PacketRef::PingReq
                | PacketRef::PingResp
                | PacketRef::Disconnect(_)
                | PacketRef::Auth(_) => panic!("a packet is out of place"),
            }
            rest = &rest[len..];
        }
        Some(delivered)
    }
}

impl Bench {
    /// Connected, subscribed, and warm: the case has been played a few times.
    pub(crate) fn new(case: Case) -> Self {
        let (clock, hand) = Clock::manual();
        let builder = Broker::builder().threads(1).clock(clock);
        let mut broker = builder.start_stepped().unwrap();
        let publisher = Client::connect(&mut broker, "publisher", true);
        let mut subscribers = Vec::new();
        for number in 0..case.subscribers {
            let client_id = format!("subscriber-{number}");
            let mut subscriber = Client::connect(&mut broker, &client_id, !case.kept);
            subscriber.subscribe(case.qos);
            subscribers.push(subscriber);
        }
        hand.advance(Duration::from_secs(1));
        let mut bench = Self {
            broker,
            _clock: hand,
            publisher,
            subscribers,
            published: publish(case),
            buffer: vec![0; 64 * 1024],
            delivered: 0,
        };
        bench.exchange();
        for _ in 0..10 {
            bench.delivered = 0;
            bench.publish();
            assert_eq!(bench.delivered, case.frames * case.subscribers);
        }
        bench
    }

    /// One write of the publisher, until nobody has anything to say any more.
    pub(crate) fn publish(&mut self) {
        self.publisher.out.extend_from_slice(&self.published);
        self.exchange();
    }

    fn exchange(&mut self) {
        loop {
            let clients = self.subscribers.iter_mut();
            for client in clients.chain([&mut self.publisher]) {
                client.write();
            }
            assert!(self.broker.settle(TURNS_MAX), "the broker comes to rest");
            let mut is_quiet = true;
            let clients = self.subscribers.iter_mut();
            for client in clients.chain([&mut self.publisher]) {
                while let Some(delivered) = client.read(&mut self.buffer) {
                    self.delivered += delivered;
                    is_quiet = false;
                }
            }
            if is_quiet {
                return;
            }
        }
    }
}

fn publish(case: Case) -> BytesMut {
    let mut bytes = BytesMut::new();
    for number in 1..=case.frames {
        let id = PacketId::new(u16::try_from(number).unwrap()).unwrap();
        let publish = PublishRef {
            guarantee: Guarantee::new(case.qos, id, false),
            retain: case.retain,
            topic: TOPIC,
            properties: Default::default(),
            payload: PAYLOAD,
        };
        publish.encode(VERSION, &mut bytes).unwrap();
    }
    bytes
}
