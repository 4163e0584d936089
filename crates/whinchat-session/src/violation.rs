//! A rule that the peer broke: which, the statement behind it, and the reason code that answers.
//!
//! [`Connection::close_on_violation`](crate::Connection::close_on_violation) is the one place
//! that turns a violation into bytes. Read first: MQTT 5.0 section 4.13; MQTT 3.1.1 section 4.8.

use core::fmt;

use whinchat_codec::{DisconnectReason, PacketType, ProtocolVersion, QoS};

/// The peer broke a rule of the protocol, or was silent for too long. The connection has to be
/// closed; the session is untouched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Violation {
    /// The first packet is not CONNECT.
    NotConnect(PacketType),
    /// A second CONNECT.
    SecondConnect,
    /// A packet that only the other role sends.
    WrongDirection(PacketType),
    /// A packet at a moment where it is not allowed.
    NotExpected(PacketType),
    /// More unanswered QoS 1 and 2 messages than our Receive Maximum.
    ReceiveMaximumExceeded {
        /// What we announced.
        max: u16,
    },
    /// A Topic Alias above our Topic Alias Maximum.
    TopicAliasTooHigh {
        /// The alias.
        alias: u16,
        /// What we announced.
        max: u16,
    },
    /// An empty topic name with a Topic Alias that stands for nothing.
    UnknownTopicAlias {
        /// The alias.
        alias: u16,
    },
    /// A client's PUBLISH with a Subscription Identifier.
    SubscriptionIdentifierFromClient,
    /// A QoS above our Maximum QoS.
    QoSNotSupported {
        /// The QoS of the PUBLISH.
        qos: QoS,
        /// What we announced.
        max: QoS,
    },
    /// RETAIN where we announced that it is not available.
    RetainNotSupported,
    /// DISCONNECT raises the Session Expiry Interval from 0.
    SessionExpiryRaised,
    /// A server's DISCONNECT with a Session Expiry Interval.
    SessionExpiryFromServer,
    /// A DISCONNECT reason that only the other role uses.
    DisconnectReasonNotAllowed(DisconnectReason),
    /// Session Present behind Clean Start, or with a refusal.
    SessionPresentNotExpected,
    /// AUTH or CONNACK with another Authentication Method than CONNECT, or without one.
    AuthenticationMethodChanged,
    /// More AUTH packets in one exchange than allowed.
    TooManyAuthenticationRounds {
        /// The limit.
        max: u8,
    },
    /// A Reason String or User Property to a client whose Request Problem Information is 0.
    ProblemInformationNotRequested(PacketType),
    /// A server that takes no packet as large as an acknowledgement: it cannot be answered.
    PacketSizeMaxTooSmall {
        /// Its Maximum Packet Size.
        max: u32,
        /// The least that will do.
        min: u32,
    },
    /// No complete handshake in time.
    HandshakeTimeout,
    /// No packet within one and a half times the Keep Alive.
    KeepAliveTimeout,
    /// No PINGRESP in time.
    PingResponseTimeout,
}

impl Violation {
    /// The reason code of the DISCONNECT that answers it (or of the CONNACK, where one code is
    /// legal in both). A 3.x connection is closed without a word.
    pub const fn reason(self) -> DisconnectReason {
        match self {
            Self::NotConnect(_)
            | Self::SecondConnect
            | Self::WrongDirection(_)
            | Self::NotExpected(_)
            | Self::UnknownTopicAlias { .. }
            | Self::SubscriptionIdentifierFromClient
            | Self::SessionExpiryRaised
            | Self::SessionExpiryFromServer
            | Self::DisconnectReasonNotAllowed(_)
            | Self::SessionPresentNotExpected
            | Self::AuthenticationMethodChanged
            | Self::ProblemInformationNotRequested(_) => DisconnectReason::ProtocolError,
            Self::ReceiveMaximumExceeded { .. } => DisconnectReason::ReceiveMaximumExceeded,
            Self::TopicAliasTooHigh { .. } => DisconnectReason::TopicAliasInvalid,
            Self::QoSNotSupported { .. } => DisconnectReason::QoSNotSupported,
            Self::RetainNotSupported => DisconnectReason::RetainNotSupported,
            Self::TooManyAuthenticationRounds { .. } => DisconnectReason::NotAuthorized,
            Self::PacketSizeMaxTooSmall { .. } => DisconnectReason::PacketTooLarge,
            Self::KeepAliveTimeout => DisconnectReason::KeepAliveTimeout,
            // Nobody answers these two: there is no CONNACK yet, or the peer does not read.
            Self::HandshakeTimeout | Self::PingResponseTimeout => {
                DisconnectReason::UnspecifiedError
            }
        }
    }

