//! All reason codes of MQTT 5.0 in one table; one enum per packet with only its legal values.
//!
//! Also owns the return codes of CONNACK and SUBACK in 3.x and how they map.
//! Read first: MQTT 5.0 section 2.4; MQTT 3.1.1 sections 3.2.2.3 and 3.9.3.

use core::fmt;

use crate::{ProtocolVersion, QoS};

/// A byte that is no reason code of the packet it was read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidReason(
    /// The byte.
    pub u8,
);

impl fmt::Display for InvalidReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "reason code {:#04X} is not one of this packet", self.0)
    }
}

impl core::error::Error for InvalidReason {}

// Sorts the rows of the table into one list per packet, then declares the enums.
macro_rules! reason_codes {
    ($($code:literal $name:ident $text:literal: $($packet:ident)+;)+) => {
        reason_codes! { @sort [$($({$packet $code $name $text})+)+] [] [] [] [] [] [] [] [] [] }
    };
    (@sort [{ConnAck $($row:tt)+} $($more:tt)*] [$($list:tt)*] $($after:tt)*) => {
        reason_codes! { @sort [$($more)*] [$($list)* $($row)+;] $($after)* }
    };
    (@sort [{PubAck $($row:tt)+} $($more:tt)*] $a:tt [$($list:tt)*] $($after:tt)*) => {
        reason_codes! { @sort [$($more)*] $a [$($list)* $($row)+;] $($after)* }
    };
    (@sort [{PubRec $($row:tt)+} $($more:tt)*] $a:tt $b:tt [$($list:tt)*] $($after:tt)*) => {
        reason_codes! { @sort [$($more)*] $a $b [$($list)* $($row)+;] $($after)* }
    };
    (@sort [{PubRel $($row:tt)+} $($more:tt)*] $a:tt $b:tt $c:tt [$($list:tt)*] $($after:tt)*) => {
        reason_codes! { @sort [$($more)*] $a $b $c [$($list)* $($row)+;] $($after)* }
    };
    (@sort [{PubComp $($row:tt)+} $($more:tt)*] $a:tt $b:tt $c:tt $d:tt [$($list:tt)*] $($after:tt)*) => {
        reason_codes! { @sort [$($more)*] $a $b $c $d [$($list)* $($row)+;] $($after)* }
    };
    (@sort [{SubAck $($row:tt)+} $($more:tt)*] $a:tt $b:tt $c:tt $d:tt $e:tt [$($list:tt)*] $($after:tt)*) => {
        reason_codes! { @sort [$($more)*] $a $b $c $d $e [$($list)* $($row)+;] $($after)* }
    };
    (@sort [{UnsubAck $($row:tt)+} $($more:tt)*] $a:tt $b:tt $c:tt $d:tt $e:tt $f:tt [$($list:tt)*] $($after:tt)*) => {
        reason_codes! { @sort [$($more)*] $a $b $c $d $e $f [$($list)* $($row)+;] $($after)* }
    };
    (@sort [{Disconnect $($row:tt)+} $($more:tt)*] $a:tt $b:tt $c:tt $d:tt $e:tt $f:tt $g:tt [$($list:tt)*] $($after:tt)*) => {
        reason_codes! { @sort [$($more)*] $a $b $c $d $e $f $g [$($list)* $($row)+;] $($after)* }
    };
    (@sort [{Auth $($row:tt)+} $($more:tt)*] $a:tt $b:tt $c:tt $d:tt $e:tt $f:tt $g:tt $h:tt [$($list:tt)*]) => {
        reason_codes! { @sort [$($more)*] $a $b $c $d $e $f $g $h [$($list)* $($row)+;] }
    };
    (@sort [] $a:tt $b:tt $c:tt $d:tt $e:tt $f:tt $g:tt $h:tt $i:tt) => {
        reason_enum! { ConnAckReason "CONNACK" "3.2.2.2" $a }
        reason_enum! { PubAckReason "PUBACK" "3.4.2.1" $b }
        reason_enum! { PubRecReason "PUBREC" "3.5.2.1" $c }
        reason_enum! { PubRelReason "PUBREL" "3.6.2.1" $d }
        reason_enum! { PubCompReason "PUBCOMP" "3.7.2.1" $e }
        reason_enum! { SubAckReason "SUBACK" "3.9.3" $f }
        reason_enum! { UnsubAckReason "UNSUBACK" "3.11.3" $g }
        reason_enum! { DisconnectReason "DISCONNECT" "3.14.2.1" $h }
        reason_enum! { AuthReason "AUTH" "3.15.2.1" $i }
    };
}

