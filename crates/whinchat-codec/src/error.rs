//! What is wrong with bytes that came in, or with a value that should go out.
//!
//! [`DecodeError`] is the peer's fault and alone decides the answer on the wire;
//! [`EncodeError`] is the caller's fault and reaches no peer. The conversions from a kind to
//! the reason code and to the numbered statement are in [`crate::rule`].

use core::fmt;

use crate::property::Property;
use crate::{PacketType, ProtocolVersion};

/// Bytes that are no packet of the version they were read for.
///
/// Knows the packet, the field and the rule that was broken, and through
/// [`reason`](Self::reason) and [`connack_reason`](Self::connack_reason) the code to answer
/// with. After an error the stream cannot be read on: the connection has to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeError {
    packet: Option<PacketType>,
    version: Option<ProtocolVersion>,
    field: &'static str,
    kind: DecodeErrorKind,
}

impl DecodeError {
    #[inline]
    pub(crate) const fn new(field: &'static str, kind: DecodeErrorKind) -> Self {
        Self {
            packet: None,
            version: None,
            field,
            kind,
        }
    }

    #[cold]
    pub(crate) const fn in_packet(mut self, packet: PacketType, version: ProtocolVersion) -> Self {
        self.packet = Some(packet);
        if self.version.is_none() {
            self.version = Some(version);
        }
        self
    }

    /// An error in a CONNECT whose version may not be known yet.
    #[cold]
    pub(crate) const fn in_connect(mut self) -> Self {
        self.packet = Some(PacketType::Connect);
        self
    }

    #[cold]
    pub(crate) const fn in_version(mut self, version: ProtocolVersion) -> Self {
        self.version = Some(version);
        self
    }

    /// The packet; `None` if its first byte names none.
    pub const fn packet(&self) -> Option<PacketType> {
        self.packet
    }

    /// The version whose rules were applied, which is also the one to answer in; `None` if the
    /// packet was CONNECT and did not get as far as its level.
    pub const fn version(&self) -> Option<ProtocolVersion> {
        self.version
    }

    /// The field, in the specification's words.
    pub const fn field(&self) -> &'static str {
        self.field
    }

    /// The rule that was broken.
    pub const fn kind(&self) -> DecodeErrorKind {
        self.kind
    }
}

/// The rule that bytes broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// A length has a fifth byte.
    LengthTooLong,
    /// A length is not in its shortest form (5.0).
    LengthNotMinimal,
    /// No such packet type in this version.
    ReservedPacketType {
        /// Upper four bits of the first byte.
        number: u8,
    },
    /// Flag bits that the packet type does not have.
    Flags {
        /// Lower four bits of the first byte.
        found: u8,
    },
    /// QoS 3 in a PUBLISH or a will.
    QoS,
    /// DUP on a PUBLISH with QoS 0.
    DupWithQoS0,
    /// The field runs past the end of the packet or of the section that holds it.
    Truncated,
    /// Bytes behind the last field.
    TrailingBytes {
        /// How many.
        bytes: u32,
    },
    /// A string that is not well-formed UTF-8.
    InvalidUtf8,
    /// A string with U+0000.
    NulCharacter,
    /// A Packet Identifier of 0.
    PacketIdZero,
    /// A property identifier that does not exist.
    UnknownProperty {
        /// The identifier.
        id: u8,
    },
    /// A property that this packet must not have.
    PropertyNotAllowed {
        /// Which one.
        property: Property,
    },
    /// A property that may stand there once stands there again.
    RepeatedProperty {
        /// Which one.
        property: Property,
    },
    /// A property with a value outside its range.
    PropertyOutOfRange {
        /// Which one.
        property: Property,
        /// Its value.
        value: u32,
    },
    /// Authentication Data without Authentication Method.
    AuthenticationDataWithoutMethod,
    /// A reason or return code that this packet does not have.
    UnknownReason {
        /// The code.
        code: u8,
    },
    /// A protocol name that is neither `MQTT` nor `MQIsdp`.
    UnknownProtocolName,
    /// A protocol level that does not exist under this name.
    UnsupportedVersion {
        /// The level byte.
        level: u8,
    },
    /// Bit 0 of the Connect Flags, or bits 7 to 1 of the Connect Acknowledge Flags.
    ReservedFlags {
        /// The flags byte.
        found: u8,
    },
    /// Will QoS or Will Retain without Will Flag.
    WillFlagsWithoutWill,
    /// Password Flag without User Name Flag (3.x).
    PasswordWithoutUserName,
    /// A topic name of length 0 without a Topic Alias.
    EmptyTopic,
    /// `+` or `#` in a topic name.
    Wildcard,
    /// SUBSCRIBE or UNSUBSCRIBE without a filter.
    NoFilters,
    /// SUBACK or UNSUBACK without a reason code.
    NoReasons,
    /// QoS 3 asked for in a SUBSCRIBE.
    SubscriptionQoS,
    /// Retain Handling 3.
    RetainHandling,
    /// No Local on a shared subscription.
    NoLocalOnShared,
    /// Reserved bits in the options of a subscription.
    SubscriptionOptions {
        /// The options byte.
        found: u8,
    },
    /// Over [`DecodeLimits::packet_size`](crate::DecodeLimits::packet_size).
    PacketTooLarge {
        /// Bytes of the whole packet as its fixed header declares it.
        size: u32,
        /// The limit.
        max: u32,
    },
    /// Over [`DecodeLimits::properties_bytes`](crate::DecodeLimits::properties_bytes).
    PropertiesTooLong {
        /// Bytes of the section as declared.
        bytes: u32,
        /// The limit.
        max: u32,
    },
    /// Over [`DecodeLimits::user_properties`](crate::DecodeLimits::user_properties).
    TooManyUserProperties {
        /// The limit.
        max: u16,
    },
    /// Over [`DecodeLimits::string_bytes`](crate::DecodeLimits::string_bytes).
    StringTooLong {
        /// Bytes of the string.
        bytes: u16,
        /// The limit.
        max: u16,
    },
    /// Over [`DecodeLimits::topic_levels`](crate::DecodeLimits::topic_levels).
    TopicLevels {
        /// Levels of the topic name.
        count: u32,
        /// The limit.
        max: u16,
    },
    /// Over [`DecodeLimits::filters`](crate::DecodeLimits::filters).
    TooManyFilters {
        /// The limit.
        max: u16,
    },
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.packet {
            Some(packet) => write!(f, "{packet}: {}: {}", self.field, self.kind),
            None => write!(f, "{}: {}", self.field, self.kind),
        }
    }
}

