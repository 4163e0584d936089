//! SUBACK (MQTT 5.0 section 3.9; return codes of 3.x: MQTT 3.1.1 section 3.9.3).

use alloc::vec::Vec;
use core::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use super::ack::{REASON, unknown_reason};
use super::{not_in_version, properties_len, put_properties};
use crate::error::{DecodeErrorKind, EncodeErrorKind};
use crate::reader::Reader;
use crate::{
    DecodeError, DecodeLimits, EncodeError, PacketId, PacketType, ProtocolVersion,
    SubAckProperties, SubAckPropertiesRef, SubAckReason,
};

/// SUBACK, borrowed: the server's answer to SUBSCRIBE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubAckRef<'a> {
    /// Identifier of the request.
    pub packet_id: PacketId,
    /// Properties; none in 3.x.
    pub properties: SubAckPropertiesRef<'a>,
    /// One per topic filter of the SUBSCRIBE, in order.
    pub reasons: SubAckReasons<'a>,
}

/// SUBACK: the server's answer to SUBSCRIBE.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct SubAck {
    /// Identifier of the request.
    pub packet_id: PacketId,
    /// Properties; none in 3.x.
    #[cfg_attr(feature = "serde", serde(default))]
    pub properties: SubAckProperties,
    /// One per topic filter of the SUBSCRIBE, in order.
    pub reasons: Vec<SubAckReason>,
}

/// The reason codes of a SUBACK in order: an iterator over bytes that were checked.
///
/// A copy starts where the original stands.
#[derive(Clone, Copy)]
pub struct SubAckReasons<'a>(Source<'a>);

#[derive(Clone, Copy)]
enum Source<'a> {
    Wire(&'a [u8], ProtocolVersion),
    Owned(&'a [SubAckReason]),
}

impl SubAckReasons<'_> {
    /// How many are left.
    #[inline]
    pub const fn len(&self) -> usize {
        match self.0 {
            Source::Wire(bytes, _) => bytes.len(),
            Source::Owned(reasons) => reasons.len(),
        }
    }

    /// Whether none is left.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The same reasons, to walk over more than once.
    #[inline]
    pub const fn iter(&self) -> Self {
        *self
    }
}

impl Iterator for SubAckReasons<'_> {
    type Item = SubAckReason;

    #[inline]
    fn next(&mut self) -> Option<SubAckReason> {
        match &mut self.0 {
            Source::Wire(bytes, version) => {
                let (first, rest) = bytes.split_first()?;
                *bytes = rest;
                SubAckReason::from_wire(*first, *version)
            }
            Source::Owned(reasons) => {
                let (first, rest) = reasons.split_first()?;
                *reasons = rest;
                Some(*first)
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.len(), Some(self.len()))
    }
}

impl ExactSizeIterator for SubAckReasons<'_> {}

impl<'a> From<&'a [SubAckReason]> for SubAckReasons<'a> {
    fn from(reasons: &'a [SubAckReason]) -> Self {
        Self(Source::Owned(reasons))
    }
}

impl PartialEq for SubAckReasons<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for SubAckReasons<'_> {}

impl fmt::Debug for SubAckReasons<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a> SubAckRef<'a> {
    pub(super) fn decode(
        mut body: Reader<'a>,
        version: ProtocolVersion,
        limits: &DecodeLimits,
    ) -> Result<Self, DecodeError> {
        let packet_id = body.packet_id()?;
        let properties = if version.is_v5() {
            SubAckPropertiesRef::read(&mut body, limits)?
        } else {
            SubAckPropertiesRef::default()
        };
        let codes = body.rest();
        if codes.is_empty() {
            return Err(DecodeError::new(REASON, DecodeErrorKind::NoReasons));
        }
        for code in codes {
            // [MQTT-3.9.3-2]
            SubAckReason::from_wire(*code, version).ok_or_else(|| unknown_reason(*code))?;
        }
        Ok(Self {
            packet_id,
            properties,
            reasons: SubAckReasons(Source::Wire(codes, version)),
        })
    }

    fn remaining_len(&self, version: ProtocolVersion) -> Result<usize, EncodeError> {
        if self.reasons.is_empty() {
            return Err(EncodeError::new(REASON, EncodeErrorKind::NoReasons));
        }
        if !version.is_v5() && !self.reasons.iter().all(|reason| reason.exists_in(version)) {
            return Err(not_in_version(REASON, version));
        }
        Ok(2 + properties_len(self.properties.raw(), version)? + self.reasons.len())
    }

    #[inline]
    const fn first_byte(&self) -> u8 {
        PacketType::SubAck.first_byte()
    }

    fn put(&self, version: ProtocolVersion, out: &mut BytesMut) {
        out.put_u16(self.packet_id.get());
        put_properties(self.properties.raw(), version, out);
        for reason in self.reasons {
            out.put_u8(reason.code());
        }
    }

    /// The same packet with everything copied.
    pub fn to_owned(&self) -> SubAck {
        self.owned(None)
    }

    pub(super) fn owned(&self, parent: Option<&Bytes>) -> SubAck {
        SubAck {
            packet_id: self.packet_id,
            properties: self.properties.to_owned_in(parent),
            reasons: self.reasons.collect(),
        }
    }
}

impl SubAck {
    /// The same packet, borrowed.
    pub fn borrowed(&self) -> SubAckRef<'_> {
        SubAckRef {
            packet_id: self.packet_id,
            properties: self.properties.borrowed(),
            reasons: SubAckReasons::from(self.reasons.as_slice()),
        }
    }
}

super::encoding! { SubAckRef SubAck SubAck }
