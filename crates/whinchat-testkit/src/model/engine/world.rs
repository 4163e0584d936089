//! Two ends and the bytes between them: what arrives, when, and what is known in the end.

use bytes::Buf;
use whinchat_codec::{Connect, DecodeLimits, PacketRef, ProtocolVersion, decode};
use whinchat_session::{
    Answer, ConnAckOptions, Connection, Event, Instant, QueueLimits, QueuePolicy, SessionLimits,
};

use super::{
    end::{End, QUEUE_MESSAGES, TOPICS, Undecided, number_in, number_of, watched_ledger},
    step::{Side, SideName, Step},
};
use crate::model::ledger::{Copy, Entry, Terms};
use crate::{TestMessage, connect};

/// A client, a server, and the bytes between them.
#[derive(Debug)]
pub struct World {
    now: Instant,
    version: ProtocolVersion,
    limits: SessionLimits,
    connect: Connect,
    /// What the server is told in CONNECT, and the client in CONNACK.
    terms: [Terms; 2],
    client: End,
    server: End,
    server_has_session: bool,
    /// The client has asked for a new session and not heard of it.
    begins_anew: bool,
    is_connected: bool,
    next_number: u32,
}

impl World {
    pub(super) fn new(version: ProtocolVersion, is_durable: bool, receive_maximum: u16) -> Self {
        let limits = SessionLimits::default()
            .with_receive_maximum(receive_maximum)
            .with_in_flight_max_v3(receive_maximum)
            .with_topic_alias_maximum_in(receive_maximum % 3)
            .with_queue(QueueLimits {
                messages: QUEUE_MESSAGES,
                bytes: u64::MAX,
                policy: if receive_maximum.is_multiple_of(2) {
                    QueuePolicy::DropOldest
                } else {
                    QueuePolicy::RefuseNew
                },
            });
        let terms = Terms {
            receive_maximum: usize::from(receive_maximum),
            topic_alias_maximum: if version.is_v5() {
                receive_maximum % 3
            } else {
                0
            },
            window: usize::from(if version.is_v5() {
                256
            } else {
                receive_maximum
            }),
            has_properties: version.is_v5(),
        };
        Self {
            now: Instant::ORIGIN,
            version,
            limits,
            connect: connect(version, "model"),
            terms: [terms; 2],
            client: End::new(Side::Client, is_durable),
            server: End::new(Side::Server, is_durable),
            server_has_session: false,
            begins_anew: false,
            is_connected: false,
            next_number: 0,
        }
    }

    fn end(&mut self, side: Side) -> &mut End {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }

    pub(super) fn take(&mut self, step: &Step) {
        let now = self.now;
        match *step {
            Step::Publish {
                side: SideName(side),
                qos,
                topic,
                expiry,
            } => {
                self.next_number += 1;
                let copy = Copy {
                    number: self.next_number,
                    topic: TOPICS[usize::from(topic)],
                    qos,
                    retain: false,
                    ids: Vec::new(),
                    expires_at: expiry.map(|seconds| now.as_millis() + u64::from(seconds) * 1_000),
                    flow: Some(0),
                };
                self.end(side).publish(now, copy);
            }
            Step::Carry(SideName(side), bytes) => self.carry(side, usize::from(bytes)),
            Step::CarryAll(SideName(side)) => self.carry(side, usize::MAX),
            Step::Decide {
                side: SideName(side),
                which,
                refuses,
            } => self.end(side).decide(now, usize::from(which), refuses),
            Step::Commit(SideName(side), records) => self.end(side).commit(now, records.into()),
            Step::Cut => self.cut(),
            Step::Connect {
                receive_maximum,
                topic_alias_maximum,
                is_forgotten,
                is_clean,
            } => self.connect(receive_maximum, topic_alias_maximum, is_forgotten, is_clean),
            Step::Restart(SideName(side)) => {
                self.cut();
                self.end(side).restart();
            }
            Step::Wait(seconds) => self.wait(seconds),
            Step::Full(SideName(side), is_full) => self.set_full(side, is_full),
            Step::Settle => self.settle(),
        }
        self.note_outputs();
    }

