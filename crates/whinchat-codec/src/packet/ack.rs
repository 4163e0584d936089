//! The shape that PUBACK, PUBREC, PUBREL and PUBCOMP share.
//!
//! 3.x: the Packet Identifier alone. 5.0: reason code and properties behind it, both left out
//! when they say nothing. Read first: MQTT 5.0 sections 3.4 to 3.7.

use bytes::{BufMut, BytesMut};

use super::not_in_version;
use crate::error::DecodeErrorKind;
use crate::property::RawRef;
use crate::reader::Reader;
use crate::{DecodeError, EncodeError, PacketId, ProtocolVersion};

pub(super) const REASON: &str = "reason code";

/// Reads the identifier, the code and what is left for the properties; the code is 0 and
/// nothing is left in the short forms.
#[inline]
pub(super) fn read<'a>(
    mut body: Reader<'a>,
    version: ProtocolVersion,
) -> Result<(PacketId, u8, Option<Reader<'a>>), DecodeError> {
    let packet_id = body.packet_id()?;
    if body.is_empty() {
        return Ok((packet_id, 0, None));
    }
    if !version.is_v5() {
        body.finish("remaining length")?;
    }
    let code = body.byte(REASON)?;
    Ok((packet_id, code, (!body.is_empty()).then_some(body)))
}

#[cold]
pub(super) fn unknown_reason(code: u8) -> DecodeError {
    DecodeError::new(REASON, DecodeErrorKind::UnknownReason { code })
}

/// Bytes of reason code and properties in the shortest form; `id_len` is what stands in front.
#[inline]
pub(super) fn tail_len(
    id_len: usize,
    code: u8,
    properties: RawRef<'_>,
    version: ProtocolVersion,
) -> Result<usize, EncodeError> {
    if properties.is_empty() {
        return match code {
            0 => Ok(id_len),
            _ if version.is_v5() => Ok(id_len + 1),
            _ => Err(not_in_version(REASON, version)),
        };
    }
    if !version.is_v5() {
        return Err(not_in_version("properties", version));
    }
    Ok(id_len + 1 + properties.encoded_len())
}

/// Appends reason code and properties in the shortest form.
#[inline]
pub(super) fn put_tail(code: u8, properties: RawRef<'_>, out: &mut BytesMut) {
    if properties.is_empty() {
        if code != 0 {
            out.put_u8(code);
        }
    } else {
        out.put_u8(code);
        properties.put(out);
    }
}

/// Declares one of the four acknowledgements.
macro_rules! ack {
    ($owned:ident $borrowed:ident $reason:ident $properties:ident $properties_ref:ident $word:literal $doc:literal) => {
        #[doc = concat!($word, ", borrowed: ", $doc)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $borrowed<'a> {
            /// The identifier of the PUBLISH whose exchange this belongs to.
            pub packet_id: $crate::PacketId,
            /// How it went; 3.x has success only.
            pub reason: $crate::$reason,
            /// Properties; none in 3.x.
            pub properties: $crate::$properties_ref<'a>,
        }

        #[doc = concat!($word, ": ", $doc)]
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        pub struct $owned {
            /// The identifier of the PUBLISH whose exchange this belongs to.
            pub packet_id: $crate::PacketId,
            /// How it went; 3.x has success only.
            pub reason: $crate::$reason,
            /// Properties; none in 3.x.
            #[cfg_attr(feature = "serde", serde(default))]
            pub properties: $crate::$properties,
        }

        impl<'a> $borrowed<'a> {
            /// Success, without properties.
            #[inline]
            pub fn success(packet_id: $crate::PacketId) -> Self {
                Self {
                    packet_id,
                    reason: $crate::$reason::Success,
                    properties: $crate::$properties_ref::default(),
                }
            }

            #[inline]
            pub(super) fn decode(
                body: $crate::reader::Reader<'a>,
                version: $crate::ProtocolVersion,
                limits: &$crate::DecodeLimits,
            ) -> Result<Self, $crate::DecodeError> {
                let (packet_id, code, tail) = super::ack::read(body, version)?;
                let reason = $crate::$reason::from_code(code)
                    .ok_or_else(|| super::ack::unknown_reason(code))?;
                let properties = match tail {
                    Some(mut tail) => {
                        let properties = $crate::$properties_ref::read(&mut tail, limits)?;
                        tail.finish("properties")?;
                        properties
                    }
                    None => $crate::$properties_ref::default(),
                };
                Ok(Self {
                    packet_id,
                    reason,
                    properties,
                })
            }

            #[inline]
            fn remaining_len(
                &self,
                version: $crate::ProtocolVersion,
            ) -> Result<usize, $crate::EncodeError> {
                super::ack::tail_len(2, self.reason.code(), self.properties.raw(), version)
            }

            #[inline]
            fn put(&self, _: $crate::ProtocolVersion, out: &mut bytes::BytesMut) {
                bytes::BufMut::put_u16(out, self.packet_id.get());
                super::ack::put_tail(self.reason.code(), self.properties.raw(), out);
            }

            #[inline]
            const fn first_byte(&self) -> u8 {
                $crate::PacketType::$owned.first_byte()
            }

            /// The same packet with everything copied.
            pub fn to_owned(&self) -> $owned {
                self.owned(None)
            }

            pub(super) fn owned(&self, parent: Option<&bytes::Bytes>) -> $owned {
                $owned {
                    packet_id: self.packet_id,
                    reason: self.reason,
                    properties: self.properties.to_owned_in(parent),
                }
            }
        }

        impl $owned {
            /// Success, without properties.
            pub fn success(packet_id: $crate::PacketId) -> Self {
                $borrowed::success(packet_id).to_owned()
            }

            /// The same packet, borrowed.
            #[inline]
            pub fn borrowed(&self) -> $borrowed<'_> {
                $borrowed {
                    packet_id: self.packet_id,
                    reason: self.reason,
                    properties: self.properties.borrowed(),
                }
            }
        }

        super::encoding! { $borrowed $owned $owned }
    };
}
pub(super) use ack;
