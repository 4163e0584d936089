//! A whole broker with up to eight connections, turned by hand: packets and bytes of any kind, cuts, time, restarts.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use whinchat_broker::{Clock, ClockHand, SteppedBroker};
use whinchat_codec::{
    Connect, Disconnect, Guarantee, Packet, PacketId, ProtocolVersion, Publish, PublishProperties,
    QoS, RetainHandling, Subscribe, Subscription, SubscriptionOptions, Unsubscribe, Utf8String,
    Will,
};
use whinchat_store::disk::SimulatedDisk;
use whinchat_store::{Commit, DurableLog, DurableLogOptions};
use whinchat_transport::Stream;

use super::super::steps::Steps;
use super::peer::Peer;
use crate::small_store::started;

const CLIENTS: usize = 8;

/// More turns than any of these scenes needs.
const TURNS_MAX: usize = 20_000;

const TOPICS: [&str; 6] = ["a", "a/b", "b", "$x", "a/b/c", "é"];
const FILTERS: [&str; 10] = [
    "a",
    "a/b",
    "#",
    "+/b",
    "a/#",
    "$share/g/a",
    "$share/g/#",
    "$x",
    "+",
    "a/+/c",
];

/// Behind a byte of settings, steps of one or more bytes. Whatever the clients do, the broker comes to rest, panics
/// nowhere, and sends each of them only what answers it: [`Peer`] says more.
pub fn broker(data: &[u8]) {
    let _ = play(data, None);
}

/// The same with a store, whose log commits at some of the steps: a restart begins with what is on the disk.
pub fn stored(data: &[u8]) {
    let _ = play(data, Some(SimulatedDisk::new()));
}

/// The groups of records that a life of [`stored`] leaves on its disk.
pub(in crate::fuzzing) fn kept_of(data: &[u8]) -> Vec<Vec<u8>> {
    let mut groups = Vec::new();
    if let Some(disk) = play(data, Some(SimulatedDisk::new())) {
        let disk = Arc::new(disk);
        let (log, _) = DurableLog::open_stepped(disk, DurableLogOptions::default(), |group| {
            groups.push(group.records.to_vec());
            Ok(())
        })
        .expect("a broker wrote it");
        log.abandon();
    }
    groups
}

/// Plays a life to its end; gives back the disk.
fn play(data: &[u8], disk: Option<SimulatedDisk>) -> Option<SimulatedDisk> {
    let mut steps = Steps(data);
    let settings = steps.next()?;
    let mut world = World::new(settings, disk);
    while let Some(step) = steps.next() {
        world.step(step, &mut steps);
    }
    world.end()
}

struct World {
    broker: SteppedBroker,
    disk: Option<SimulatedDisk>,
    clock: Clock,
    hand: ClockHand,
    shards: u16,
    clients: [Option<Client>; CLIENTS],
    /// What the next message says.
    number: u16,
}

struct Client {
    stream: Stream,
    /// What was not taken by the stream yet.
    outbox: BytesMut,
    peer: Peer,
}

impl World {
    fn new(settings: u8, disk: Option<SimulatedDisk>) -> Self {
        let shards = 1 + u16::from(settings & 1);
        let (clock, hand) = Clock::manual();
        Self {
            broker: started(&clock, shards, disk.as_ref()),
            disk,
            clock,
            hand,
            shards,
            clients: Default::default(),
            number: 0,
        }
    }

    fn step(&mut self, step: u8, steps: &mut Steps<'_>) {
        let client = usize::from(step >> 4) % CLIENTS;
        match step % 16 {
            0..=1 => self.send(client, steps.piece()),
            2..=3 => {
                let packet = connect(client, steps);
                let version = packet.version;
                if self.clients[client]
                    .as_ref()
                    .is_none_or(|client| !client.peer.is_new())
                {
                    self.clients[client] = None;
                }
                self.send_packet(client, &Packet::Connect(packet.into()), version);
            }
            4..=9 => {
                let Some(version) = self.version(client) else {
                    return;
                };
                let packet = self.packet(version, steps);
                self.send_packet(client, &packet, version);
            }
            10 => self.answer(client, steps.byte()),
            11 => self.clients[client] = None,
            12 => {
                let seconds = u64::from(steps.byte());
                self.hand.advance(Duration::from_secs(seconds * seconds));
            }
            13 => {
                if step & 0x80 != 0 {
                    self.broker.commit_store();
                }
                for _ in 0..=steps.byte() % 8 {
                    let shard = steps.below(usize::from(self.shards));
                    self.broker.turn(shard);
                }
            }
            14 => self.settle(),
            _ => self.restart(steps.byte()),
        }
        self.read();
    }