    fn note_outputs(&mut self) {
        let [of_client, of_server] = self.terms;
        self.client.note_output(self.now, || of_server);
        self.server.note_output(self.now, || of_client);
    }

    fn cut(&mut self) {
        self.client.close();
        self.server.close();
        self.is_connected = false;
    }

    fn connect(
        &mut self,
        receive_maximum: u16,
        topic_alias_maximum: u16,
        is_forgotten: bool,
        is_clean: bool,
    ) {
        self.cut();
        // A 3.1 client is not told, and would take new messages for old ones.
        if is_forgotten && self.version != ProtocolVersion::V31 {
            self.server_has_session = false;
        }
        // A client that asked for a new session goes on to do so until it knows that it has one.
        self.begins_anew |= is_clean;
        let is_clean = self.begins_anew;
        self.connect.clean_start = is_clean;
        if self.version.is_v5() {
            let properties = &mut self.connect.properties;
            properties
                .set_receive_maximum(receive_maximum)
                .expect("not 0");
            properties.set_topic_alias_maximum(topic_alias_maximum);
            self.terms[0] = Terms {
                receive_maximum: usize::from(receive_maximum),
                topic_alias_maximum,
                ..self.terms[0]
            };
        }
        self.server.connection = Connection::server(self.now, &self.limits);
        self.client.connection =
            Connection::client(self.now, &self.connect, &self.limits, &mut self.client.out)
                .expect("a valid CONNECT");
        self.is_connected = true;
    }

    fn wait(&mut self, seconds: u16) {
        self.now = self.now.saturating_add_millis(u64::from(seconds) * 1_000);
        let now = self.now;
        let mut is_over = false;
        for end in [&mut self.client, &mut self.server] {
            end.ledger.expire(now.as_millis());
            let kept = end
                .connection
                .handle_timeout::<TestMessage, _>(now, &mut end.out);
            is_over |= kept.is_err(); // the handshake took too long
        }
        if is_over {
            self.cut();
        }
    }

    fn set_full(&mut self, side: Side, is_full: bool) {
        let now = self.now;
        let end = self.end(side);
        end.out.is_full = is_full;
        if !is_full {
            end.connection
                .send_queued(now, &mut end.session, &mut end.out);
        }
    }

    /// Bytes of the one arrive at the other.
    fn carry(&mut self, from: Side, bytes: usize) {
        let from = self.end(from);
        let len = bytes.min(from.wire.len());
        let arrived = from.wire.split_to(len);
        let to = match from.side {
            Side::Client => Side::Server,
            Side::Server => Side::Client,
        };
        let mut inbox = std::mem::take(&mut self.end(to).inbox);
        inbox.extend_from_slice(&arrived);
        while self.is_connected {
            let version = self.end(to).connection.version();
            let decoded = decode(&inbox, version, &DecodeLimits::default());
            let Some((packet, len)) = decoded.expect("an engine sends packets") else {
                break;
            };
            self.handle(to, packet);
            self.note_outputs();
            inbox.advance(len);
        }
        if self.is_connected {
            self.end(to).inbox = inbox;
        }
    }

