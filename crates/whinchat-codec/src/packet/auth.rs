//! AUTH (MQTT 5.0 section 3.15); 3.x has no such packet.
//!
//! That the method is the one of the CONNECT, and so is there at all, is the session's to check.

use bytes::{BufMut, Bytes, BytesMut};

use super::ack::{REASON, unknown_reason};
use super::not_in_version;
use crate::reader::Reader;
use crate::{
    AuthProperties, AuthPropertiesRef, AuthReason, DecodeError, DecodeLimits, EncodeError,
    PacketType, ProtocolVersion,
};

/// AUTH, borrowed: a step of an extended authentication exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuthRef<'a> {
    /// Which step.
    pub reason: AuthReason,
    /// Properties.
    pub properties: AuthPropertiesRef<'a>,
}

/// AUTH: a step of an extended authentication exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Auth {
    /// Which step.
    pub reason: AuthReason,
    /// Properties.
    #[cfg_attr(feature = "serde", serde(default))]
    pub properties: AuthProperties,
}

impl<'a> AuthRef<'a> {
    /// Reads the packet. Unlike DISCONNECT it has no form with a reason code alone.
    pub(super) fn decode(mut body: Reader<'a>, limits: &DecodeLimits) -> Result<Self, DecodeError> {
        if body.is_empty() {
            return Ok(Self {
                reason: AuthReason::Success,
                properties: AuthPropertiesRef::default(),
            });
        }
        let code = body.byte(REASON)?;
        // v5 [MQTT-3.15.2-1]
        let reason = AuthReason::from_code(code).ok_or_else(|| unknown_reason(code))?;
        let properties = AuthPropertiesRef::read(&mut body, limits)?;
        body.finish("properties")?;
        Ok(Self { reason, properties })
    }

    /// Whether the packet is a fixed header alone.
    fn is_short(&self) -> bool {
        self.reason == AuthReason::Success && self.properties.is_empty()
    }

    fn remaining_len(&self, version: ProtocolVersion) -> Result<usize, EncodeError> {
        if !version.is_v5() {
            return Err(not_in_version("packet", version));
        }
        if self.is_short() {
            return Ok(0);
        }
        Ok(1 + self.properties.raw().encoded_len())
    }

    #[inline]
    const fn first_byte(&self) -> u8 {
        PacketType::Auth.first_byte()
    }

    fn put(&self, _: ProtocolVersion, out: &mut BytesMut) {
        if !self.is_short() {
            out.put_u8(self.reason.code());
            self.properties.raw().put(out);
        }
    }

    /// The same packet with everything copied.
    pub fn to_owned(&self) -> Auth {
        self.owned(None)
    }

    pub(super) fn owned(&self, parent: Option<&Bytes>) -> Auth {
        Auth {
            reason: self.reason,
            properties: self.properties.to_owned_in(parent),
        }
    }
}

impl Auth {
    /// The same packet, borrowed.
    pub fn borrowed(&self) -> AuthRef<'_> {
        AuthRef {
            reason: self.reason,
            properties: self.properties.borrowed(),
        }
    }
}

super::encoding! { AuthRef Auth Auth }