impl core::error::Error for DecodeError {}

impl fmt::Display for DecodeErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LengthTooLong => f.write_str("length has more than four bytes"),
            Self::LengthNotMinimal => f.write_str("length is not in its shortest form"),
            Self::ReservedPacketType { number } => {
                write!(f, "packet type {number} does not exist in this version")
            }
            Self::Flags { found } => write!(f, "flag bits {found:#06b} are not those of the type"),
            Self::QoS | Self::SubscriptionQoS => f.write_str("QoS 3 does not exist"),
            Self::DupWithQoS0 => f.write_str("DUP is set at QoS 0"),
            Self::Truncated => f.write_str("field runs past its end"),
            Self::TrailingBytes { bytes } => write!(f, "{bytes} bytes too many"),
            Self::InvalidUtf8 => f.write_str("string is not well-formed UTF-8"),
            Self::NulCharacter => f.write_str("string holds U+0000"),
            Self::PacketIdZero => f.write_str("packet identifier is 0"),
            Self::UnknownProperty { id } => write!(f, "property {id:#04X} does not exist"),
            Self::PropertyNotAllowed { property } => {
                write!(f, "property {:#04X} is not allowed here", property.id())
            }
            Self::RepeatedProperty { property } => {
                write!(f, "property {:#04X} stands there twice", property.id())
            }
            Self::PropertyOutOfRange { property, value } => {
                write!(f, "property {:#04X} cannot be {value}", property.id())
            }
            Self::AuthenticationDataWithoutMethod => {
                f.write_str("authentication data without authentication method")
            }
            Self::UnknownReason { code } => {
                write!(f, "reason code {code:#04X} is not one of this packet")
            }
            Self::UnknownProtocolName => f.write_str("name is neither MQTT nor MQIsdp"),
            Self::UnsupportedVersion { level } => write!(f, "level {level} is not supported"),
            Self::ReservedFlags { found } => write!(f, "reserved bits are set in {found:#010b}"),
            Self::WillFlagsWithoutWill => f.write_str("will QoS or will retain without a will"),
            Self::PasswordWithoutUserName => f.write_str("password without user name"),
            Self::EmptyTopic => f.write_str("topic name is empty and there is no topic alias"),
            Self::Wildcard => f.write_str("topic name holds a wildcard"),
            Self::NoFilters => f.write_str("no topic filter"),
            Self::NoReasons => f.write_str("no reason code"),
            Self::RetainHandling => f.write_str("retain handling 3 does not exist"),
            Self::NoLocalOnShared => f.write_str("no local is set on a shared subscription"),
            Self::SubscriptionOptions { found } => {
                write!(f, "reserved bits are set in {found:#010b}")
            }
            Self::PacketTooLarge { size, max } => {
                write!(f, "packet of {size} bytes, the limit is {max}")
            }
            Self::PropertiesTooLong { bytes, max } => {
                write!(f, "properties of {bytes} bytes, the limit is {max}")
            }
            Self::TooManyUserProperties { max } => {
                write!(f, "more user properties than the limit of {max}")
            }
            Self::StringTooLong { bytes, max } => {
                write!(f, "string of {bytes} bytes, the limit is {max}")
            }
            Self::TopicLevels { count, max } => {
                write!(f, "topic name of {count} levels, the limit is {max}")
            }
            Self::TooManyFilters { max } => {
                write!(f, "more topic filters than the limit of {max}")
            }
        }
    }
}

