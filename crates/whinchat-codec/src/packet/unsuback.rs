//! UNSUBACK (MQTT 5.0 section 3.11).

use alloc::vec::Vec;

use bytes::{BufMut, Bytes, BytesMut};

use super::ack::{REASON, unknown_reason};
use super::list::list;
use super::{not_in_version, properties_len, put_properties};
use crate::error::{DecodeErrorKind, EncodeErrorKind};
use crate::reader::Reader;
use crate::{
    DecodeError, DecodeLimits, EncodeError, PacketId, PacketType, ProtocolVersion,
    UnsubAckProperties, UnsubAckPropertiesRef, UnsubAckReason,
};

/// UNSUBACK, borrowed: the server's answer to UNSUBSCRIBE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnsubAckRef<'a> {
    /// Identifier of the request.
    pub packet_id: PacketId,
    /// Properties; none in 3.x.
    pub properties: UnsubAckPropertiesRef<'a>,
    /// One per topic filter of the UNSUBSCRIBE, in order; none in 3.x.
    pub reasons: UnsubAckReasons<'a>,
}

/// UNSUBACK: the server's answer to UNSUBSCRIBE.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct UnsubAck {
    /// Identifier of the request.
    pub packet_id: PacketId,
    /// Properties; none in 3.x.
    #[cfg_attr(feature = "serde", serde(default))]
    pub properties: UnsubAckProperties,
    /// One per topic filter of the UNSUBSCRIBE, in order; none in 3.x.
    pub reasons: Vec<UnsubAckReason>,
}

list! {
    /// The reason codes of an UNSUBACK in order: an iterator over bytes that were checked.
    UnsubAckReasons, UnsubAckReason, UnsubAckReason, read_reason, |reason: &UnsubAckReason| *reason
}

impl<'a> UnsubAckReasons<'a> {
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
fn read_reason(body: &mut Reader<'_>, _: ProtocolVersion) -> Result<UnsubAckReason, DecodeError> {
    let code = body.byte(REASON)?;
    // v5 [MQTT-3.11.3-2]
    UnsubAckReason::from_code(code).ok_or_else(|| unknown_reason(code))
}

impl<'a> UnsubAckRef<'a> {
    pub(super) fn decode(
        mut body: Reader<'a>,
        version: ProtocolVersion,
        limits: &DecodeLimits,
    ) -> Result<Self, DecodeError> {
        let packet_id = body.packet_id()?;
        if !version.is_v5() {
            body.finish("remaining length")?;
            return Ok(Self {
                packet_id,
                properties: UnsubAckPropertiesRef::default(),
                reasons: UnsubAckReasons::from([].as_slice()),
            });
        }
        let properties = UnsubAckPropertiesRef::read(&mut body, limits)?;
        Ok(Self {
            packet_id,
            properties,
            reasons: UnsubAckReasons::decode(body, version)?,
        })
    }

    fn remaining_len(&self, version: ProtocolVersion) -> Result<usize, EncodeError> {
        match (version.is_v5(), self.reasons.is_empty()) {
            (true, true) => return Err(EncodeError::new(REASON, EncodeErrorKind::NoReasons)),
            (false, false) => return Err(not_in_version(REASON, version)),
            (true, false) | (false, true) => {}
        }
        Ok(2 + properties_len(self.properties.raw(), version)? + self.reasons.len())
    }

    #[inline]
    const fn first_byte(&self) -> u8 {
        PacketType::UnsubAck.first_byte()
    }

    fn put(&self, version: ProtocolVersion, out: &mut BytesMut) {
        out.put_u16(self.packet_id.get());
        put_properties(self.properties.raw(), version, out);
        for reason in self.reasons {
            out.put_u8(reason.code());
        }
    }

    /// The same packet with everything copied.
    pub fn to_owned(&self) -> UnsubAck {
        self.owned(None)
    }

    pub(super) fn owned(&self, parent: Option<&Bytes>) -> UnsubAck {
        UnsubAck {
            packet_id: self.packet_id,
            properties: self.properties.to_owned_in(parent),
            reasons: self.reasons.collect(),
        }
    }
}

impl UnsubAck {
    /// The same packet, borrowed.
    pub fn borrowed(&self) -> UnsubAckRef<'_> {
        UnsubAckRef {
            packet_id: self.packet_id,
            properties: self.properties.borrowed(),
            reasons: UnsubAckReasons::from(self.reasons.as_slice()),
        }
    }
}

super::encoding! { UnsubAckRef UnsubAck UnsubAck }
