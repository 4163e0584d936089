//! What was recorded of a session gives the session again: at every step of a random life, the replay of its records exports the same bytes.

use bytes::BytesMut;
use proptest::prelude::*;
use whinchat_codec::{
    DecodeLimits, Packet, PacketRef, ProtocolVersion, PubAck, PubComp, PubRec, PubRecReason,
    PubRel, QoS, decode,
};
use whinchat_session::{
    ConnAckOptions, Connection, DeliveryOptions, DropReason, Effect, Event, Instant, Output,
    SessionLimits, SessionState, Ticket,
};
use whinchat_testkit::{Pair, TestMessage, connect, publish, read_message, write_message};

const NOW: Instant = Instant::from_millis(0);

/// Writes nothing down: it replays at once.
#[derive(Default)]
struct Replaying {
    buffer: BytesMut,
    state: SessionState<TestMessage>,
    is_full: bool,
}

impl Output<TestMessage> for Replaying {
    fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    fn record(&mut self, effect: Effect<'_, TestMessage>) -> Ticket {
        match effect {
            Effect::Sent { id, message, .. } => {
                let payload = &message.payload;
                assert!(
                    self.state
                        .replay_sent(id, |queued| queued.payload == *payload)
                );
            }
            Effect::Acked { id } | Effect::Completed { id } => self.state.replay_answered(id),
            Effect::PubRecReceived { id } => self.state.replay_pubrec(id),
            Effect::Received { id } => self.state.replay_received(id),
            Effect::Released { id } => self.state.replay_released(id),
        }
        Ticket::NONE
    }

    fn dropped(&mut self, message: TestMessage, _reason: DropReason) {
        // One that was given up in flight was answered by its own record.
        let payload = &message.payload;
        self.state
            .replay_dropped(|waiting| waiting.payload == *payload);
    }

    fn is_full(&self) -> bool {
        self.is_full
    }
}

#[derive(Clone, Debug)]
enum Step {
    Deliver(u8),
    Answer(prop::sample::Index),
    Refuse(prop::sample::Index),
    /// The client publishes at QoS 2, or releases.
    Publish(u16),
    Release(u16),
    Cut,
    Full(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1_u8..3).prop_map(Step::Deliver),
        6 => any::<prop::sample::Index>().prop_map(Step::Answer),
        1 => any::<prop::sample::Index>().prop_map(Step::Refuse),
        1 => (1_u16..4).prop_map(Step::Publish),
        1 => (1_u16..4).prop_map(Step::Release),
        1 => Just(Step::Cut),
        1 => any::<bool>().prop_map(Step::Full),
    ]
}

struct Run {
    connection: Connection,
    session: SessionState<TestMessage>,
    out: Replaying,
    /// Packets that want an answer.
    due: Vec<Packet>,
    delivered: u32,
}

impl Run {
    fn new() -> Self {
        let mut run = Self {
            connection: Connection::server(NOW, &SessionLimits::default()),
            session: SessionState::new(),
            out: Replaying::default(),
            due: Vec::new(),
            delivered: 0,
        };
        run.connect();
        run
    }

    fn connect(&mut self) {
        self.out.buffer.clear();
        self.due.clear();
        self.connection = Connection::server(NOW, &SessionLimits::default());
        let mut connect = connect(ProtocolVersion::V5, "c1");
        connect.properties.set_receive_maximum(3).expect("not 0");
        self.handle(PacketRef::Connect(connect.borrowed()));
        let options = ConnAckOptions::new().with_session_present(true);
        self.connection
            .accept(NOW, &mut self.session, options, &mut self.out);
        self.read();
    }

    fn handle(&mut self, packet: PacketRef<'_>) {
        let event = self
            .connection
            .handle(NOW, packet, &mut self.session, &mut self.out)
            .expect("the client keeps the rules");
        if let Event::Publish(incoming) = event
            && let Some(id) = incoming.publish.guarantee.packet_id()
        {
            self.connection
                .acknowledge(
                    NOW,
                    &mut self.session,
                    id,
                    whinchat_codec::PubAckReason::Success,
                    Ticket::NONE,
                    &mut self.out,
                )
                .expect("it was asked for");
        }
        self.read();
    }

    fn read(&mut self) {
        let bytes = self.out.buffer.split();
        let mut rest = &bytes[..];
        while let Some((packet, len)) =
            decode(rest, ProtocolVersion::V5, &DecodeLimits::default()).expect("a valid packet")
        {
            let packet = packet.to_owned();
            if matches!(packet, Packet::Publish(_) | Packet::PubRel(_)) {
                self.due.push(packet);
            }
            rest = &rest[len..];
        }
    }

