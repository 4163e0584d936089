//! What comes back from the broker: each packet is looked up in the book, and at rest nothing may be
//! left that could have come.

use whinchat_codec::{DecodeLimits, PacketId, PacketRef, PacketType, ProtocolVersion, decode};
use whinchat_store::Log;

use super::book::Link;
use super::client::{Client, Phase};
use super::step::ConnectWords;
use super::world::{Awaited, LateLog, World};
use crate::model::ledger::Seen;

/// Turns in which a broker has to come to rest.
const TURNS_MAX: usize = 10_000;

impl World {
    pub(super) fn appended(&self) -> Option<u64> {
        self.log.as_ref().map(LateLog::appended)
    }

    /// Lets the log catch up with everything, also with what its commits bring.
    pub(super) fn catch_up(&mut self) {
        self.run();
        while self.log.as_ref().is_some_and(|log| !log.is_idle()) {
            if let Some(log) = &self.log {
                log.0.commit_all();
            }
            self.run();
        }
    }

    /// The broker takes turns, in any order of its shards, until it has nothing to do.
    pub(super) fn settle(&mut self) {
        let broker = self.broker.as_mut().expect("there is a broker");
        for _ in 0..TURNS_MAX {
            let ready = broker.ready_shards().count();
            if ready == 0 {
                return;
            }
            let luck = self.random.usize(..ready);
            let next = broker.ready_shards().nth(luck).expect("one of them");
            broker.turn(next);
        }
        panic!("the broker never comes to rest");
    }

    /// Lets the broker and the clients go on until all are quiet, and checks what is left.
    pub(super) fn run(&mut self) {
        while !self.book.is_lost {
            self.settle();
            for client in 0..self.clients.len() {
                self.read(client);
            }
            let sends = (0..self.clients.len()).find_map(|client| {
                let sends = self.clients[client].listen(None);
                (!sends.is_empty()).then_some((client, sends))
            });
            let Some((client, sends)) = sends else { break };
            for packet in sends {
                self.send(client, &packet);
            }
        }
        if self.book.is_lost {
            return;
        }
        let log_is_idle = self.log.as_ref().is_none_or(LateLog::is_idle);
        self.book.settle();
        if !log_is_idle {
            return;
        }
        for client in 0..self.clients.len() {
            if let Some(session) = self.book.session(client) {
                session.ledger.check_settled();
                assert!(
                    self.clients[client].phase == Phase::Idle || session.link == Link::Connected,
                    "client {client} gets no CONNACK"
                );
            }
            let left = self.answers[client].front();
            assert!(left.is_none(), "client {client} waits for {left:?}");
        }
    }

