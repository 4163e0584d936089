//! What a client of a broker knows: what it has sent, and so what it may get.
//!
//! - The first packet is a CONNACK, there is one, and nothing follows it if it refuses, or follows DISCONNECT.
//! - Every answer answers something: SUBACK and UNSUBACK with as many reasons as were asked for, PUBACK, PUBREC, PUBCOMP
//!   and PINGRESP.
//! - A message has a packet id that no other in flight has, there are no more of them than the Receive Maximum, no packet
//!   is larger than the Maximum Packet Size, and an alias was defined on this connection.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::{Buf, BytesMut};
use whinchat_codec::{
    DecodeLimits, Packet, PacketId, ProtocolVersion, PubAck, PubComp, PubRec, Publish, QoS, decode,
};

pub(super) struct Peer {
    sent: BytesMut,
    /// What was sent is no MQTT from here on, or follows DISCONNECT.
    is_over: bool,
    version: Option<ProtocolVersion>,
    receive_maximum: usize,
    packet_size_max: usize,
    topic_alias_maximum: u16,
    has_sent: bool,
    /// Filters asked for, by id; several requests may have used one.
    subscribes: BTreeMap<PacketId, VecDeque<usize>>,
    unsubscribes: BTreeMap<PacketId, VecDeque<usize>>,
    /// PUBLISH and PUBREL packets sent, by kind and id.
    owed: BTreeMap<(u8, PacketId), usize>,
    pings: usize,
    inbox: BytesMut,
    is_connected: bool,
    has_ended: bool,
    in_flight: BTreeMap<PacketId, QoS>,
    aliases: BTreeSet<u16>,
    answers: VecDeque<Packet>,
}

impl Default for Peer {
    fn default() -> Self {
        Self {
            sent: BytesMut::new(),
            is_over: false,
            version: None,
            receive_maximum: usize::from(u16::MAX),
            packet_size_max: usize::MAX,
            topic_alias_maximum: 0,
            has_sent: false,
            subscribes: BTreeMap::new(),
            unsubscribes: BTreeMap::new(),
            owed: BTreeMap::new(),
            pings: 0,
            inbox: BytesMut::new(),
            is_connected: false,
            has_ended: false,
            in_flight: BTreeMap::new(),
            aliases: BTreeSet::new(),
            answers: VecDeque::new(),
        }
    }
}

impl Peer {
    /// Whether nothing was sent.
    pub(super) fn is_new(&self) -> bool {
        !self.has_sent
    }

    /// The version of the CONNECT that was sent.
    pub(super) fn version(&self) -> Option<ProtocolVersion> {
        self.version
    }

    /// The answer to the oldest message that has none.
    pub(super) fn next_answer(&mut self) -> Option<Packet> {
        self.answers.pop_front()
    }

    pub(super) fn sends(&mut self, bytes: &[u8]) {
        self.has_sent = true;
        if self.is_over {
            return;
        }
        self.sent.extend_from_slice(bytes);
        loop {
            let version = self.version.unwrap_or(ProtocolVersion::V5);
            match decode(&self.sent, version, &DecodeLimits::default()) {
                Ok(Some((packet, len))) => {
                    let packet = packet.to_owned();
                    self.sent.advance(len);
                    self.has_gone(&packet);
                }
                Ok(None) => return,
                Err(_) => {
                    self.is_over = true;
                    return;
                }
            }
        }
    }

    fn has_gone(&mut self, packet: &Packet) {
        match packet {
            Packet::Connect(connect) if self.version.is_none() => {
                self.version = Some(connect.version);
                let properties = &connect.properties;
                let receive_maximum = properties.receive_maximum().unwrap_or(u16::MAX);
                self.receive_maximum = usize::from(receive_maximum);
                let packet_size_max = properties.maximum_packet_size();
                self.packet_size_max = packet_size_max.map_or(usize::MAX, |max| max as usize);
                self.topic_alias_maximum = properties.topic_alias_maximum().unwrap_or(0);
            }
            Packet::Subscribe(subscribe) => {
                let asked = self.subscribes.entry(subscribe.packet_id).or_default();
                asked.push_back(subscribe.subscriptions.len());
            }
            Packet::Unsubscribe(unsubscribe) => {
                let asked = self.unsubscribes.entry(unsubscribe.packet_id).or_default();
                asked.push_back(unsubscribe.filters.len());
            }
            Packet::Publish(publish) => {
                if let Some(id) = publish.guarantee.packet_id() {
                    let kind = publish.guarantee.qos() as u8;
                    *self.owed.entry((kind, id)).or_default() += 1;
                }
            }
            Packet::PubRel(pubrel) => {
                *self.owed.entry((PUBREL, pubrel.packet_id)).or_default() += 1
            }
            Packet::PubRec(pubrec) => {
                if pubrec.reason.is_error() {
                    self.in_flight.remove(&pubrec.packet_id);
                }
                // One that belongs to nothing is answered with a PUBREL.
                *self.owed.entry((PUBREC, pubrec.packet_id)).or_default() += 1;
            }
            Packet::PubAck(puback) => self.has_ended(puback.packet_id, QoS::AtLeastOnce),
            Packet::PubComp(pubcomp) => self.has_ended(pubcomp.packet_id, QoS::ExactlyOnce),
            Packet::PingReq => self.pings += 1,
            Packet::Disconnect(_) => self.is_over = true,
            Packet::Connect(_)
            | Packet::ConnAck(_)
            | Packet::SubAck(_)
            | Packet::UnsubAck(_)
            | Packet::PingResp
            | Packet::Auth(_) => {}
        }
    }