    fn answer(&mut self, index: &prop::sample::Index, refuse: bool) {
        if self.due.is_empty() {
            return;
        }
        let due = self.due.remove(index.index(self.due.len()));
        if let Packet::PubRel(pubrel) = due {
            let pubcomp = PubComp::success(pubrel.packet_id);
            self.handle(PacketRef::PubComp(pubcomp.borrowed()));
        } else if let Packet::Publish(publish) = due
            && let Some(id) = publish.guarantee.packet_id()
        {
            if publish.guarantee.qos() == QoS::AtLeastOnce {
                self.handle(PacketRef::PubAck(PubAck::success(id).borrowed()));
                return;
            }
            let mut pubrec = PubRec::success(id);
            if refuse {
                pubrec.reason = PubRecReason::QuotaExceeded;
            }
            self.handle(PacketRef::PubRec(pubrec.borrowed()));
        }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Deliver(qos) => {
                self.delivered += 1;
                let message = TestMessage::new("a/b", self.delivered.to_string());
                let ids = [self.delivered];
                let options = DeliveryOptions::new(QoS::try_from(*qos).expect("a QoS"))
                    .with_subscription_ids(&ids);
                self.out.state.replay_queued(message.clone(), &options);
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
            Step::Answer(index) => self.answer(index, false),
            Step::Refuse(index) => self.answer(index, true),
            Step::Publish(id) => {
                let packet = publish("a/b").qos2(*id).build();
                self.handle(PacketRef::Publish(packet.borrowed()));
            }
            Step::Release(id) => {
                let packet = PubRel::success(whinchat_testkit::id(*id));
                self.handle(PacketRef::PubRel(packet.borrowed()));
            }
            Step::Cut => self.connect(),
            Step::Full(full) => {
                self.out.is_full = *full;
                if !full {
                    self.connection
                        .send_queued(NOW, &mut self.session, &mut self.out);
                    self.read();
                }
            }
        }
    }
}

fn payloads(state: &SessionState<TestMessage>) -> Vec<u8> {
    state.export(write_message).into_bytes()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_records_of_a_session_give_the_session(steps in prop::collection::vec(step(), 1..100)) {
        let mut run = Run::new();
        for step in &steps {
            run.take(step);
            prop_assert_eq!(payloads(&run.out.state), payloads(&run.session), "after {:?}", step);
        }
    }
}

fn message(payload: &str) -> TestMessage {
    TestMessage::new("a/b", payload)
}

fn key(message: &TestMessage) -> u64 {
    String::from_utf8_lossy(&message.payload)
        .parse()
        .expect("a number")
}

#[test]
fn a_state_that_was_recorded_anew_keeps_what_its_writer_did_not_know() {
    let options = DeliveryOptions::new(QoS::AtLeastOnce);
    let mut state = SessionState::new();
    for payload in ["2", "3", "4", "3"] {
        state.replay_queued(message(payload), &options);
    }
    let mut anew = SessionState::new();
    for payload in ["1", "2", "3"] {
        anew.replay_queued(message(payload), &options);
    }
    assert!(anew.replay_sent(whinchat_testkit::id(9), |message| key(message) == 1));
    state.replay_state(anew, key);
    let mut expected = SessionState::new();
    for payload in ["1", "2", "3", "4", "3"] {
        expected.replay_queued(message(payload), &options);
    }
    assert!(expected.replay_sent(whinchat_testkit::id(9), |message| key(message) == 1));
    assert_eq!(payloads(&state), payloads(&expected));
}

#[test]
fn what_may_have_left_without_a_record_goes_out_with_dup_however_much_it_is() {
    const MESSAGES: usize = 1_000;
    let mut state = SessionState::new();
    for number in 0..MESSAGES {
        let options = DeliveryOptions::new(QoS::ALL[1 + number % 2]);
        state.replay_queued(message(&number.to_string()), &options);
    }
    state.assume_sent();
    // It stays so across another crash.
    let snapshot = state.export(write_message);
    let mut pair = Pair::new(ProtocolVersion::V5, 0, SessionLimits::default(), false);
    pair.connect();
    assert!(!pair.drive());
    pair.server.session = SessionState::restore(&snapshot, read_message).expect("it was exported");
    pair.cut();
    pair.connect();
    assert!(!pair.drive());
    let received = &pair.client.received;
    assert_eq!(received.len(), MESSAGES);
    for (number, received) in received.iter().enumerate() {
        assert_eq!(received.payload, number.to_string());
        // At QoS 2 nothing leaves without a record.
        assert_eq!(received.dup, received.qos == QoS::AtLeastOnce, "{number}");
    }
}
