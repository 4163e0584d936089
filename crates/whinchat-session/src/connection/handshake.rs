//! CONNECT, CONNACK and AUTH.
//!
//! Read first: MQTT 5.0 sections 3.1, 3.2, 3.15 and 4.12.

use whinchat_codec::{
    AuthReason, ConnAck, ConnAckProperties, ConnAckReason, ConnAckRef, Connect, ConnectRef,
    PacketRef, ProtocolVersion, QoS, Utf8String,
};

use super::properties::encode_within;
use super::timer::Timer;
use super::{Authentication, Connection, Event, Phase, Role};
use crate::{
    DropReason, Instant, Message, Output, Refused, SessionLimits, SessionState, Violation,
};

/// What a server puts into a CONNACK that accepts.
///
/// The engine adds what it enforces, with the values of its [`SessionLimits`]: Receive Maximum,
/// Maximum Packet Size, Topic Alias Maximum, Maximum QoS, Retain Available. It acts on those that
/// the driver sets itself: Session Expiry Interval, Server Keep Alive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnAckOptions {
    /// Whether the session was there before. 3.1 does not say it to the client.
    pub session_present: bool,
    /// Properties; ignored below 5.0.
    pub properties: ConnAckProperties,
}

impl ConnAckOptions {
    /// A new session, no properties.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with this Session Present flag.
    #[must_use]
    pub const fn with_session_present(mut self, session_present: bool) -> Self {
        self.session_present = session_present;
        self
    }

    /// The same with these properties.
    #[must_use]
    pub fn with_properties(mut self, properties: ConnAckProperties) -> Self {
        self.properties = properties;
        self
    }
}

/// An acknowledgement with a reason code and without properties: fixed header, packet id, reason.
const ACKNOWLEDGEMENT_BYTES: u32 = 5;

impl Connection {
    /// The client's end of a new connection; writes the CONNECT.
    ///
    /// What the client announces (Receive Maximum, Maximum Packet Size, Topic Alias Maximum) it
    /// announces in the CONNECT, and the engine keeps to it; the decoder's limit has to be
    /// [`maximum_packet_size_in`](Self::maximum_packet_size_in). The session passed to
    /// [`handle`](Self::handle) is resumed, or started over with its unsent messages, as the
    /// CONNACK says.
    ///
    /// # Errors
    /// If the CONNECT cannot be written.
    pub fn client<M, O: Output<M>>(
        now: Instant,
        connect: &Connect,
        limits: &SessionLimits,
        out: &mut O,
    ) -> Result<Self, Refused> {
        let mut connection = Self::new(Role::Client, Phase::ExpectConnAck, limits);
        let packet = connect.borrowed();
        packet.encode(connect.version, out.buffer())?;
        connection.learn_connect(&packet);
        let properties = packet.properties;
        connection.receive_maximum = properties.receive_maximum().unwrap_or(u16::MAX);
        connection.packet_size_max_in = properties.maximum_packet_size().unwrap_or(u32::MAX);
        connection.topic_alias_maximum_in = properties.topic_alias_maximum().unwrap_or(0);
        connection.maximum_qos = QoS::ExactlyOnce;
        connection.retain_available = true;
        connection.start_handshake_timer(now);
        Ok(connection)
    }

    pub(super) fn start_handshake_timer(&mut self, now: Instant) {
        let deadline = now.saturating_add_millis(u64::from(self.handshake_timeout_millis));
        self.timers.set(Timer::Handshake, deadline);
    }

    /// What both ends keep of the CONNECT.
    fn learn_connect(&mut self, connect: &ConnectRef<'_>) {
        let properties = connect.properties;
        self.version = connect.version;
        self.keep_alive = connect.keep_alive;
        self.clean_start = connect.clean_start;
        self.session_expiry_interval = match connect.version {
            ProtocolVersion::V31 | ProtocolVersion::V311 if connect.clean_start => 0,
            ProtocolVersion::V31 | ProtocolVersion::V311 => u32::MAX,
            // v5 [MQTT-3.1.2-23]
            ProtocolVersion::V5 => properties.session_expiry_interval().unwrap_or(0),
        };
        self.expiry_is_final = self.session_expiry_interval == 0;
        self.request_problem_information = properties.request_problem_information().unwrap_or(true);
        if let Some(method) = properties.authentication_method()
            && let Ok(method) = Utf8String::try_from(method)
        {
            self.extras_mut().authentication = Some(Authentication {
                method,
                rounds: 0,
                is_repeated: false,
            });
        }
    }

