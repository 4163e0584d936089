//! What the targets of one engine know of it from outside: what it records, what leaves it, and what must never be.
//!
//! - Nothing precedes CONNACK or follows DISCONNECT, every byte belongs to a packet of the version that this end may
//!   send, none is larger than the peer takes.
//! - PUBACK, PUBREC, PUBCOMP, PUBREL and each QoS 2 PUBLISH leave only when what they vouch for is committed.
//! - A packet id in flight is not given to another message; no PUBLISH goes out twice on one connection, and DUP is
//!   1 when it went out on an earlier one; no more are unanswered than the peer's Receive Maximum. An alias is within
//!   the peer's limit and was defined on this connection.
//! - A QoS 2 message is passed on once for as long as its id is held.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::mem;

use bytes::BytesMut;
use whinchat_codec::{
    ConnAckRef, ConnectRef, DecodeLimits, PacketId, PacketRef, ProtocolVersion, PubRecReason,
    PublishRef, QoS, decode,
};
use whinchat_session::{DropReason, Effect, Output, Ticket};

use super::letter::Letter;

#[derive(Default)]
pub(super) struct Witness {
    buffer: BytesMut,
    /// The last ticket handed out, and the last one committed.
    last: u64,
    committed: u64,
    is_client: bool,
    has_connect: bool,
    clean_start: bool,
    is_connected: bool,
    has_left: bool,
    /// What the peer takes.
    receive_maximum: usize,
    packet_size_max: usize,
    topic_alias_maximum: u16,
    maximum_qos: Option<QoS>,
    retain_available: Option<bool>,
    /// Defined on this connection.
    aliases: BTreeSet<u16>,
    /// SUBSCRIBE and UNSUBSCRIBE without an answer.
    requests: BTreeSet<PacketId>,
    /// Our messages in flight.
    in_flight: BTreeMap<PacketId, InFlight>,
    /// Those sent on this connection and not answered.
    on_connection: BTreeSet<PacketId>,
    /// QoS 1 messages of the client that were decided on, oldest first.
    pubacks: BTreeMap<PacketId, VecDeque<Ticket>>,
    /// QoS 2 messages of the peer that were decided on or came again, oldest first: what their answers wait for.
    pubrecs: BTreeMap<PacketId, VecDeque<Ticket>>,
    /// QoS 2 ids of the client that are held.
    held: BTreeMap<PacketId, Ticket>,
    /// QoS 2 ids that were released, since when.
    released: BTreeMap<PacketId, Ticket>,
}

/// What a CONNACK changes, to be put back where the engine refuses it.
pub(super) struct Kept {
    in_flight: BTreeMap<PacketId, InFlight>,
    held: BTreeMap<PacketId, Ticket>,
    released: BTreeMap<PacketId, Ticket>,
}

#[derive(Clone)]
struct InFlight {
    qos: QoS,
    sent: Ticket,
    /// `None`: not yet received.
    pubrec: Option<Ticket>,
    /// Went out on some connection.
    was_sent: bool,
    /// Is of an earlier connection.
    is_resumed: bool,
}

impl Output<Letter> for Witness {
    fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    fn record(&mut self, effect: Effect<'_, Letter>) -> Ticket {
        let ticket = self.next_ticket();
        match effect {
            Effect::Sent { id, qos, .. } => {
                let sent = InFlight {
                    qos,
                    sent: ticket,
                    pubrec: None,
                    was_sent: false,
                    is_resumed: false,
                };
                assert!(self.in_flight.insert(id, sent).is_none(), "{id} is in use");
                assert!(!self.requests.contains(&id), "{id} is a request's");
            }
            Effect::Acked { id } => self.ended(id, QoS::AtLeastOnce),
            Effect::Completed { id } => self.ended(id, QoS::ExactlyOnce),
            Effect::PubRecReceived { id } => {
                let sent = self
                    .in_flight
                    .get_mut(&id)
                    .expect("PUBREC of a message in flight");
                assert!(
                    sent.pubrec.is_none(),
                    "the PUBREC of {id} is recorded twice"
                );
                sent.pubrec = Some(ticket);
            }
            Effect::Received { id } => {
                let held = self
                    .held
                    .get_mut(&id)
                    .expect("only a message that was passed on");
                *held = ticket.max(*held);
                if let Some(last) = self.pubrecs.get_mut(&id).and_then(VecDeque::back_mut) {
                    *last = ticket.max(*last);
                }
            }
            Effect::Released { id } => {
                self.released.insert(id, ticket);
            }
        }
        ticket
    }

    fn dropped(&mut self, _: Letter, _: DropReason) {}
}

impl Witness {
    pub(super) fn of_client() -> Self {
        Self {
            is_client: true,
            ..Self::default()
        }
    }

    pub(super) fn ids_in_flight(&self) -> Vec<PacketId> {
        let sent = self.in_flight.keys().chain(&self.requests);
        sent.chain(self.held.keys()).copied().collect()
    }

    pub(super) fn next_ticket(&mut self) -> Ticket {
        self.last += 1;
        Ticket::new(self.last)
    }

    pub(super) fn committed(&self) -> Ticket {
        Ticket::new(self.committed)
    }

