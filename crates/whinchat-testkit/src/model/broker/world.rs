//! A stepped broker, its clients, and the book: what is sent, what comes back, and whether it should.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::BytesMut;
use whinchat_broker::{
    Broker, Clock, ClockHand, SteppedBroker, config::Config, metrics::DropLabel,
};
use whinchat_codec::{
    Disconnect, DisconnectReason, Packet, PacketId, PacketType, ProtocolVersion, PubAck, PubComp,
    PubRec, QoS, Subscribe, SubscribeProperties, Subscription, Unsubscribe, Utf8String,
};
use whinchat_store::{DelayedLog, Log};

use super::book::{Book, Link, Session};
use super::client::{Client, Phase, read_all};
use super::step::{ConnectWords, FILTERS, PLAIN, PublishWords, Step, StrayAnswer, id_of};
use crate::model::ledger::{Entry, Ledger, Millis, Terms};

/// A deadline is acted on within this time. No step ends so soon behind one.
const LAG: Millis = 500;
const RECEIVE_MAXIMUM: u16 = 4;

/// An answer that a client waits for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Awaited {
    pub(super) packet: PacketType,
    pub(super) id: PacketId,
    /// The groups of the log that were appended before, if it has to wait for one more.
    pub(super) behind: Option<u64>,
}

/// What earlier brokers of a case had counted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) offline: u64,
    pub(super) given_up: u64,
    pub(super) wills: u64,
    pub(super) sent: u64,
}

/// See the module.
#[derive(Debug)]
pub struct World {
    pub(super) broker: Option<SteppedBroker>,
    pub(super) clock: Clock,
    pub(super) hand: ClockHand,
    pub(super) log: Option<LateLog>,
    /// Which of the ready shards is next.
    pub(super) random: fastrand::Rng,
    pub(super) clients: Vec<Client>,
    pub(super) answers: Vec<VecDeque<Awaited>>,
    /// Whether the next CONNACK has to say that the session is present, and what it waits for.
    pub(super) connacks: Vec<(bool, Option<u64>)>,
    pub(super) terms: Vec<(Terms, bool)>,
    pub(super) book: Book,
    pub(super) next_number: u32,
    /// PUBLISH packets that were seen for the first time.
    pub(super) seen: u64,
    pub(super) counted: Counts,
}

pub(super) struct LateLog(pub(super) Arc<DelayedLog>);

impl std::fmt::Debug for LateLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("LateLog").field(&self.0.stats()).finish()
    }
}

impl LateLog {
    pub(super) fn appended(&self) -> u64 {
        self.0.stats().groups
    }

    pub(super) fn is_idle(&self) -> bool {
        self.0.pending_bytes() == 0
    }
}

impl World {
    pub(super) fn new(versions: &[ProtocolVersion], shards: u16, seed: Option<u64>) -> Self {
        let (clock, hand) = Clock::manual();
        let log = seed.map(|seed| LateLog(Arc::new(DelayedLog::manual(seed))));
        let clients = versions.iter().enumerate();
        let mut world = Self {
            broker: None,
            clock,
            hand,
            random: fastrand::Rng::with_seed(seed.unwrap_or(u64::from(shards))),
            clients: clients
                .map(|(number, version)| Client::new(number, *version))
                .collect(),
            answers: vec![VecDeque::new(); versions.len()],
            connacks: vec![(false, None); versions.len()],
            terms: vec![(no_terms(), false); versions.len()],
            book: Book::new(versions.len(), log.is_some()),
            log,
            next_number: 0,
            seen: 0,
            counted: Counts::default(),
        };
        world.start(shards);
        world
    }

    fn start(&mut self, shards: u16) {
        let mut config = Config::embedded();
        config.limits.receive_maximum = RECEIVE_MAXIMUM;
        config.limits.takeovers = u32::MAX;
        let mut builder = Broker::builder()
            .config(config)
            .threads(shards)
            .clock(self.clock.clone());
        if let Some(log) = &self.log {
            builder = builder.log(Arc::clone(&log.0) as Arc<dyn Log>);
        }
        self.broker = Some(builder.start_stepped().expect("a broker starts"));
    }

    pub(super) fn broker(&mut self) -> &mut SteppedBroker {
        self.broker.as_mut().expect("there is a broker")
    }

    // ---- steps ----