    fn version(&self, client: usize) -> Option<ProtocolVersion> {
        self.clients[client].as_ref()?.peer.version()
    }

    /// One of the packets that a client sends once it is connected.
    fn packet(&mut self, version: ProtocolVersion, steps: &mut Steps<'_>) -> Packet {
        let (kind, choice) = (steps.byte(), steps.byte());
        let id = PacketId::new(u16::from(choice % 4) + 1).expect("not 0");
        let text = |text| Utf8String::from_static(text);
        match kind % 8 {
            0..=3 => {
                self.number += 1;
                let mut properties = PublishProperties::new();
                if version.is_v5() && kind & 0x80 != 0 {
                    properties.set_message_expiry_interval(u32::from(choice));
                    properties
                        .set_topic_alias(1 + u16::from(choice % 3))
                        .expect("not 0");
                }
                Packet::Publish(Publish {
                    guarantee: Guarantee::new(
                        QoS::ALL[usize::from(kind >> 3) % 3],
                        id,
                        kind & 0x40 != 0,
                    ),
                    retain: kind & 0x20 != 0,
                    topic: text(TOPICS[usize::from(choice >> 2) % TOPICS.len()]),
                    properties,
                    payload: if choice & 0x80 == 0 {
                        self.number.to_string().into()
                    } else {
                        bytes::Bytes::new()
                    },
                })
            }
            4 | 5 => {
                let mut options = SubscriptionOptions::new(QoS::ALL[usize::from(kind >> 3) % 3]);
                let filter = FILTERS[usize::from(choice) % FILTERS.len()];
                let mut properties = whinchat_codec::SubscribeProperties::new();
                if version.is_v5() {
                    options.no_local = kind & 0x40 != 0 && !filter.starts_with("$share");
                    options.retain_as_published = kind & 0x80 != 0;
                    options.retain_handling = [
                        RetainHandling::SendAtSubscribe,
                        RetainHandling::SendIfNew,
                        RetainHandling::DoNotSend,
                    ][usize::from(choice >> 4) % 3];
                    if choice & 1 != 0 {
                        let id = u32::from(choice);
                        properties.set_subscription_identifier(id).expect("not 0");
                    }
                }
                Packet::Subscribe(Subscribe {
                    packet_id: id,
                    properties,
                    subscriptions: vec![
                        Subscription {
                            filter: text(filter),
                            options
                        };
                        1 + usize::from(choice >> 7)
                    ],
                })
            }
            6 => Packet::Unsubscribe(Unsubscribe {
                packet_id: id,
                properties: Default::default(),
                filters: vec![text(FILTERS[usize::from(choice) % FILTERS.len()])],
            }),
            _ if choice < 0x80 => Packet::PingReq,
            _ => {
                let with_will = version.is_v5() && choice & 1 != 0;
                Packet::Disconnect(Disconnect::new(if with_will {
                    whinchat_codec::DisconnectReason::DisconnectWithWill
                } else {
                    whinchat_codec::DisconnectReason::NormalDisconnection
                }))
            }
        }
    }

    fn send_packet(&mut self, client: usize, packet: &Packet, version: ProtocolVersion) {
        let mut bytes = BytesMut::new();
        packet
            .encode(version, &mut bytes)
            .expect("a packet of this version");
        self.send(client, &bytes);
    }

    fn send(&mut self, client: usize, bytes: &[u8]) {
        let client = self.clients[client].get_or_insert_with(|| Client {
            stream: self.broker.connect_in_memory(),
            outbox: BytesMut::new(),
            peer: Peer::default(),
        });
        client.peer.sends(bytes);
        client.outbox.extend_from_slice(bytes);
        client.flush();
    }

    /// Answers so many of the messages that this client has got.
    fn answer(&mut self, client: usize, count: u8) {
        let Some(version) = self.version(client) else {
            return;
        };
        for _ in 0..=count % 4 {
            let answer = self.clients[client]
                .as_mut()
                .and_then(|client| client.peer.next_answer());
            let Some(answer) = answer else {
                return;
            };
            self.send_packet(client, &answer, version);
        }
    }

