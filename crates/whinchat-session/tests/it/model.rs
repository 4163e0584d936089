//! One server engine against a client that answers as it likes, in any order, late, twice or
//! never, and that cuts the connection when it likes. The client knows the rules of sections 4.3,
//! 4.4, 4.6 and 4.9 and panics when the engine breaks one.

use std::collections::BTreeMap;

use bytes::Buf;
use proptest::prelude::*;
use whinchat_codec::{
    DecodeLimits, Guarantee, Packet, PacketId, PacketRef, ProtocolVersion, PubAck, PubComp, PubRec,
    PubRecReason, QoS, decode,
};
use whinchat_session::{
    ConnAckOptions, Connection, DeliveryOptions, Instant, SessionLimits, SessionState, Ticket,
};
use whinchat_testkit::{TestMessage, TestOutput, connect, read_message, write_message};

const NOW: Instant = Instant::from_millis(0);

#[derive(Clone, Debug)]
enum Step {
    /// The application delivers a message with this QoS.
    Deliver(u8),
    /// The client answers one of the packets that await an answer.
    Answer(prop::sample::Index),
    /// It refuses one of the QoS 2 messages.
    Refuse(prop::sample::Index),
    /// It acknowledges what nobody has sent.
    Stray(u16),
    /// Part of what is recorded becomes durable.
    Commit(prop::sample::Index),
    /// The connection is cut and made again with this Receive Maximum.
    Cut(u16),
    /// The server restarts while nobody is connected.
    Restart(u16),
    /// The client stops reading, or reads on.
    Full(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0_u8..3).prop_map(Step::Deliver),
        8 => any::<prop::sample::Index>().prop_map(Step::Answer),
        1 => any::<prop::sample::Index>().prop_map(Step::Refuse),
        1 => (1_u16..20).prop_map(Step::Stray),
        4 => any::<prop::sample::Index>().prop_map(Step::Commit),
        1 => (1_u16..6).prop_map(Step::Cut),
        1 => (1_u16..6).prop_map(Step::Restart),
        1 => any::<bool>().prop_map(Step::Full),
    ]
}

/// How far a message with a packet id has come, as the client sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Published,
    Received,
    Released,
}

/// The client, and what it remembers of earlier connections.
#[derive(Default)]
struct Client {
    receive_maximum: usize,
    /// On this connection: which message each id stands for.
    open: BTreeMap<PacketId, (u32, QoS, Stage)>,
    /// Messages that came on any connection, and those it has taken over (PUBREC) or finished.
    seen: Vec<u32>,
    taken: Vec<u32>,
    finished: Vec<u32>,
    /// Number of the last message per QoS that came for the first time, and on this connection.
    last_first: [Option<u32>; 3],
    last_here: [Option<u32>; 3],
}

impl Client {
    fn connect(&mut self, receive_maximum: u16) {
        self.receive_maximum = usize::from(receive_maximum);
        self.open.clear();
        self.last_here = [None; 3];
    }

    fn on_publish(&mut self, guarantee: Guarantee, number: u32) {
        let qos = guarantee.qos();
        let place = qos as usize;
        assert!(
            self.last_here[place] < Some(number),
            "QoS {place} out of order"
        );
        self.last_here[place] = Some(number);
        // A message that never arrived may have DUP, one that did must have it.
        let is_known = self.seen.contains(&number);
        assert!(
            guarantee.dup() || !is_known,
            "message {number} again without DUP"
        );
        assert!(
            !self.finished.contains(&number),
            "message {number} is through"
        );
        if !is_known {
            assert!(
                self.last_first[place] < Some(number),
                "QoS {place} out of order"
            );
            self.last_first[place] = Some(number);
            self.seen.push(number);
        }
        let Some(id) = guarantee.packet_id() else {
            self.finished.push(number);
            return;
        };
        assert!(
            !self.taken.contains(&number),
            "PUBLISH of message {number} behind its PUBREC"
        );
        let old = self.open.insert(id, (number, qos, Stage::Published));
        assert_eq!(old, None, "id {id} is in use");
        assert!(
            self.open.len() <= self.receive_maximum,
            "too many in flight"
        );
    }

