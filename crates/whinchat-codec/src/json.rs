//! Packets to JSON and back with serde: named fields, binary data as base64.
//!
//! Owns what a derive cannot write: bytes, strings and property sections, which become an
//! object with one member per property, named as its getter. The order of different properties
//! is not kept, that of equal ones is.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use ::base64::Engine;
use ::base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::property::{Place, Raw, RawRef, key_in, repeatable_in};
use crate::{DataType, EncodeError, Property, PropertyValue, Utf8String};

impl Serialize for Utf8String {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self)
    }
}

impl<'de> Deserialize<'de> for Utf8String {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::try_from(String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// `Bytes` as a base64 string.
pub(crate) mod base64 {
    use super::{Bytes, Deserializer, Engine, STANDARD, Serializer, decoded};

    pub(crate) fn serialize<S: Serializer>(
        bytes: &Bytes,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Bytes, D::Error> {
        decoded(deserializer).map(Bytes::from)
    }
}

/// `Option<Bytes>` as a base64 string or null.
pub(crate) mod optional_base64 {
    use alloc::string::String;

    use serde::{Deserialize, Serialize};

    use super::{Bytes, Deserializer, Engine, STANDARD, Serializer, decode};

    pub(crate) fn serialize<S: Serializer>(
        bytes: &Option<Bytes>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        bytes
            .as_ref()
            .map(|bytes| STANDARD.encode(bytes))
            .serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Bytes>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| decode(&text).map(Bytes::from)).transpose()
    }
}

fn decode<E: Error>(text: &str) -> Result<Vec<u8>, E> {
    STANDARD
        .decode(text)
        .map_err(|error| E::custom(format_args!("not base64: {error}")))
}

fn decoded<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    decode(&Cow::<str>::deserialize(deserializer)?)
}

/// Writes a property section as an object.
pub(crate) fn serialize_properties<S: Serializer>(
    place: Place,
    raw: RawRef<'_>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(None)?;
    for property in Property::ALL {
        let Some(key) = key_in(place, *property).filter(|_| raw.contains(*property)) else {
            continue;
        };
        let mut values = raw
            .iter()
            .filter(|(found, _)| found == property)
            .map(|(_, value)| JsonValue(*property, value));
        if is_list(place, *property) {
            map.serialize_entry(key, &values.collect::<Vec<_>>())?;
        } else if let Some(value) = values.next() {
            map.serialize_entry(key, &value)?;
        }
    }
    map.end()
}

fn is_list(place: Place, property: Property) -> bool {
    repeatable_in(place) & property.bit() != 0
}

/// Bytes that are 0 or 1 are booleans, except the Maximum QoS.
fn is_bool(property: Property) -> bool {
    property.data_type() == DataType::Byte && property != Property::MaximumQoS
}

struct JsonValue<'a>(Property, PropertyValue<'a>);

impl Serialize for JsonValue<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.1 {
            PropertyValue::Byte(number) if is_bool(self.0) => {
                serializer.serialize_bool(number != 0)
            }
            PropertyValue::Byte(number) => serializer.serialize_u8(number),
            PropertyValue::TwoByteInteger(number) => serializer.serialize_u16(number),
            PropertyValue::FourByteInteger(number) | PropertyValue::VariableByteInteger(number) => {
                serializer.serialize_u32(number)
            }
            PropertyValue::Utf8String(text) => serializer.serialize_str(text),
            PropertyValue::Utf8StringPair(name, value) => (name, value).serialize(serializer),
            PropertyValue::BinaryData(bytes) => serializer.serialize_str(&STANDARD.encode(bytes)),
        }
    }
}

/// Reads a property section from an object; every value is checked as the setters do.
pub(crate) fn deserialize_properties<'de, D: Deserializer<'de>>(
    place: Place,
    deserializer: D,
) -> Result<Raw, D::Error> {
    deserializer.deserialize_map(Section(place))
}

struct Section(Place);

impl<'de> Visitor<'de> for Section {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with one member per property")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let place = self.0;
        let mut raw = Raw::default();
        while let Some(key) = map.next_key::<Cow<'_, str>>()? {
            let property = Property::ALL
                .iter()
                .find(|property| key_in(place, **property) == Some(&*key))
                .ok_or_else(|| A::Error::custom(format_args!("no property {key:?} here")))?;
            if raw.borrowed().contains(*property) {
                return Err(A::Error::custom(format_args!("{key:?} is there twice")));
            }
            let raw = &mut raw;
            if is_list(place, *property) {
                map.next_value_seed(List(One {
                    property: *property,
                    raw,
                }))?;
            } else {
                map.next_value_seed(One {
                    property: *property,
                    raw,
                })?;
            }
        }
        Ok(raw)
    }
}

/// One value, which goes straight into the section.
struct One<'r> {
    property: Property,
    raw: &'r mut Raw,
}

impl One<'_> {
    fn put<'de, D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let Self { property, raw } = self;
        let checked: Result<(), EncodeError> = match property.data_type() {
            DataType::Byte if is_bool(property) => {
                let value = u8::from(bool::deserialize(deserializer)?);
                raw.add_number(property, PropertyValue::Byte(value))
            }
            DataType::Byte => {
                let value = u8::deserialize(deserializer)?;
                raw.add_number(property, PropertyValue::Byte(value))
            }
            DataType::TwoByteInteger => {
                let value = u16::deserialize(deserializer)?;
                raw.add_number(property, PropertyValue::TwoByteInteger(value))
            }
            DataType::FourByteInteger => {
                let value = u32::deserialize(deserializer)?;
                raw.add_number(property, PropertyValue::FourByteInteger(value))
            }
            DataType::VariableByteInteger => {
                let value = u32::deserialize(deserializer)?;
                raw.add_number(property, PropertyValue::VariableByteInteger(value))
            }
            DataType::Utf8String => {
                let text = Cow::<str>::deserialize(deserializer)?;
                if property == Property::ResponseTopic {
                    raw.set_topic(property, &text)
                } else {
                    raw.set_text(property, &text)
                }
            }
            DataType::Utf8StringPair => {
                let (name, value) = <(String, String)>::deserialize(deserializer)?;
                raw.add_pair(property, &name, &value)
            }
            DataType::BinaryData => raw.set_binary(property, &decoded(deserializer)?),
        };
        checked.map_err(D::Error::custom)
    }
}

impl<'de> DeserializeSeed<'de> for One<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.put(deserializer)
    }
}

/// The values of a property that may repeat.
struct List<'r>(One<'r>);

impl<'de> DeserializeSeed<'de> for List<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for List<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an array of {}", self.0.property)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let One { property, raw } = self.0;
        while seq
            .next_element_seed(One {
                property,
                raw: &mut *raw,
            })?
            .is_some()
        {}
        Ok(())
    }
}