    pub(super) fn take(&mut self, step: &Step) {
        if self.book.is_lost {
            return;
        }
        match *step {
            Step::Connect(client, ref words) => self.connect(client.into(), words),
            Step::Publish(client, ref words) => {
                let client = usize::from(client);
                if self.clients[client].has_room() {
                    let publish = self.new_publish(client, words);
                    self.send(client, &publish);
                }
            }
            Step::Subscribe {
                client,
                filter,
                options,
                has_id,
            } => {
                let client = usize::from(client);
                let is_shared = usize::from(filter) >= PLAIN;
                let is_v5 = self.clients[client].version.is_v5();
                if !self.clients[client].has_room() || (is_shared && !is_v5) {
                    return;
                }
                let mut properties = SubscribeProperties::new();
                if is_v5 && (has_id || is_shared) {
                    let set = properties.set_subscription_identifier(id_of(filter));
                    set.expect("not 0");
                }
                let options = if is_v5 {
                    options
                } else {
                    whinchat_codec::SubscriptionOptions::new(options.qos)
                };
                let subscribe = Packet::Subscribe(Subscribe {
                    packet_id: self.clients[client].request(),
                    properties,
                    subscriptions: vec![Subscription {
                        filter: text(FILTERS[usize::from(filter)]),
                        options,
                    }],
                });
                self.send(client, &subscribe);
            }
            Step::Unsubscribe(client, filter) => {
                let client = usize::from(client);
                if !self.clients[client].has_room() {
                    return;
                }
                let unsubscribe = Packet::Unsubscribe(Unsubscribe {
                    packet_id: self.clients[client].request(),
                    properties: Default::default(),
                    filters: vec![text(FILTERS[usize::from(filter)])],
                });
                self.send(client, &unsubscribe);
            }
            Step::Answer {
                client,
                which,
                refuses,
            } => {
                let client = usize::from(client);
                if let Some(answer) = self.clients[client].answer(which.into(), refuses) {
                    self.send(client, &answer);
                }
            }
            Step::AnswerAll(client) => self.answer_all(client.into()),
            Step::Release(client, which) => {
                let client = usize::from(client);
                if let Some(pubrel) = self.clients[client].release(which.into()) {
                    self.send(client, &pubrel);
                }
            }
            Step::Stray(client, answer, id) => {
                let client = usize::from(client);
                if self.clients[client].phase == Phase::Connected {
                    let id = PacketId::new(id).expect("not 0");
                    let packet = match answer {
                        StrayAnswer::PubAck => Packet::PubAck(PubAck::success(id)),
                        StrayAnswer::PubRec => Packet::PubRec(PubRec::success(id)),
                        StrayAnswer::PubComp => Packet::PubComp(PubComp::success(id)),
                    };
                    self.send(client, &packet);
                }
            }
            Step::Cut(client, bytes) => {
                let client = usize::from(client);
                self.clients[client].listen(bytes.map(usize::from).or(Some(usize::MAX)));
                self.close(client);
            }
            Step::CutWithin(client, bytes) => {
                let client = usize::from(client);
                if self.clients[client].has_room() {
                    let publish = self.new_publish(
                        client,
                        &PublishWords {
                            qos: QoS::ExactlyOnce,
                            topic: 0,
                            retain: false,
                            is_empty: false,
                            uses_alias: false,
                            expiry: None,
                        },
                    );
                    let bytes = usize::from(bytes);
                    let packet = self.encode(client, &publish);
                    let part = bytes.min(packet.len() - 1);
                    self.clients[client].write(&packet[..part]);
                    self.close(client);
                }
            }
            Step::Deaf(client, is_deaf) => self.clients[usize::from(client)].set_deaf(is_deaf),
            Step::Disconnect {
                client,
                with_will,
                expiry,
            } => self.disconnect(client.into(), with_will, expiry),
            Step::Wait(seconds) => self.wait(seconds),
            Step::Commit(steps) => {
                if let Some(log) = &self.log {
                    match steps {
                        Some(steps) => (0..steps).for_each(|_| log.0.tick()),
                        None => log.0.commit_all(),
                    }
                }
            }
            Step::Restart(shards) => self.restart(shards.into()),
        }
        self.run();
    }

    fn new_publish(&mut self, client: usize, words: &PublishWords) -> Packet {
        self.next_number += 1;
        let words = PublishWords {
            is_empty: words.is_empty && words.retain,
            ..*words
        };
        Packet::Publish(self.clients[client].publish(self.next_number, words))
    }