macro_rules! reason_enum {
    ($enum:ident $packet:literal $section:literal [$($code:literal $name:ident $text:literal;)+]) => {
        #[doc = concat!("The reason codes of ", $packet, " (MQTT 5.0 section ", $section, ").")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        #[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
        #[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
        #[repr(u8)]
        pub enum $enum {
            $(#[doc = concat!(stringify!($code), ": ", $text, ".")] $name = $code,)+
        }

        impl $enum {
            /// All codes of this packet, ascending.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The reason with this code; `None` if the packet has none with it.
            #[inline]
            pub const fn from_code(code: u8) -> Option<Self> {
                match code {
                    $($code => Some(Self::$name),)+
                    _ => None,
                }
            }

            /// The byte on the wire.
            #[inline]
            pub const fn code(self) -> u8 {
                self as u8
            }

            /// Whether the code says that something failed: 0x80 and above.
            #[inline]
            pub const fn is_error(self) -> bool {
                self as u8 >= 0x80
            }

            /// The specification's name of the code.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }
        }

        impl TryFrom<u8> for $enum {
            type Error = InvalidReason;

            fn try_from(code: u8) -> Result<Self, InvalidReason> {
                Self::from_code(code).ok_or(InvalidReason(code))
            }
        }

        impl From<$enum> for u8 {
            fn from(reason: $enum) -> Self {
                reason as Self
            }
        }

        impl fmt::Display for $enum {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

reason_codes! {
    0x00 Success "Success": ConnAck PubAck PubRec PubRel PubComp UnsubAck Auth;
    0x00 GrantedQoS0 "Granted QoS 0": SubAck;
    0x00 NormalDisconnection "Normal disconnection": Disconnect;
    0x01 GrantedQoS1 "Granted QoS 1": SubAck;
    0x02 GrantedQoS2 "Granted QoS 2": SubAck;
    0x04 DisconnectWithWill "Disconnect with Will Message": Disconnect;
    0x10 NoMatchingSubscribers "No matching subscribers": PubAck PubRec;
    0x11 NoSubscriptionExisted "No subscription existed": UnsubAck;
    0x18 ContinueAuthentication "Continue authentication": Auth;
    0x19 Reauthenticate "Re-authenticate": Auth;
    0x80 UnspecifiedError "Unspecified error": ConnAck PubAck PubRec SubAck UnsubAck Disconnect;
    0x81 MalformedPacket "Malformed Packet": ConnAck Disconnect;
    0x82 ProtocolError "Protocol Error": ConnAck Disconnect;
    0x83 ImplementationSpecificError "Implementation specific error": ConnAck PubAck PubRec SubAck UnsubAck Disconnect;
    0x84 UnsupportedProtocolVersion "Unsupported Protocol Version": ConnAck;
    0x85 ClientIdentifierNotValid "Client Identifier not valid": ConnAck;
    0x86 BadUserNameOrPassword "Bad User Name or Password": ConnAck;
    0x87 NotAuthorized "Not authorized": ConnAck PubAck PubRec SubAck UnsubAck Disconnect;
    0x88 ServerUnavailable "Server unavailable": ConnAck;
    0x89 ServerBusy "Server busy": ConnAck Disconnect;
    0x8A Banned "Banned": ConnAck;
    0x8B ServerShuttingDown "Server shutting down": Disconnect;
    0x8C BadAuthenticationMethod "Bad authentication method": ConnAck Disconnect;
    0x8D KeepAliveTimeout "Keep Alive timeout": Disconnect;
    0x8E SessionTakenOver "Session taken over": Disconnect;
    0x8F TopicFilterInvalid "Topic Filter invalid": SubAck UnsubAck Disconnect;
    0x90 TopicNameInvalid "Topic Name invalid": ConnAck PubAck PubRec Disconnect;
    0x91 PacketIdentifierInUse "Packet Identifier in use": PubAck PubRec SubAck UnsubAck;
    0x92 PacketIdentifierNotFound "Packet Identifier not found": PubRel PubComp;
    0x93 ReceiveMaximumExceeded "Receive Maximum exceeded": Disconnect;
    0x94 TopicAliasInvalid "Topic Alias invalid": Disconnect;
    0x95 PacketTooLarge "Packet too large": ConnAck Disconnect;
    0x96 MessageRateTooHigh "Message rate too high": Disconnect;
    0x97 QuotaExceeded "Quota exceeded": ConnAck PubAck PubRec SubAck Disconnect;
    0x98 AdministrativeAction "Administrative action": Disconnect;
    0x99 PayloadFormatInvalid "Payload format invalid": ConnAck PubAck PubRec Disconnect;
    0x9A RetainNotSupported "Retain not supported": ConnAck Disconnect;
    0x9B QoSNotSupported "QoS not supported": ConnAck Disconnect;
    0x9C UseAnotherServer "Use another server": ConnAck Disconnect;
    0x9D ServerMoved "Server moved": ConnAck Disconnect;
    0x9E SharedSubscriptionsNotSupported "Shared Subscriptions not supported": SubAck Disconnect;
    0x9F ConnectionRateExceeded "Connection rate exceeded": ConnAck Disconnect;
    0xA0 MaximumConnectTime "Maximum connect time": Disconnect;
    0xA1 SubscriptionIdentifiersNotSupported "Subscription Identifiers not supported": SubAck Disconnect;
    0xA2 WildcardSubscriptionsNotSupported "Wildcard Subscriptions not supported": SubAck Disconnect;
}

impl ConnAckReason {
    /// The reason that a 3.x return code stands for; `None` for the reserved ones.
    #[inline]
    pub const fn from_return_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Success),
            1 => Some(Self::UnsupportedProtocolVersion),
            2 => Some(Self::ClientIdentifierNotValid),
            3 => Some(Self::ServerUnavailable),
            4 => Some(Self::BadUserNameOrPassword),
            5 => Some(Self::NotAuthorized),
            _ => None,
        }
    }

    /// The 3.x return code with exactly this meaning; `None` if there is none.
    #[inline]
    pub fn return_code(self) -> Option<u8> {
        (0..=5).find(|code| Self::from_return_code(*code) == Some(self))
    }

    /// The nearest reason that 3.x can say; `None` where a 3.x server closes without CONNACK.
    /// // v311 [MQTT-3.2.2-6]
    pub const fn downgrade(self) -> Option<Self> {
        match self {
            Self::Success
            | Self::UnsupportedProtocolVersion
            | Self::ClientIdentifierNotValid
            | Self::ServerUnavailable
            | Self::BadUserNameOrPassword
            | Self::NotAuthorized => Some(self),
            Self::ServerBusy
            | Self::UseAnotherServer
            | Self::ServerMoved
            | Self::ConnectionRateExceeded
            | Self::QuotaExceeded => Some(Self::ServerUnavailable),
            Self::Banned | Self::BadAuthenticationMethod => Some(Self::NotAuthorized),
            Self::UnspecifiedError
            | Self::MalformedPacket
            | Self::ProtocolError
            | Self::ImplementationSpecificError
            | Self::TopicNameInvalid
            | Self::PacketTooLarge
            | Self::PayloadFormatInvalid
            | Self::RetainNotSupported
            | Self::QoSNotSupported => None,
        }
    }
}

impl SubAckReason {
    /// The reason that grants this QoS.
    #[inline]
    pub const fn granted(qos: QoS) -> Self {
        match qos {
            QoS::AtMostOnce => Self::GrantedQoS0,
            QoS::AtLeastOnce => Self::GrantedQoS1,
            QoS::ExactlyOnce => Self::GrantedQoS2,
        }
    }

    /// The QoS that was granted; `None` if the subscription failed.
    #[inline]
    pub fn granted_qos(self) -> Option<QoS> {
        QoS::from_bits(self as u8)
    }

    /// The reason as 3.1.1 can say it: every failure is 0x80.
    #[inline]
    #[must_use]
    pub const fn downgrade(self) -> Self {
        if self.is_error() {
            Self::UnspecifiedError
        } else {
            self
        }
    }

    /// Whether SUBACK of this version has the code: 3.1 has no failure at all (M31-47).
    #[inline]
    pub(crate) const fn exists_in(self, version: ProtocolVersion) -> bool {
        match version {
            ProtocolVersion::V31 => !self.is_error(),
            ProtocolVersion::V311 => !self.is_error() || self as u8 == 0x80,
            ProtocolVersion::V5 => true,
        }
    }

    /// The reason behind a byte of SUBACK.
    #[inline]
    pub(crate) const fn from_wire(code: u8, version: ProtocolVersion) -> Option<Self> {
        let code = match version {
            // The upper six bits are reserved in 3.1; yet some servers say 0x80 there, and
            // taking that for a grant would lose messages unnoticed. // v31 M31-47
            ProtocolVersion::V31 if code != 0x80 => code & 0b11,
            ProtocolVersion::V31 | ProtocolVersion::V311 | ProtocolVersion::V5 => code,
        };
        match Self::from_code(code) {
            Some(reason) if reason.exists_in(version) || code == 0x80 => Some(reason),
            _ => None,
        }
    }
}
