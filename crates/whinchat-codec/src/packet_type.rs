//! The 15 packet types and the flag bits each may have in the first byte.
//!
//! Owns the first byte of every packet; the length that follows it is in [`crate::frame`].
//! Read first: MQTT 5.0 section 2.1.

use core::fmt;

use crate::ProtocolVersion;
use crate::error::{DecodeError, DecodeErrorKind};

macro_rules! packet_types {
    ($($number:literal $name:ident $word:literal $flags:literal;)+) => {
        /// The type of a packet: the upper four bits of its first byte (MQTT 5.0 section 2.1.2).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum PacketType {
            $(#[doc = $word] $name = $number,)+
        }

        impl PacketType {
            /// All types in order of their number.
            pub const ALL: [Self; 15] = [$(Self::$name),+];

            /// The type with this number; `None` for 0 and above 15.
            #[inline]
            pub const fn from_number(number: u8) -> Option<Self> {
                match number {
                    $($number => Some(Self::$name),)+
                    _ => None,
                }
            }

            /// The flag bits an encoder writes; those of PUBLISH depend on the packet.
            pub(crate) const fn flags(self) -> u8 {
                match self {
                    $(Self::$name => $flags,)+
                }
            }

            /// The word of the specification, in capitals.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)+
                }
            }
        }
    };
}

packet_types! {
    1 Connect "CONNECT" 0b0000;
    2 ConnAck "CONNACK" 0b0000;
    3 Publish "PUBLISH" 0b0000;
    4 PubAck "PUBACK" 0b0000;
    5 PubRec "PUBREC" 0b0000;
    6 PubRel "PUBREL" 0b0010;
    7 PubComp "PUBCOMP" 0b0000;
    8 Subscribe "SUBSCRIBE" 0b0010;
    9 SubAck "SUBACK" 0b0000;
    10 Unsubscribe "UNSUBSCRIBE" 0b0010;
    11 UnsubAck "UNSUBACK" 0b0000;
    12 PingReq "PINGREQ" 0b0000;
    13 PingResp "PINGRESP" 0b0000;
    14 Disconnect "DISCONNECT" 0b0000;
    15 Auth "AUTH" 0b0000;
}

impl fmt::Display for PacketType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl PacketType {
    /// The first byte an encoder writes for every type but PUBLISH.
    #[inline]
    pub(crate) const fn first_byte(self) -> u8 {
        ((self as u8) << 4) | self.flags()
    }

    /// Checks the lower four bits of the first byte.
    #[inline]
    pub(crate) fn check_flags(
        self,
        flags: u8,
        version: ProtocolVersion,
    ) -> Result<(), DecodeError> {
        if matches!(self, Self::Publish) {
            return check_publish_flags(flags);
        }
        if matches!(self, Self::Auth) && !version.is_v5() {
            return Err(reserved_type(self as u8));
        }
        if flags == self.flags() {
            return Ok(());
        }
        // QoS bits 01 are what PUBREL, SUBSCRIBE and UNSUBSCRIBE have; DUP and RETAIN are free in
        // 3.1, and so is every bit of the other types. // v31 M31-10, M31-11
        if version == ProtocolVersion::V31 && (self.flags() == 0 || flags & 0b0110 == 0b0010) {
            return Ok(());
        }
        // v5 [MQTT-2.1.3-1], v311 [MQTT-2.2.2-2]
        Err(DecodeError::new(
            "fixed header flags",
            DecodeErrorKind::Flags { found: flags },
        ))
    }
}

#[inline]
fn check_publish_flags(flags: u8) -> Result<(), DecodeError> {
    let kind = match flags & 0b1110 {
        // [MQTT-3.3.1-4]
        0b0110 | 0b1110 => DecodeErrorKind::QoS,
        // [MQTT-3.3.1-2]
        0b1000 => DecodeErrorKind::DupWithQoS0,
        _ => return Ok(()),
    };
    Err(DecodeError::new("fixed header flags", kind))
}

/// Type 0 in any version, AUTH before 5.0.
#[cold]
pub(crate) fn reserved_type(number: u8) -> DecodeError {
    DecodeError::new(
        "packet type",
        DecodeErrorKind::ReservedPacketType { number },
    )
}