    pub(super) fn connect(&mut self, client: usize, words: &ConnectWords) {
        // The connection that it has, if any, is for the broker to close.
        let old = self.clients[client].take_stream();
        let was_attached = self
            .book
            .session(client)
            .is_some_and(|session| session.link != Link::Absent);
        self.answers[client].clear();
        self.next_number += 1;
        let will = self.next_number;
        let stream = self.broker().connect_in_memory();
        let connect = self.clients[client].connect(stream, words, will);
        let is_v5 = self.clients[client].version.is_v5();
        let behind = self.appended();
        let is_present = self.book.connect(client, words, will, is_v5);
        let waits = self.book.is_durable(client);
        self.connacks[client] = (is_present, behind.filter(|_| waits));
        let terms = Terms {
            receive_maximum: if is_v5 {
                words.receive_maximum.into()
            } else {
                32
            },
            topic_alias_maximum: if is_v5 { words.topic_alias_maximum } else { 0 },
            window: 256,
            has_properties: is_v5,
        };
        self.terms[client] = (terms, words.keeps_alive);
        let bytes = self.encode(client, &Packet::Connect(Box::new(connect)));
        self.clients[client].write(&bytes);
        self.settle();
        if let Some(mut old) = old {
            let (told, is_over) = read_all(&mut old);
            assert!(is_over, "the connection that was taken over stays open");
            let expected: &[u8] = match (was_attached, is_v5) {
                (true, true) => &[0xE0, 1, 0x8E],
                _ => &[],
            };
            let is_told = told.is_empty() || told[..] == *expected;
            assert!(
                is_told,
                "the connection that was taken over is told {told:02x?}"
            );
        }
    }

    fn close(&mut self, client: usize) {
        let waits = |session: &Session| session.link == Link::Attached;
        if self.book.session(client).is_some_and(waits) {
            // The broker does not look at a connection whose CONNACK waits for the log.
            self.catch_up();
        }
        if self.clients[client].take_stream().is_some() {
            self.answers[client].clear();
            self.settle();
            self.book.lose(client);
        }
    }

    fn disconnect(&mut self, client: usize, with_will: bool, expiry: Option<u32>) {
        if self.clients[client].phase != Phase::Connected {
            return;
        }
        let is_v5 = self.clients[client].version.is_v5();
        let with_will = with_will && is_v5;
        // It cannot be raised from 0.
        let expiry = expiry.filter(|_| is_v5 && self.book.is_durable(client));
        let mut disconnect = Disconnect {
            reason: if with_will {
                DisconnectReason::DisconnectWithWill
            } else {
                DisconnectReason::NormalDisconnection
            },
            properties: Default::default(),
        };
        if let Some(seconds) = expiry {
            disconnect.properties.set_session_expiry_interval(seconds);
        }
        let bytes = self.encode(client, &Packet::Disconnect(disconnect));
        self.clients[client].write(&bytes);
        self.settle();
        self.clients[client].take_stream();
        self.answers[client].clear();
        self.book.disconnect(client, with_will, expiry);
    }

    pub(super) fn answer_all(&mut self, client: usize) {
        while let Some(answer) = self.clients[client].answer(0, false) {
            self.send(client, &answer);
        }
    }

    /// Time passes, behind what the log has; nothing is due in the moment in which it stops.
    fn wait(&mut self, seconds: u16) {
        self.catch_up();
        let mut until = self.book.now + u64::from(seconds) * 1_000;
        let deadlines = self.book.deadlines();
        while deadlines.iter().any(|at| *at <= until && until < at + LAG) {
            until += LAG;
        }
        self.hand
            .advance(Duration::from_millis(until - self.book.now));
        self.settle();
        let silent = self.book.pass_time(until);
        if self.book.is_lost {
            return;
        }
        for client in silent {
            let mut stream = self.clients[client]
                .take_stream()
                .expect("it was connected");
            let (_, is_over) = read_all(&mut stream);
            assert!(is_over, "client {client} is silent and stays connected");
            self.answers[client].clear();
        }
    }

    fn restart(&mut self, shards: u16) {
        let old = self.broker.take().expect("there is a broker");
        self.count(&old);
        let checkpoint = old.checkpoint();
        drop(old);
        self.start(shards);
        let restored = self.broker().restore(checkpoint);
        restored.expect("what was exported");
        self.settle();
        self.book.restart();
        for client in 0..self.clients.len() {
            self.clients[client].take_stream();
            self.answers[client].clear();
        }
    }

    pub(super) fn count(&mut self, broker: &SteppedBroker) {
        let metrics = broker.metrics();
        assert_eq!(
            metrics.shared().panics.value(),
            0,
            "panics inside the broker"
        );
        let dropped =
            |label: DropLabel| metrics.sum(|shard| shard.messages_dropped.of(label).value());
        self.counted.offline += dropped(DropLabel::Offline);
        self.counted.given_up += dropped(DropLabel::Expired) + dropped(DropLabel::SessionEnded);
        self.counted.sent += metrics.sum(|shard| shard.messages_sent.total());
        self.counted.wills += metrics.sum(|shard| shard.wills_published.value());
        for label in [
            DropLabel::UnsentFull,
            DropLabel::QueueFull,
            DropLabel::PacketTooLarge,
            DropLabel::NotAuthorized,
            DropLabel::Intercepted,
            DropLabel::Memory,
            DropLabel::Encoding,
        ] {
            assert_eq!(dropped(label), 0, "messages dropped: {label:?}");
        }
    }

