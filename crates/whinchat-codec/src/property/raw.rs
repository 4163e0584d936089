//! Storage of a property section: the validated bytes as they stood on the wire, and one bit
//! per property that is there.
//!
//! ```text
//! present  ...00100000000000000000000010   one bit per row of the table
//! bytes    02 00 00 00 3C  26 00 01 k 00 01 v     without the Property Length in front
//! ```
//!
//! One pass validates; after it a getter looks at the mask first and walks the bytes only for
//! what is there. So a broker forwards properties unread, and a change to one leaves the bytes
//! and the order of all others as they were.

use bytes::{BufMut, Bytes, BytesMut};

use super::value::response_topic;
use super::{DataType, Place, Property, PropertyIter, PropertyValue, allowed_in, repeatable_in};
use crate::error::{DecodeError, DecodeErrorKind, EncodeError, EncodeErrorKind};
use crate::limits::{DecodeLimits, is_reached};
use crate::reader::Reader;
use crate::{slices, string, varint};

/// What may stand in a place, as one bit per property: made at compile time.
#[derive(Clone, Copy)]
pub(crate) struct PlaceRules {
    allowed: u32,
    repeatable: u32,
}

impl PlaceRules {
    pub(super) const fn of(place: Place) -> Self {
        Self {
            allowed: allowed_in(place),
            repeatable: repeatable_in(place),
        }
    }
}

/// A borrowed property section.
#[derive(Clone, Copy, Default)]
pub(crate) struct RawRef<'a> {
    bytes: &'a [u8],
    present: u32,
}

impl<'a> RawRef<'a> {
    /// Reads the Property Length and checks every property behind it.
    #[inline]
    pub(crate) fn read(
        rules: PlaceRules,
        reader: &mut Reader<'a>,
        limits: &DecodeLimits,
    ) -> Result<Self, DecodeError> {
        let len = reader.variable_byte_integer("property length")?;
        if len == 0 {
            return Ok(Self::default());
        }
        if len > limits.properties_bytes {
            return Err(DecodeError::new(
                "property length",
                DecodeErrorKind::PropertiesTooLong {
                    bytes: len,
                    max: limits.properties_bytes,
                },
            ));
        }
        let bytes = reader.bytes("properties", len as usize)?;
        let present = validate(rules, bytes, limits)?;
        Ok(Self { bytes, present })
    }

    /// The same section as if it had been read: what `Raw` holds is valid by construction.
    #[inline]
    pub(crate) const fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    #[inline]
    pub(crate) const fn is_empty(self) -> bool {
        self.bytes.is_empty()
    }

    #[inline]
    pub(crate) const fn contains(self, property: Property) -> bool {
        self.present & property.bit() != 0
    }

    /// The first value of a property.
    #[inline]
    pub(crate) fn value(self, property: Property) -> Option<PropertyValue<'a>> {
        if !self.contains(property) {
            return None;
        }
        self.find(property)
    }

    fn find(self, property: Property) -> Option<PropertyValue<'a>> {
        self.iter()
            .find(|(found, _)| *found == property)
            .map(|(_, value)| value)
    }

    #[inline]
    pub(crate) const fn iter(self) -> PropertyIter<'a> {
        PropertyIter::new(self)
    }

    #[inline]
    pub(crate) fn user_properties(self) -> UserProperties<'a> {
        UserProperties(self.only(Property::UserProperty))
    }

    #[inline]
    pub(crate) fn subscription_identifiers(self) -> SubscriptionIdentifiers<'a> {
        SubscriptionIdentifiers(self.only(Property::SubscriptionIdentifier))
    }

    /// An iterator that has nothing to walk over if the property is absent.
    #[inline]
    fn only(self, property: Property) -> PropertyIter<'a> {
        if self.contains(property) {
            self.iter()
        } else {
            Self::default().iter()
        }
    }

    /// Bytes of the section with its length in front.
    #[inline]
    pub(crate) const fn encoded_len(self) -> usize {
        varint::len(self.bytes.len()) + self.bytes.len()
    }

    /// Appends the section with its length in front. // v5 [MQTT-2.2.2-1]
    #[inline]
    pub(crate) fn put(self, out: &mut BytesMut) {
        varint::put(out, self.bytes.len());
        out.put_slice(self.bytes);
    }

    pub(crate) fn to_owned(self, parent: Option<&Bytes>) -> Raw {
        Raw {
            bytes: slices::own(parent, self.bytes),
            present: self.present,
        }
    }

    /// Equality by value: the order of different properties does not count, that of equal ones
    /// does.
    pub(crate) fn same_values(self, other: RawRef<'_>) -> bool {
        if self.present != other.present || self.bytes.len() != other.bytes.len() {
            return false;
        }
        self.bytes == other.bytes
            || Property::ALL
                .iter()
                .filter(|property| self.contains(**property))
                .all(|property| {
                    let of = |raw: Self| {
                        raw.iter()
                            .filter(|(found, _)| found == property)
                            .map(|(_, value)| value)
                    };
                    of(self).eq(other
                        .iter()
                        .filter(|(found, _)| found == property)
                        .map(|(_, value)| value))
                })
    }
}