/// A value that cannot be put into a packet. Nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodeError {
    packet: Option<PacketType>,
    field: &'static str,
    kind: EncodeErrorKind,
}

impl EncodeError {
    #[inline]
    pub(crate) const fn new(field: &'static str, kind: EncodeErrorKind) -> Self {
        Self {
            packet: None,
            field,
            kind,
        }
    }

    #[cold]
    pub(crate) const fn in_packet(mut self, packet: PacketType) -> Self {
        self.packet = Some(packet);
        self
    }

    /// The packet; `None` for a value that is not yet in one.
    pub const fn packet(&self) -> Option<PacketType> {
        self.packet
    }

    /// The field, in the specification's words.
    pub const fn field(&self) -> &'static str {
        self.field
    }

    /// What is wrong with it.
    pub const fn kind(&self) -> EncodeErrorKind {
        self.kind
    }
}

/// Why a value cannot be put into a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeErrorKind {
    /// A string or binary field of more than 65,535 bytes.
    TooLong {
        /// Its bytes.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The packet would pass the protocol's limit for the Remaining Length.
    PacketTooLarge {
        /// The Remaining Length it would have.
        size: usize,
        /// The limit, 268,435,455.
        max: usize,
    },
    /// A string that is not well-formed UTF-8.
    InvalidUtf8,
    /// A string with U+0000.
    NulCharacter,
    /// `+` or `#` in a topic name.
    Wildcard,
    /// A topic name of length 0 without a Topic Alias, or in a will.
    EmptyTopic,
    /// SUBSCRIBE or UNSUBSCRIBE without a filter.
    NoFilters,
    /// No Local on a shared subscription.
    NoLocalOnShared,
    /// SUBACK or UNSUBACK without a reason code.
    NoReasons,
    /// A number outside the range of its field.
    OutOfRange {
        /// The number.
        value: u32,
        /// The smallest allowed.
        min: u32,
        /// The largest allowed.
        max: u32,
    },
    /// A packet, property, flag or code that this version does not have.
    NotInVersion {
        /// The version asked for.
        version: ProtocolVersion,
    },
    /// Password without user name (3.x).
    PasswordWithoutUserName,
    /// Authentication Data without Authentication Method.
    AuthenticationDataWithoutMethod,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.packet {
            Some(packet) => write!(f, "{packet}: {}: {}", self.field, self.kind),
            None => write!(f, "{}: {}", self.field, self.kind),
        }
    }
}

impl core::error::Error for EncodeError {}

impl fmt::Display for EncodeErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { bytes, max } => write!(f, "{bytes} bytes, the limit is {max}"),
            Self::PacketTooLarge { size, max } => write!(f, "{size} bytes, the limit is {max}"),
            Self::InvalidUtf8 => f.write_str("string is not well-formed UTF-8"),
            Self::NulCharacter => f.write_str("string holds U+0000"),
            Self::Wildcard => f.write_str("topic name holds a wildcard"),
            Self::EmptyTopic => f.write_str("topic name is empty and there is no topic alias"),
            Self::NoFilters => f.write_str("no topic filter"),
            Self::NoLocalOnShared => f.write_str("no local is set on a shared subscription"),
            Self::NoReasons => f.write_str("no reason code"),
            Self::OutOfRange { value, min, max } => {
                write!(f, "{value} is outside {min} to {max}")
            }
            Self::NotInVersion { version } => write!(f, "MQTT {version} does not have it"),
            Self::PasswordWithoutUserName => f.write_str("password without user name"),
            Self::AuthenticationDataWithoutMethod => {
                f.write_str("authentication data without authentication method")
            }
        }
    }
}
