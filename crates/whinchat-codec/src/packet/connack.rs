//! CONNACK (MQTT 5.0 section 3.2; return codes of 3.x: MQTT 3.1.1 section 3.2.2.3).

use bytes::{BufMut, Bytes, BytesMut};

use super::ack::{REASON, unknown_reason};
use super::{not_in_version, properties_len, put_properties};
use crate::error::DecodeErrorKind;
use crate::reader::Reader;
use crate::{
    ConnAckProperties, ConnAckPropertiesRef, ConnAckReason, DecodeError, DecodeLimits, EncodeError,
    PacketType, ProtocolVersion,
};

/// CONNACK, borrowed: the server's answer to CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnAckRef<'a> {
    /// Whether the server continues an earlier session. 3.1 cannot say it: always `false` when
    /// decoded, and written as 0.
    pub session_present: bool,
    /// Accepted, or why not. 3.x has six return codes, see [`ConnAckReason::return_code`].
    pub reason: ConnAckReason,
    /// Properties; none in 3.x.
    pub properties: ConnAckPropertiesRef<'a>,
}

/// CONNACK: the server's answer to CONNECT.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ConnAck {
    /// Whether the server continues an earlier session. 3.1 cannot say it: always `false` when
    /// decoded, and written as 0.
    pub session_present: bool,
    /// Accepted, or why not. 3.x has six return codes, see [`ConnAckReason::return_code`].
    pub reason: ConnAckReason,
    /// Properties; none in 3.x.
    #[cfg_attr(feature = "serde", serde(default))]
    pub properties: ConnAckProperties,
}

impl<'a> ConnAckRef<'a> {
    #[inline]
    pub(super) fn decode(
        mut body: Reader<'a>,
        version: ProtocolVersion,
        limits: &DecodeLimits,
    ) -> Result<Self, DecodeError> {
        const FLAGS: &str = "connect acknowledge flags";
        let flags = body.byte(FLAGS)?;
        let session_present = match flags {
            // The byte means nothing in 3.1. // v31 M31-25
            _ if version == ProtocolVersion::V31 => false,
            0 => false,
            1 => true,
            // v5 [MQTT-3.2.2-1]
            found => {
                return Err(DecodeError::new(
                    FLAGS,
                    DecodeErrorKind::ReservedFlags { found },
                ));
            }
        };
        let code = body.byte(REASON)?;
        let reason = match version {
            ProtocolVersion::V5 => ConnAckReason::from_code(code),
            ProtocolVersion::V31 | ProtocolVersion::V311 => ConnAckReason::from_return_code(code),
        }
        .ok_or_else(|| unknown_reason(code))?;
        let properties = if version.is_v5() {
            ConnAckPropertiesRef::read(&mut body, limits)?
        } else {
            ConnAckPropertiesRef::default()
        };
        body.finish("properties")?;
        Ok(Self {
            session_present,
            reason,
            properties,
        })
    }

    /// The code on the wire.
    fn code(&self, version: ProtocolVersion) -> Option<u8> {
        match version {
            ProtocolVersion::V5 => Some(self.reason.code()),
            ProtocolVersion::V31 | ProtocolVersion::V311 => self.reason.return_code(),
        }
    }

    fn remaining_len(&self, version: ProtocolVersion) -> Result<usize, EncodeError> {
        if self.code(version).is_none() {
            return Err(not_in_version(REASON, version));
        }
        Ok(2 + properties_len(self.properties.raw(), version)?)
    }

    #[inline]
    const fn first_byte(&self) -> u8 {
        PacketType::ConnAck.first_byte()
    }

    fn put(&self, version: ProtocolVersion, out: &mut BytesMut) {
        let flags = u8::from(self.session_present && version != ProtocolVersion::V31);
        // `remaining_len` has refused a reason without a code.
        let code = self.code(version).unwrap_or_default();
        out.put_slice(&[flags, code]);
        put_properties(self.properties.raw(), version, out);
    }

    /// The same packet with everything copied.
    pub fn to_owned(&self) -> ConnAck {
        self.owned(None)
    }

    pub(super) fn owned(&self, parent: Option<&Bytes>) -> ConnAck {
        ConnAck {
            session_present: self.session_present,
            reason: self.reason,
            properties: self.properties.to_owned_in(parent),
        }
    }
}

impl ConnAck {
    /// The same packet, borrowed.
    pub fn borrowed(&self) -> ConnAckRef<'_> {
        ConnAckRef {
            session_present: self.session_present,
            reason: self.reason,
            properties: self.properties.borrowed(),
        }
    }
}

super::encoding! { ConnAckRef ConnAck ConnAck }
