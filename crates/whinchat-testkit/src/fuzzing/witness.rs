//! What the engine target knows of a server from outside: what it records, what leaves it, and what must never be.
//!
//! - Nothing precedes CONNACK, every byte belongs to a packet of the version, none is larger than the client takes.
//! - PUBACK, PUBREC, PUBCOMP, PUBREL and each QoS 2 PUBLISH leave only when what they vouch for is committed.
//! - A packet id in flight is not given to another message; no PUBLISH goes out twice on one connection, and DUP is
//!   1 when it went out on an earlier one; no more are unanswered than the client's Receive Maximum.
//! - A QoS 2 message is passed on once for as long as its id is held.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::BytesMut;
use whinchat_codec::{
    ConnectRef, DecodeLimits, PacketId, PacketRef, ProtocolVersion, PubRecReason, PublishRef, QoS,
    decode,
};
use whinchat_session::{DropReason, Effect, Output, Ticket};

use super::letter::Letter;

#[derive(Default)]
pub(super) struct Witness {
    buffer: BytesMut,
    /// The last ticket handed out, and the last one committed.
    last: u64,
    committed: u64,
    is_connected: bool,
    receive_maximum: usize,
    packet_size_max: usize,
    /// Our messages in flight.
    in_flight: BTreeMap<PacketId, InFlight>,
    /// Those sent on this connection and not answered.
    on_connection: BTreeSet<PacketId>,
    /// QoS 1 messages of the client that were decided on, oldest first.
    pubacks: BTreeMap<PacketId, VecDeque<Ticket>>,
    /// QoS 2 messages of the client that were decided on, oldest first.
    pubrecs: BTreeMap<PacketId, VecDeque<Ticket>>,
    /// QoS 2 messages of the client that came again and may be answered again.
    repeats: BTreeMap<PacketId, u32>,
    /// QoS 2 ids of the client that are held.
    held: BTreeMap<PacketId, Ticket>,
    /// QoS 2 ids that were released, since when.
    released: BTreeMap<PacketId, Ticket>,
}

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
    }

    pub(super) fn session_cleared(&mut self) {
        self.in_flight.clear();
        self.held.clear();
        self.released.clear();
    }

    pub(super) fn reconnected(&mut self) {
        self.is_connected = false;
        self.on_connection.clear();
        self.pubacks.clear();
        self.pubrecs.clear();
        self.repeats.clear();
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
        let waits = self
            .pubrecs
            .get(&id)
            .is_some_and(|waiting| !waiting.is_empty());
        let is_known = self.held.contains_key(&id) || waits;
        assert!(is_known, "{id} is new and was not passed on");
        *self.repeats.entry(id).or_default() += 1;
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
        if let PacketRef::ConnAck(connack) = packet {
            assert!(!self.is_connected, "a second CONNACK");
            self.is_connected = !connack.reason.is_error();
            return;
        }
        let is_auth = matches!(packet, PacketRef::Auth(_));
        assert!(self.is_connected || is_auth, "{packet:?} precedes CONNACK");
        assert!(len <= self.packet_size_max, "{len} bytes: {packet:?}");
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
            PacketRef::SubAck(_) | PacketRef::UnsubAck(_) | PacketRef::PingResp => {}
            PacketRef::Disconnect(_) | PacketRef::Auth(_) => {
                assert!(version.is_v5(), "{packet:?} in {version}");
            }
            PacketRef::Connect(_)
            | PacketRef::ConnAck(_)
            | PacketRef::Subscribe(_)
            | PacketRef::Unsubscribe(_)
            | PacketRef::PingReq => panic!("a server sent {packet:?}"),
        }
    }

    fn check_pubrec(&mut self, id: PacketId, reason: PubRecReason) {
        let waiting = self.pubrecs.get_mut(&id).and_then(VecDeque::pop_front);
        let ticket = waiting.unwrap_or_else(|| {
            let repeats = self.repeats.entry(id).or_default();
            let left = repeats.checked_sub(1);
            *repeats = left.unwrap_or_else(|| panic!("PUBREC {reason} of {id} answers nothing"));
            // Released before the answer to the repeat left: it had an answer already.
            self.held.get(&id).copied().unwrap_or(Ticket::NONE)
        });
        assert!(
            self.is_committed(ticket),
            "PUBREC of {id} waits for {ticket:?}"
        );
    }

    fn check_publish(&mut self, publish: &PublishRef<'_>) {
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