    fn read(&mut self, client: usize) {
        let (bytes, is_over) = self.clients[client].read();
        let version = self.clients[client].version;
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let decoded = decode(rest, version, &DecodeLimits::default());
            let Ok(Some((packet, len))) = decoded else {
                panic!("client {client} gets {decoded:?}: {rest:02x?}");
            };
            self.note(client, &packet);
            rest = &rest[len..];
        }
        assert!(!is_over, "the connection of client {client} is closed");
    }

    fn note(&mut self, client: usize, packet: &PacketRef<'_>) {
        match packet {
            PacketRef::ConnAck(connack) => {
                assert!(!connack.reason.is_error(), "client {client}: {connack:?}");
                let (is_present, behind) = self.connacks[client];
                let is_told = self.clients[client].version != ProtocolVersion::V31;
                assert_eq!(
                    connack.session_present,
                    is_present && is_told,
                    "Session Present of client {client}"
                );
                self.check_commit(behind, "CONNACK");
                let (terms, keeps_alive) = self.terms[client];
                let now = self.book.now;
                let session = self.book.session_mut(client).expect("it has a session");
                session.link = Link::Connected;
                session.ledger.connect(terms);
                session.silent_at = keeps_alive.then_some(now + 46_500);
            }
            PacketRef::Publish(publish) => {
                let now = self.book.now;
                let session = self.book.session_mut(client).expect("it has a session");
                let seen = session.ledger.read(publish);
                match session.ledger.publish(now, &seen) {
                    Seen::First => self.seen += 1,
                    Seen::Again(serial) => self.book.groups.resent(client, serial),
                    Seen::Unknown(why) => match self.book.groups.take(now, client, &seen) {
                        Ok((copy, before)) => {
                            self.seen += 1;
                            if let Some((other, serial)) = before
                                && let Some(session) = self.book.session_mut(other)
                            {
                                session.ledger.forget(serial);
                            }
                            let session = self.book.session_mut(client).expect("as before");
                            let serial = session.ledger.adopt(now, copy.clone(), &seen);
                            self.book.groups.note_serial(client, &copy, serial);
                        }
                        Err(group) => panic!("to client {client}: {why}; {group}"),
                    },
                }
            }
            PacketRef::PubRel(pubrel) => {
                let session = self.book.session_mut(client).expect("it has a session");
                session.ledger.pubrel(pubrel);
            }
            PacketRef::PubAck(ack) => {
                assert!(!ack.reason.is_error(), "client {client}: {ack:?}");
                self.answered(client, PacketType::PubAck, ack.packet_id);
            }
            PacketRef::PubRec(ack) => {
                assert!(!ack.reason.is_error(), "client {client}: {ack:?}");
                self.answered(client, PacketType::PubRec, ack.packet_id);
            }
            PacketRef::PubComp(ack) => self.answered(client, PacketType::PubComp, ack.packet_id),
            PacketRef::SubAck(ack) => {
                let is_refused = ack.reasons.iter().any(|reason| reason.is_error());
                assert!(!is_refused, "client {client}: {ack:?}");
                self.answered(client, PacketType::SubAck, ack.packet_id);
            }
            PacketRef::UnsubAck(ack) => self.answered(client, PacketType::UnsubAck, ack.packet_id),
            other => panic!("client {client} gets {other:?}"),
        }
    }

    /// An answer comes: one that is awaited, PUBACK and PUBREC in the order of the messages.
    fn answered(&mut self, client: usize, packet: PacketType, id: PacketId) {
        let answers = &mut self.answers[client];
        let is_it = |awaited: &Awaited| awaited.packet == packet && awaited.id == id;
        let place = answers.iter().position(is_it);
        let place = place.unwrap_or_else(|| panic!("client {client} gets {packet:?} {id}"));
        let of_messages = [PacketType::PubAck, PacketType::PubRec];
        if of_messages.contains(&packet) {
            let ahead = answers
                .range(..place)
                .find(|ahead| of_messages.contains(&ahead.packet));
            assert!(ahead.is_none(), "{packet:?} {id} leaves before {ahead:?}");
        }
        let behind = answers.remove(place).and_then(|awaited| awaited.behind);
        self.check_commit(behind, &format!("{packet:?} {id} of client {client}"));
    }

    fn check_commit(&self, behind: Option<u64>, answer: &str) {
        if let (Some(behind), Some(log)) = (behind, &self.log) {
            let committed = log.0.committed().get();
            assert!(committed > behind, "{answer} leaves before its records");
        }
    }

    // ---- the end ----

    /// Every session that is left gets its client back, and all that is owed.
    pub(super) fn finish(&mut self) {
        if self.book.is_lost {
            return;
        }
        self.catch_up();
        for client in 0..self.clients.len() {
            self.clients[client].set_deaf(false);
            if self.book.session(client).is_some() && self.clients[client].phase == Phase::Idle {
                self.connect(
                    client,
                    &ConnectWords {
                        is_clean: false,
                        expiry: u32::MAX,
                        receive_maximum: 20,
                        topic_alias_maximum: 0,
                        keeps_alive: false,
                        will: None,
                    },
                );
                self.catch_up();
            }
        }
        for _ in 0..200 {
            self.run();
            for client in 0..self.clients.len() {
                self.answer_all(client);
                while let Some(pubrel) = self.clients[client].release(0) {
                    self.send(client, &pubrel);
                }
            }
            self.catch_up();
            if self.clients.iter().all(Client::is_idle) {
                break;
            }
        }
        for client in 0..self.clients.len() {
            if let Some(session) = self.book.session(client) {
                let left = session.ledger.left();
                assert!(
                    left.is_none(),
                    "client {client} never gets {}",
                    left.expect("one")
                );
            }
        }
        let missing = self.book.groups.missing();
        assert!(missing.is_none(), "nobody gets {}", missing.expect("one"));
        let broker = self.broker.take().expect("there is a broker");
        self.count(&broker);
        assert_eq!(self.counted.wills, self.book.wills, "Wills");
        if !self.book.is_fuzzy && !self.book.had_groups {
            assert_eq!(self.counted.offline, self.book.offline, "offline");
        }
        // With a late log a copy may have its packet id and not have left when its session ends.
        if self.log.is_none() && !self.book.is_fuzzy {
            assert_eq!(self.counted.sent, self.seen, "messages sent");
            if !self.book.had_groups && !self.book.was_restarted {
                let given_up = self.counted.given_up;
                assert_eq!(
                    given_up, self.book.given_up,
                    "expired, or their session ended"
                );
            }
        }
    }
}
