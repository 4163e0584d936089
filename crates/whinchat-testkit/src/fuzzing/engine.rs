//! Fuzz body of the engine: a server's connection and session under random packets, time, commits, deliveries, cuts
//! and restarts, watched by a [`Witness`] that knows only what leaves and what is recorded.

use bytes::{Buf, BytesMut};
use whinchat_codec::{
    DecodeLimits, DisconnectProperties, DisconnectReason, PacketRef, PubAckReason, QoS,
    SubAckProperties, SubAckReason, UnsubAckProperties, UnsubAckReason, decode,
};
use whinchat_session::{
    ConnAckOptions, Connection, DeliveryOptions, Event, Instant, SessionLimits, SessionState,
    Ticket,
};

use super::letter::Letter;
use super::witness::Witness;

/// Steps of one or more bytes: the first chooses what happens, the next ones are what it needs.
pub fn engine(data: &[u8]) {
    let mut steps = Steps(data);
    let Some(settings) = steps.byte() else {
        return;
    };
    let mut server = Server::new(settings);
    while let Some(step) = steps.byte() {
        match step % 16 {
            0..=7 => {
                let len = steps.byte().unwrap_or(0);
                server.receive(steps.bytes(usize::from(len)));
            }
            8 | 9 => server.deliver(steps.byte().unwrap_or(0), steps.byte().unwrap_or(0)),
            10 | 11 => server.commit(steps.byte().unwrap_or(0)),
            12 => server.pass_time(steps.byte().unwrap_or(0)),
            13 => server.reconnect(),
            14 => server.restart(),
            _ => server.disconnect(steps.byte().unwrap_or(0)),
        }
        server.check();
    }
}

struct Steps<'a>(&'a [u8]);

impl<'a> Steps<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn bytes(&mut self, len: usize) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        bytes
    }
}

/// A minimal driver: it takes over every message, grants every subscription, and commits when it is told to.
struct Server {
    now: Instant,
    /// First settings byte: whether all is durable at once, and how small the limits are.
    durable_at_once: bool,
    limits: SessionLimits,
    connection: Connection,
    session: SessionState<Letter>,
    input: BytesMut,
    out: Witness,
    /// The transport is gone or on its way.
    is_closed: bool,
}

impl Server {
    fn new(settings: u8) -> Self {
        let mut limits = SessionLimits::default();
        if settings & 1 != 0 {
            limits = limits
                .with_receive_maximum(2)
                .with_in_flight_max(2)
                .with_in_flight_max_v3(2)
                .with_topic_alias_maximum_in(2)
                .with_topic_alias_maximum_out(2);
        }
        Self {
            now: Instant::ORIGIN,
            durable_at_once: settings & 2 != 0,
            limits,
            connection: Connection::server(Instant::ORIGIN, &limits),
            session: SessionState::new(),
            input: BytesMut::new(),
            out: Witness::default(),
            is_closed: false,
        }
    }

    fn receive(&mut self, bytes: &[u8]) {
        if self.is_closed {
            return;
        }
        self.input.extend_from_slice(bytes);
        let mut input = std::mem::take(&mut self.input);
        while !self.is_closed {
            match decode(&input, self.connection.version(), &DecodeLimits::default()) {
                Ok(Some((packet, len))) => {
                    self.handle(packet);
                    self.check();
                    input.advance(len);
                }
                Ok(None) => break,
                Err(error) => {
                    self.connection.close_on_malformed(&error, &mut self.out);
                    self.is_closed = true;
                }
            }
        }
        self.input = input;
    }

    fn handle(&mut self, packet: PacketRef<'_>) {
        let (now, session, out) = (self.now, &mut self.session, &mut self.out);
        let held_before = session.held_ids();
        let event = match self.connection.handle(now, packet, session, out) {
            Ok(event) => event,
            Err(violation) => {
                assert!(violation.reason().is_error(), "{violation}");
                self.connection.close_on_violation(violation, out);
                self.is_closed = true;
                return;
            }
        };
        if let PacketRef::PubRel(pubrel) = packet
            && session.held_ids() < held_before
        {
            out.released(pubrel.packet_id);
        }
        match event {
            Event::Connect(connect) => {
                if connect.clean_start {
                    session.clear(drop);
                    out.session_cleared();
                }
                out.accepted(&connect);
                let options = ConnAckOptions::new().with_session_present(!session.is_empty());
                self.connection.accept(now, session, options, out);
                let committed = out.committed();
                self.connection
                    .handle_committed(now, committed, session, out);
            }
            Event::Publish(incoming) => {
                assert!(!incoming.topic.as_str().is_empty());
                let guarantee = incoming.publish.guarantee;
                let Some(id) = guarantee.packet_id() else {
                    return;
                };
                // What the payload says is what the application decides.
                let refused = incoming.publish.payload.first() == Some(&b'!');
                let reason = if refused {
                    PubAckReason::NotAuthorized
                } else {
                    PubAckReason::Success
                };
                let ticket = out.next_ticket();
                // 3.x has no refusal: the client sees success, and the id is held.
                let refused = refused && self.connection.version().is_v5();
                out.decided(id, guarantee.qos(), ticket, refused);
                let answered = self
                    .connection
                    .acknowledge(now, session, id, reason, ticket, out);
                assert_eq!(answered, Ok(()));
            }
            Event::Subscribe(subscribe) => {
                let reasons = vec![SubAckReason::GrantedQoS1; subscribe.subscriptions.len()];
                let (id, ticket) = (subscribe.packet_id, out.next_ticket());
                // The client may take no packet as long as the SUBACK.
                let _ =
                    self.connection
                        .suback(now, id, &reasons, SubAckProperties::new(), ticket, out);
            }
            Event::Unsubscribe(unsubscribe) => {
                let reasons = vec![UnsubAckReason::Success; unsubscribe.filters.len()];
                let (id, ticket) = (unsubscribe.packet_id, out.next_ticket());
                let _ = self.connection.unsuback(
                    now,
                    id,
                    &reasons,
                    UnsubAckProperties::new(),
                    ticket,
                    out,
                );
            }
            Event::Disconnect(_) => self.is_closed = true,
            Event::Repeated(id) => out.repeated(id),
            Event::None
            | Event::ConnAck(_)
            | Event::SubAck(_)
            | Event::UnsubAck(_)
            | Event::Acked(_)
            | Event::Auth(_)
            | Event::Stray { .. }
            | _ => {}
        }
        if self.durable_at_once {
            self.commit(u8::MAX);
        }
    }