    fn has_ended(&mut self, id: PacketId, qos: QoS) {
        if self.in_flight.get(&id) == Some(&qos) {
            self.in_flight.remove(&id);
        }
    }

    pub(super) fn receives(&mut self, bytes: &[u8]) {
        self.inbox.extend_from_slice(bytes);
        loop {
            // Who is refused before its version is known is told in one that it may understand.
            let versions = match self.version {
                Some(version) => [version, version],
                None => [ProtocolVersion::V5, ProtocolVersion::V311],
            };
            let found = versions.iter().find_map(|version| {
                decode(&self.inbox, *version, &DecodeLimits::default())
                    .transpose()?
                    .ok()
            });
            match found {
                Some((packet, len)) => {
                    let packet = packet.to_owned();
                    self.inbox.advance(len);
                    self.has_come(packet, len);
                }
                None => {
                    let whole = decode(&self.inbox, versions[0], &DecodeLimits::default());
                    assert!(
                        whole.is_ok(),
                        "{whole:?} was sent: {:02x?}",
                        &self.inbox[..]
                    );
                    return;
                }
            }
        }
    }

    fn has_come(&mut self, packet: Packet, len: usize) {
        assert!(!self.has_ended, "{packet:?} follows the end");
        if !self.is_connected {
            let Packet::ConnAck(connack) = packet else {
                panic!("{packet:?} precedes CONNACK");
            };
            self.has_ended = connack.reason.is_error();
            assert!(
                self.has_ended || self.version.is_some(),
                "nobody has connected"
            );
            self.is_connected = true;
            return;
        }
        assert!(len <= self.packet_size_max, "{len} bytes: {packet:?}");
        match packet {
            Packet::Publish(publish) => self.message(&publish),
            Packet::PubAck(ack) => self.answers_to(1, ack.packet_id),
            Packet::PubRec(ack) => self.answers_to(2, ack.packet_id),
            Packet::PubComp(ack) => self.answers_to(PUBREL, ack.packet_id),
            Packet::PubRel(pubrel) => {
                let is_ours = self.in_flight.get(&pubrel.packet_id) == Some(&QoS::ExactlyOnce);
                if !is_ours {
                    self.answers_to(PUBREC, pubrel.packet_id);
                }
                self.answers
                    .push_back(Packet::PubComp(PubComp::success(pubrel.packet_id)));
            }
            Packet::SubAck(suback) => {
                let asked = self.subscribes.get_mut(&suback.packet_id);
                let found = asked.is_some_and(|asked| take(asked, suback.reasons.len()));
                assert!(found, "{suback:?} answers nothing");
            }
            Packet::UnsubAck(unsuback) => {
                let asked = self.unsubscribes.get_mut(&unsuback.packet_id);
                let is_v5 = self.version.is_some_and(ProtocolVersion::is_v5);
                let found = asked.is_some_and(|asked| {
                    let first = asked.front().copied().unwrap_or_default();
                    take(asked, if is_v5 { unsuback.reasons.len() } else { first })
                });
                assert!(found, "{unsuback:?} answers nothing");
            }
            Packet::PingResp => {
                self.pings = self.pings.checked_sub(1).expect("a PINGREQ was sent");
            }
            Packet::Disconnect(_) => {
                assert!(
                    self.version.is_some_and(ProtocolVersion::is_v5),
                    "{packet:?}"
                );
                self.has_ended = true;
            }
            Packet::Connect(_)
            | Packet::ConnAck(_)
            | Packet::Subscribe(_)
            | Packet::Unsubscribe(_)
            | Packet::PingReq
            | Packet::Auth(_) => panic!("a client got {packet:?}"),
        }
    }

    fn message(&mut self, publish: &Publish) {
        if let Some(alias) = publish.properties.topic_alias() {
            assert!(alias <= self.topic_alias_maximum, "{publish:?}");
            let is_new = self.aliases.insert(alias);
            assert!(!is_new || !publish.topic.is_empty(), "{publish:?}");
        }
        let (qos, Some(id)) = (publish.guarantee.qos(), publish.guarantee.packet_id()) else {
            return;
        };
        let before = self.in_flight.insert(id, qos);
        assert_eq!(before, None, "{publish:?} while its id is in flight");
        let unanswered = self.in_flight.len();
        assert!(unanswered <= self.receive_maximum, "{unanswered} in flight");
        self.answers.push_back(if qos == QoS::ExactlyOnce {
            Packet::PubRec(PubRec::success(id))
        } else {
            Packet::PubAck(PubAck::success(id))
        });
    }

    /// There was something to answer.
    fn answers_to(&mut self, kind: u8, id: PacketId) {
        let owed = self.owed.get_mut(&(kind, id)).filter(|owed| **owed > 0);
        let owed = owed.unwrap_or_else(|| panic!("an answer to nothing: {kind} {id}"));
        *owed -= 1;
    }
}

/// Takes out a request for so many filters. One whose id was in use is refused at once, before the older one is answered.
fn take(asked: &mut VecDeque<usize>, count: usize) -> bool {
    let place = asked.iter().position(|asked| *asked == count);
    place.and_then(|place| asked.remove(place)).is_some()
}

const PUBREL: u8 = 3;
const PUBREC: u8 = 4;
