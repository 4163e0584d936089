//! Two engines, a client and a server, over two links: the whole protocol in one thread.
//!
//! Everything is decided by the seed. A connection can be cut after any number of bytes and made
//! again; what the applications have seen stays to be looked at.

use core::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use whinchat_codec::{Connect, DecodeLimits, ProtocolVersion, PubAckReason, QoS, decode};
use whinchat_session::{
    ConnAckOptions, Connection, Delivery, DeliveryOptions, Event, SessionLimits, SessionState,
    Ticket,
};

use crate::{Clock, Link, TestMessage, TestOutput, connect};

/// A message as an application got it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Topic name.
    pub topic: String,
    /// Payload.
    pub payload: Bytes,
    /// QoS of the delivery.
    pub qos: QoS,
    /// DUP of the packet.
    pub dup: bool,
}

/// One end: an engine, its session, and an application that takes every message.
#[derive(Debug)]
pub struct Endpoint {
    /// The engine.
    pub connection: Connection,
    /// What outlives it.
    pub session: SessionState<TestMessage>,
    /// Where it writes.
    pub out: TestOutput,
    /// Messages that the application got, in order.
    pub received: Vec<Received>,
    /// Payloads of its own messages that were acknowledged, in order.
    pub acked: Vec<Bytes>,
    inbox: BytesMut,
    committed: Ticket,
    has_session: bool,
}

impl Endpoint {
    fn new(limits: &SessionLimits, durable: bool) -> Self {
        Self {
            connection: Connection::server(Clock::new().now(), limits),
            session: SessionState::new(),
            out: TestOutput::new(durable),
            received: Vec::new(),
            acked: Vec::new(),
            inbox: BytesMut::new(),
            committed: Ticket::NONE,
            has_session: false,
        }
    }

    /// Publishes, or queues while nobody is connected.
    pub fn publish(&mut self, clock: &Clock, qos: QoS, topic: &str, payload: &str) -> Delivery {
        self.connection.deliver(
            clock.now(),
            &mut self.session,
            &TestMessage::new(topic, payload),
            &DeliveryOptions::new(qos),
            None,
            &mut self.out,
        )
    }

    fn commit(&mut self, clock: &Clock, up_to: Ticket) {
        self.committed = up_to;
        self.connection
            .handle_committed(clock.now(), up_to, &mut self.session, &mut self.out);
    }

    fn is_committed(&self) -> bool {
        self.committed == self.out.last_ticket()
    }

    /// Handles all whole packets.
    fn handle_input(&mut self, clock: &Clock, bytes: &Bytes) {
        let now = clock.now();
        let limits = DecodeLimits::default();
        self.inbox.extend_from_slice(bytes);
        let input = self.inbox.split().freeze();
        let mut rest = &input[..];
        loop {
            let decoded = decode(rest, self.connection.version(), &limits);
            let Some((packet, len)) = decoded.expect("an engine sends valid packets") else {
                break;
            };
            let event = self
                .connection
                .handle(now, packet, &mut self.session, &mut self.out)
                .expect("an engine keeps the rules");
            match event {
                Event::Connect(connect) => {
                    let session_present = self.has_session && !connect.clean_start;
                    self.has_session = true;
                    let options = ConnAckOptions::new().with_session_present(session_present);
                    self.connection
                        .accept(now, &mut self.session, options, &mut self.out);
                    self.commit(clock, self.committed);
                }
                Event::ConnAck(_) => self.commit(clock, self.committed),
                Event::Publish(incoming) => {
                    self.received.push(Received {
                        topic: incoming.topic.to_string(),
                        payload: Bytes::copy_from_slice(incoming.publish.payload),
                        qos: incoming.publish.guarantee.qos(),
                        dup: incoming.publish.guarantee.dup(),
                    });
                    if let Some(id) = incoming.publish.guarantee.packet_id() {
                        let (taken, ticket) = (PubAckReason::Success, self.out.next_ticket());
                        self.connection
                            .acknowledge(now, &mut self.session, id, taken, ticket, &mut self.out)
                            .expect("the message waits");
                    }
                }
                Event::Acked(acked) => {
                    let payload = acked.message.map_or_else(Bytes::new, |m| m.payload);
                    self.acked.push(payload);
                }
                Event::None | Event::Repeated(_) | Event::Stray { .. } => {}
                other @ (Event::Subscribe(_)
                | Event::SubAck(_)
                | Event::Unsubscribe(_)
                | Event::UnsubAck(_)
                | Event::Auth(_)
                | Event::Disconnect(_)
                | _) => panic!("nobody asked for {other:?}"),
            }
            rest.advance(len);
        }
        self.inbox.extend_from_slice(rest);
    }
}

