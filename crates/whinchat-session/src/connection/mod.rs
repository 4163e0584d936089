//! One connection: the struct, its dispatch and its plain questions.
//!
//! The rules are in the modules below, one chapter of the specification each: [`handshake`],
//! [`authentication`], [`incoming`], [`outgoing`], [`subscriptions`], [`keep_alive`],
//! [`flow_control`], [`topic_alias`], [`answers`], [`closing`]. Read [`phase`] first.

mod answers;
mod authentication;
mod closing;
mod event;
mod flow_control;
mod handshake;
mod incoming;
mod keep_alive;
mod outgoing;
mod phase;
mod properties;
mod subscriptions;
mod timer;
mod topic_alias;

use alloc::boxed::Box;

pub use event::{Acked, Answer, Delivery, Event, IncomingPublish, Topic};
pub use handshake::ConnAckOptions;
pub use phase::Role;
use whinchat_codec::{PacketRef, ProtocolVersion, QoS, Utf8String};

use self::answers::Answers;
use self::flow_control::Window;
use self::phase::Phase;
use self::timer::Timers;
use self::topic_alias::{AliasesIn, AliasesOut};
use crate::{
    Instant, Message, Output, QueueLimits, SessionLimits, SessionState, Ticket, Violation,
};

/// The protocol engine of one end of one connection.
///
/// It ends with its transport. What outlives it is in [`SessionState`], which the driver lends
/// for each call together with a place for bytes ([`Output`]). Nothing here does I/O, reads a
/// clock or waits.
///
/// # How to drive it
///
/// One thing at a time, in the order in which it happens:
///
/// 1. Something has happened: a packet has arrived ([`handle`](Self::handle)), records have
///    become durable ([`handle_committed`](Self::handle_committed)), a deadline has passed
///    ([`handle_timeout`](Self::handle_timeout)), or the application wants something
///    ([`deliver`](Self::deliver), [`subscribe`](Self::subscribe), ...).
/// 2. Each call appends to [`Output::buffer`] what has to leave. `handle` also says with one
///    [`Event`] what the packet means; act on it before the next packet.
/// 3. Write the buffer to the transport, read [`poll_timeout`](Self::poll_timeout), wait.
///
/// A [`Violation`] goes to [`close_on_violation`](Self::close_on_violation), a `DecodeError` to
/// [`close_on_malformed`](Self::close_on_malformed); both may append a last packet. Then close
/// the transport once the buffer is written. A command that returns
/// [`Refused`](crate::Refused) has done nothing. A driver whose effects need a log calls
/// `handle_committed` once after the handshake, since the session may have waited elsewhere.
///
/// ```
/// use bytes::{Buf, BytesMut};
/// use whinchat_codec::{DecodeLimits, PubAckReason, decode};
/// use whinchat_session::{
///     ConnAckOptions, Connection, Event, Instant, Message, Output, SessionState, Ticket,
///     Violation,
/// };
///
/// /// A server that takes everything and forgets it: what `input` holds is handled.
/// fn handle_input<M: Message, O: Output<M>>(
///     now: Instant,
///     input: &mut BytesMut,
///     connection: &mut Connection,
///     session: &mut SessionState<M>,
///     out: &mut O,
/// ) -> Result<(), Violation> {
///     let limits = DecodeLimits::default();
///     while let Ok(Some((packet, len))) = decode(input, connection.version(), &limits) {
///         match connection.handle(now, packet, session, out)? {
///             Event::Connect(_) => {
///                 connection.accept(now, session, ConnAckOptions::new(), out);
///             }
///             Event::Publish(incoming) => {
///                 if let Some(id) = incoming.publish.guarantee.packet_id() {
///                     let taken = PubAckReason::Success;
///                     connection.acknowledge(now, session, id, taken, Ticket::NONE, out).ok();
///                 }
///             }
///             _ => {}
///         }
///         input.advance(len);
///     }
///     Ok(())
/// }
/// ```
#[derive(Debug)]
pub struct Connection {
    answers: Answers,
    extras: Option<Box<Extras>>,
    timers: Timers,
    /// Up to here everything is durable, as far as this connection has been told.
    committed: Ticket,
    queue_limits: QueueLimits,
    /// The peer's Maximum Packet Size.
    packet_size_max_out: u32,
    /// Ours.
    packet_size_max_in: u32,
    session_expiry_interval: u32,
    handshake_timeout_millis: u32,
    /// 0: one keep alive period.
    ping_timeout_millis: u32,
    /// What we want to have in flight.
    window: Window,
    /// What we may have in flight: our window within the peer's Receive Maximum.
    in_flight_max: u16,
    /// Our Receive Maximum.
    receive_maximum: u16,
    /// QoS 1 and 2 messages of the peer on this connection without their last answer.
    unanswered: u16,
    keep_alive: u16,
    topic_alias_maximum_in: u16,
    topic_alias_maximum_out: u16,
    version: ProtocolVersion,
    role: Role,
    phase: Phase,
    /// What the server takes; of a server, its own.
    maximum_qos: QoS,
    retain_available: bool,
    wildcard_subscription_available: bool,
    subscription_identifier_available: bool,
    shared_subscription_available: bool,
    /// The client wants Reason Strings and User Properties on every packet.
    request_problem_information: bool,
    clean_start: bool,
    /// The CONNECT left the session without time behind the connection; that cannot be raised.
    expiry_is_final: bool,
    authentication_rounds_max: u8,
}

