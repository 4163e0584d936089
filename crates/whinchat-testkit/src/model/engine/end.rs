//! One end: an engine, its session, an application, and the ledger of what it owes.
//!
//! Owns what leaves and what it has to wait for. Leaves to [`world`](super::world) what arrives.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::{Buf, BytesMut};
use whinchat_codec::{DecodeLimits, PacketId, PacketRef, PubAckReason, QoS, decode};
use whinchat_session::{
    Connection, Delivery, DeliveryOptions, DropReason, Effect, Instant, Output, SessionLimits,
    SessionState, Ticket,
};

use super::step::Side;
use crate::model::ledger::{Beginnings, Copy, Ledger, Seen, Stage, Terms};
use crate::{TestMessage, read_message, write_message};

pub(super) const TOPICS: [&str; 3] = ["t", "some/topic", "other/topic"];

/// Messages that may wait in a session.
pub(super) const QUEUE_MESSAGES: u32 = 12;

/// What an engine writes to, and what of it the model looks at.
#[derive(Debug, Default)]
pub(super) struct Out {
    pub(super) buffer: BytesMut,
    pub(super) is_durable: bool,
    pub(super) is_full: bool,
    pub(super) last_ticket: u64,
    /// The ticket of the latest record of a kind and packet id.
    pub(super) tickets: BTreeMap<(&'static str, PacketId), u64>,
    pub(super) dropped: Vec<(u32, DropReason)>,
    /// Messages that have their packet id.
    pub(super) begun: Vec<u32>,
}

impl Out {
    pub(super) fn next_ticket(&mut self) -> Ticket {
        if !self.is_durable {
            return Ticket::NONE;
        }
        self.last_ticket += 1;
        Ticket::new(self.last_ticket)
    }
}

impl Output<TestMessage> for Out {
    fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    fn record(&mut self, effect: Effect<'_, TestMessage>) -> Ticket {
        let ticket = self.next_ticket();
        let (kind, id) = match effect {
            Effect::Sent { id, message, .. } => {
                self.begun.push(number_of(message));
                ("sent", id)
            }
            Effect::PubRecReceived { id } => ("pubrec", id),
            Effect::Received { id } => ("received", id),
            Effect::Released { id } => ("released", id),
            Effect::Acked { .. } | Effect::Completed { .. } => return ticket,
        };
        self.tickets.insert((kind, id), ticket.get());
        ticket
    }

    fn dropped(&mut self, message: TestMessage, reason: DropReason) {
        self.dropped.push((number_of(&message), reason));
    }

    fn is_full(&self) -> bool {
        self.is_full
    }
}

/// Ledger of an engine that says when a message has its packet id.
pub(super) fn watched_ledger() -> Ledger {
    let mut ledger = Ledger::default();
    ledger.beginnings = Beginnings::Told;
    ledger
}

pub(super) fn number_of(message: &TestMessage) -> u32 {
    number_in(&message.payload)
}

pub(super) fn number_in(payload: &[u8]) -> u32 {
    let text = std::str::from_utf8(payload).expect("payloads are numbers");
    text.parse().expect("payloads are numbers")
}

/// A message that waits for the application.
#[derive(Clone, Copy, Debug)]
pub(super) struct Undecided {
    pub(super) id: PacketId,
    pub(super) number: u32,
    pub(super) qos: QoS,
}

#[derive(Debug)]
pub(super) struct End {
    pub(super) side: Side,
    pub(super) connection: Connection,
    pub(super) session: SessionState<TestMessage>,
    pub(super) out: Out,
    pub(super) committed: u64,
    /// What has left and is under way.
    pub(super) wire: BytesMut,
    /// What has arrived and is no whole packet yet.
    pub(super) inbox: BytesMut,
    pub(super) ledger: Ledger,
    pub(super) undecided: Vec<Undecided>,
    /// Answers that have not left, in the order of what they answer: packet id, and the ticket that it
    /// waits for once it is decided.
    pub(super) answers: VecDeque<(PacketId, Option<u64>)>,
    /// Numbers of messages that reached the application.
    pub(super) arrived: BTreeSet<u32>,
    /// Those at QoS 2 that it has taken.
    pub(super) taken: BTreeSet<u32>,
    /// Its own messages that have their last answer.
    pub(super) done: BTreeSet<u32>,
}

impl End {
    pub(super) fn new(side: Side, is_durable: bool) -> Self {
        let mut connection = Connection::server(Instant::ORIGIN, &SessionLimits::default());
        connection.handle_transport_closed();
        Self {
            side,
            connection,
            session: SessionState::new(),
            out: Out {
                is_durable,
                ..Out::default()
            },
            committed: 0,
            wire: BytesMut::new(),
            inbox: BytesMut::new(),
            ledger: watched_ledger(),
            undecided: Vec::new(),
            answers: VecDeque::new(),
            arrived: BTreeSet::new(),
            taken: BTreeSet::new(),
            done: BTreeSet::new(),
        }
    }

