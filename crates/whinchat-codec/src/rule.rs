//! From a broken rule to the reason code that answers it and the numbered statement behind it.
//!
//! Read first: MQTT 5.0 section 4.13. `testdata/` has a vector for each of these answers.

use crate::error::{DecodeError, DecodeErrorKind as Kind};
use crate::property::Property;
use crate::{ConnAckReason, DisconnectReason, PacketType, ProtocolVersion};

impl DecodeError {
    /// The reason code for a DISCONNECT (5.0; a 3.x connection is closed without a word).
    pub fn reason(&self) -> DisconnectReason {
        match self.kind() {
            Kind::LengthTooLong
            | Kind::LengthNotMinimal
            | Kind::ReservedPacketType { .. }
            | Kind::Flags { .. }
            | Kind::QoS
            | Kind::DupWithQoS0
            | Kind::Truncated
            | Kind::TrailingBytes { .. }
            | Kind::InvalidUtf8
            | Kind::NulCharacter
            | Kind::UnknownProperty { .. }
            | Kind::PropertyNotAllowed { .. }
            | Kind::ReservedFlags { .. }
            | Kind::WillFlagsWithoutWill
            | Kind::PasswordWithoutUserName
            | Kind::SubscriptionOptions { .. } => DisconnectReason::MalformedPacket,
            Kind::PropertyOutOfRange {
                property: Property::TopicAlias,
                ..
            } => DisconnectReason::TopicAliasInvalid,
            Kind::PacketIdZero
            | Kind::RepeatedProperty { .. }
            | Kind::PropertyOutOfRange { .. }
            | Kind::AuthenticationDataWithoutMethod
            | Kind::UnknownReason { .. }
            | Kind::UnknownProtocolName
            | Kind::UnsupportedVersion { .. }
            | Kind::EmptyTopic
            | Kind::NoFilters
            | Kind::NoReasons
            | Kind::SubscriptionQoS
            | Kind::RetainHandling
            | Kind::NoLocalOnShared => DisconnectReason::ProtocolError,
            // A Response Topic is not routed by it, so only its form is at fault.
            Kind::Wildcard if self.field() == Property::ResponseTopic.name() => {
                DisconnectReason::ProtocolError
            }
            Kind::Wildcard | Kind::TopicLevels { .. } => DisconnectReason::TopicNameInvalid,
            Kind::PacketTooLarge { .. } => DisconnectReason::PacketTooLarge,
            Kind::PropertiesTooLong { .. }
            | Kind::TooManyUserProperties { .. }
            | Kind::StringTooLong { .. }
            | Kind::TooManyFilters { .. } => DisconnectReason::QuotaExceeded,
        }
    }

    /// The reason code for a CONNACK, when the packet was CONNECT.
    ///
    /// A 3.x CONNACK can say only [`UnsupportedProtocolVersion`]; for all else a 3.x server
    /// closes without one. // v311 [MQTT-3.1.4-1]
    ///
    /// [`UnsupportedProtocolVersion`]: ConnAckReason::UnsupportedProtocolVersion
    pub fn connack_reason(&self) -> ConnAckReason {
        // [MQTT-3.1.2-2]
        if matches!(
            self.kind(),
            Kind::UnsupportedVersion { .. } | Kind::UnknownProtocolName
        ) {
            return ConnAckReason::UnsupportedProtocolVersion;
        }
        ConnAckReason::from_code(self.reason().code()).unwrap_or(ConnAckReason::ProtocolError)
    }