/// What few connections need.
#[derive(Debug, Default)]
struct Extras {
    aliases_in: AliasesIn,
    aliases_out: AliasesOut,
    authentication: Option<Authentication>,
}

/// An Authentication Method that CONNECT has named.
#[derive(Debug)]
struct Authentication {
    method: Utf8String,
    /// AUTH packets of the peer in the exchange that goes on.
    rounds: u8,
    /// Whether a re-authentication goes on.
    is_repeated: bool,
}

impl Connection {
    /// The server's end of a new connection.
    #[must_use]
    pub fn server(now: Instant, limits: &SessionLimits) -> Self {
        let mut connection = Self::new(Role::Server, Phase::ExpectConnect, limits);
        connection.start_handshake_timer(now);
        connection
    }

    fn new(role: Role, phase: Phase, limits: &SessionLimits) -> Self {
        let millis = |duration: core::time::Duration| {
            u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
        };
        Self {
            answers: Answers::new(),
            extras: None,
            timers: Timers::new(),
            committed: Ticket::NONE,
            queue_limits: limits.queue,
            packet_size_max_out: u32::MAX,
            packet_size_max_in: limits.packet_size_max,
            session_expiry_interval: 0,
            handshake_timeout_millis: millis(limits.handshake_timeout),
            ping_timeout_millis: limits
                .ping_timeout
                .map_or(0, |timeout| millis(timeout).max(1)),
            window: Window {
                max: limits.in_flight_max,
                max_v3: limits.in_flight_max_v3,
            },
            in_flight_max: 1,
            receive_maximum: limits.receive_maximum.max(1),
            unanswered: 0,
            keep_alive: 0,
            topic_alias_maximum_in: limits.topic_alias_maximum_in,
            topic_alias_maximum_out: limits.topic_alias_maximum_out,
            version: ProtocolVersion::V5,
            role,
            phase,
            maximum_qos: limits.maximum_qos,
            retain_available: limits.retain_available,
            wildcard_subscription_available: true,
            subscription_identifier_available: true,
            shared_subscription_available: true,
            request_problem_information: true,
            clean_start: false,
            expiry_is_final: false,
            authentication_rounds_max: limits.authentication_rounds_max,
        }
    }

