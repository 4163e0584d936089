//! SUBACK (MQTT 5.0 section 3.9; return codes of 3.x: MQTT 3.1.1 section 3.9.3).

use alloc::vec::Vec;

use bytes::{BufMut, Bytes, BytesMut};

use super::ack::{REASON, unknown_reason};
use super::list::list;
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

list! {
    /// The reason codes of a SUBACK in order: an iterator over bytes that were checked.
    SubAckReasons, SubAckReason, SubAckReason, read_reason, |reason: &SubAckReason| *reason
}

impl<'a> SubAckReasons<'a> {
    /// Checks the payload.
    fn decode(mut body: Reader<'a>, version: ProtocolVersion) -> Result<Self, DecodeError> {
        if body.is_empty() {
            return Err(DecodeError::new(REASON, DecodeErrorKind::NoReasons));
        }
        let payload = body;
        let mut len = 0;
        while !body.is_empty() {
            read_reason(&mut body, version)?;
            len += 1;
        }
        Ok(Self::from_wire(payload, version, len))
    }
}

#[inline]
fn read_reason(
    body: &mut Reader<'_>,
    version: ProtocolVersion,
) -> Result<SubAckReason, DecodeError> {
    let code = body.byte(REASON)?;
    // [MQTT-3.9.3-2]
    SubAckReason::from_wire(code, version).ok_or_else(|| unknown_reason(code))
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
        Ok(Self {
            packet_id,
            properties,
            reasons: SubAckReasons::decode(body, version)?,
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