/// A client and a server, connected by two links.
#[derive(Debug)]
pub struct Pair {
    /// The clock of both.
    pub clock: Clock,
    /// The end that sends CONNECT.
    pub client: Endpoint,
    /// The end that answers it.
    pub server: Endpoint,
    /// Bytes that have arrived at either end since the beginning.
    pub bytes_arrived: usize,
    connect: Connect,
    limits: SessionLimits,
    to_server: Link,
    to_client: Link,
    cut_after: Option<usize>,
    random: fastrand::Rng,
}

impl Pair {
    /// Two ends with an empty session each, not connected. With `durable` every effect has a
    /// ticket, and both ends commit late, at moments that follow from `seed`.
    pub fn new(version: ProtocolVersion, seed: u64, limits: SessionLimits, durable: bool) -> Self {
        let delay_max = Duration::from_millis(if seed == 0 { 0 } else { 20 });
        Self {
            clock: Clock::new(),
            client: Endpoint::new(&limits, durable),
            server: Endpoint::new(&limits, durable),
            bytes_arrived: 0,
            connect: connect(version, "pair"),
            limits,
            to_server: Link::new(seed, delay_max),
            to_client: Link::new(seed ^ u64::MAX, delay_max),
            cut_after: None,
            random: fastrand::Rng::with_seed(seed.rotate_left(32)),
        }
    }

    /// Makes a new connection on the sessions that are there.
    ///
    /// # Panics
    /// If the CONNECT cannot be written.
    pub fn connect(&mut self) {
        let now = self.clock.now();
        self.server.connection = Connection::server(now, &self.limits);
        self.client.connection =
            Connection::client(now, &self.connect, &self.limits, &mut self.client.out)
                .expect("a valid CONNECT");
    }

    /// The connection is going to be cut when this many bytes have arrived in all.
    pub const fn cut_after(&mut self, bytes: usize) {
        self.cut_after = Some(bytes);
    }

    /// The transport is gone, and all that was under way with it.
    pub fn cut(&mut self) {
        self.cut_after = None;
        self.to_server.cut();
        self.to_client.cut();
        for end in [&mut self.client, &mut self.server] {
            end.connection.handle_transport_closed();
            end.out.buffer.clear();
            end.inbox.clear();
        }
    }

    /// Runs until nothing is left to do, or the connection is cut. Returns whether it was.
    ///
    /// # Panics
    /// If it never ends, or an engine breaks a rule.
    pub fn drive(&mut self) -> bool {
        for _ in 0..100_000 {
            let now = self.clock.now();
            self.to_server.send(now, self.client.out.buffer.split());
            self.to_client.send(now, self.server.out.buffer.split());
            if self.turn() {
                return true;
            }
            let idle = self.to_server.next_arrival().is_none()
                && self.to_client.next_arrival().is_none()
                && self.client.out.buffer.is_empty()
                && self.server.out.buffer.is_empty();
            if idle && self.client.is_committed() && self.server.is_committed() {
                return false;
            }
            let arrivals = [self.to_server.next_arrival(), self.to_client.next_arrival()];
            match arrivals.into_iter().flatten().min() {
                Some(arrival) => self.clock.advance_to(arrival),
                None => self.clock.advance(Duration::from_millis(1)),
            }
        }
        panic!("the two ends never come to rest");
    }

    /// Brings what has arrived, and commits now and then. Returns whether the link was cut.
    fn turn(&mut self) -> bool {
        let now = self.clock.now();
        while let Some(bytes) = self.to_server.receive(now) {
            if !self.arrive(bytes, false) {
                return true;
            }
        }
        while let Some(bytes) = self.to_client.receive(now) {
            if !self.arrive(bytes, true) {
                return true;
            }
        }
        for end in [&mut self.client, &mut self.server] {
            if !end.is_committed() && self.random.u8(..3) == 0 {
                let (from, to) = (end.committed.get(), end.out.last_ticket().get());
                let up_to = self.random.u64(from + 1..=to);
                end.commit(&self.clock, Ticket::new(up_to));
            }
        }
        false
    }

    /// `false`: the connection has been cut on the way.
    fn arrive(&mut self, mut bytes: Bytes, at_client: bool) -> bool {
        let left = self
            .cut_after
            .map_or(usize::MAX, |cut| cut.saturating_sub(self.bytes_arrived));
        let is_cut = bytes.len() >= left;
        bytes.truncate(left);
        self.bytes_arrived += bytes.len();
        let end = if at_client {
            &mut self.client
        } else {
            &mut self.server
        };
        end.handle_input(&self.clock, &bytes);
        if is_cut {
            self.cut();
        }
        !is_cut
    }
}
