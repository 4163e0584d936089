//! Wills: stored at CONNECT, published when the connection ends without a DISCONNECT that removes
//! them, at once or after their delay.
//!
//! Read first: MQTT 5.0 sections 3.1.2.5 and 3.1.3.2.2; `end` decides when.

use bytes::Bytes;
use whinchat_codec::{
    EncodeError, PublishProperties, QoS, Utf8String, Will as ConnectWill, WillProperties,
};
use whinchat_session::Instant;

use super::message::Parts;
use crate::hooks::Action;

/// The Will of one connection, ready to be published.
#[derive(Clone, Debug)]
pub(crate) struct Will {
    pub(crate) topic: Utf8String,
    pub(crate) payload: Bytes,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    /// What of its properties goes to subscribers.
    pub(crate) properties: PublishProperties,
    /// Will Delay Interval, in seconds.
    pub(crate) delay_interval: u32,
    /// Message Expiry Interval, in seconds, counted from its publication.
    pub(crate) expiry_interval: Option<u32>,
}

impl Will {
    pub(crate) fn new(will: ConnectWill) -> Self {
        let delay_interval = will.properties.will_delay_interval().unwrap_or(0);
        let expiry_interval = will.properties.message_expiry_interval();
        let properties = forwarded(&will.properties);
        Self {
            topic: will.topic,
            payload: will.payload,
            qos: will.qos,
            retain: will.retain,
            properties,
            delay_interval,
            expiry_interval,
        }
    }

    /// What publishing it means, for the authorizer.
    pub(crate) fn action(&self) -> Action<'_> {
        Action::Publish {
            qos: self.qos,
            retain: self.retain,
        }
    }

    pub(crate) fn parts(&self, now: Instant) -> Parts<'_> {
        Parts {
            topic: &self.topic,
            properties: self.properties.borrowed(),
            payload: &self.payload,
            expires_at: self
                .expiry_interval
                .map(|seconds| now.saturating_add_millis(u64::from(seconds) * 1_000)),
        }
    }
}

/// Those properties of a Will that its PUBLISH carries: all but its delay and its expiry.
fn forwarded(will: &WillProperties) -> PublishProperties {
    let copy = || {
        let mut properties = PublishProperties::default();
        if let Some(is_text) = will.payload_format_indicator() {
            properties.set_payload_format_indicator(is_text);
        }
        if let Some(content_type) = will.content_type() {
            properties.set_content_type(content_type)?;
        }
        if let Some(topic) = will.response_topic() {
            properties.set_response_topic(topic)?;
        }
        if let Some(data) = will.correlation_data() {
            properties.set_correlation_data(data)?;
        }
        for (name, value) in will.user_properties() {
            properties.add_user_property(name, value)?; // v5 [MQTT-3.1.3-10]
        }
        Ok::<_, EncodeError>(properties)
    };
    copy().expect("what was decoded from a Will can be encoded in a PUBLISH")
}
