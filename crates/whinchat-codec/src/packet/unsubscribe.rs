//! UNSUBSCRIBE (MQTT 5.0 section 3.10). The syntax of topic filters belongs to `whinchat-topic`.

use alloc::vec::Vec;

use bytes::{BufMut, Bytes, BytesMut};

use super::list::list;
use super::subscribe::{FILTER, too_many_filters};
use super::{properties_len, put_properties};
use crate::error::{DecodeErrorKind, EncodeErrorKind};
use crate::limits::is_reached;
use crate::reader::Reader;
use crate::string::check;
use crate::writer::put_binary;
use crate::{
    DecodeError, DecodeLimits, EncodeError, PacketId, PacketType, ProtocolVersion,
    UnsubscribeProperties, UnsubscribePropertiesRef, Utf8String, slices,
};

/// UNSUBSCRIBE, borrowed: a client gives up some subscriptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnsubscribeRef<'a> {
    /// Identifier that the UNSUBACK will repeat.
    pub packet_id: PacketId,
    /// Properties; none in 3.x.
    pub properties: UnsubscribePropertiesRef<'a>,
    /// At least one topic filter.
    pub filters: Filters<'a>,
}

/// UNSUBSCRIBE: a client gives up some subscriptions.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Unsubscribe {
    /// Identifier that the UNSUBACK will repeat.
    pub packet_id: PacketId,
    /// Properties; none in 3.x.
    #[cfg_attr(feature = "serde", serde(default))]
    pub properties: UnsubscribeProperties,
    /// At least one topic filter.
    pub filters: Vec<Utf8String>,
}

list! {
    /// The topic filters of an UNSUBSCRIBE in order: an iterator over bytes that were checked.
    Filters, &'a str, Utf8String, read_filter, Utf8String::as_str
}

impl<'a> Filters<'a> {
    /// Checks the payload of an UNSUBSCRIBE.
    fn decode(
        mut body: Reader<'a>,
        version: ProtocolVersion,
        limits: &DecodeLimits,
    ) -> Result<Self, DecodeError> {
        if body.is_empty() {
            // [MQTT-3.10.3-2]
            return Err(DecodeError::new(FILTER, DecodeErrorKind::NoFilters));
        }
        let payload = body;
        let mut len = 0;
        while !body.is_empty() {
            if is_reached(len, limits.filters) {
                return Err(too_many_filters(limits));
            }
            // [MQTT-3.10.3-1]
            body.skip_utf8_string(FILTER, limits)?;
            len += 1;
        }
        Ok(Self::from_wire(payload, version, len))
    }
}

#[inline]
fn read_filter<'a>(body: &mut Reader<'a>, _: ProtocolVersion) -> Result<&'a str, DecodeError> {
    body.utf8_string(FILTER, &DecodeLimits::default())
}

impl<'a> UnsubscribeRef<'a> {
    pub(super) fn decode(
        mut body: Reader<'a>,
        version: ProtocolVersion,
        limits: &DecodeLimits,
    ) -> Result<Self, DecodeError> {
        let packet_id = body.packet_id()?;
        let properties = if version.is_v5() {
            UnsubscribePropertiesRef::read(&mut body, limits)?
        } else {
            UnsubscribePropertiesRef::default()
        };
        Ok(Self {
            packet_id,
            properties,
            filters: Filters::decode(body, version, limits)?,
        })
    }

    fn remaining_len(&self, version: ProtocolVersion) -> Result<usize, EncodeError> {
        if self.filters.is_empty() {
            return Err(EncodeError::new(FILTER, EncodeErrorKind::NoFilters));
        }
        let mut len = 2 + properties_len(self.properties.raw(), version)?;
        for filter in self.filters {
            check(FILTER, filter)?;
            len += 2 + filter.len();
        }
        Ok(len)
    }

    #[inline]
    const fn first_byte(&self) -> u8 {
        PacketType::Unsubscribe.first_byte()
    }

    fn put(&self, version: ProtocolVersion, out: &mut BytesMut) {
        out.put_u16(self.packet_id.get());
        put_properties(self.properties.raw(), version, out);
        for filter in self.filters {
            put_binary(out, filter.as_bytes());
        }
    }

    /// The same packet with everything copied.
    pub fn to_owned(&self) -> Unsubscribe {
        self.owned(None)
    }

    pub(super) fn owned(&self, parent: Option<&Bytes>) -> Unsubscribe {
        Unsubscribe {
            packet_id: self.packet_id,
            properties: self.properties.to_owned_in(parent),
            filters: self
                .filters
                .map(|filter| slices::own_str(parent, filter))
                .collect(),
        }
    }
}

impl Unsubscribe {
    /// The same packet, borrowed.
    pub fn borrowed(&self) -> UnsubscribeRef<'_> {
        UnsubscribeRef {
            packet_id: self.packet_id,
            properties: self.properties.borrowed(),
            filters: Filters::from(self.filters.as_slice()),
        }
    }
}

super::encoding! { UnsubscribeRef Unsubscribe Unsubscribe }