    fn deliver(&mut self, number: u8, options: u8) {
        let message = Letter::new(number, self.now);
        let qos = QoS::ALL[usize::from(options) % 3];
        let ids = [u32::from(options) + 1, 1];
        let options = DeliveryOptions::new(qos)
            .with_retain(options & 4 != 0)
            .with_subscription_ids(&ids[..usize::from(options >> 3) % 3]);
        let (now, session, out) = (self.now, &mut self.session, &mut self.out);
        if self.is_closed {
            session.enqueue(now, &message, &options, &self.limits.queue, drop);
        } else {
            self.connection
                .deliver(now, session, &message, &options, None, out);
        }
    }

    fn commit(&mut self, count: u8) {
        let up_to = self.out.commit(u64::from(count));
        if !self.is_closed {
            let (session, out) = (&mut self.session, &mut self.out);
            self.connection
                .handle_committed(self.now, up_to, session, out);
        }
    }

    fn pass_time(&mut self, seconds: u8) {
        self.now = self.now.saturating_add_millis(u64::from(seconds) * 500);
        if self.is_closed {
            return;
        }
        let due = self
            .connection
            .poll_timeout()
            .is_some_and(|deadline| deadline <= self.now);
        match self
            .connection
            .handle_timeout::<Letter, _>(self.now, &mut self.out)
        {
            Ok(()) => {
                let next = self.connection.poll_timeout();
                assert!(
                    next.is_none_or(|next| next > self.now),
                    "{next:?} is due at {:?}",
                    self.now
                );
            }
            Err(violation) => {
                assert!(due, "{violation} before its time");
                self.connection.close_on_violation(violation, &mut self.out);
                self.is_closed = true;
            }
        }
    }

    /// The transport breaks, and the same client comes back on a new one.
    fn reconnect(&mut self) {
        self.connection.handle_transport_closed();
        self.check();
        self.connection = Connection::server(self.now, &self.limits);
        self.input.clear();
        self.out.reconnected();
        self.is_closed = false;
    }

    /// The process ends and starts again with what it had kept.
    fn restart(&mut self) {
        self.reconnect();
        self.commit(u8::MAX);
        let before = (
            self.session.in_flight(),
            self.session.queue_len(),
            self.session.held_ids(),
        );
        let snapshot = self.session.export(|letter, out| letter.write(out));
        self.session = SessionState::restore(&snapshot, Letter::read).expect("what was exported");
        let after = (
            self.session.in_flight(),
            self.session.queue_len(),
            self.session.held_ids(),
        );
        assert_eq!(after, before, "in flight, queued, held");
        let snapshot = self.session.export(|letter, out| letter.write(out));
        self.session = SessionState::restore(&snapshot, Letter::read).expect("what was exported");
        let again = self.session.export(|letter, out| letter.write(out));
        assert_eq!(again.as_bytes(), snapshot.as_bytes());
    }

    fn disconnect(&mut self, choice: u8) {
        let reasons = [
            DisconnectReason::ServerShuttingDown,
            DisconnectReason::AdministrativeAction,
        ];
        let reason = reasons[usize::from(choice) % reasons.len()];
        let properties = DisconnectProperties::new();
        // A client that is not connected cannot be told.
        let _ = self
            .connection
            .disconnect::<Letter, _>(reason, properties, &mut self.out);
        self.is_closed = true;
    }

    fn check(&mut self) {
        self.out.check(self.connection.version());
        let awaited = self.connection.awaited_ticket(&self.session);
        assert!(
            !self.connection.is_connected()
                || awaited.is_none_or(|ticket| ticket > self.out.committed()),
            "{awaited:?} is committed and still waited for"
        );
        assert!(awaited != Some(Ticket::NONE));
    }
}
