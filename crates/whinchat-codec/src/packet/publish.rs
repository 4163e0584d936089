//! PUBLISH (MQTT 5.0 section 3.3).

use core::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use super::{properties_len, put_properties};
use crate::error::{DecodeErrorKind, EncodeErrorKind};
use crate::reader::Reader;
use crate::string::check_topic_name;
use crate::writer::put_fixed_header_and;
use crate::{
    DecodeError, DecodeLimits, EncodeError, Guarantee, PacketType, Property, ProtocolVersion,
    PublishProperties, PublishPropertiesRef, Utf8String, slices,
};

const RETAIN: u8 = 0b0001;
const QOS_SHIFT: u8 = 1;
pub(crate) const DUP: u8 = 0b1000;

const TOPIC: &str = "topic name";

/// PUBLISH, borrowed: an application message on its way.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublishRef<'a> {
    /// QoS, and the packet id and DUP flag that go with it.
    pub guarantee: Guarantee,
    /// Whether the message is, or was, retained.
    pub retain: bool,
    /// The topic name; empty only with a Topic Alias.
    pub topic: &'a str,
    /// Properties; none in 3.x.
    pub properties: PublishPropertiesRef<'a>,
    /// The application's bytes.
    pub payload: &'a [u8],
}

/// PUBLISH: an application message on its way.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Publish {
    /// QoS, and the packet id and DUP flag that go with it.
    pub guarantee: Guarantee,
    /// Whether the message is, or was, retained.
    pub retain: bool,
    /// The topic name; empty only with a Topic Alias.
    pub topic: Utf8String,
    /// Properties; none in 3.x.
    #[cfg_attr(feature = "serde", serde(default))]
    pub properties: PublishProperties,
    /// The application's bytes.
    #[cfg_attr(feature = "serde", serde(with = "crate::json::base64"))]
    pub payload: Bytes,
}

impl<'a> PublishRef<'a> {
    /// Reads the packet; its flags were checked with the first byte.
    #[inline]
    pub(super) fn decode(
        flags: u8,
        mut body: Reader<'a>,
        version: ProtocolVersion,
        limits: &DecodeLimits,
    ) -> Result<Self, DecodeError> {
        // [MQTT-3.3.2-1]
        let topic = body.topic_name(TOPIC, limits)?;
        let dup = flags & DUP != 0;
        let guarantee = match flags >> QOS_SHIFT & 0b11 {
            // v5 [MQTT-2.2.1-2], v311 [MQTT-2.3.1-5]
            0 => Guarantee::AtMostOnce,
            1 => {
                let id = body.packet_id()?;
                Guarantee::AtLeastOnce { id, dup }
            }
            _ => {
                let id = body.packet_id()?;
                Guarantee::ExactlyOnce { id, dup }
            }
        };
        let properties = if version.is_v5() {
            PublishPropertiesRef::read(&mut body, limits)?
        } else {
            PublishPropertiesRef::default()
        };
        if topic.is_empty() && !properties.contains(Property::TopicAlias) {
            // [MQTT-4.7.3-1]
            return Err(DecodeError::new(TOPIC, DecodeErrorKind::EmptyTopic));
        }
        Ok(Self {
            guarantee,
            retain: flags & RETAIN != 0,
            topic,
            properties,
            payload: body.rest(),
        })
    }

    #[inline]
    fn remaining_len(&self, version: ProtocolVersion) -> Result<usize, EncodeError> {
        Ok(self.head_len(version)? + self.payload.len())
    }

    /// Bytes between the fixed header and the payload.
    #[inline]
    pub(crate) fn head_len(&self, version: ProtocolVersion) -> Result<usize, EncodeError> {
        check_topic_name(TOPIC, self.topic)?;
        if self.topic.is_empty() && !self.properties.contains(Property::TopicAlias) {
            return Err(EncodeError::new(TOPIC, EncodeErrorKind::EmptyTopic));
        }
        let id_len = match self.guarantee {
            Guarantee::AtMostOnce => 0,
            Guarantee::AtLeastOnce { .. } | Guarantee::ExactlyOnce { .. } => 2,
        };
        Ok(2 + self.topic.len() + id_len + properties_len(self.properties.raw(), version)?)
    }

    #[inline]
    pub(crate) const fn first_byte(&self) -> u8 {
        let dup = if self.guarantee.dup() { DUP } else { 0 };
        let retain = if self.retain { RETAIN } else { 0 };
        PacketType::Publish.first_byte()
            | dup
            | ((self.guarantee.qos() as u8) << QOS_SHIFT)
            | retain
    }

    /// Appends the packet in its shortest form.
    ///
    /// # Errors
    /// If a field is too long or out of range, or `version` does not have it; then nothing is
    /// appended.
    #[inline]
    pub fn encode(&self, version: ProtocolVersion, out: &mut BytesMut) -> Result<(), EncodeError> {
        self.put_head(version, 0, out)?;
        out.put_slice(self.payload);
        Ok(())
    }

    /// Appends all but the payload, whose bytes have to follow: for a write of two parts, in which
    /// a large payload is sent from where it lies.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    #[inline]
    pub fn encode_head(
        &self,
        version: ProtocolVersion,
        out: &mut BytesMut,
    ) -> Result<(), EncodeError> {
        self.put_head(version, self.payload.len(), out)
    }

    /// Appends what comes before the payload, with room for the packet less its last `apart` bytes.
    #[inline]
    fn put_head(
        &self,
        version: ProtocolVersion,
        apart: usize,
        out: &mut BytesMut,
    ) -> Result<(), EncodeError> {
        let in_packet = |error: EncodeError| error.in_packet(PacketType::Publish);
        let remaining_len = self.remaining_len(version).map_err(in_packet)?;
        let topic_len = self.topic.len();
        put_fixed_header_and(out, self.first_byte(), remaining_len, apart, topic_len)
            .map_err(in_packet)?;
        out.put_slice(self.topic.as_bytes());
        if let Some(id) = self.guarantee.packet_id() {
            out.put_slice(&id.get().to_be_bytes());
        }
        put_properties(self.properties.raw(), version, out);
        Ok(())
    }

    /// The same packet with everything copied.
    pub fn to_owned(&self) -> Publish {
        self.owned(None)
    }

    /// The same packet as slices of `parent`, the buffer it was decoded from. What does not lie
    /// in `parent` is copied.
    pub fn to_owned_in(&self, parent: &Bytes) -> Publish {
        self.owned(Some(parent))
    }

    pub(super) fn owned(&self, parent: Option<&Bytes>) -> Publish {
        Publish {
            guarantee: self.guarantee,
            retain: self.retain,
            topic: slices::own_str(parent, self.topic),
            properties: self.properties.to_owned_in(parent),
            payload: slices::own(parent, self.payload),
        }
    }
}

impl Publish {
    /// The same packet, borrowed.
    #[inline]
    pub fn borrowed(&self) -> PublishRef<'_> {
        PublishRef {
            guarantee: self.guarantee,
            retain: self.retain,
            topic: &self.topic,
            properties: self.properties.borrowed(),
            payload: &self.payload,
        }
    }
}

super::encoding! { @len PublishRef Publish Publish }

/// Leaves the payload out.
impl fmt::Debug for PublishRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publish")
            .field("guarantee", &self.guarantee)
            .field("retain", &self.retain)
            .field("topic", &self.topic)
            .field("properties", &self.properties)
            .field("payload", &format_args!("<{} bytes>", self.payload.len()))
            .finish()
    }
}

/// Leaves the payload out.
impl fmt::Debug for Publish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.borrowed().fmt(f)
    }
}