    /// A packet has arrived. Answers that need no decision are appended to `out`; the event says
    /// what is left to the application.
    ///
    /// # Errors
    /// The peer broke a rule: see [`close_on_violation`](Self::close_on_violation). The reason
    /// code that the peer sees is [`Violation::reason`].
    #[inline]
    pub fn handle<'p, M: Message, O: Output<M>>(
        &mut self,
        now: Instant,
        packet: PacketRef<'p>,
        session: &mut SessionState<M>,
        out: &mut O,
    ) -> Result<Event<'p, M>, Violation> {
        if self.phase != Phase::Connected {
            return self.handle_in_handshake(now, packet, session, out);
        }
        self.heard(now);
        if !self.request_problem_information {
            self.check_problem_information(packet)?;
        }
        let wrong_direction =
            |packet: PacketRef<'_>| Violation::WrongDirection(packet.packet_type());
        match (packet, self.role) {
            (PacketRef::Publish(publish), _) => self.on_publish(now, publish, session, out),
            (PacketRef::PubAck(puback), _) => Ok(self.on_puback(now, puback, session, out)),
            (PacketRef::PubRec(pubrec), _) => Ok(self.on_pubrec(now, pubrec, session, out)),
            (PacketRef::PubRel(pubrel), _) => Ok(self.on_pubrel(now, pubrel, session, out)),
            (PacketRef::PubComp(pubcomp), _) => Ok(self.on_pubcomp(now, pubcomp, session, out)),
            (PacketRef::PingReq, Role::Server) => {
                Self::on_pingreq(out);
                Ok(Event::None)
            }
            (PacketRef::PingResp, Role::Client) => {
                self.on_pingresp();
                Ok(Event::None)
            }
            (PacketRef::Subscribe(subscribe), Role::Server) => {
                Ok(self.on_subscribe(subscribe, session, out))
            }
            (PacketRef::Unsubscribe(unsubscribe), Role::Server) => {
                Ok(self.on_unsubscribe(unsubscribe, session, out))
            }
            (PacketRef::SubAck(suback), Role::Client) => Ok(self.on_suback(suback, session)),
            (PacketRef::UnsubAck(unsuback), Role::Client) => {
                Ok(self.on_unsuback(unsuback, session))
            }
            (PacketRef::Disconnect(disconnect), _) => self.on_disconnect(disconnect),
            (PacketRef::Auth(auth), _) => self.on_auth(now, auth),
            // v5 [MQTT-3.1.0-2]
            (PacketRef::Connect(_), Role::Server) if planted!(SecondConnectTaken) => {
                Ok(Event::None)
            }
            (PacketRef::Connect(_), Role::Server) => Err(Violation::SecondConnect),
            // v5 [MQTT-3.2.0-2]
            (PacketRef::ConnAck(connack), Role::Client) => Err(Violation::NotExpected(
                PacketRef::ConnAck(connack).packet_type(),
            )),
            (
                PacketRef::Connect(_)
                | PacketRef::Subscribe(_)
                | PacketRef::Unsubscribe(_)
                | PacketRef::PingReq,
                Role::Client,
            )
            | (
                PacketRef::ConnAck(_)
                | PacketRef::SubAck(_)
                | PacketRef::UnsubAck(_)
                | PacketRef::PingResp,
                Role::Server,
            ) => Err(wrong_direction(packet)),
        }
    }

    /// All records up to `up_to` are durable: writes the answers, QoS 2 PUBLISH and PUBREL packets
    /// that have waited for them.
    pub fn handle_committed<M: Message, O: Output<M>>(
        &mut self,
        now: Instant,
        up_to: Ticket,
        session: &mut SessionState<M>,
        out: &mut O,
    ) {
        self.committed = self.committed.max(up_to);
        if self.phase == Phase::Connected {
            self.release_answers(now, out);
            self.release_gates(now, session, out);
        }
    }

    /// The lowest ticket whose commit this connection waits for; `None`: none.
    #[inline]
    #[must_use]
    pub fn awaited_ticket<M>(&self, session: &SessionState<M>) -> Option<Ticket> {
        let gate = session
            .sender
            .as_ref()
            .and_then(|sender| sender.first_gate());
        match (self.answers.awaited(), gate) {
            (Some(answer), Some(gate)) => Some(answer.min(gate)),
            (answer, gate) => answer.or(gate),
        }
    }

    /// Writes the answers whose turn it is.
    #[inline]
    fn release_answers<M, O: Output<M>>(&mut self, now: Instant, out: &mut O) {
        let buffer = out.buffer();
        let before = buffer.len();
        let ended = self.answers.release(self.committed, self.version, buffer);
        if buffer.len() != before {
            self.wrote(now);
        }
        self.uncount_incoming(ended);
    }

    /// Which end this is.
    #[inline]
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// The version to decode the peer's packets with. A server knows it from CONNECT on; the
    /// decoder takes CONNECT in any version.
    #[inline]
    #[must_use]
    pub const fn version(&self) -> ProtocolVersion {
        self.version
    }

    /// Whether the handshake is over and nobody has left.
    #[inline]
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.phase == Phase::Connected
    }

    /// Whether nothing is sent any more: the transport can be closed once the buffer is written.
    #[inline]
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    /// Seconds that the session outlives this connection; 0: it ends with it, 0xFFFFFFFF: it does
    /// not expire. In 3.x 0 or 0xFFFFFFFF by Clean Session.
    #[inline]
    #[must_use]
    pub const fn session_expiry_interval(&self) -> u32 {
        self.session_expiry_interval
    }

    /// Our Maximum Packet Size: the limit for the decoder from CONNACK on.
    #[inline]
    #[must_use]
    pub const fn maximum_packet_size_in(&self) -> u32 {
        self.packet_size_max_in
    }

    /// The peer's Maximum Packet Size; 0xFFFFFFFF if it has none.
    #[inline]
    #[must_use]
    pub const fn maximum_packet_size_out(&self) -> u32 {
        self.packet_size_max_out
    }

    /// How many topic aliases we use towards the peer.
    #[inline]
    #[must_use]
    pub const fn topic_alias_maximum_out(&self) -> u16 {
        self.topic_alias_maximum_out
    }

    /// How many QoS 1 and 2 messages may be in flight to the peer.
    #[inline]
    #[must_use]
    pub const fn in_flight_max(&self) -> u16 {
        self.in_flight_max
    }

    /// The highest QoS that the server takes.
    #[inline]
    #[must_use]
    pub const fn maximum_qos(&self) -> QoS {
        self.maximum_qos
    }

    #[inline]
    fn extras_mut(&mut self) -> &mut Extras {
        self.extras.get_or_insert_default()
    }
}
