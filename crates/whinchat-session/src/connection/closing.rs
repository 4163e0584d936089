//! The end of a connection: DISCONNECT, and the one place that turns an error into bytes.
//!
//! Read first: MQTT 5.0 sections 3.14 and 4.13; MQTT 3.1.1 sections 3.14 and 4.8.

use alloc::string::ToString;

use whinchat_codec::{
    ConnAckProperties, ConnAckReason, DecodeError, DecodeErrorKind, Disconnect,
    DisconnectProperties, DisconnectReason, DisconnectRef, PacketType, ProtocolVersion,
};

use super::properties::encode_within;
use super::{Connection, Event, Phase, Role};
use crate::{Output, Refused, Violation};

impl Connection {
    /// Leaves: writes a DISCONNECT where this role and version have one, and nothing behind it.
    /// Close the transport once the buffer is written. // v5 [MQTT-3.14.4-1] [MQTT-3.14.4-2]
    ///
    /// A 3.x server has no DISCONNECT; a 3.x client has one only for
    /// [`NormalDisconnection`](DisconnectReason::NormalDisconnection), so that with any other
    /// reason the server publishes the will. Before the handshake is over nothing is written.
    ///
    /// # Errors
    /// If a client raises the Session Expiry Interval from 0, or gives a reason that only a
    /// server has.
    pub fn disconnect<M, O: Output<M>>(
        &mut self,
        reason: DisconnectReason,
        properties: DisconnectProperties,
        out: &mut O,
    ) -> Result<(), Refused> {
        let expiry = properties.session_expiry_interval();
        match self.role {
            Role::Client => {
                if !is_client_reason(reason) {
                    return Err(Refused::NotAvailable);
                }
                if self.expiry_is_final && expiry.is_some_and(|seconds| seconds > 0) {
                    return Err(Refused::SessionExpiryRaised);
                }
            }
            Role::Server => {
                // v5 [MQTT-3.14.2-2]
                if expiry.is_some() || reason == DisconnectReason::DisconnectWithWill {
                    return Err(Refused::NotAvailable);
                }
            }
        }
        // v5 [MQTT-3.14.0-1]
        if self.phase == Phase::Connected {
            if let (Some(seconds), true) = (expiry, self.version.is_v5()) {
                self.session_expiry_interval = seconds;
            }
            self.write_disconnect(reason, properties, out);
        }
        self.close();
        Ok(())
    }

    fn write_disconnect<M, O: Output<M>>(
        &self,
        reason: DisconnectReason,
        properties: DisconnectProperties,
        out: &mut O,
    ) {
        let mut disconnect = match (self.version, self.role) {
            (ProtocolVersion::V5, _) => Disconnect { reason, properties },
            (ProtocolVersion::V31 | ProtocolVersion::V311, Role::Client)
                if reason == DisconnectReason::NormalDisconnection =>
            {
                Disconnect::new(reason)
            }
            (ProtocolVersion::V31 | ProtocolVersion::V311, _) => return,
        };
        encode_within(
            &mut disconnect,
            self.version,
            self.packet_size_max_out,
            out.buffer(),
        );
    }

