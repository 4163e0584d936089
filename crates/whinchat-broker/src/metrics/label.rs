//! The values that labels may have: closed lists, so that no client can make a new series.

use whinchat_codec::{PacketType, QoS};

use whinchat_codec::ConnAckReason;
use whinchat_session::DropReason;

use crate::Limit;

/// A closed list of values of one label.
pub trait Label: Copy + 'static {
    /// The name of the label.
    const NAME: &'static str;
    /// All values, in the order of their index.
    const ALL: &'static [Self];

    /// Its place in [`ALL`](Self::ALL).
    fn index(self) -> usize;

    /// The text of the label.
    fn text(self) -> &'static str;
}

macro_rules! labels {
    ($($(#[$meta:meta])* $name:ident $label:literal { $($variant:ident $text:literal,)+ })+) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $(#[doc = concat!("`", $text, "`.")] $variant,)+
        }

        impl Label for $name {
            const NAME: &'static str = $label;
            const ALL: &'static [Self] = &[$(Self::$variant),+];

            #[inline]
            fn index(self) -> usize {
                self as usize
            }

            fn text(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }
    )+};
}

labels! {
    /// The packet types, in the order of their numbers on the wire.
    PacketLabel "type" {
        Connect "connect",
        ConnAck "connack",
        Publish "publish",
        PubAck "puback",
        PubRec "pubrec",
        PubRel "pubrel",
        PubComp "pubcomp",
        Subscribe "subscribe",
        SubAck "suback",
        Unsubscribe "unsubscribe",
        UnsubAck "unsuback",
        PingReq "pingreq",
        PingResp "pingresp",
        Disconnect "disconnect",
        Auth "auth",
    }

    /// The QoS of a message.
    QosLabel "qos" {
        AtMostOnce "0",
        AtLeastOnce "1",
        ExactlyOnce "2",
    }

    /// Why a connection got no further than its CONNECT.
    RefusalLabel "reason" {
        Malformed "malformed",
        ProtocolError "protocol_error",
        UnsupportedVersion "unsupported_version",
        ClientIdNotValid "client_id_not_valid",
        BadUserNameOrPassword "bad_user_name_or_password",
        NotAuthorized "not_authorized",
        BadAuthenticationMethod "bad_authentication_method",
        Banned "banned",
        ServerUnavailable "server_unavailable",
        ServerBusy "server_busy",
        ServerMoved "server_moved",
        QuotaExceeded "quota_exceeded",
        RateExceeded "rate_exceeded",
        PacketTooLarge "packet_too_large",
        NotSupported "not_supported",
        TooManyConnections "too_many_connections",
        TimedOut "timed_out",
        Closed "closed",
        Other "other",
    }

    /// Why an accepted connection ended.
    CloseLabel "reason" {
        Disconnect "disconnect",
        DisconnectWithWill "disconnect_with_will",
        Lost "lost",
        KeepAlive "keep_alive_timeout",
        Malformed "malformed",
        ProtocolError "protocol_error",
        TakenOver "taken_over",
        Stalled "stalled",
        Limit "limit",
        NotAuthorized "not_authorized",
        AuthenticationExpired "authentication_expired",
        Administrative "administrative",
        Shutdown "shutdown",
        InternalError "internal_error",
    }

    /// Why a message did not reach a session, or left it unsent.
    DropLabel "reason" {
        UnsentFull "unsent_full",
        QueueFull "queue_full",
        Offline "offline_qos_0",
        Expired "expired",
        PacketTooLarge "packet_too_large",
        NotAuthorized "not_authorized",
        Intercepted "intercepted",
        SessionEnded "session_ended",
        Memory "memory",
        Encoding "encoding",
    }

    /// How an authentication ended.
    AuthenticationLabel "result" {
        Accepted "accepted",
        Refused "refused",
        TimedOut "timed_out",
        Failed "failed",
    }

    /// What was asked for and denied.
    AccessLabel "action" {
        Publish "publish",
        Subscribe "subscribe",
        Receive "receive",
    }

    /// Which hook did not do its part.
    HookLabel "hook" {
        Authenticate "authenticate",
        Authorize "authorize",
        Intercept "intercept",
    }
}

impl From<PacketType> for PacketLabel {
    #[inline]
    fn from(packet: PacketType) -> Self {
        match packet {
            PacketType::Connect => Self::Connect,
            PacketType::ConnAck => Self::ConnAck,
            PacketType::Publish => Self::Publish,
            PacketType::PubAck => Self::PubAck,
            PacketType::PubRec => Self::PubRec,
            PacketType::PubRel => Self::PubRel,
            PacketType::PubComp => Self::PubComp,
            PacketType::Subscribe => Self::Subscribe,
            PacketType::SubAck => Self::SubAck,
            PacketType::Unsubscribe => Self::Unsubscribe,
            PacketType::UnsubAck => Self::UnsubAck,
            PacketType::PingReq => Self::PingReq,
            PacketType::PingResp => Self::PingResp,
            PacketType::Disconnect => Self::Disconnect,
            PacketType::Auth => Self::Auth,
        }
    }
}

impl From<QoS> for QosLabel {
    #[inline]
    fn from(qos: QoS) -> Self {
        match qos {
            QoS::AtMostOnce => Self::AtMostOnce,
            QoS::AtLeastOnce => Self::AtLeastOnce,
            QoS::ExactlyOnce => Self::ExactlyOnce,
        }
    }
}

impl From<ConnAckReason> for RefusalLabel {
    fn from(reason: ConnAckReason) -> Self {
        match reason {
            ConnAckReason::MalformedPacket => Self::Malformed,
            ConnAckReason::ProtocolError => Self::ProtocolError,
            ConnAckReason::UnsupportedProtocolVersion => Self::UnsupportedVersion,
            ConnAckReason::ClientIdentifierNotValid => Self::ClientIdNotValid,
            ConnAckReason::BadUserNameOrPassword => Self::BadUserNameOrPassword,
            ConnAckReason::NotAuthorized => Self::NotAuthorized,
            ConnAckReason::BadAuthenticationMethod => Self::BadAuthenticationMethod,
            ConnAckReason::Banned => Self::Banned,
            ConnAckReason::ServerUnavailable => Self::ServerUnavailable,
            ConnAckReason::ServerBusy => Self::ServerBusy,
            ConnAckReason::UseAnotherServer | ConnAckReason::ServerMoved => Self::ServerMoved,
            ConnAckReason::QuotaExceeded => Self::QuotaExceeded,
            ConnAckReason::ConnectionRateExceeded => Self::RateExceeded,
            ConnAckReason::PacketTooLarge => Self::PacketTooLarge,
            ConnAckReason::RetainNotSupported | ConnAckReason::QoSNotSupported => {
                Self::NotSupported
            }
            ConnAckReason::Success
            | ConnAckReason::UnspecifiedError
            | ConnAckReason::ImplementationSpecificError
            | ConnAckReason::TopicNameInvalid
            | ConnAckReason::PayloadFormatInvalid => Self::Other,
        }
    }
}

impl From<DropReason> for DropLabel {
    fn from(reason: DropReason) -> Self {
        match reason {
            DropReason::Expired => Self::Expired,
            DropReason::PacketTooLarge => Self::PacketTooLarge,
            DropReason::PeerTooSlow => Self::UnsentFull,
            DropReason::QueueFull => Self::QueueFull,
            DropReason::SessionLost => Self::SessionEnded,
            DropReason::NotEncodable
            | DropReason::QoSNotSupported
            | DropReason::RetainNotSupported
            | _ => Self::Encoding,
        }
    }
}

impl Label for Limit {
    const NAME: &'static str = "limit";
    const ALL: &'static [Self] = Self::ALL;

    #[inline]
    fn index(self) -> usize {
        self as usize
    }

    fn text(self) -> &'static str {
        self.key()
    }
}