    fn on_pubrel(&mut self, id: PacketId) {
        // Of an earlier connection the id alone comes.
        let entry = self
            .open
            .entry(id)
            .or_insert((u32::MAX, QoS::ExactlyOnce, Stage::Received));
        assert_eq!(entry.1, QoS::ExactlyOnce);
        assert_ne!(entry.2, Stage::Published, "PUBREL before PUBREC");
        entry.2 = Stage::Released;
    }

    /// The ids that await something of the client.
    fn due(&self) -> Vec<PacketId> {
        self.open
            .iter()
            .filter(|(_, (_, _, stage))| *stage != Stage::Received)
            .map(|(id, _)| *id)
            .collect()
    }
}

struct Run {
    connection: Connection,
    session: SessionState<TestMessage>,
    out: TestOutput,
    committed: u64,
    client: Client,
    delivered: u32,
    /// The messages of QoS 1 and 2 among them.
    owed: Vec<u32>,
}

impl Run {
    fn new() -> Self {
        let mut run = Self {
            connection: Connection::server(NOW, &SessionLimits::default()),
            session: SessionState::new(),
            out: TestOutput::new(true),
            committed: 0,
            client: Client::default(),
            delivered: 0,
            owed: Vec::new(),
        };
        run.connect(3);
        run
    }

    fn handle(&mut self, packet: PacketRef<'_>) {
        self.connection
            .handle(NOW, packet, &mut self.session, &mut self.out)
            .expect("the client keeps the rules");
        self.read();
    }

    fn connect(&mut self, receive_maximum: u16) {
        self.out.buffer.clear();
        self.client.connect(receive_maximum);
        self.connection = Connection::server(NOW, &SessionLimits::default());
        let mut connect = connect(ProtocolVersion::V5, "c1");
        connect
            .properties
            .set_receive_maximum(receive_maximum)
            .expect("not 0");
        self.handle(PacketRef::Connect(connect.borrowed()));
        let options = ConnAckOptions::new().with_session_present(true);
        self.connection
            .accept(NOW, &mut self.session, options, &mut self.out);
        self.commit(self.committed);
    }

    fn commit(&mut self, up_to: u64) {
        self.committed = up_to;
        let up_to = Ticket::new(up_to);
        self.connection
            .handle_committed(NOW, up_to, &mut self.session, &mut self.out);
        self.read();
    }

    /// The client reads what the engine has written.
    fn read(&mut self) {
        let bytes = self.out.buffer.split();
        let mut rest = &bytes[..];
        while let Some((packet, len)) =
            decode(rest, ProtocolVersion::V5, &DecodeLimits::default()).expect("a valid packet")
        {
            match packet.to_owned() {
                Packet::Publish(publish) => {
                    let text = String::from_utf8_lossy(&publish.payload).into_owned();
                    let number = text.parse().expect("a number");
                    self.client.on_publish(publish.guarantee, number);
                }
                Packet::PubRel(pubrel) => {
                    if !pubrel.reason.is_error() {
                        self.client.on_pubrel(pubrel.packet_id);
                    }
                }
                Packet::ConnAck(_) => {}
                other @ (Packet::Connect(_)
                | Packet::PubAck(_)
                | Packet::PubRec(_)
                | Packet::PubComp(_)
                | Packet::Subscribe(_)
                | Packet::SubAck(_)
                | Packet::Unsubscribe(_)
                | Packet::UnsubAck(_)
                | Packet::PingReq
                | Packet::PingResp
                | Packet::Disconnect(_)
                | Packet::Auth(_)) => panic!("nobody asked for {other:?}"),
            }
            rest.advance(len);
        }
        assert!(rest.is_empty());
    }