    /// The numbered statement of this version that was broken, without brackets; `None` where
    /// the rule has no number (MQTT 3.1 has no numbers at all) or is a limit of ours.
    pub fn statement(&self, version: ProtocolVersion) -> Option<&'static str> {
        match version {
            ProtocolVersion::V31 => None,
            ProtocolVersion::V311 => self.statement_v311(),
            ProtocolVersion::V5 => self.statement_v5(),
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "most kinds have no numbered statement"
    )]
    fn statement_v311(&self) -> Option<&'static str> {
        let connect = self.packet() == Some(PacketType::Connect);
        Some(match self.kind() {
            Kind::Flags { .. } => match self.packet() {
                Some(PacketType::PubRel) => "MQTT-3.6.1-1",
                Some(PacketType::Subscribe) => "MQTT-3.8.1-1",
                Some(PacketType::Unsubscribe) => "MQTT-3.10.1-1",
                Some(PacketType::Disconnect) => "MQTT-3.14.1-1",
                _ => "MQTT-2.2.2-2",
            },
            Kind::QoS if connect => "MQTT-3.1.2-14",
            Kind::QoS => "MQTT-3.3.1-4",
            Kind::DupWithQoS0 => "MQTT-3.3.1-2",
            Kind::InvalidUtf8 => "MQTT-1.5.3-1",
            Kind::NulCharacter => "MQTT-1.5.3-2",
            Kind::PacketIdZero => "MQTT-2.3.1-1",
            Kind::UnknownProtocolName => "MQTT-3.1.2-1",
            Kind::UnsupportedVersion { .. } => "MQTT-3.1.2-2",
            Kind::ReservedFlags { .. } if connect => "MQTT-3.1.2-3",
            Kind::WillFlagsWithoutWill => "MQTT-3.1.2-11",
            Kind::PasswordWithoutUserName => "MQTT-3.1.2-22",
            Kind::Truncated | Kind::TrailingBytes { .. } if connect => "MQTT-3.1.4-1",
            Kind::UnknownReason { .. } if self.packet() == Some(PacketType::SubAck) => {
                "MQTT-3.9.3-2"
            }
            Kind::EmptyTopic => "MQTT-4.7.3-1",
            Kind::Wildcard if connect => "MQTT-4.7.1-1",
            Kind::Wildcard => "MQTT-3.3.2-2",
            Kind::NoFilters if self.packet() == Some(PacketType::Subscribe) => "MQTT-3.8.3-3",
            Kind::NoFilters => "MQTT-3.10.3-2",
            Kind::SubscriptionQoS | Kind::SubscriptionOptions { .. } => "MQTT-3.8.3-4",
            _ => return None,
        })
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "most kinds have no numbered statement"
    )]
    fn statement_v5(&self) -> Option<&'static str> {
        let connect = self.packet() == Some(PacketType::Connect);
        Some(match self.kind() {
            Kind::LengthNotMinimal => "MQTT-1.5.5-1",
            Kind::Flags { .. } => match self.packet() {
                Some(PacketType::PubRel) => "MQTT-3.6.1-1",
                Some(PacketType::Subscribe) => "MQTT-3.8.1-1",
                Some(PacketType::Unsubscribe) => "MQTT-3.10.1-1",
                Some(PacketType::Disconnect) => "MQTT-3.14.1-1",
                Some(PacketType::Auth) => "MQTT-3.15.1-1",
                _ => "MQTT-2.1.3-1",
            },
            Kind::QoS if connect => "MQTT-3.1.2-12",
            Kind::QoS => "MQTT-3.3.1-4",
            Kind::DupWithQoS0 => "MQTT-3.3.1-2",
            Kind::InvalidUtf8 => "MQTT-1.5.4-1",
            Kind::NulCharacter => "MQTT-1.5.4-2",
            Kind::PropertyOutOfRange {
                property: Property::TopicAlias,
                ..
            } => "MQTT-3.3.2-8",
            Kind::PacketIdZero
                if matches!(
                    self.packet(),
                    Some(PacketType::Publish | PacketType::Subscribe | PacketType::Unsubscribe)
                ) =>
            {
                "MQTT-2.2.1-3"
            }
            Kind::Truncated | Kind::TrailingBytes { .. } if connect => "MQTT-3.1.4-1",
            Kind::UnknownReason { .. } => match self.packet()? {
                PacketType::ConnAck => "MQTT-3.2.2-8",
                PacketType::PubAck => "MQTT-3.4.2-1",
                PacketType::PubRec => "MQTT-3.5.2-1",
                PacketType::PubRel => "MQTT-3.6.2-1",
                PacketType::PubComp => "MQTT-3.7.2-1",
                PacketType::SubAck => "MQTT-3.9.3-2",
                PacketType::UnsubAck => "MQTT-3.11.3-2",
                PacketType::Disconnect => "MQTT-3.14.2-1",
                PacketType::Auth => "MQTT-3.15.2-1",
                PacketType::Connect
                | PacketType::Publish
                | PacketType::Subscribe
                | PacketType::Unsubscribe
                | PacketType::PingReq
                | PacketType::PingResp => return None,
            },
            Kind::UnknownProtocolName => "MQTT-3.1.2-1",
            Kind::UnsupportedVersion { .. } => "MQTT-3.1.2-2",
            Kind::ReservedFlags { .. } if connect => "MQTT-3.1.2-3",
            Kind::ReservedFlags { .. } => "MQTT-3.2.2-1",
            Kind::WillFlagsWithoutWill if self.field() == "will retain" => "MQTT-3.1.2-13",
            Kind::WillFlagsWithoutWill => "MQTT-3.1.2-11",
            Kind::EmptyTopic => "MQTT-4.7.3-1",
            Kind::Wildcard if self.field() == Property::ResponseTopic.name() => "MQTT-3.3.2-14",
            Kind::Wildcard if connect => return None,
            Kind::Wildcard => "MQTT-3.3.2-2",
            Kind::NoLocalOnShared => "MQTT-3.8.3-4",
            Kind::NoFilters if self.packet() == Some(PacketType::Subscribe) => "MQTT-3.8.3-2",
            Kind::NoFilters => "MQTT-3.10.3-2",
            Kind::SubscriptionOptions { .. } => "MQTT-3.8.3-5",
            _ => return None,
        })
    }
}
