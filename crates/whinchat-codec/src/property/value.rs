//! The value of one property, whatever its type, and its form on the wire.

use core::fmt;

use bytes::{BufMut, BytesMut};

use super::{Property, RawRef};
use crate::error::DecodeError;
use crate::limits::DecodeLimits;
use crate::reader::Reader;
use crate::{varint, writer};

/// How the value of a property is written (MQTT 5.0 section 1.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataType {
    /// One byte.
    Byte,
    /// Two bytes, highest first.
    TwoByteInteger,
    /// Four bytes, highest first.
    FourByteInteger,
    /// One to four bytes.
    VariableByteInteger,
    /// Two bytes of length, then UTF-8.
    Utf8String,
    /// Two UTF-8 strings.
    Utf8StringPair,
    /// Two bytes of length, then bytes.
    BinaryData,
}

/// The value of a property.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum PropertyValue<'a> {
    /// Of a [`DataType::Byte`].
    Byte(u8),
    /// Of a [`DataType::TwoByteInteger`].
    TwoByteInteger(u16),
    /// Of a [`DataType::FourByteInteger`].
    FourByteInteger(u32),
    /// Of a [`DataType::VariableByteInteger`].
    VariableByteInteger(u32),
    /// Of a [`DataType::Utf8String`].
    Utf8String(&'a str),
    /// Of a [`DataType::Utf8StringPair`]: name and value.
    Utf8StringPair(&'a str, &'a str),
    /// Of a [`DataType::BinaryData`].
    BinaryData(&'a [u8]),
}

/// Strings are shown, binary data only by its length: it may be a secret.
impl fmt::Debug for PropertyValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Byte(number) => number.fmt(f),
            Self::TwoByteInteger(number) => number.fmt(f),
            Self::FourByteInteger(number) | Self::VariableByteInteger(number) => number.fmt(f),
            Self::Utf8String(text) => fmt::Debug::fmt(text, f),
            Self::Utf8StringPair(name, value) => write!(f, "{name:?}: {value:?}"),
            Self::BinaryData(bytes) => write!(f, "<{} bytes>", bytes.len()),
        }
    }
}

impl<'a> PropertyValue<'a> {
    /// Reads the value behind an identifier.
    #[inline]
    pub(crate) fn read(
        property: Property,
        reader: &mut Reader<'a>,
        limits: &DecodeLimits,
    ) -> Result<Self, DecodeError> {
        let field = property.name();
        Ok(match property.data_type() {
            DataType::Byte => Self::Byte(reader.byte(field)?),
            DataType::TwoByteInteger => Self::TwoByteInteger(reader.two_byte_integer(field)?),
            DataType::FourByteInteger => Self::FourByteInteger(reader.four_byte_integer(field)?),
            DataType::VariableByteInteger => {
                Self::VariableByteInteger(reader.variable_byte_integer(field)?)
            }
            // v5 [MQTT-3.3.2-14]
            DataType::Utf8String if matches!(property, Property::ResponseTopic) => {
                Self::Utf8String(response_topic(reader, limits)?)
            }
            DataType::Utf8String => Self::Utf8String(reader.utf8_string(field, limits)?),
            // v5 [MQTT-1.5.7-1]
            DataType::Utf8StringPair => Self::Utf8StringPair(
                reader.utf8_string(field, limits)?,
                reader.utf8_string(field, limits)?,
            ),
            DataType::BinaryData => Self::BinaryData(reader.binary_data(field)?),
        })
    }

    /// The number, if it is one.
    #[inline]
    pub(crate) const fn number(self) -> Option<u32> {
        match self {
            Self::Byte(number) => Some(number as u32),
            Self::TwoByteInteger(number) => Some(number as u32),
            Self::FourByteInteger(number) | Self::VariableByteInteger(number) => Some(number),
            Self::Utf8String(_) | Self::Utf8StringPair(..) | Self::BinaryData(_) => None,
        }
    }

    #[inline]
    pub(crate) const fn text(self) -> Option<&'a str> {
        match self {
            Self::Utf8String(text) => Some(text),
            Self::Byte(_)
            | Self::TwoByteInteger(_)
            | Self::FourByteInteger(_)
            | Self::VariableByteInteger(_)
            | Self::Utf8StringPair(..)
            | Self::BinaryData(_) => None,
        }
    }

    #[inline]
    pub(crate) const fn binary(self) -> Option<&'a [u8]> {
        match self {
            Self::BinaryData(bytes) => Some(bytes),
            Self::Byte(_)
            | Self::TwoByteInteger(_)
            | Self::FourByteInteger(_)
            | Self::VariableByteInteger(_)
            | Self::Utf8String(_)
            | Self::Utf8StringPair(..) => None,
        }
    }

    #[inline]
    pub(crate) const fn pair(self) -> Option<(&'a str, &'a str)> {
        match self {
            Self::Utf8StringPair(name, value) => Some((name, value)),
            Self::Byte(_)
            | Self::TwoByteInteger(_)
            | Self::FourByteInteger(_)
            | Self::VariableByteInteger(_)
            | Self::Utf8String(_)
            | Self::BinaryData(_) => None,
        }
    }

    /// Appends identifier and value; the value was checked.
    pub(crate) fn put(self, property: Property, out: &mut BytesMut) {
        out.put_u8(property.id());
        match self {
            Self::Byte(number) => out.put_u8(number),
            Self::TwoByteInteger(number) => out.put_u16(number),
            Self::FourByteInteger(number) => out.put_u32(number),
            Self::VariableByteInteger(number) => varint::put(out, number as usize),
            Self::Utf8String(text) => writer::put_binary(out, text.as_bytes()),
            Self::Utf8StringPair(name, value) => {
                writer::put_binary(out, name.as_bytes());
                writer::put_binary(out, value.as_bytes());
            }
            Self::BinaryData(bytes) => writer::put_binary(out, bytes),
        }
    }
}

/// Out of line: it is rare, and its checks are large.
#[inline(never)]
pub(super) fn response_topic<'a>(
    reader: &mut Reader<'a>,
    limits: &DecodeLimits,
) -> Result<&'a str, DecodeError> {
    let any_levels = limits.with_topic_levels(u16::MAX);
    reader.topic_name(Property::ResponseTopic.name(), &any_levels)
}

/// All properties of a packet in the order of the wire.
#[derive(Clone, Copy)]
pub struct PropertyIter<'a> {
    reader: Reader<'a>,
}

impl<'a> PropertyIter<'a> {
    #[inline]
    pub(super) const fn new(raw: RawRef<'a>) -> Self {
        Self {
            reader: Reader::new(raw.bytes()),
        }
    }
}

impl<'a> Iterator for PropertyIter<'a> {
    type Item = (Property, PropertyValue<'a>);

    // The bytes were accepted once, so no step fails; an error would end the walk.
    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.reader.is_empty() {
            return None;
        }
        let property = Property::from_id(self.reader.byte("property identifier").ok()?)?;
        let value =
            PropertyValue::read(property, &mut self.reader, &DecodeLimits::default()).ok()?;
        Some((property, value))
    }
}

impl fmt::Debug for PropertyIter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(*self).finish()
    }
}
