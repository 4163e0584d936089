//! The message that tests keep in a session: everything owned, nothing clever.

use bytes::{Bytes, BytesMut};
use whinchat_codec::{EncodeError, ProtocolVersion, PublishProperties, PublishRef, Utf8String};
use whinchat_session::{Instant, Message, PublishHead, TopicAlias};

/// An application message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestMessage {
    /// Topic name.
    pub topic: Utf8String,
    /// Payload.
    pub payload: Bytes,
    /// Properties besides those that belong to a delivery.
    pub properties: PublishProperties,
    /// End of its life.
    pub expires_at: Option<Instant>,
}

impl TestMessage {
    /// A message without properties.
    ///
    /// # Panics
    /// If `topic` is no string that MQTT can carry.
    pub fn new(topic: &str, payload: impl AsRef<[u8]>) -> Self {
        Self {
            topic: Utf8String::try_from(topic).expect("a test's topic is valid"),
            payload: Bytes::copy_from_slice(payload.as_ref()),
            properties: PublishProperties::new(),
            expires_at: None,
        }
    }

    /// The same, with an end.
    #[must_use]
    pub const fn expiring_at(mut self, moment: Instant) -> Self {
        self.expires_at = Some(moment);
        self
    }

    /// The properties of one delivery.
    fn properties_of(&self, head: &PublishHead<'_>) -> Result<PublishProperties, EncodeError> {
        let mut properties = self.properties.clone();
        if let Some(seconds) = head.message_expiry_interval {
            properties.set_message_expiry_interval(seconds);
        }
        for id in head.subscription_ids {
            properties.add_subscription_identifier(*id)?;
        }
        match head.topic_alias {
            TopicAlias::None => {}
            TopicAlias::Define(alias) | TopicAlias::Reuse(alias) => {
                properties.set_topic_alias(alias)?;
            }
        }
        Ok(properties)
    }

    fn with_packet<R>(
        &self,
        version: ProtocolVersion,
        head: &PublishHead<'_>,
        run: impl FnOnce(&PublishRef<'_>) -> Result<R, EncodeError>,
    ) -> Result<R, EncodeError> {
        let properties = if version.is_v5() {
            self.properties_of(head)?
        } else {
            PublishProperties::new()
        };
        let topic: &str = match head.topic_alias {
            TopicAlias::None | TopicAlias::Define(_) => &self.topic,
            TopicAlias::Reuse(_) => "",
        };
        run(&PublishRef {
            guarantee: head.guarantee,
            retain: head.retain,
            topic,
            properties: properties.borrowed(),
            payload: &self.payload,
        })
    }
}

impl Message for TestMessage {
    fn topic(&self) -> &str {
        &self.topic
    }

    fn encode_to(
        &self,
        version: ProtocolVersion,
        head: &PublishHead<'_>,
        out: &mut BytesMut,
    ) -> Result<(), EncodeError> {
        self.with_packet(version, head, |packet| packet.encode(version, out))
    }

    fn encoded_len(
        &self,
        version: ProtocolVersion,
        head: &PublishHead<'_>,
    ) -> Result<usize, EncodeError> {
        self.with_packet(version, head, |packet| packet.encoded_len(version))
    }

    fn expires_at(&self) -> Option<Instant> {
        self.expires_at
    }

    fn byte_size(&self) -> usize {
        self.topic.len() + self.payload.len()
    }
}

/// Writes a message into a snapshot: topic length, topic, expiry, payload.
///
/// # Panics
/// Never: a topic name is shorter than 65,536 bytes.
pub fn write_message(message: &TestMessage, out: &mut Vec<u8>) {
    let topic = message.topic.as_bytes();
    let len = u16::try_from(topic.len()).expect("a topic name is shorter than 65,536 bytes");
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(topic);
    let expiry = message.expires_at.map_or(u64::MAX, Instant::as_millis);
    out.extend_from_slice(&expiry.to_be_bytes());
    out.extend_from_slice(&message.payload);
}

/// Reads what [`write_message`] wrote.
pub fn read_message(bytes: &[u8]) -> Option<TestMessage> {
    let (len, rest) = bytes.split_first_chunk::<2>()?;
    let (topic, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
    let (expiry, payload) = rest.split_first_chunk::<8>()?;
    let expiry = u64::from_be_bytes(*expiry);
    Some(TestMessage {
        expires_at: (expiry != u64::MAX).then(|| Instant::from_millis(expiry)),
        ..TestMessage::new(core::str::from_utf8(topic).ok()?, payload)
    })
}
