//! Local misuse: a command that cannot be carried out. It never closes the connection and the
//! peer never sees it.

use core::fmt;

use whinchat_codec::{EncodeError, PacketId, QoS};

/// Why a command was refused. Nothing was sent and nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refused {
    /// The connection is not between CONNACK and DISCONNECT.
    NotConnected,
    /// This role, or this protocol version, does not have the packet.
    NotAvailable,
    /// All 65,535 packet ids are in use.
    NoPacketId,
    /// Nothing with this packet id waits for an answer from us.
    UnknownPacketId(PacketId),
    /// The packet is larger than the peer's Maximum Packet Size.
    PacketTooLarge {
        /// Bytes of the packet.
        size: usize,
        /// The peer's limit.
        max: u32,
    },
    /// The server's Maximum QoS is lower.
    QoSNotSupported {
        /// The QoS that was asked for.
        asked: QoS,
        /// The server's Maximum QoS.
        max: QoS,
    },
    /// The server does not take retained messages.
    RetainNotSupported,
    /// The server does not take wildcard subscriptions.
    WildcardSubscriptionsNotSupported,
    /// The server does not take shared subscriptions.
    SharedSubscriptionsNotSupported,
    /// The server does not take Subscription Identifiers.
    SubscriptionIdentifiersNotSupported,
    /// AUTH without an Authentication Method in the CONNECT, or at the wrong moment.
    AuthenticationNotExpected,
    /// A Session Expiry Interval above 0 after 0 in the CONNECT.
    SessionExpiryRaised,
    /// The packet cannot be written.
    Encode(EncodeError),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotConnected => f.write_str("not connected"),
            Self::NotAvailable => f.write_str("this role or protocol version has no such packet"),
            Self::NoPacketId => f.write_str("all 65535 packet ids are in use"),
            Self::UnknownPacketId(id) => write!(f, "packet id {id} waits for no answer"),
            Self::PacketTooLarge { size, max } => {
                write!(f, "packet of {size} bytes, the peer takes {max}")
            }
            Self::QoSNotSupported { asked, max } => {
                write!(f, "{asked} asked for, the server takes up to {max}")
            }
            Self::RetainNotSupported => f.write_str("server takes no retained messages"),
            Self::WildcardSubscriptionsNotSupported => {
                f.write_str("server takes no wildcard subscriptions")
            }
            Self::SharedSubscriptionsNotSupported => {
                f.write_str("server takes no shared subscriptions")
            }
            Self::SubscriptionIdentifiersNotSupported => {
                f.write_str("server takes no subscription identifiers")
            }
            Self::AuthenticationNotExpected => f.write_str("no authentication exchange goes on"),
            Self::SessionExpiryRaised => {
                f.write_str("session expiry interval above 0 after 0 in CONNECT")
            }
            Self::Encode(error) => fmt::Display::fmt(error, f),
        }
    }
}

impl core::error::Error for Refused {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Encode(error) => Some(error),
            Self::NotConnected
            | Self::NotAvailable
            | Self::NoPacketId
            | Self::UnknownPacketId(_)
            | Self::PacketTooLarge { .. }
            | Self::QoSNotSupported { .. }
            | Self::RetainNotSupported
            | Self::WildcardSubscriptionsNotSupported
            | Self::SharedSubscriptionsNotSupported
            | Self::SubscriptionIdentifiersNotSupported
            | Self::AuthenticationNotExpected
            | Self::SessionExpiryRaised => None,
        }
    }
}

impl From<EncodeError> for Refused {
    fn from(error: EncodeError) -> Self {
        Self::Encode(error)
    }
}