    fn handle(&mut self, to: Side, packet: PacketRef<'_>) {
        let now = self.now;
        if let PacketRef::ConnAck(connack) = &packet {
            self.begin_client(connack.session_present);
        }
        let is_first_session = !self.server_has_session || self.connect.clean_start;
        let end = self.end(to);
        // What the ledger says of an answer, the engine has to say too.
        let ended = match &packet {
            PacketRef::PubAck(puback) => end.ledger.puback(puback.packet_id),
            PacketRef::PubRec(pubrec) => end.ledger.pubrec(pubrec.packet_id, pubrec.reason),
            PacketRef::PubComp(pubcomp) => end.ledger.pubcomp(pubcomp.packet_id),
            _ => None,
        };
        let event = end
            .connection
            .handle(now, packet, &mut end.session, &mut end.out)
            .unwrap_or_else(|violation| panic!("the {to:?} finds: {violation}"));
        let acked = match &event {
            Event::Acked(acked) => Some((acked.message.as_ref().map(number_of), acked.answer)),
            _ => None,
        };
        assert_eq!(
            ended.is_some(),
            acked.is_some(),
            "{ended:?} ends: {event:?}"
        );
        match event {
            Event::Connect(_) => {
                if is_first_session {
                    end.session.clear(drop);
                    end.ledger = watched_ledger();
                    end.arrived.clear();
                    end.taken.clear();
                }
                let options = ConnAckOptions::new().with_session_present(!is_first_session);
                end.connection
                    .accept(now, &mut end.session, options, &mut end.out);
                end.commit(now, 0);
            }
            Event::ConnAck(connack) => {
                assert!(!connack.reason.is_error());
                end.commit(now, 0);
                // A client that did not hear of a new session would take it for the old one: the
                // protocol has no words for that, and the server of the model begins anew.
                self.server_has_session = true;
                self.begins_anew = false;
            }
            Event::Publish(incoming) => {
                let (guarantee, payload) = (incoming.publish.guarantee, incoming.publish.payload);
                let number = number_in(payload);
                let is_new = end.arrived.insert(number);
                match guarantee.packet_id() {
                    None => assert!(is_new, "message {number} of QoS 0 comes twice"),
                    Some(id) => {
                        let qos = guarantee.qos();
                        let is_taken = end.taken.contains(&number);
                        assert!(!is_taken, "message {number} of QoS 2 comes twice");
                        assert!(
                            is_new || guarantee.dup(),
                            "message {number} again, without DUP"
                        );
                        end.undecided.push(Undecided { id, number, qos });
                        end.expect_answer(id);
                    }
                }
            }
            Event::Repeated(id) if end.undecided.iter().any(|open| open.id == id) => {
                end.expect_answer(id);
            }
            _ => {}
        }
        if let (Some(Entry { copy, .. }), Some((number, answer))) = (ended, acked) {
            assert!(number.is_none_or(|number| number == copy.number), "{copy}");
            let number = copy.number;
            let end = self.end(to);
            assert!(end.done.insert(number), "{copy} is done twice");
            let is_refused = matches!(answer, Answer::PubRec(_));
            let other = if to == Side::Client {
                &self.server
            } else {
                &self.client
            };
            let has_arrived = other.arrived.contains(&number);
            assert!(
                has_arrived || is_refused,
                "{copy} is answered and did not arrive"
            );
        }
    }

    /// The client learns what the server has of its session.
    fn begin_client(&mut self, session_present: bool) {
        let knows = self.version != ProtocolVersion::V31 || self.connect.clean_start;
        if !session_present && knows {
            self.client.ledger.start_over();
            self.client.ledger.expire(self.now.as_millis());
            self.client.undecided.clear();
        }
        let terms = self.terms[1];
        self.client.ledger.connect(terms);
    }

    /// Everything arrives, is decided and becomes durable.
    fn settle(&mut self) {
        let now = self.now;
        for side in [Side::Client, Side::Server] {
            self.set_full(side, false);
        }
        self.note_outputs();
        loop {
            for side in [Side::Client, Side::Server] {
                self.carry(side, usize::MAX);
                let end = self.end(side);
                while !end.undecided.is_empty() {
                    end.decide(now, 0, false);
                }
                end.commit(now, u64::MAX - end.committed);
                self.note_outputs();
            }
            let is_idle = |end: &End| {
                end.wire.is_empty()
                    && end.undecided.is_empty()
                    && end.committed == end.out.last_ticket
            };
            if is_idle(&self.client) && is_idle(&self.server) {
                break;
            }
        }
        for end in [&self.client, &self.server] {
            end.ledger.check_settled();
            let open = end.ledger.entries().first();
            assert!(
                open.is_none() || !self.is_connected,
                "{} is left",
                open.expect("one").copy
            );
            assert!(end.answers.is_empty() || !self.is_connected);
        }
    }

    /// The end of a case: nothing may be left.
    pub(super) fn finish(&mut self) {
        if !self.is_connected {
            self.connect(u16::MAX, 0, false, false);
        }
        self.note_outputs();
        self.settle();
        for end in [&self.client, &self.server] {
            assert!(end.session.is_empty(), "{:?}", end.session);
        }
    }
}