    pub(super) fn close(&mut self) {
        self.connection.handle_transport_closed();
        self.out.buffer.clear();
        self.wire.clear();
        self.inbox.clear();
        // A client's application may still decide on a QoS 2 message of an earlier connection.
        let side = self.side;
        self.undecided
            .retain(|open| side == Side::Client && open.qos == QoS::ExactlyOnce);
        self.answers.clear();
        self.ledger.disconnect();
    }

    pub(super) fn commit(&mut self, now: Instant, records: u64) {
        self.committed = self.out.last_ticket.min(self.committed + records);
        let up_to = Ticket::new(self.committed);
        self.connection
            .handle_committed(now, up_to, &mut self.session, &mut self.out);
    }

    fn is_committed(&self, kind: &'static str, id: PacketId) -> bool {
        let ticket = self.out.tickets.get(&(kind, id));
        ticket.is_none_or(|ticket| *ticket <= self.committed)
    }

    /// Looks at what the engine has written and dropped, and puts it on the wire.
    pub(super) fn note_output(&mut self, now: Instant, terms_of_peer: impl Fn() -> Terms) {
        for number in self.out.begun.drain(..) {
            self.ledger.begin(number);
        }
        for (number, reason) in std::mem::take(&mut self.out.dropped) {
            let entries = self.ledger.entries();
            let known = entries.iter().find(|entry| entry.copy.number == number);
            let Some(known) = known else {
                // What expired or was given up the ledger knows of before the engine meets it.
                let is_over = matches!(
                    reason,
                    DropReason::Expired | DropReason::SessionLost | DropReason::QueueFull
                );
                assert!(
                    is_over,
                    "message {number} is not owed, and dropped: {reason:?}"
                );
                continue;
            };
            let serial = known.serial;
            match reason {
                DropReason::QueueFull => assert_eq!(known.stage, Stage::Waiting, "{}", known.copy),

                DropReason::Expired => assert!(known.is_optional, "{}", known.copy),
                other => panic!("{} is dropped: {other:?}", known.copy),
            }
            self.ledger.forget(serial);
        }
        let written = self.out.buffer.split();
        let mut rest = &written[..];
        while !rest.is_empty() {
            let version = self.connection.version();
            let decoded = decode(rest, version, &DecodeLimits::default());
            let Ok(Some((packet, len))) = decoded else {
                panic!("{decoded:?} leaves the {:?}: {rest:02x?}", self.side);
            };
            self.note_packet(now, &packet, &terms_of_peer);
            rest.advance(len);
        }
        self.wire.extend_from_slice(&written);
    }