    /// Commits the next `count` tickets, or as many as there are.
    pub(super) fn commit(&mut self, count: u64) -> Ticket {
        self.committed = self.last.min(self.committed + count);
        self.committed()
    }

    fn is_committed(&self, ticket: Ticket) -> bool {
        ticket <= self.committed()
    }

    pub(super) fn accepted(&mut self, connect: &ConnectRef<'_>) {
        let receive_maximum = connect.properties.receive_maximum().unwrap_or(u16::MAX);
        self.receive_maximum = usize::from(receive_maximum);
        let packet_size_max = connect.properties.maximum_packet_size();
        self.packet_size_max = packet_size_max.map_or(usize::MAX, |max| max as usize);
        self.topic_alias_maximum = connect.properties.topic_alias_maximum().unwrap_or(0);
    }

    /// A client has its CONNACK. Gives back what that may have changed.
    pub(super) fn accepted_by(
        &mut self,
        connack: &ConnAckRef<'_>,
        version: ProtocolVersion,
    ) -> Kept {
        let kept = Kept {
            in_flight: self.in_flight.clone(),
            held: self.held.clone(),
            released: self.released.clone(),
        };
        if connack.reason.is_error() {
            return kept;
        }
        let properties = connack.properties;
        let receive_maximum = properties.receive_maximum().unwrap_or(u16::MAX);
        self.receive_maximum = usize::from(receive_maximum);
        let packet_size_max = properties.maximum_packet_size();
        self.packet_size_max = packet_size_max.map_or(usize::MAX, |max| max as usize);
        self.topic_alias_maximum = properties.topic_alias_maximum().unwrap_or(0);
        self.maximum_qos = properties.maximum_qos();
        self.retain_available = properties.retain_available();
        self.is_connected = true;
        // 3.1 does not tell whether the session is there. // v31 M31-26
        let is_known = version != ProtocolVersion::V31 || self.clean_start;
        if is_known && !connack.session_present {
            self.session_cleared();
        }
        kept
    }

    /// The engine has refused the CONNACK: nothing has changed.
    pub(super) fn refused(&mut self, kept: Kept) {
        self.in_flight = kept.in_flight;
        self.held = kept.held;
        self.released = kept.released;
    }

    /// A request of a client has its answer.
    pub(super) fn answered(&mut self, id: PacketId) {
        assert!(self.requests.remove(&id), "{id} is no request");
    }

    pub(super) fn session_cleared(&mut self) {
        self.in_flight.clear();
        self.held.clear();
        self.released.clear();
    }

    pub(super) fn reconnected(&mut self) {
        self.has_connect = false;
        self.is_connected = false;
        self.has_left = false;
        self.aliases.clear();
        self.requests.clear();
        self.on_connection.clear();
        self.pubacks.clear();
        self.pubrecs.clear();
        for sent in self.in_flight.values_mut() {
            sent.is_resumed = true;
        }
    }

    /// The application has decided on a message of the client, and kept it under `ticket`.
    pub(super) fn decided(&mut self, id: PacketId, qos: QoS, ticket: Ticket, refused: bool) {
        match qos {
            QoS::AtMostOnce => {}
            QoS::AtLeastOnce => self.pubacks.entry(id).or_default().push_back(ticket),
            QoS::ExactlyOnce => {
                assert!(!self.held.contains_key(&id), "{id} is passed on twice");
                self.pubrecs.entry(id).or_default().push_back(ticket);
                if !refused {
                    self.held.insert(id, ticket);
                }
            }
        }
    }

    pub(super) fn repeated(&mut self, id: PacketId) {
        let waiting = self.pubrecs.entry(id).or_default();
        let ticket = waiting.back().or_else(|| self.held.get(&id)).copied();
        waiting.push_back(ticket.unwrap_or_else(|| panic!("{id} is new and was not passed on")));
    }

    pub(super) fn released(&mut self, id: PacketId) {
        self.held.remove(&id);
    }

    fn ended(&mut self, id: PacketId, qos: QoS) {
        let sent = self
            .in_flight
            .remove(&id)
            .expect("only what is in flight ends");
        assert_eq!(sent.qos, qos, "{id}");
        self.on_connection.remove(&id);
    }

    /// Looks at all that was written since the last time.
    pub(super) fn check(&mut self, version: ProtocolVersion) {
        let written = self.buffer.split();
        let mut rest = &written[..];
        while !rest.is_empty() {
            let decoded = decode(rest, version, &DecodeLimits::default());
            let Ok(Some((packet, len))) = decoded else {
                panic!("{decoded:?} was written: {rest:02x?}");
            };
            self.check_packet(&packet, len, version);
            rest = &rest[len..];
        }
    }

