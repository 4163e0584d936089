//! A connected server, and one step of each kind.

use bytes::BytesMut;
use whinchat_codec::{
    Connect, EncodeError, Guarantee, PacketId, PacketRef, ProtocolVersion, PubAckReason, PubAckRef,
    PublishFrame, PublishRef, QoS, Utf8String,
};
use whinchat_session::{
    ConnAckOptions, Connection, Delivery, DeliveryOptions, DropReason, Effect, Instant, Message,
    Output, PublishHead, SessionLimits, SessionState, Ticket,
};

const NOW: Instant = Instant::from_millis(1_000);
const TOPIC: &str = "sensors/temperature/lab1";
const PAYLOAD: &[u8; 64] = &[b'x'; 64];

/// What a broker keeps of a message: a counted reference.
#[derive(Clone)]
pub(crate) struct Reference(std::sync::Arc<[u8]>);

fn packet(guarantee: Guarantee, payload: &[u8]) -> PublishRef<'_> {
    PublishRef {
        guarantee,
        retain: false,
        topic: TOPIC,
        properties: Default::default(),
        payload,
    }
}

impl Message for Reference {
    fn topic(&self) -> &'static str {
        TOPIC
    }

    fn encode_to(
        &self,
        version: ProtocolVersion,
        head: &PublishHead<'_>,
        out: &mut BytesMut,
    ) -> Result<(), EncodeError> {
        packet(head.guarantee, &self.0).encode(version, out)
    }

    fn encoded_len(
        &self,
        version: ProtocolVersion,
        head: &PublishHead<'_>,
    ) -> Result<usize, EncodeError> {
        packet(head.guarantee, &self.0).encoded_len(version)
    }

    fn expires_at(&self) -> Option<Instant> {
        None
    }

    fn byte_size(&self) -> usize {
        self.0.len()
    }
}

struct Buffer(BytesMut);

impl Output<Reference> for Buffer {
    fn buffer(&mut self) -> &mut BytesMut {
        &mut self.0
    }

    fn record(&mut self, _: Effect<'_, Reference>) -> Ticket {
        Ticket::NONE
    }

    fn dropped(&mut self, _: Reference, reason: DropReason) {
        panic!("{reason}");
    }
}

/// The server's end, connected.
pub(crate) struct Server {
    connection: Connection,
    session: SessionState<Reference>,
    out: Buffer,
    message: Reference,
    frames: [PublishFrame; 2],
}

impl Server {
    /// Connected, with buffers that have grown.
    pub(crate) fn new(version: ProtocolVersion) -> Self {
        let frame = |qos| {
            let guarantee = Guarantee::new(qos, PacketId::MIN, false);
            PublishFrame::new(&packet(guarantee, PAYLOAD), version).expect("a valid packet")
        };
        let mut session = SessionState::new();
        let mut out = Buffer(BytesMut::with_capacity(1 << 16));
        let mut connection = Connection::server(NOW, &SessionLimits::default());
        let mut connect = Connect::new(version, Utf8String::from_static("c1"));
        connect.keep_alive = 60;
        connection
            .handle(
                NOW,
                PacketRef::Connect(connect.borrowed()),
                &mut session,
                &mut out,
            )
            .expect("a valid CONNECT");
        connection.accept(NOW, &mut session, ConnAckOptions::new(), &mut out);
        let mut server = Self {
            connection,
            session,
            out,
            message: Reference(PAYLOAD.as_slice().into()),
            frames: [frame(QoS::AtMostOnce), frame(QoS::AtLeastOnce)],
        };
        for _ in 0..64 {
            server.receive_qos1();
            server.deliver_qos1();
        }
        server
    }

    /// A PUBLISH with QoS 0 arrives.
    pub(crate) fn receive_qos0(&mut self) {
        let packet = PacketRef::Publish(packet(Guarantee::AtMostOnce, PAYLOAD));
        self.handle(packet);
    }

    /// A PUBLISH with QoS 1 arrives and is acknowledged.
    pub(crate) fn receive_qos1(&mut self) {
        let id = PacketId::MIN;
        let guarantee = Guarantee::AtLeastOnce { id, dup: false };
        self.handle(PacketRef::Publish(packet(guarantee, PAYLOAD)));
        self.connection
            .acknowledge(
                NOW,
                &mut self.session,
                id,
                PubAckReason::Success,
                Ticket::NONE,
                &mut self.out,
            )
            .expect("the message waits");
        self.out.0.clear();
    }

    /// A message leaves with QoS 0.
    pub(crate) fn deliver_qos0(&mut self) {
        self.deliver(QoS::AtMostOnce);
        self.out.0.clear();
    }

    /// A message leaves with QoS 1 and is acknowledged.
    pub(crate) fn deliver_qos1(&mut self) {
        if let Delivery::Sent(Some(id)) = self.deliver(QoS::AtLeastOnce) {
            self.handle(PacketRef::PubAck(PubAckRef::success(id)));
        }
        self.out.0.clear();
    }

    fn deliver(&mut self, qos: QoS) -> Delivery {
        let options = DeliveryOptions::new(qos);
        let [qos0, qos1] = &self.frames;
        let frame = if qos == QoS::AtMostOnce { qos0 } else { qos1 };
        self.connection.deliver(
            NOW,
            &mut self.session,
            &self.message,
            &options,
            Some(frame),
            &mut self.out,
        )
    }

    fn handle(&mut self, packet: PacketRef<'_>) {
        let event = self
            .connection
            .handle(NOW, packet, &mut self.session, &mut self.out);
        assert!(event.is_ok());
        std::hint::black_box(&event);
    }
}
