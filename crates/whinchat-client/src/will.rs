//! The will: what the broker publishes for a client that went without a word.

use std::{fmt, time::Duration};

use bytes::Bytes;
use whinchat_codec::{ProtocolVersion, QoS, Utf8String, WillProperties};
use whinchat_topic::TopicName;

use crate::error::PublishError;

/// What the broker publishes when the connection ends without DISCONNECT. (MQTT 5.0 section 3.1.2.5) `Debug` does not show the
/// payload.
#[derive(Clone, PartialEq)]
#[must_use]
pub struct Will {
    topic: Utf8String,
    payload: Bytes,
    qos: QoS,
    retain: bool,
    properties: WillProperties,
}

impl Will {
    /// A will at QoS 1, not retained.
    ///
    /// # Errors
    /// `topic` is no topic name.
    pub fn new(topic: &str, payload: impl Into<Bytes>) -> Result<Self, PublishError> {
        TopicName::new(topic)?;
        Ok(Self {
            topic: topic.try_into()?,
            payload: payload.into(),
            qos: QoS::AtLeastOnce,
            retain: false,
            properties: WillProperties::new(),
        })
    }

    /// Its QoS.
    pub fn qos(mut self, qos: QoS) -> Self {
        self.qos = qos;
        self
    }

    /// Whether the broker keeps it for later subscribers.
    pub fn retain(mut self, retain: bool) -> Self {
        self.retain = retain;
        self
    }

    /// How long the broker waits for the client to come back, in whole seconds; 5.0 only.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.properties
            .set_will_delay_interval(u32::try_from(delay.as_secs()).unwrap_or(u32::MAX));
        self
    }

    /// All properties at once; 5.0 only. On a connection of an earlier version they are left out.
    pub fn properties(mut self, properties: WillProperties) -> Self {
        self.properties = properties;
        self
    }

    pub(crate) fn to_packet(&self, version: ProtocolVersion) -> whinchat_codec::Will {
        whinchat_codec::Will {
            topic: self.topic.clone(),
            payload: self.payload.clone(),
            qos: self.qos,
            retain: self.retain,
            properties: if version < ProtocolVersion::V5 {
                WillProperties::new()
            } else {
                self.properties.clone()
            },
        }
    }
}

impl fmt::Debug for Will {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Will")
            .field("topic", &self.topic)
            .field("payload_bytes", &self.payload.len())
            .field("qos", &self.qos)
            .field("retain", &self.retain)
            .finish_non_exhaustive()
    }
}
