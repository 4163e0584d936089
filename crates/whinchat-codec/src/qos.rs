//! Quality of Service, and the guarantee of one PUBLISH with what belongs to it.
//!
//! Read first: MQTT 5.0 sections 3.3.1.2 and 4.3.

use core::fmt;

use crate::PacketId;

/// Quality of Service, ordered from weakest to strongest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[repr(u8)]
pub enum QoS {
    /// QoS 0.
    #[default]
    AtMostOnce = 0,
    /// QoS 1.
    AtLeastOnce = 1,
    /// QoS 2.
    ExactlyOnce = 2,
}

impl QoS {
    /// All levels, weakest first.
    pub const ALL: [Self; 3] = [Self::AtMostOnce, Self::AtLeastOnce, Self::ExactlyOnce];

    /// The level for 0, 1 or 2.
    #[inline]
    pub(crate) const fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            0 => Some(Self::AtMostOnce),
            1 => Some(Self::AtLeastOnce),
            2 => Some(Self::ExactlyOnce),
            _ => None,
        }
    }
}

/// A number that is no QoS: only 0, 1 and 2 are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidQoS(
    /// The number that was given.
    pub u8,
);

impl fmt::Display for InvalidQoS {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "QoS {} does not exist, the highest is 2", self.0)
    }
}

impl core::error::Error for InvalidQoS {}

impl TryFrom<u8> for QoS {
    type Error = InvalidQoS;

    fn try_from(number: u8) -> Result<Self, InvalidQoS> {
        Self::from_bits(number).ok_or(InvalidQoS(number))
    }
}

impl From<QoS> for u8 {
    fn from(qos: QoS) -> Self {
        qos as Self
    }
}

impl fmt::Display for QoS {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "QoS {}", *self as u8)
    }
}

/// The QoS of one PUBLISH together with the fields that exist only at that QoS.
///
/// A packet id or a DUP flag at QoS 0 cannot be written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(tag = "qos", rename_all = "snake_case"))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum Guarantee {
    /// QoS 0: no Packet Identifier, DUP is 0.
    AtMostOnce,
    /// QoS 1.
    AtLeastOnce {
        /// Packet Identifier of the delivery.
        id: PacketId,
        /// Whether this is a retransmission.
        dup: bool,
    },
    /// QoS 2.
    ExactlyOnce {
        /// Packet Identifier of the delivery.
        id: PacketId,
        /// Whether this is a retransmission.
        dup: bool,
    },
}

impl Guarantee {
    /// The QoS alone.
    #[inline]
    pub const fn qos(self) -> QoS {
        match self {
            Self::AtMostOnce => QoS::AtMostOnce,
            Self::AtLeastOnce { .. } => QoS::AtLeastOnce,
            Self::ExactlyOnce { .. } => QoS::ExactlyOnce,
        }
    }

    /// The Packet Identifier; `None` at QoS 0.
    #[inline]
    pub const fn packet_id(self) -> Option<PacketId> {
        match self {
            Self::AtMostOnce => None,
            Self::AtLeastOnce { id, .. } | Self::ExactlyOnce { id, .. } => Some(id),
        }
    }

    /// The DUP flag; `false` at QoS 0.
    #[inline]
    pub const fn dup(self) -> bool {
        match self {
            Self::AtMostOnce => false,
            Self::AtLeastOnce { dup, .. } | Self::ExactlyOnce { dup, .. } => dup,
        }
    }

    /// The guarantee of a first transmission at `qos`; `id` is left out at QoS 0.
    #[inline]
    pub const fn new(qos: QoS, id: PacketId, dup: bool) -> Self {
        match qos {
            QoS::AtMostOnce => Self::AtMostOnce,
            QoS::AtLeastOnce => Self::AtLeastOnce { id, dup },
            QoS::ExactlyOnce => Self::ExactlyOnce { id, dup },
        }
    }
}
