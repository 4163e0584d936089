//! The will inside CONNECT (MQTT 5.0 sections 3.1.2.5 and 3.1.3.2 to 3.1.3.4).

use core::fmt;

use bytes::{Bytes, BytesMut};

use super::properties_len;
use crate::error::{DecodeErrorKind, EncodeErrorKind};
use crate::reader::Reader;
use crate::string::{check_len, check_topic_name};
use crate::writer::put_binary;
use crate::{
    DecodeError, DecodeLimits, EncodeError, ProtocolVersion, QoS, Utf8String, WillProperties,
    WillPropertiesRef, slices,
};

const TOPIC: &str = "will topic";
const PAYLOAD: &str = "will payload";

/// The will of a CONNECT, borrowed: what the server publishes when the connection is lost.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct WillRef<'a> {
    /// Topic name to publish to.
    pub topic: &'a str,
    /// Payload, at most 65,535 bytes.
    pub payload: &'a [u8],
    /// QoS to publish with.
    pub qos: QoS,
    /// Whether it is published as a retained message.
    pub retain: bool,
    /// Properties; none in 3.x.
    pub properties: WillPropertiesRef<'a>,
}

/// The will of a CONNECT: what the server publishes when the connection is lost.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Will {
    /// Topic name to publish to.
    pub topic: Utf8String,
    /// Payload, at most 65,535 bytes.
    #[cfg_attr(feature = "serde", serde(with = "crate::json::base64"))]
    pub payload: Bytes,
    /// QoS to publish with.
    pub qos: QoS,
    /// Whether it is published as a retained message.
    pub retain: bool,
    /// Properties; none in 3.x.
    #[cfg_attr(feature = "serde", serde(default))]
    pub properties: WillProperties,
}

impl<'a> WillRef<'a> {
    /// Reads the three will fields of the payload. In 3.1 the payload is text by name only and
    /// is taken as bytes. // v31 M31-19
    pub(super) fn decode(
        body: &mut Reader<'a>,
        qos: QoS,
        retain: bool,
        version: ProtocolVersion,
        limits: &DecodeLimits,
    ) -> Result<Self, DecodeError> {
        let properties = if version.is_v5() {
            WillPropertiesRef::read(body, limits)?
        } else {
            WillPropertiesRef::default()
        };
        let topic = body.topic_name(TOPIC, limits)?;
        if topic.is_empty() {
            // [MQTT-4.7.3-1]
            return Err(DecodeError::new(TOPIC, DecodeErrorKind::EmptyTopic));
        }
        Ok(Self {
            topic,
            payload: body.binary_data(PAYLOAD)?,
            qos,
            retain,
            properties,
        })
    }

    pub(super) fn encoded_len(&self, version: ProtocolVersion) -> Result<usize, EncodeError> {
        check_topic_name(TOPIC, self.topic)?;
        if self.topic.is_empty() {
            return Err(EncodeError::new(TOPIC, EncodeErrorKind::EmptyTopic));
        }
        check_len(PAYLOAD, self.payload.len())?;
        let properties = properties_len(self.properties.raw(), version)?;
        Ok(properties + 2 + self.topic.len() + 2 + self.payload.len())
    }

    pub(super) fn put(&self, version: ProtocolVersion, out: &mut BytesMut) {
        super::put_properties(self.properties.raw(), version, out);
        put_binary(out, self.topic.as_bytes());
        put_binary(out, self.payload);
    }

    /// The same will with everything copied.
    pub fn to_owned(&self) -> Will {
        self.owned(None)
    }

    pub(super) fn owned(&self, parent: Option<&Bytes>) -> Will {
        Will {
            topic: slices::own_str(parent, self.topic),
            payload: slices::own(parent, self.payload),
            qos: self.qos,
            retain: self.retain,
            properties: self.properties.to_owned_in(parent),
        }
    }
}

impl Will {
    /// The same will, borrowed.
    pub fn borrowed(&self) -> WillRef<'_> {
        WillRef {
            topic: &self.topic,
            payload: &self.payload,
            qos: self.qos,
            retain: self.retain,
            properties: self.properties.borrowed(),
        }
    }
}

/// Leaves the payload out.
impl fmt::Debug for WillRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Will")
            .field("topic", &self.topic)
            .field("payload", &format_args!("<{} bytes>", self.payload.len()))
            .field("qos", &self.qos)
            .field("retain", &self.retain)
            .field("properties", &self.properties)
            .finish()
    }
}

/// Leaves the payload out.
impl fmt::Debug for Will {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.borrowed().fmt(f)
    }
}
