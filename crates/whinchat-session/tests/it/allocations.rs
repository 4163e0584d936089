//! The hot paths allocate nothing once their buffers have grown.

use bytes::BytesMut;
use whinchat_codec::{
    PacketRef, ProtocolVersion, PubAckReason, PubAckRef, PubCompRef, PubRecRef, PubRelRef,
    PublishFrame, QoS,
};
use whinchat_session::{
    ConnAckOptions, Connection, Delivery, DeliveryOptions, DropReason, Effect, Event, Instant,
    Message, Output, PublishHead, SessionLimits, SessionState, Ticket,
};
use whinchat_testkit::{connect, id, publish};

const NOW: Instant = Instant::from_millis(1);

/// A reference to a message, as a broker keeps it.
#[derive(Clone, Debug)]
struct Reference;

impl Message for Reference {
    fn topic(&self) -> &'static str {
        "a/b"
    }

    fn encode_to(
        &self,
        version: ProtocolVersion,
        head: &PublishHead<'_>,
        out: &mut BytesMut,
    ) -> Result<(), whinchat_codec::EncodeError> {
        let packet = publish("a/b").payload("x").build();
        whinchat_codec::PublishRef {
            guarantee: head.guarantee,
            ..packet.borrowed()
        }
        .encode(version, out)
    }

    fn encoded_len(
        &self,
        _: ProtocolVersion,
        _: &PublishHead<'_>,
    ) -> Result<usize, whinchat_codec::EncodeError> {
        Ok(16)
    }

    fn expires_at(&self) -> Option<Instant> {
        None
    }

    fn byte_size(&self) -> usize {
        8
    }
}

struct Buffer {
    bytes: BytesMut,
    durable: bool,
    last: u64,
}

impl Output<Reference> for Buffer {
    fn buffer(&mut self) -> &mut BytesMut {
        &mut self.bytes
    }

    fn record(&mut self, _: Effect<'_, Reference>) -> Ticket {
        if self.durable {
            self.last += 1;
        }
        Ticket::new(self.last)
    }

    fn dropped(&mut self, _: Reference, reason: DropReason) {
        panic!("{reason}");
    }
}

struct Server {
    connection: Connection,
    session: SessionState<Reference>,
    out: Buffer,
}

impl Server {
    fn new(durable: bool) -> Self {
        let mut session = SessionState::new();
        let mut out = Buffer {
            bytes: BytesMut::with_capacity(1 << 16),
            durable,
            last: 0,
        };
        let mut connection = Connection::server(NOW, &SessionLimits::default());
        let connect = connect(ProtocolVersion::V5, "c1");
        let packet = PacketRef::Connect(connect.borrowed());
        connection
            .handle(NOW, packet, &mut session, &mut out)
            .expect("a valid CONNECT");
        connection.accept(NOW, &mut session, ConnAckOptions::new(), &mut out);
        Self {
            connection,
            session,
            out,
        }
    }

    fn handle<'p>(&mut self, packet: PacketRef<'p>) -> Event<'p, Reference> {
        let Self {
            connection,
            session,
            out,
        } = self;
        connection
            .handle(NOW, packet, session, out)
            .expect("a valid packet")
    }

    fn deliver(&mut self, qos: QoS, frame: &PublishFrame) -> Delivery {
        let Self {
            connection,
            session,
            out,
        } = self;
        let options = DeliveryOptions::new(qos);
        connection.deliver(NOW, session, &Reference, &options, Some(frame), out)
    }

    fn acknowledge(&mut self, number: u16) {
        let Self {
            connection,
            session,
            out,
        } = self;
        let ticket = Ticket::new(out.last);
        connection
            .acknowledge(NOW, session, id(number), PubAckReason::Success, ticket, out)
            .expect("the message waits");
    }

    fn commit(&mut self) {
        let Self {
            connection,
            session,
            out,
        } = self;
        connection.handle_committed(NOW, Ticket::new(out.last), session, out);
        self.out.bytes.clear();
    }
}

/// Runs a step until its buffers have grown, then a thousand times more, counted.
#[track_caller]
fn allocates_nothing(durable: bool, mut step: impl FnMut(&mut Server)) {
    let mut server = Server::new(durable);
    for _ in 0..300 {
        step(&mut server);
    }
    let counted = allocation_counter::measure(|| {
        for _ in 0..1_000 {
            step(&mut server);
        }
    });
    assert_eq!(counted.count_total, 0);
}

fn frame(qos: QoS) -> PublishFrame {
    let guarantee = whinchat_codec::Guarantee::new(qos, id(1), false);
    let packet = publish("a/b").guarantee(guarantee).payload("x").build();
    PublishFrame::new(&packet.borrowed(), ProtocolVersion::V5).expect("a valid packet")
}

#[test]
fn a_message_of_qos_0_arrives() {
    let packet = publish("a/b").payload("x").build();
    allocates_nothing(false, |server| {
        let event = server.handle(PacketRef::Publish(packet.borrowed()));
        assert!(matches!(event, Event::Publish(_)));
    });
}

#[test]
fn a_message_of_qos_0_leaves() {
    let frame = frame(QoS::AtMostOnce);
    allocates_nothing(false, |server| {
        assert_eq!(
            server.deliver(QoS::AtMostOnce, &frame),
            Delivery::Sent(None)
        );
        server.out.bytes.clear();
    });
}

#[test]
fn a_message_of_qos_1_arrives_and_its_answer_waits() {
    let packet = publish("a/b").qos1(7).payload("x").build();
    for durable in [false, true] {
        allocates_nothing(durable, |server| {
            for _ in 0..20 {
                server.handle(PacketRef::Publish(packet.borrowed()));
                server.acknowledge(7);
            }
            server.commit();
        });
    }
}

#[test]
fn twenty_messages_of_qos_1_leave_and_are_acknowledged() {
    let frame = frame(QoS::AtLeastOnce);
    for durable in [false, true] {
        let mut ids = Vec::with_capacity(20);
        allocates_nothing(durable, |server| {
            for _ in 0..20 {
                match server.deliver(QoS::AtLeastOnce, &frame) {
                    Delivery::Sent(Some(id)) => ids.push(id),
                    Delivery::Sent(None) | Delivery::Queued | Delivery::Dropped(_) => {
                        panic!("the window has room")
                    }
                }
            }
            for id in ids.drain(..) {
                let event = server.handle(PacketRef::PubAck(PubAckRef::success(id)));
                assert!(matches!(event, Event::Acked(_)));
            }
            server.commit();
        });
    }
}

#[test]
fn a_message_of_qos_2_goes_both_ways() {
    let frame = frame(QoS::ExactlyOnce);
    let packet = publish("a/b").qos2(7).payload("x").build();
    // Not the durable one: there the PUBLISH waits, and the message writes itself.
    allocates_nothing(false, |server| {
        let Delivery::Sent(Some(given)) = server.deliver(QoS::ExactlyOnce, &frame) else {
            panic!("the window has room");
        };
        server.handle(PacketRef::PubRec(PubRecRef::success(given)));
        server.handle(PacketRef::PubComp(PubCompRef::success(given)));
        server.handle(PacketRef::Publish(packet.borrowed()));
        server.acknowledge(7);
        server.handle(PacketRef::PubRel(PubRelRef::success(id(7))));
        server.out.bytes.clear();
    });
}