/// Checks every property of a section; gives the mask of those that are there.
#[inline]
fn validate(rules: PlaceRules, bytes: &[u8], limits: &DecodeLimits) -> Result<u32, DecodeError> {
    let PlaceRules {
        allowed,
        repeatable,
    } = rules;
    let mut reader = Reader::new(bytes);
    let mut present = 0;
    let mut user_properties = 0;
    while !reader.is_empty() {
        let id = reader.byte("property identifier")?;
        let Some(property) = Property::from_id(id) else {
            return Err(DecodeError::new(
                "property identifier",
                DecodeErrorKind::UnknownProperty { id },
            ));
        };
        let bit = property.bit();
        if allowed & bit == 0 {
            return Err(wrong(
                property,
                DecodeErrorKind::PropertyNotAllowed { property },
            ));
        }
        if present & !repeatable & bit != 0 {
            return Err(wrong(
                property,
                DecodeErrorKind::RepeatedProperty { property },
            ));
        }
        present |= bit;
        if matches!(property, Property::UserProperty) {
            if is_reached(user_properties, limits.user_properties) {
                let max = limits.user_properties;
                return Err(wrong(
                    property,
                    DecodeErrorKind::TooManyUserProperties { max },
                ));
            }
            user_properties += 1;
        }
        // As `PropertyValue::read`, without the value: this is what a broker does per packet.
        let field = property.name();
        let value = match property.data_type() {
            DataType::Byte => u32::from(reader.byte(field)?),
            DataType::TwoByteInteger => u32::from(reader.two_byte_integer(field)?),
            DataType::FourByteInteger => reader.four_byte_integer(field)?,
            DataType::VariableByteInteger => reader.variable_byte_integer(field)?,
            DataType::Utf8String if matches!(property, Property::ResponseTopic) => {
                response_topic(&mut reader, limits)?;
                continue;
            }
            DataType::Utf8String => {
                reader.skip_utf8_string(field, limits)?;
                continue;
            }
            DataType::Utf8StringPair => {
                reader.skip_utf8_string(field, limits)?;
                reader.skip_utf8_string(field, limits)?;
                continue;
            }
            DataType::BinaryData => {
                reader.binary_data(field)?;
                continue;
            }
        };
        let (min, max) = property.range();
        if value < min || value > max {
            return Err(wrong(
                property,
                DecodeErrorKind::PropertyOutOfRange { property, value },
            ));
        }
    }
    Ok(present)
}

#[cold]
fn wrong(property: Property, kind: DecodeErrorKind) -> DecodeError {
    DecodeError::new(property.name(), kind)
}

/// An owned property section.
#[derive(Clone, Default)]
pub(crate) struct Raw {
    bytes: Bytes,
    present: u32,
}

