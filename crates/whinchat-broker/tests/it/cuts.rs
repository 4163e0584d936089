//! Connections that break at any step: what QoS 1 and QoS 2 promise holds all the same.
//!
//! Where a connection breaks follows from the seed of the scene.

use std::collections::{BTreeMap, HashSet};

use fastrand::Rng;
use whinchat_broker::Broker;
use whinchat_codec::{Guarantee, Packet, ProtocolVersion, QoS};

use crate::{
    harness::{TestBroker, limited, on_every_broker_with},
    peer::{
        Peer, Refine, V5, V31, V311, connect_durable, puback, pubcomp, publish, pubrec, pubrel,
    },
};

const MESSAGES: u16 = 25;

/// The clock stands still: nobody waits for a take-over that is held back.
fn many_take_overs() -> impl Fn(Broker) -> Broker {
    limited(|limits| limits.takeovers = 1_000_000)
}

/// A client with a session that goes on, over connections that do not.
struct Unlucky<'a> {
    broker: &'a TestBroker,
    version: ProtocolVersion,
    client_id: String,
    peer: Peer,
    /// Connections that were taken over and not closed.
    left: Vec<Peer>,
    random: Rng,
    /// QoS 2 ids that were received and not released.
    held: HashSet<u16>,
}

impl<'a> Unlucky<'a> {
    async fn new(broker: &'a TestBroker, version: ProtocolVersion, client_id: &str) -> Self {
        let connect = connect_durable(version, client_id);
        let (peer, _) = Peer::connected_with(broker, connect).await;
        Self {
            broker,
            version,
            client_id: client_id.to_owned(),
            peer,
            left: Vec::new(),
            random: broker.random(client_id),
            held: HashSet::new(),
        }
    }

    /// Now and then the connection breaks, or is taken over; true if it did.
    async fn breaks(&mut self) -> bool {
        let luck = self.random.u8(..8);
        if luck > 1 {
            return false;
        }
        let connect = connect_durable(self.version, &self.client_id);
        let mut next = Peer::silent(self.broker, self.version);
        if luck == 0 {
            let old = std::mem::replace(&mut self.peer, next);
            old.cut();
        } else {
            std::mem::swap(&mut self.peer, &mut next);
            self.left.push(next);
        }
        let connack = self.peer.log_in(connect).await;
        assert!(!connack.reason.is_error());
        assert_eq!(connack.session_present, self.version != V31);
        true
    }

    async fn publish_at_least_once(&mut self, id: u16, payload: &str) {
        let mut message = publish("t", payload).at_least_once(id);
        loop {
            self.peer.send(message.clone()).await;
            message = message.dup();
            if self.breaks().await {
                continue;
            }
            assert_eq!(self.peer.receive().await, puback(id));
            return;
        }
    }

    async fn publish_exactly_once(&mut self, id: u16, payload: &str) {
        let mut message = publish("t", payload).exactly_once(id);
        loop {
            self.peer.send(message.clone()).await;
            message = message.dup();
            if self.breaks().await {
                continue;
            }
            assert_eq!(self.peer.receive().await, pubrec(id));
            if self.breaks().await {
                continue; // it does not have to remember that
            }
            break;
        }
        loop {
            self.peer.send(pubrel(id)).await;
            if self.breaks().await {
                continue;
            }
            // 5.0 says 0x92 to the second one.
            assert!(matches!(self.peer.receive().await, Packet::PubComp(_)));
            return;
        }
    }

    /// The next message that was not received before; `None` at the end of a round of pings.
    async fn take(&mut self) -> Option<String> {
        self.peer.send(Packet::PingReq).await;
        loop {
            match self.peer.receive().await {
                Packet::PingResp => return None,
                Packet::Publish(message) => {
                    let payload = String::from_utf8_lossy(&message.payload).into_owned();
                    match message.guarantee {
                        Guarantee::AtMostOnce => panic!("the subscription has more"),
                        Guarantee::AtLeastOnce { id, .. } => {
                            if self.breaks().await {
                                return Some(payload); // and it comes once more
                            }
                            self.peer.send(puback(id.get())).await;
                            self.breaks().await;
                            return Some(payload);
                        }
                        Guarantee::ExactlyOnce { id, dup } => {
                            let is_new = self.held.insert(id.get());
                            assert!(is_new || dup, "a repetition says that it is one");
                            if !self.breaks().await {
                                self.peer.send(pubrec(id.get())).await;
                                self.breaks().await;
                            }
                            if is_new {
                                return Some(payload);
                            }
                            self.peer.send(Packet::PingReq).await;
                        }
                    }
                }
                Packet::PubRel(release) => {
                    let id = release.packet_id.get();
                    self.held.remove(&id);
                    self.peer.send(pubcomp(id)).await;
                    if self.breaks().await {
                        self.peer.send(Packet::PingReq).await;
                    }
                }
                other => panic!("expected PUBLISH or PUBREL, got {other:?}"),
            }
        }
    }
}