    fn check_packet(&mut self, packet: &PacketRef<'_>, len: usize, version: ProtocolVersion) {
        assert!(!self.has_left, "{packet:?} follows DISCONNECT");
        if self.is_client {
            if let PacketRef::Connect(connect) = packet {
                let is_first = !mem::replace(&mut self.has_connect, true);
                self.clean_start = connect.clean_start;
                return assert!(is_first, "a second CONNECT");
            }
        } else if let PacketRef::ConnAck(connack) = packet {
            assert!(!self.is_connected, "a second CONNACK");
            self.is_connected = !connack.reason.is_error();
            return;
        }
        // A client's last word to a server that broke the rules may come before its CONNACK.
        let is_early = matches!(packet, PacketRef::Auth(_))
            || (self.is_client && matches!(packet, PacketRef::Disconnect(_)));
        assert!(self.is_connected || is_early, "{packet:?} precedes CONNACK");
        assert!(
            !self.is_connected || len <= self.packet_size_max,
            "{len} bytes: {packet:?}"
        );
        match packet {
            PacketRef::Publish(publish) => self.check_publish(publish),
            PacketRef::PubAck(puback) => {
                let tickets = self.pubacks.get_mut(&puback.packet_id);
                let ticket = tickets.and_then(VecDeque::pop_front);
                let ticket = ticket.expect("a PUBACK answers a PUBLISH");
                assert!(self.is_committed(ticket), "{puback:?} waits for {ticket:?}");
            }
            PacketRef::PubRec(pubrec) => self.check_pubrec(pubrec.packet_id, pubrec.reason),
            PacketRef::PubRel(pubrel) => {
                let sent = self.in_flight.get(&pubrel.packet_id);
                match sent.and_then(|sent| sent.pubrec) {
                    Some(pubrec) => {
                        assert!(self.is_committed(pubrec), "{pubrel:?} waits for {pubrec:?}");
                    }
                    // The answer to a PUBREC that belongs to nothing; 3.x cannot say so.
                    None => assert!(!version.is_v5() || pubrel.reason.is_error(), "{pubrel:?}"),
                }
            }
            PacketRef::PubComp(pubcomp) => {
                if let Some(released) = self.released.get(&pubcomp.packet_id) {
                    assert!(
                        self.is_committed(*released),
                        "{pubcomp:?} waits for {released:?}"
                    );
                }
            }
            PacketRef::Subscribe(subscribe) => self.check_request(subscribe.packet_id),
            PacketRef::Unsubscribe(unsubscribe) => self.check_request(unsubscribe.packet_id),
            PacketRef::PingReq => assert!(self.is_client, "a server sent {packet:?}"),
            PacketRef::SubAck(_) | PacketRef::UnsubAck(_) | PacketRef::PingResp => {
                assert!(!self.is_client, "a client sent {packet:?}");
            }
            PacketRef::Disconnect(_) => {
                self.has_left = true;
                assert!(self.is_client || version.is_v5(), "{packet:?} in {version}");
            }
            PacketRef::Auth(_) => assert!(version.is_v5(), "{packet:?} in {version}"),
            PacketRef::Connect(_) | PacketRef::ConnAck(_) => {
                panic!("the other end sends {packet:?}")
            }
        }
    }

    fn check_request(&mut self, id: PacketId) {
        assert!(self.is_client, "a server sent a request");
        assert!(!self.in_flight.contains_key(&id), "{id} is in flight");
        assert!(self.requests.insert(id), "{id} is a request's");
    }

    fn check_pubrec(&mut self, id: PacketId, reason: PubRecReason) {
        let waiting = self.pubrecs.get_mut(&id).and_then(VecDeque::pop_front);
        let ticket = waiting.unwrap_or_else(|| panic!("PUBREC {reason} of {id} answers nothing"));
        assert!(
            self.is_committed(ticket),
            "PUBREC of {id} waits for {ticket:?}"
        );
    }

    fn check_publish(&mut self, publish: &PublishRef<'_>) {
        if let Some(alias) = publish.properties.topic_alias() {
            assert!(alias <= self.topic_alias_maximum, "{publish:?}");
            let is_new = self.aliases.insert(alias);
            assert!(
                !is_new || !publish.topic.is_empty(),
                "{alias} is not defined"
            );
        }
        let qos = publish.guarantee.qos();
        assert!(self.maximum_qos.is_none_or(|max| qos <= max), "{publish:?}");
        assert!(
            !publish.retain || self.retain_available != Some(false),
            "{publish:?}"
        );
        let Some(id) = publish.guarantee.packet_id() else {
            return;
        };
        let committed = self.committed();
        let sent = self.in_flight.get_mut(&id).expect("it was recorded before");
        assert_eq!(sent.qos, publish.guarantee.qos());
        // A cut between record and commit: 1 says no more than that it may have gone out before.
        let unsure = sent.is_resumed && !sent.was_sent;
        let is_dup = publish.guarantee.dup();
        assert!(unsure || sent.was_sent == is_dup, "DUP of {publish:?}");
        assert!(sent.pubrec.is_none(), "{publish:?} behind its PUBREC");
        let gated = sent.qos == QoS::ExactlyOnce && sent.sent > committed;
        assert!(!gated, "{publish:?} waits for {:?}", sent.sent);
        sent.was_sent = true;
        assert!(
            self.on_connection.insert(id),
            "{publish:?} twice on one connection"
        );
        let unanswered = self.on_connection.len();
        assert!(
            unanswered <= self.receive_maximum,
            "{unanswered} unanswered"
        );
    }
}
