//! DISCONNECT (MQTT 5.0 section 3.14).

use bytes::{Bytes, BytesMut};

use super::ack::{REASON, put_tail, tail_len, unknown_reason};
use crate::reader::Reader;
use crate::{
    DecodeError, DecodeLimits, DisconnectProperties, DisconnectPropertiesRef, DisconnectReason,
    EncodeError, PacketType, ProtocolVersion,
};

/// DISCONNECT, borrowed: the last packet of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DisconnectRef<'a> {
    /// Why; 3.x has the normal end only.
    pub reason: DisconnectReason,
    /// Properties; none in 3.x.
    pub properties: DisconnectPropertiesRef<'a>,
}

/// DISCONNECT: the last packet of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Disconnect {
    /// Why; 3.x has the normal end only.
    pub reason: DisconnectReason,
    /// Properties; none in 3.x.
    #[cfg_attr(feature = "serde", serde(default))]
    pub properties: DisconnectProperties,
}

impl<'a> DisconnectRef<'a> {
    /// A DISCONNECT with this reason and no properties.
    #[inline]
    pub fn new(reason: DisconnectReason) -> Self {
        Self {
            reason,
            properties: DisconnectPropertiesRef::default(),
        }
    }

    pub(super) fn decode(
        mut body: Reader<'a>,
        version: ProtocolVersion,
        limits: &DecodeLimits,
    ) -> Result<Self, DecodeError> {
        if body.is_empty() {
            return Ok(Self::new(DisconnectReason::NormalDisconnection));
        }
        if !version.is_v5() {
            body.finish("remaining length")?;
        }
        let code = body.byte(REASON)?;
        // v5 [MQTT-3.14.2-1]
        let reason = DisconnectReason::from_code(code).ok_or_else(|| unknown_reason(code))?;
        if body.is_empty() {
            return Ok(Self::new(reason));
        }
        let properties = DisconnectPropertiesRef::read(&mut body, limits)?;
        body.finish("properties")?;
        Ok(Self { reason, properties })
    }

    fn remaining_len(&self, version: ProtocolVersion) -> Result<usize, EncodeError> {
        tail_len(0, self.reason.code(), self.properties.raw(), version)
    }

    #[inline]
    const fn first_byte(&self) -> u8 {
        PacketType::Disconnect.first_byte()
    }

    fn put(&self, _: ProtocolVersion, out: &mut BytesMut) {
        put_tail(self.reason.code(), self.properties.raw(), out);
    }

    /// The same packet with everything copied.
    pub fn to_owned(&self) -> Disconnect {
        self.owned(None)
    }

    pub(super) fn owned(&self, parent: Option<&Bytes>) -> Disconnect {
        Disconnect {
            reason: self.reason,
            properties: self.properties.to_owned_in(parent),
        }
    }
}

impl Disconnect {
    /// A DISCONNECT with this reason and no properties.
    pub fn new(reason: DisconnectReason) -> Self {
        DisconnectRef::new(reason).to_owned()
    }

    /// The same packet, borrowed.
    pub fn borrowed(&self) -> DisconnectRef<'_> {
        DisconnectRef {
            reason: self.reason,
            properties: self.properties.borrowed(),
        }
    }
}

super::encoding! { DisconnectRef Disconnect Disconnect }