    /// A packet before the CONNACK, or behind the end.
    #[cold]
    pub(super) fn handle_in_handshake<'p, M: Message, O: Output<M>>(
        &mut self,
        now: Instant,
        packet: PacketRef<'p>,
        session: &mut SessionState<M>,
        out: &mut O,
    ) -> Result<Event<'p, M>, Violation> {
        let packet_type = packet.packet_type();
        match (self.phase, packet) {
            (Phase::Closed, _) => Ok(Event::None),
            (Phase::ExpectConnect, PacketRef::Connect(connect)) => {
                self.on_connect(&connect);
                Ok(Event::Connect(connect))
            }
            // v5 [MQTT-3.1.0-1]
            (Phase::ExpectConnect, _) => Err(Violation::NotConnect(packet_type)),
            (Phase::ExpectDecision | Phase::ExpectAuth, PacketRef::Connect(_)) => {
                Err(Violation::SecondConnect)
            }
            (Phase::ExpectAuth, PacketRef::Auth(auth)) => {
                self.check_method(auth.properties.authentication_method())?;
                // v5 [MQTT-4.12.0-3]
                if auth.reason != AuthReason::ContinueAuthentication {
                    return Err(Violation::NotExpected(packet_type));
                }
                self.count_authentication_round()?;
                self.phase = Phase::ExpectDecision;
                Ok(Event::Auth(auth))
            }
            (Phase::ExpectConnAck, PacketRef::ConnAck(connack)) => {
                self.on_connack(now, &connack, session, out)?;
                Ok(Event::ConnAck(connack))
            }
            (Phase::ExpectConnAck, PacketRef::Auth(auth)) => {
                if !self.request_problem_information {
                    self.check_problem_information(packet)?;
                }
                self.check_method(auth.properties.authentication_method())?;
                // v5 [MQTT-4.12.0-2]
                if auth.reason != AuthReason::ContinueAuthentication {
                    return Err(Violation::NotExpected(packet_type));
                }
                self.count_authentication_round()?;
                Ok(Event::Auth(auth))
            }
            // A client may give up meanwhile. // v5 [MQTT-3.1.2-30]
            (Phase::ExpectDecision | Phase::ExpectAuth, PacketRef::Disconnect(disconnect)) => {
                self.on_disconnect(disconnect)
            }
            // v5 [MQTT-3.2.0-1] [MQTT-3.1.2-30]
            (
                Phase::ExpectDecision | Phase::ExpectAuth | Phase::ExpectConnAck | Phase::Connected,
                _,
            ) => Err(Violation::NotExpected(packet_type)),
        }
    }

    // ---- server ----

    fn on_connect(&mut self, connect: &ConnectRef<'_>) {
        self.learn_connect(connect);
        let properties = connect.properties;
        self.in_flight_max = self
            .window
            .to_peer(connect.version, properties.receive_maximum());
        self.packet_size_max_out = properties.maximum_packet_size().unwrap_or(u32::MAX);
        // v5 [MQTT-3.1.2-27]
        self.topic_alias_maximum_out = self
            .topic_alias_maximum_out
            .min(properties.topic_alias_maximum().unwrap_or(0));
        if !connect.version.is_v5() {
            self.topic_alias_maximum_in = 0;
        }
        self.phase = Phase::ExpectDecision;
    }

    /// Server: accepts the CONNECT. Writes the CONNACK, then what the session owes: each PUBREL
    /// and each unanswered PUBLISH again, in order, then its queue.
    ///
    /// A driver that answers to a log calls this once the state of the session is durable, and
    /// [`handle_committed`](Self::handle_committed) right behind it. Does nothing unless a
    /// CONNECT waits for it; refuses with 0x83 and closes if
    /// the client's Maximum Packet Size has no room for the CONNACK: see [`is_closed`](Self::is_closed).
    pub fn accept<M: Message, O: Output<M>>(
        &mut self,
        now: Instant,
        session: &mut SessionState<M>,
        options: ConnAckOptions,
        out: &mut O,
    ) {
        if self.phase != Phase::ExpectDecision {
            return;
        }
        let ConnAckOptions {
            session_present,
            mut properties,
        } = options;
        if self.version.is_v5() {
            self.announce(&mut properties);
        } else {
            // 3.x has no words for it: the peer is held to it all the same.
            if let Some(seconds) = properties.server_keep_alive() {
                self.keep_alive = seconds;
            }
            properties = ConnAckProperties::default();
        }
        let mut connack = ConnAck {
            session_present,
            reason: ConnAckReason::Success,
            properties,
        };
        let max = self.packet_size_max_out;
        if !encode_within(&mut connack, self.version, max, out.buffer()) {
            // A client that cannot take the CONNACK cannot be served; it is told so if that fits. // v5 [MQTT-3.1.2-24]
            let reason = ConnAckReason::ImplementationSpecificError;
            self.write_refusal::<M, O>(reason, ConnAckProperties::default(), out);
            self.close();
            return;
        }
        self.enter_connected(now);
        if let Some(receiver) = session.receiver.as_mut() {
            receiver.forget_undecided();
        }
        self.resume(now, session, out);
    }

    /// Completes the properties of CONNACK, and learns what they set.
    fn announce(&mut self, properties: &mut ConnAckProperties) {
        // A value that the property cannot hold is that of its absence.
        let announced = (|| {
            if properties.receive_maximum().is_none() && self.receive_maximum < u16::MAX {
                properties.set_receive_maximum(self.receive_maximum)?;
            }
            if properties.maximum_packet_size().is_none() && self.packet_size_max_in < u32::MAX {
                properties.set_maximum_packet_size(self.packet_size_max_in.max(1))?;
            }
            if properties.maximum_qos().is_none() && self.maximum_qos < QoS::ExactlyOnce {
                properties.set_maximum_qos(self.maximum_qos)?; // v5 [MQTT-3.2.2-9]
            }
            if let Some(method) = self.authentication_method() {
                properties.set_authentication_method(method)?; // v5 [MQTT-4.12.0-5]
            }
            Ok::<(), whinchat_codec::EncodeError>(())
        })();
        debug_assert!(announced.is_ok(), "all values are in range");
        if properties.topic_alias_maximum().is_none() && self.topic_alias_maximum_in > 0 {
            properties.set_topic_alias_maximum(self.topic_alias_maximum_in);
        }
        if properties.retain_available().is_none() && !self.retain_available {
            properties.set_retain_available(false);
        }
        self.receive_maximum = properties.receive_maximum().unwrap_or(u16::MAX);
        self.packet_size_max_in = properties.maximum_packet_size().unwrap_or(u32::MAX);
        self.topic_alias_maximum_in = properties.topic_alias_maximum().unwrap_or(0);
        self.maximum_qos = properties.maximum_qos().unwrap_or(QoS::ExactlyOnce);
        self.retain_available = properties.retain_available().unwrap_or(true);
        if let Some(seconds) = properties.session_expiry_interval() {
            self.session_expiry_interval = seconds;
        }
        // v5 [MQTT-3.2.2-22]
        if let Some(seconds) = properties.server_keep_alive() {
            self.keep_alive = seconds;
        }
    }

    /// Server: refuses the CONNECT with a reason of 0x80 or above. In 3.x the nearest return code
    /// is written, or nothing where there is none. Close the transport afterwards.
    pub fn refuse<M, O: Output<M>>(
        &mut self,
        reason: ConnAckReason,
        properties: ConnAckProperties,
        out: &mut O,
    ) {
        let has_connect = matches!(self.phase, Phase::ExpectDecision | Phase::ExpectAuth);
        if has_connect && reason.is_error() {
            self.write_refusal(reason, properties, out);
        }
        self.close();
    }

    pub(super) fn write_refusal<M, O: Output<M>>(
        &mut self,
        reason: ConnAckReason,
        properties: ConnAckProperties,
        out: &mut O,
    ) {
        let (reason, properties) = if self.version.is_v5() {
            (Some(reason), properties)
        } else {
            // v311 [MQTT-3.2.2-6]
            (reason.downgrade(), ConnAckProperties::default())
        };
        let Some(reason) = reason else {
            return;
        };
        let mut connack = ConnAck {
            session_present: false, // v5 [MQTT-3.2.2-6]
            reason,
            properties,
        };
        encode_within(
            &mut connack,
            self.version,
            self.packet_size_max_out,
            out.buffer(),
        );
    }

    // ---- client ----

    fn on_connack<M: Message, O: Output<M>>(
        &mut self,
        now: Instant,
        connack: &ConnAckRef<'_>,
        session: &mut SessionState<M>,
        out: &mut O,
    ) -> Result<(), Violation> {
        // v5 [MQTT-3.2.2-2] [MQTT-3.2.2-6]
        if connack.session_present && (self.clean_start || connack.reason.is_error()) {
            return Err(Violation::SessionPresentNotExpected);
        }
        if connack.reason.is_error() {
            self.close();
            return Ok(());
        }
        let properties = connack.properties;
        let method = properties.authentication_method();
        if method.is_some() || self.authentication_method().is_some() {
            self.check_method(method)?; // v5 [MQTT-4.12.0-5] [MQTT-4.12.0-6]
        }
        self.in_flight_max = self
            .window
            .to_peer(self.version, properties.receive_maximum());
        self.packet_size_max_out = properties.maximum_packet_size().unwrap_or(u32::MAX);
        if self.packet_size_max_out < ACKNOWLEDGEMENT_BYTES {
            return Err(Violation::PacketSizeMaxTooSmall {
                max: self.packet_size_max_out,
                min: ACKNOWLEDGEMENT_BYTES,
            }); // v5 [MQTT-3.2.2-15]
        }
        // v5 [MQTT-3.2.2-18]
        self.topic_alias_maximum_out = self
            .topic_alias_maximum_out
            .min(properties.topic_alias_maximum().unwrap_or(0));
        self.maximum_qos = properties.maximum_qos().unwrap_or(QoS::ExactlyOnce);
        self.retain_available = properties.retain_available().unwrap_or(true);
        self.wildcard_subscription_available =
            properties.wildcard_subscription_available().unwrap_or(true);
        self.subscription_identifier_available = properties
            .subscription_identifier_available()
            .unwrap_or(true);
        self.shared_subscription_available =
            properties.shared_subscription_available().unwrap_or(true);
        if let Some(seconds) = properties.session_expiry_interval() {
            self.session_expiry_interval = seconds;
        }
        // v5 [MQTT-3.2.2-21]
        if let Some(seconds) = properties.server_keep_alive() {
            self.keep_alive = seconds;
        }
        self.enter_connected(now);
        // 3.1 does not tell: what is sent again may be new to the server. // v31 M31-26
        let is_lost =
            !connack.session_present && (self.version != ProtocolVersion::V31 || self.clean_start);
        if is_lost {
            // v5 [MQTT-3.2.2-5]
            session.receiver = None;
            if let Some(sender) = session.sender.as_mut() {
                sender.start_over(|message| out.dropped(message, DropReason::SessionLost));
            }
        }
        self.resume(now, session, out);
        Ok(())
    }

    // ---- both ----

    fn enter_connected(&mut self, now: Instant) {
        self.phase = Phase::Connected;
        self.timers.clear(Timer::Handshake);
        if let Some(authentication) = self.authentication_mut() {
            authentication.rounds = 0;
        }
        self.start_keep_alive(now);
    }
}