    /// Turns and commits until nothing is left to do.
    fn settle(&mut self) {
        for turns in 0.. {
            assert!(turns < TURNS_MAX, "the broker never comes to rest");
            assert!(
                self.broker.settle(TURNS_MAX),
                "the broker never comes to rest"
            );
            if !matches!(self.broker.commit_store(), Some(Commit::Done(_))) {
                break;
            }
        }
        self.read();
        let panics = self.broker.metrics().shared().panics.value();
        assert_eq!(panics, 0, "panics that a connection ended with");
    }

    fn read(&mut self) {
        for client in self.clients.iter_mut().flatten() {
            client.flush();
            client.read();
        }
    }

    /// The process ends and starts again, maybe with another number of shards: connections are gone, sessions are not.
    fn restart(&mut self, choice: u8) {
        self.shards = 1 + u16::from(choice & 1);
        if let Some(disk) = &self.disk {
            // A crash: what is not committed is not there.
            self.clients = Default::default();
            let disk = disk.copy();
            self.broker = started(&self.clock, self.shards, Some(&disk));
            self.disk = Some(disk);
            return;
        }
        self.settle();
        let checkpoint = self.broker.checkpoint();
        self.clients = Default::default();
        self.broker = started(&self.clock, self.shards, None);
        self.broker.restore(checkpoint).expect("what was exported");
    }

    fn end(mut self) -> Option<SimulatedDisk> {
        self.settle();
        self.clients = Default::default();
        // A client that was taken over too often is looked at when its time has come.
        for _ in 0..4 {
            self.settle();
            self.hand.advance(Duration::from_secs(600));
        }
        let metrics = self.broker.metrics();
        let connections = metrics.sum_gauge(|shard| shard.connections.value());
        assert_eq!(connections, 0, "connections without a client");
        self.disk
    }
}

impl Client {
    fn flush(&mut self) {
        let cx = &mut Context::from_waker(Waker::noop());
        while !self.outbox.is_empty() {
            match self.stream.poll_write(cx, &self.outbox) {
                Poll::Ready(Ok(count)) if count > 0 => self.outbox.advance(count),
                // The broker has closed, or reads no more for now.
                Poll::Ready(Ok(_) | Err(_)) | Poll::Pending => return,
            }
        }
    }

    fn read(&mut self) {
        let cx = &mut Context::from_waker(Waker::noop());
        let mut piece = [0; 4096];
        while let Poll::Ready(Ok(count @ 1..)) = self.stream.poll_read(cx, &mut piece) {
            self.peer.receives(&piece[..count]);
        }
    }
}

fn connect(client: usize, steps: &mut Steps<'_>) -> Connect {
    const IDS: [&str; CLIENTS] = ["c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7"];
    let (kind, choice) = (steps.byte(), steps.byte());
    let version = ProtocolVersion::ALL[usize::from(kind % 3)];
    // Now and then the id of another: the session is taken over.
    let id = IDS[if kind & 0xC0 == 0xC0 { 0 } else { client }];
    let mut connect = Connect::new(version, Utf8String::from_static(id));
    connect.clean_start = kind & 0x10 != 0;
    connect.keep_alive = u16::from(choice % 8) * 10;
    if kind & 0x20 != 0 {
        connect.will = Some(Will {
            topic: Utf8String::from_static(TOPICS[usize::from(choice) % TOPICS.len()]),
            payload: "will".into(),
            qos: QoS::ALL[usize::from(choice >> 4) % 3],
            retain: choice & 0x80 != 0,
            properties: Default::default(),
        });
    }
    if version.is_v5() {
        let properties = &mut connect.properties;
        properties.set_session_expiry_interval(u32::from(choice >> 4) * 60);
        if choice & 1 != 0 {
            properties.set_receive_maximum(2).expect("not 0");
            properties.set_topic_alias_maximum(2);
            properties.set_maximum_packet_size(128).expect("not 0");
        }
        if let (Some(will), true) = (&mut connect.will, choice & 2 != 0) {
            will.properties.set_will_delay_interval(u32::from(choice));
        }
    }
    connect
}