    pub(super) fn on_disconnect<'p, M>(
        &mut self,
        disconnect: DisconnectRef<'p>,
    ) -> Result<Event<'p, M>, Violation> {
        let expiry = disconnect.properties.session_expiry_interval();
        match self.role {
            Role::Server => {
                if !is_client_reason(disconnect.reason) {
                    // v5 [MQTT-3.14.2-1]
                    return Err(Violation::DisconnectReasonNotAllowed(disconnect.reason));
                }
                if let Some(seconds) = expiry {
                    // Section 3.14.2.2.2.
                    if self.expiry_is_final && seconds > 0 {
                        return Err(Violation::SessionExpiryRaised);
                    }
                    self.session_expiry_interval = seconds;
                }
            }
            Role::Client => {
                if !self.version.is_v5() {
                    return Err(Violation::WrongDirection(PacketType::Disconnect));
                }
                if disconnect.reason == DisconnectReason::DisconnectWithWill {
                    return Err(Violation::DisconnectReasonNotAllowed(disconnect.reason));
                }
                if expiry.is_some() {
                    return Err(Violation::SessionExpiryFromServer); // v5 [MQTT-3.14.2-2]
                }
            }
        }
        self.close();
        Ok(Event::Disconnect(disconnect))
    }

    /// The peer broke a rule: writes the packet that tells it so, where there is one, and closes.
    ///
    /// 5.0: DISCONNECT, or before the end of the handshake a server's CONNACK. 3.x, and before
    /// CONNECT: nothing. Close the transport once the buffer is written.
    /// // v5 [MQTT-4.13.1-1] // v311 [MQTT-4.8.0-1]
    pub fn close_on_violation<M, O: Output<M>>(&mut self, violation: Violation, out: &mut O) {
        let nobody_listens = matches!(
            violation,
            Violation::HandshakeTimeout | Violation::PingResponseTimeout
        );
        if !nobody_listens {
            self.write_failure(violation.reason(), &violation, out);
        }
        self.close();
    }

    /// The peer's bytes are no packet: as [`close_on_violation`](Self::close_on_violation).
    ///
    /// A CONNECT of a version that does not exist is told so in the form its sender may know.
    /// // v5 [MQTT-3.1.2-2] // v311 [MQTT-3.1.2-2]
    pub fn close_on_malformed<M, O: Output<M>>(&mut self, error: &DecodeError, out: &mut O) {
        if self.phase == Phase::ExpectConnect && error.packet() == Some(PacketType::Connect) {
            let reason = error.connack_reason();
            let unsupported = reason == ConnAckReason::UnsupportedProtocolVersion;
            let version = match (error.version(), error.kind()) {
                (_, DecodeErrorKind::UnsupportedVersion { level }) => Some(if level > 5 {
                    ProtocolVersion::V5
                } else {
                    ProtocolVersion::V311
                }),
                (version, _) => version,
            };
            // v311 [MQTT-3.1.4-1]
            if let Some(version) = version
                && (version.is_v5() || unsupported)
            {
                self.version = version;
                self.write_refusal(reason, ConnAckProperties::new(), out);
            }
        } else {
            self.write_failure(error.reason(), error, out);
        }
        self.close();
    }

    /// The transport is gone: nothing is sent any more, and no timer runs.
    pub fn handle_transport_closed(&mut self) {
        self.close();
    }

    fn write_failure<M, O: Output<M>>(
        &mut self,
        reason: DisconnectReason,
        text: &dyn core::fmt::Display,
        out: &mut O,
    ) {
        if !self.version.is_v5() {
            return;
        }
        // A text of ours is short and without U+0000, and is left out where it does not fit.
        match self.phase {
            Phase::ExpectDecision | Phase::ExpectAuth => {
                let reason =
                    ConnAckReason::from_code(reason.code()).unwrap_or(ConnAckReason::ProtocolError);
                let properties = ConnAckProperties::new().with_reason_string(&text.to_string());
                self.write_refusal(reason, properties.unwrap_or_default(), out);
            }
            Phase::Connected => {
                let properties = DisconnectProperties::new().with_reason_string(&text.to_string());
                self.write_disconnect(reason, properties.unwrap_or_default(), out);
            }
            Phase::ExpectConnect | Phase::ExpectConnAck | Phase::Closed => {}
        }
    }

    /// Nothing is sent any more.
    pub(super) fn close(&mut self) {
        self.phase = Phase::Closed;
        self.timers.clear_all();
        self.answers.clear();
        self.extras = None;
    }
}

/// Whether a client may use the reason. // v5 [MQTT-3.14.2-1]
const fn is_client_reason(reason: DisconnectReason) -> bool {
    match reason {
        DisconnectReason::NormalDisconnection
        | DisconnectReason::DisconnectWithWill
        | DisconnectReason::UnspecifiedError
        | DisconnectReason::MalformedPacket
        | DisconnectReason::ProtocolError
        | DisconnectReason::ImplementationSpecificError
        | DisconnectReason::TopicNameInvalid
        | DisconnectReason::ReceiveMaximumExceeded
        | DisconnectReason::TopicAliasInvalid
        | DisconnectReason::PacketTooLarge
        | DisconnectReason::MessageRateTooHigh
        | DisconnectReason::QuotaExceeded
        | DisconnectReason::AdministrativeAction
        | DisconnectReason::PayloadFormatInvalid => true,
        DisconnectReason::NotAuthorized
        | DisconnectReason::ServerBusy
        | DisconnectReason::ServerShuttingDown
        | DisconnectReason::BadAuthenticationMethod
        | DisconnectReason::KeepAliveTimeout
        | DisconnectReason::SessionTakenOver
        | DisconnectReason::TopicFilterInvalid
        | DisconnectReason::RetainNotSupported
        | DisconnectReason::QoSNotSupported
        | DisconnectReason::UseAnotherServer
        | DisconnectReason::ServerMoved
        | DisconnectReason::SharedSubscriptionsNotSupported
        | DisconnectReason::ConnectionRateExceeded
        | DisconnectReason::MaximumConnectTime
        | DisconnectReason::SubscriptionIdentifiersNotSupported
        | DisconnectReason::WildcardSubscriptionsNotSupported => false,
    }
}