impl Raw {
    #[inline]
    pub(crate) fn borrowed(&self) -> RawRef<'_> {
        RawRef {
            bytes: &self.bytes,
            present: self.present,
        }
    }

    /// Replaces the value where it stands, or appends it.
    pub(crate) fn set(&mut self, property: Property, value: PropertyValue<'_>) {
        if !self.borrowed().contains(property) {
            return self.add(property, value);
        }
        let mut changed = BytesMut::with_capacity(self.bytes.len());
        self.walk(|found, old| {
            if found == property { value } else { old }.put(found, &mut changed);
        });
        self.bytes = changed.freeze();
    }

    /// Appends a value.
    pub(crate) fn add(&mut self, property: Property, value: PropertyValue<'_>) {
        let mut changed = core::mem::take(&mut self.bytes)
            .try_into_mut()
            .unwrap_or_else(|shared| BytesMut::from(&*shared));
        value.put(property, &mut changed);
        self.bytes = changed.freeze();
        self.present |= property.bit();
    }

    /// Removes every value of a property.
    pub(crate) fn remove(&mut self, property: Property) {
        if !self.borrowed().contains(property) {
            return;
        }
        let mut changed = BytesMut::with_capacity(self.bytes.len());
        self.walk(|found, value| {
            if found != property {
                value.put(found, &mut changed);
            }
        });
        self.bytes = changed.freeze();
        self.present &= !property.bit();
    }

    fn walk(&self, mut each: impl FnMut(Property, PropertyValue<'_>)) {
        for (property, value) in self.borrowed().iter() {
            each(property, value);
        }
    }

    pub(crate) fn set_number(
        &mut self,
        property: Property,
        value: PropertyValue<'_>,
    ) -> Result<(), EncodeError> {
        check_range(property, value)?;
        self.set(property, value);
        Ok(())
    }

    pub(crate) fn add_number(
        &mut self,
        property: Property,
        value: PropertyValue<'_>,
    ) -> Result<(), EncodeError> {
        check_range(property, value)?;
        self.add(property, value);
        Ok(())
    }

    pub(crate) fn set_text(&mut self, property: Property, text: &str) -> Result<(), EncodeError> {
        string::check(property.name(), text)?;
        self.set(property, PropertyValue::Utf8String(text));
        Ok(())
    }

    pub(crate) fn set_topic(&mut self, property: Property, topic: &str) -> Result<(), EncodeError> {
        string::check_topic_name(property.name(), topic)?;
        self.set(property, PropertyValue::Utf8String(topic));
        Ok(())
    }

    pub(crate) fn set_binary(
        &mut self,
        property: Property,
        bytes: &[u8],
    ) -> Result<(), EncodeError> {
        string::check_len(property.name(), bytes.len())?;
        self.set(property, PropertyValue::BinaryData(bytes));
        Ok(())
    }

    pub(crate) fn add_pair(
        &mut self,
        property: Property,
        name: &str,
        value: &str,
    ) -> Result<(), EncodeError> {
        string::check(property.name(), name)?;
        string::check(property.name(), value)?;
        self.add(property, PropertyValue::Utf8StringPair(name, value));
        Ok(())
    }
}

fn check_range(property: Property, value: PropertyValue<'_>) -> Result<(), EncodeError> {
    let (min, max) = property.range();
    match value.number() {
        Some(value) if value < min || value > max => Err(EncodeError::new(
            property.name(),
            EncodeErrorKind::OutOfRange { value, min, max },
        )),
        Some(_) | None => Ok(()),
    }
}

/// The User Properties of a packet, in order: name and value.
#[derive(Clone, Copy, Debug)]
pub struct UserProperties<'a>(PropertyIter<'a>);

impl<'a> Iterator for UserProperties<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.find_map(|(_, value)| value.pair())
    }
}

/// The Subscription Identifiers of a PUBLISH, in order; equal ones may repeat.
#[derive(Clone, Copy, Debug)]
pub struct SubscriptionIdentifiers<'a>(PropertyIter<'a>);

impl Iterator for SubscriptionIdentifiers<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        self.0
            .find(|(property, _)| *property == Property::SubscriptionIdentifier)
            .and_then(|(_, value)| value.number())
    }
}