    fn answer(&mut self, id: PacketId, refuse: bool) {
        let (number, qos, stage) = self.client.open[&id];
        match (qos, stage) {
            (QoS::AtLeastOnce, _) => {
                self.client.open.remove(&id);
                self.client.finished.push(number);
                self.handle(PacketRef::PubAck(PubAck::success(id).borrowed()));
            }
            (_, Stage::Published) if refuse => {
                self.client.open.remove(&id);
                self.client.finished.push(number);
                let mut pubrec = PubRec::success(id);
                pubrec.reason = PubRecReason::QuotaExceeded;
                self.handle(PacketRef::PubRec(pubrec.borrowed()));
            }
            (_, Stage::Published) => {
                self.client.open.insert(id, (number, qos, Stage::Received));
                self.client.taken.push(number);
                self.handle(PacketRef::PubRec(PubRec::success(id).borrowed()));
            }
            (_, Stage::Released) => {
                self.client.open.remove(&id);
                self.client.finished.push(number);
                self.handle(PacketRef::PubComp(PubComp::success(id).borrowed()));
            }
            (_, Stage::Received) => unreachable!("not due"),
        }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Deliver(qos) => {
                let message = TestMessage::new("a/b", self.delivered.to_string());
                let options = DeliveryOptions::new(QoS::try_from(*qos).expect("a QoS"));
                if *qos > 0 {
                    self.owed.push(self.delivered);
                }
                self.delivered += 1;
                self.connection.deliver(
                    NOW,
                    &mut self.session,
                    &message,
                    &options,
                    None,
                    &mut self.out,
                );
                self.read();
            }
            Step::Answer(index) | Step::Refuse(index) => {
                let due = self.client.due();
                if !due.is_empty() {
                    self.answer(due[index.index(due.len())], matches!(step, Step::Refuse(_)));
                }
            }
            Step::Stray(number) => {
                let id = whinchat_testkit::id(*number);
                if !self.client.open.contains_key(&id) {
                    self.handle(PacketRef::PubComp(PubComp::success(id).borrowed()));
                    self.handle(PacketRef::PubAck(PubAck::success(id).borrowed()));
                }
            }
            Step::Commit(index) => {
                let open = self.out.last_ticket().get() - self.committed;
                let more = index.index(usize::try_from(open).expect("few") + 1);
                self.commit(self.committed + more as u64);
            }
            Step::Cut(receive_maximum) => self.connect(*receive_maximum),
            Step::Restart(receive_maximum) => {
                let snapshot = self.session.export(write_message);
                self.session =
                    SessionState::restore(&snapshot, read_message).expect("what was exported");
                // The snapshot is durable, and with it all that it holds.
                self.committed = self.out.last_ticket().get();
                self.connect(*receive_maximum);
            }
            Step::Full(full) => {
                self.out.full = *full;
                if !full {
                    self.connection
                        .send_queued(NOW, &mut self.session, &mut self.out);
                    self.read();
                }
            }
        }
    }

    /// Everything becomes durable and is answered: nothing may be left, and nothing lost.
    fn finish(mut self) {
        self.take(&Step::Full(false));
        for _ in 0..10_000 {
            self.commit(self.out.last_ticket().get());
            match self.client.due().first() {
                Some(id) => self.answer(*id, false),
                None => break,
            }
        }
        assert!(self.session.is_empty(), "{:?}", self.session);
        assert!(self.client.open.is_empty());
        for number in &self.owed {
            assert!(
                self.client.seen.contains(number),
                "message {number} is lost"
            );
        }
        let dropped = self.out.dropped.len();
        assert_eq!(dropped, 0, "nothing here expires or is too large");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn the_engine_keeps_the_rules_whatever_the_client_does(
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut run = Run::new();
        for step in &steps {
            run.take(step);
        }
        run.finish();
    }
}