    fn note_packet(
        &mut self,
        now: Instant,
        packet: &PacketRef<'_>,
        terms_of_peer: impl Fn() -> Terms,
    ) {
        match packet {
            PacketRef::ConnAck(_) => self.ledger.connect(terms_of_peer()),
            PacketRef::Publish(publish) => {
                let seen = self.ledger.read(publish);
                if seen.qos == QoS::ExactlyOnce {
                    let id = seen.id.expect("QoS 2 has an id");
                    assert!(self.is_committed("sent", id), "{seen} before its record");
                }
                if let Seen::Unknown(why) = self.ledger.publish(now.as_millis(), &seen) {
                    panic!("{why}");
                }
            }
            PacketRef::PubRel(pubrel) => {
                let id = pubrel.packet_id;
                let is_committed = pubrel.reason.is_error() || self.is_committed("pubrec", id);
                assert!(is_committed, "PUBREL {id} before its record");
                self.ledger.pubrel(pubrel);
            }
            PacketRef::PubAck(puback) => self.note_answer(puback.packet_id, true),
            PacketRef::PubRec(pubrec) => {
                let id = pubrec.packet_id;
                assert!(
                    pubrec.reason.is_error() || self.is_committed("received", id),
                    "PUBREC {id} before its record"
                );
                self.note_answer(id, false);
            }
            PacketRef::PubComp(pubcomp) => {
                let id = pubcomp.packet_id;
                assert!(self.is_committed("released", id), "PUBCOMP {id} too early");
            }
            PacketRef::Connect(_)
            | PacketRef::Subscribe(_)
            | PacketRef::SubAck(_)
            | PacketRef::Unsubscribe(_)
            | PacketRef::UnsubAck(_)
            | PacketRef::PingReq
            | PacketRef::PingResp
            | PacketRef::Disconnect(_)
            | PacketRef::Auth(_) => {}
        }
    }

    /// A PUBACK or PUBREC leaves: in the order of the messages, behind what it vouches for. Only a
    /// PUBREC may answer what came again.
    fn note_answer(&mut self, id: PacketId, is_puback: bool) {
        match self.answers.front() {
            Some((first, ticket)) if *first == id => {
                let ticket = ticket.expect("an answer is decided before it leaves");
                assert!(ticket <= self.committed, "answer to {id} before its record");
                self.answers.pop_front();
            }
            _ => {
                assert!(!is_puback, "PUBACK {id} answers nothing, or too early");
                let is_open = self.answers.iter().any(|(open, _)| *open == id);
                assert!(!is_open, "PUBREC {id} out of order");
            }
        }
    }

    pub(super) fn publish(&mut self, now: Instant, copy: Copy) {
        let mut message = TestMessage::new(copy.topic, copy.number.to_string());
        message.expires_at = copy.expires_at.map(Instant::from_millis);
        let options = DeliveryOptions::new(copy.qos);
        let serial = self.ledger.owe(copy);
        let outcome = self.connection.deliver(
            now,
            &mut self.session,
            &message,
            &options,
            None,
            &mut self.out,
        );
        match outcome {
            Delivery::Sent(_) | Delivery::Queued => {}
            Delivery::Dropped(DropReason::QueueFull) => {
                let queued = self.session.queue_len() as u64 * 10;
                assert!(
                    queued >= u64::from(QUEUE_MESSAGES) * 9,
                    "the queue has room"
                );
                self.ledger.forget(serial);
            }
            Delivery::Dropped(DropReason::PeerTooSlow) => {
                assert!(self.out.is_full && options.qos == QoS::AtMostOnce);
                self.ledger.forget(serial);
            }
            Delivery::Dropped(reason) => panic!("message {} is dropped: {reason:?}", message.topic),
        }
    }

    pub(super) fn decide(&mut self, now: Instant, which: usize, refuses: bool) {
        if which >= self.undecided.len() {
            return;
        }
        let Undecided { id, number, qos } = self.undecided.remove(which);
        let reason = if refuses {
            PubAckReason::QuotaExceeded
        } else {
            PubAckReason::Success
        };
        let ticket = self.out.next_ticket();
        let is_open = |answer: &&mut (PacketId, Option<u64>)| answer.0 == id && answer.1.is_none();
        if let Some(answer) = self.answers.iter_mut().find(is_open) {
            answer.1 = Some(ticket.get());
        }
        self.connection
            .acknowledge(now, &mut self.session, id, reason, ticket, &mut self.out)
            .expect("the message waits");
        if qos == QoS::ExactlyOnce && !(refuses && self.connection.version().is_v5()) {
            assert!(self.taken.insert(number), "message {number} is taken twice");
        }
    }

    /// The answers leave in the order in which the messages came, whatever the order of decisions.
    pub(super) fn expect_answer(&mut self, id: PacketId) {
        self.answers.push_back((id, None));
    }

    pub(super) fn restart(&mut self) {
        let snapshot = self.session.export(write_message);
        self.session = SessionState::restore(&snapshot, read_message).expect("what was exported");
        self.committed = self.out.last_ticket;
        self.out.tickets.clear();
        self.undecided.clear();
        self.ledger.restart();
    }
}