    /// The numbered statement that was broken, without brackets; `None` where the rule has no
    /// number in this version (3.1 has no numbers at all) or is a limit of ours.
    pub const fn statement(self, version: ProtocolVersion) -> Option<&'static str> {
        match version {
            ProtocolVersion::V31 => None,
            ProtocolVersion::V311 => self.statement_v311(),
            ProtocolVersion::V5 => self.statement_v5(),
        }
    }

    const fn statement_v311(self) -> Option<&'static str> {
        match self {
            Self::NotConnect(_) => Some("MQTT-3.1.0-1"),
            Self::SecondConnect => Some("MQTT-3.1.0-2"),
            Self::SessionPresentNotExpected => Some("MQTT-3.2.2-1"),
            Self::KeepAliveTimeout => Some("MQTT-3.1.2-24"),
            Self::WrongDirection(_) | Self::NotExpected(_) => Some("MQTT-4.8.0-1"),
            Self::ReceiveMaximumExceeded { .. }
            | Self::TopicAliasTooHigh { .. }
            | Self::UnknownTopicAlias { .. }
            | Self::SubscriptionIdentifierFromClient
            | Self::QoSNotSupported { .. }
            | Self::RetainNotSupported
            | Self::SessionExpiryRaised
            | Self::SessionExpiryFromServer
            | Self::DisconnectReasonNotAllowed(_)
            | Self::AuthenticationMethodChanged
            | Self::TooManyAuthenticationRounds { .. }
            | Self::ProblemInformationNotRequested(_)
            | Self::PacketSizeMaxTooSmall { .. }
            | Self::HandshakeTimeout
            | Self::PingResponseTimeout => None,
        }
    }

    const fn statement_v5(self) -> Option<&'static str> {
        match self {
            Self::NotConnect(_) => Some("MQTT-3.1.0-1"),
            Self::SecondConnect => Some("MQTT-3.1.0-2"),
            Self::WrongDirection(_) | Self::NotExpected(_) => Some("MQTT-4.13.1-1"),
            Self::ReceiveMaximumExceeded { .. } => Some("MQTT-3.3.4-7"),
            Self::TopicAliasTooHigh { .. } => Some("MQTT-3.3.2-9"),
            Self::SubscriptionIdentifierFromClient => Some("MQTT-3.3.4-6"),
            Self::QoSNotSupported { .. } => Some("MQTT-3.2.2-11"),
            Self::RetainNotSupported => Some("MQTT-3.2.2-14"),
            Self::SessionExpiryFromServer => Some("MQTT-3.14.2-2"),
            Self::DisconnectReasonNotAllowed(_) => Some("MQTT-3.14.2-1"),
            Self::SessionPresentNotExpected => Some("MQTT-3.2.2-2"),
            Self::AuthenticationMethodChanged => Some("MQTT-4.12.0-5"),
            Self::ProblemInformationNotRequested(_) => Some("MQTT-3.1.2-29"),
            Self::KeepAliveTimeout => Some("MQTT-3.1.2-22"),
            Self::UnknownTopicAlias { .. }
            | Self::SessionExpiryRaised
            | Self::TooManyAuthenticationRounds { .. }
            | Self::PacketSizeMaxTooSmall { .. }
            | Self::HandshakeTimeout
            | Self::PingResponseTimeout => None,
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotConnect(packet) => write!(f, "first packet is {packet}, not CONNECT"),
            Self::SecondConnect => f.write_str("second CONNECT"),
            Self::WrongDirection(packet) => write!(f, "{packet} from the wrong side"),
            Self::NotExpected(packet) => write!(f, "{packet} is not allowed at this point"),
            Self::ReceiveMaximumExceeded { max } => {
                write!(
                    f,
                    "more unanswered messages than the receive maximum of {max}"
                )
            }
            Self::TopicAliasTooHigh { alias, max } => {
                write!(f, "topic alias {alias}, the topic alias maximum is {max}")
            }
            Self::UnknownTopicAlias { alias } => {
                write!(
                    f,
                    "empty topic name with topic alias {alias}, which is not set"
                )
            }
            Self::SubscriptionIdentifierFromClient => {
                f.write_str("PUBLISH of a client with a subscription identifier")
            }
            Self::QoSNotSupported { qos, max } => {
                write!(f, "PUBLISH with {qos}, the maximum is {max}")
            }
            Self::RetainNotSupported => f.write_str("PUBLISH with RETAIN, which is not available"),
            Self::SessionExpiryRaised => {
                f.write_str("DISCONNECT raises the session expiry interval from 0")
            }
            Self::SessionExpiryFromServer => {
                f.write_str("DISCONNECT of a server with a session expiry interval")
            }
            Self::DisconnectReasonNotAllowed(reason) => {
                write!(
                    f,
                    "DISCONNECT with {:#04X}, which the other side sends",
                    reason.code()
                )
            }
            Self::SessionPresentNotExpected => {
                f.write_str("CONNACK with session present, which cannot be")
            }
            Self::AuthenticationMethodChanged => {
                f.write_str("authentication method is not that of CONNECT")
            }
            Self::TooManyAuthenticationRounds { max } => {
                write!(f, "more than {max} AUTH packets in one exchange")
            }
            Self::ProblemInformationNotRequested(packet) => {
                write!(
                    f,
                    "{packet} with a reason in words, which was not asked for"
                )
            }
            Self::PacketSizeMaxTooSmall { max, min } => {
                write!(
                    f,
                    "maximum packet size of {max}, an acknowledgement has {min} bytes"
                )
            }
            Self::HandshakeTimeout => f.write_str("handshake not completed in time"),
            Self::KeepAliveTimeout => f.write_str("no packet within 1.5 times the keep alive"),
            Self::PingResponseTimeout => f.write_str("no PINGRESP in time"),
        }
    }
}

impl core::error::Error for Violation {}