    // ---- towards the broker ----

    fn encode(&self, client: usize, packet: &Packet) -> BytesMut {
        let mut bytes = BytesMut::new();
        packet
            .encode(self.clients[client].version, &mut bytes)
            .expect("a packet of the model");
        bytes
    }

    /// Sends a packet, and writes down what it means.
    pub(super) fn send(&mut self, client: usize, packet: &Packet) {
        let bytes = self.encode(client, packet);
        let behind = self.appended();
        self.clients[client].write(&bytes);
        self.settle();
        self.book.heard(client);
        let is_durable = self.book.is_durable(client);
        let mut expect = |packet, id, waits: bool| {
            self.answers[client].push_back(Awaited {
                packet,
                id,
                behind: behind.filter(|_| waits),
            });
        };
        match packet {
            Packet::Publish(publish) => {
                let (number, words) = words_of(publish, self.next_number);
                let Some(id) = publish.guarantee.packet_id() else {
                    let any = PacketId::MIN;
                    self.book.publish(client, any, number, &words);
                    return;
                };
                let taken = self.book.publish(client, id, number, &words);
                let waits = taken.is_some_and(|taken| taken.must_survive);
                let answer = if words.qos == QoS::ExactlyOnce {
                    PacketType::PubRec
                } else {
                    PacketType::PubAck
                };
                expect(answer, id, waits);
            }
            Packet::PubRel(pubrel) => {
                let id = pubrel.packet_id;
                let was_held = self.book.pubrel(client, id);
                expect(PacketType::PubComp, id, was_held && is_durable);
            }
            Packet::Subscribe(subscribe) => {
                expect(PacketType::SubAck, subscribe.packet_id, is_durable);
                let has_id = subscribe.properties.subscription_identifier().is_some();
                for subscription in &subscribe.subscriptions {
                    let filter = filter_of(&subscription.filter);
                    self.book
                        .subscribe(client, filter, subscription.options, has_id);
                }
            }
            Packet::Unsubscribe(unsubscribe) => {
                for filter in &unsubscribe.filters {
                    let filter = filter_of(filter);
                    let was_there = self.book.is_subscribed(client, filter);
                    let id = unsubscribe.packet_id;
                    expect(PacketType::UnsubAck, id, was_there && is_durable);
                    self.book.unsubscribe(client, filter);
                }
            }
            Packet::PubAck(puback) => self.hears(client, |ledger| ledger.puback(puback.packet_id)),
            Packet::PubRec(pubrec) => self.hears(client, |ledger| {
                ledger.pubrec(pubrec.packet_id, pubrec.reason)
            }),
            Packet::PubComp(pubcomp) => {
                self.hears(client, |ledger| ledger.pubcomp(pubcomp.packet_id));
            }
            _ => {}
        }
    }

    /// The broker hears an answer of a client.
    fn hears(&mut self, client: usize, answer: impl FnOnce(&mut Ledger) -> Option<Entry>) {
        let Some(session) = self.book.session_mut(client) else {
            return;
        };
        if let Some(entry) = answer(&mut session.ledger)
            && entry.copy.is_of_a_group()
        {
            self.book.groups.done(client, entry.serial);
        }
    }
}

fn no_terms() -> Terms {
    Terms {
        receive_maximum: 0,
        topic_alias_maximum: 0,
        window: 0,
        has_properties: false,
    }
}

fn filter_of(text: &str) -> u8 {
    let place = FILTERS.iter().position(|filter| *filter == text);
    u8::try_from(place.expect("a filter of the model")).expect("few")
}

/// What a PUBLISH of a client says, for the book.
fn words_of(publish: &whinchat_codec::Publish, last_number: u32) -> (u32, PublishWords) {
    let payload = std::str::from_utf8(&publish.payload).expect("a number");
    let number = payload.parse().unwrap_or(last_number);
    let topic = super::step::TOPICS
        .iter()
        .position(|topic| **topic == *publish.topic);
    let by_alias = publish.properties.topic_alias();
    let topic = topic
        .or_else(|| by_alias.map(|alias| usize::from(alias) - 1))
        .expect("a topic of the model");
    let expiry = publish.properties.message_expiry_interval();
    let words = PublishWords {
        qos: publish.guarantee.qos(),
        topic: u8::try_from(topic).expect("few"),
        retain: publish.retain,
        is_empty: publish.payload.is_empty(),
        uses_alias: false,
        expiry: expiry.map(|seconds| u8::try_from(seconds).expect("short")),
    };
    (number, words)
}

fn text(text: &str) -> Utf8String {
    Utf8String::try_from(text).expect("a text of the model")
}