async fn publish_all(broker: &TestBroker, version: ProtocolVersion, qos: QoS) {
    let mut publisher = Unlucky::new(broker, version, "publisher").await;
    for number in 1..=MESSAGES {
        let payload = number.to_string();
        if qos == QoS::ExactlyOnce {
            publisher.publish_exactly_once(number, &payload).await;
        } else {
            publisher.publish_at_least_once(number, &payload).await;
        }
    }
}

/// T-51, T-57
#[tokio::test]
async fn qos_2_comes_exactly_once_and_in_order() {
    on_every_broker_with(many_take_overs(), async |broker| {
        for version in [V31, V311, V5] {
            let id = format!("subscriber of {version:?}");
            let mut subscriber = Unlucky::new(broker, version, &id).await;
            subscriber.peer.subscribe("t", QoS::ExactlyOnce).await;
            let receive = async {
                let mut next = 1;
                while next <= MESSAGES {
                    match subscriber.take().await {
                        Some(payload) => {
                            assert_eq!(payload, next.to_string());
                            next += 1;
                        }
                        None => tokio::task::yield_now().await,
                    }
                }
                broker.settle().await;
                assert_eq!(subscriber.take().await, None);
            };
            tokio::join!(publish_all(broker, version, QoS::ExactlyOnce), receive);
            Peer::connected(broker, version, &id)
                .await
                .disconnect()
                .await;
        }
    })
    .await;
}

/// T-51, T-57
#[tokio::test]
async fn qos_1_comes_at_least_once_and_first_in_order() {
    on_every_broker_with(many_take_overs(), async |broker| {
        for version in [V31, V311, V5] {
            let id = format!("subscriber of {version:?}");
            let mut subscriber = Unlucky::new(broker, version, &id).await;
            subscriber.peer.subscribe("t", QoS::AtLeastOnce).await;
            let receive = async {
                let mut last = 0;
                while last < MESSAGES {
                    match subscriber.take().await {
                        Some(payload) => {
                            let number: u16 = payload.parse().unwrap();
                            assert!(number <= last + 1, "{number} behind {last}");
                            last = last.max(number);
                        }
                        None => tokio::task::yield_now().await,
                    }
                }
            };
            tokio::join!(publish_all(broker, version, QoS::AtLeastOnce), receive);
            Peer::connected(broker, version, &id)
                .await
                .disconnect()
                .await;
        }
    })
    .await;
}

/// T-79
#[tokio::test]
async fn a_group_gets_each_qos_2_message_exactly_once() {
    on_every_broker_with(many_take_overs(), async |broker| {
        let mut members = Vec::new();
        for id in ["one", "two", "three"] {
            let mut member = Unlucky::new(broker, V5, id).await;
            member.peer.subscribe("$share/g/t", QoS::ExactlyOnce).await;
            members.push(member);
        }
        let receive = async {
            let mut seen: BTreeMap<u16, usize> = BTreeMap::new();
            while seen.len() < usize::from(MESSAGES) {
                for member in &mut members {
                    while let Some(payload) = member.take().await {
                        *seen.entry(payload.parse().unwrap()).or_default() += 1;
                    }
                }
                tokio::task::yield_now().await;
            }
            broker.settle().await;
            for member in &mut members {
                assert_eq!(member.take().await, None);
            }
            assert!(seen.values().all(|times| *times == 1), "{seen:?}");
        };
        tokio::join!(publish_all(broker, V5, QoS::ExactlyOnce), receive);
    })
    .await;
}
