//! An application message inside the broker, and one session's hold on it.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU64, Ordering},
};

use bytes::{Bytes, BytesMut};
use whinchat_codec::{
    EncodeError, ProtocolVersion, PublishProperties, PublishPropertiesRef, PublishRef, QoS,
    Utf8String,
};
use whinchat_session::{Instant, PublishHead, TopicAlias};

use super::{
    keys::GroupKey,
    spill::{Spilled, Stored},
};

/// A message, kept once however many sessions wait for it.
#[derive(Debug)]
pub(crate) struct Message {
    /// Unique in the broker and growing; names the message in the log.
    pub(crate) id: u64,
    /// The number of the session that published it; 0 for the broker itself.
    pub(crate) publisher: u64,
    pub(crate) topic: Utf8String,
    /// As the publisher sent them, less Topic Alias and Message Expiry Interval.
    pub(crate) properties: PublishProperties,
    pub(crate) payload: Bytes,
    pub(crate) qos: QoS,
    /// The publisher's RETAIN flag.
    pub(crate) retain: bool,
    pub(crate) expires_at: Option<Instant>,
    /// The log has it in this segment or a later one; 0: not at all.
    pub(crate) segment: AtomicU64,
    /// What takes its place in long queues, once it is known where the log has it.
    pub(crate) spilled: OnceLock<Arc<Spilled>>,
}

impl Message {
    /// Whether the broker says it of itself.
    pub(crate) fn is_own(&self) -> bool {
        self.publisher == 0
    }

    /// Whether the log has it.
    pub(crate) fn is_recorded(&self) -> bool {
        self.segment.load(Ordering::Relaxed) > 0
    }

    /// Whether the log might give it up when it gives up what is before `segment`.
    pub(crate) fn is_before(&self, segment: u64) -> bool {
        self.segment.load(Ordering::Relaxed) < segment
    }

    /// Bytes this message takes in memory, about.
    pub(crate) fn size(&self) -> usize {
        Self::size_with(&self.topic, &self.properties, &self.payload)
    }

    /// The size of a message with these parts.
    pub(crate) fn size_with(topic: &str, properties: &PublishProperties, payload: &[u8]) -> usize {
        size_of::<Self>() + topic.len() + properties.borrowed().as_bytes().len() + payload.len()
    }

    pub(crate) fn has_expired(&self, now: Instant) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }

    pub(crate) fn parts(&self) -> Parts<'_> {
        Parts {
            topic: &self.topic,
            properties: self.properties.borrowed(),
            payload: &self.payload,
            expires_at: self.expires_at,
        }
    }
}

/// What of a message goes to subscribers, borrowed from wherever it is: the read buffer of its
/// publisher, or a [`Message`].
#[derive(Clone, Copy)]
pub(crate) struct Parts<'a> {
    pub(crate) topic: &'a str,
    pub(crate) properties: PublishPropertiesRef<'a>,
    pub(crate) payload: &'a [u8],
    pub(crate) expires_at: Option<Instant>,
}

impl Parts<'_> {
    /// What is left of its Message Expiry Interval, in seconds, a started one counting whole
    /// (v5 [MQTT-3.3.2-6]).
    pub(crate) fn remaining_seconds(&self, now: Instant) -> Option<u32> {
        let left = self.expires_at?.saturating_since(now);
        Some(u32::try_from(left.as_millis().div_ceil(1_000)).unwrap_or(u32::MAX))
    }

    /// Calls `with` with the message as one PUBLISH with this head, in this version.
    ///
    /// Properties are copied only if the head adds one.
    pub(crate) fn as_publish<R>(
        &self,
        version: ProtocolVersion,
        head: &PublishHead<'_>,
        with: impl FnOnce(&PublishRef<'_>) -> Result<R, EncodeError>,
    ) -> Result<R, EncodeError> {
        let mut publish = PublishRef {
            guarantee: head.guarantee,
            retain: head.retain,
            topic: self.topic,
            properties: PublishPropertiesRef::default(),
            payload: self.payload,
        };
        if !version.is_v5() {
            return with(&publish);
        }
        publish.properties = self.properties;
        let adds = !head.subscription_ids.is_empty()
            || head.message_expiry_interval.is_some()
            || head.topic_alias != TopicAlias::None;
        if !adds {
            return with(&publish);
        }
        let mut properties = self.properties.to_owned();
        if let Some(seconds) = head.message_expiry_interval {
            properties.set_message_expiry_interval(seconds);
        }
        match head.topic_alias {
            TopicAlias::None => {}
            TopicAlias::Define(alias) => properties.set_topic_alias(alias)?,
            TopicAlias::Reuse(alias) => {
                properties.set_topic_alias(alias)?;
                publish.topic = "";
            }
        }
        for id in head.subscription_ids {
            properties.add_subscription_identifier(*id)?;
        }
        publish.properties = properties.borrowed();
        with(&publish)
    }
}

/// One session's hold on a message.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    pub(crate) message: Stored,
    /// The group it was picked for; if the session ends, another member gets it.
    pub(crate) group: Option<GroupKey>,
}

/// A payload larger than this is not copied: it is sent from where it lies, to however many.
pub(crate) const LARGE_BYTES: usize = 1536;

impl Delivery {
    /// The payload, if it is too large to be copied for each subscriber.
    pub(crate) fn large_payload(&self) -> Option<&Bytes> {
        match &self.message {
            Stored::Memory(message) if message.payload.len() > LARGE_BYTES => {
                Some(&message.payload)
            }
            Stored::Memory(_) | Stored::Log(_) => None,
        }
    }

    /// Appends the PUBLISH without its payload.
    pub(crate) fn encode_head_to(
        &self,
        version: ProtocolVersion,
        head: &PublishHead<'_>,
        out: &mut BytesMut,
    ) -> Result<(), EncodeError> {
        self.parts()
            .as_publish(version, head, |publish| publish.encode_head(version, out))
    }

    /// Of the message, which has been loaded. One that was not is nothing that a PUBLISH can carry.
    fn parts(&self) -> Parts<'_> {
        match &self.message {
            Stored::Memory(message) => message.parts(),
            Stored::Log(spilled) => Parts {
                topic: "",
                properties: PublishPropertiesRef::default(),
                payload: &[],
                expires_at: spilled.expires_at(),
            },
        }
    }
}

impl whinchat_session::Message for Delivery {
    fn load(&mut self) -> bool {
        if let Stored::Log(spilled) = &self.message {
            match spilled.load() {
                Some(message) => self.message = Stored::Memory(message),
                None => return false,
            }
        }
        true
    }

    fn topic(&self) -> &str {
        self.parts().topic
    }

    fn encode_to(
        &self,
        version: ProtocolVersion,
        head: &PublishHead<'_>,
        out: &mut BytesMut,
    ) -> Result<(), EncodeError> {
        self.parts()
            .as_publish(version, head, |publish| publish.encode(version, out))
    }

    fn encoded_len(
        &self,
        version: ProtocolVersion,
        head: &PublishHead<'_>,
    ) -> Result<usize, EncodeError> {
        self.parts()
            .as_publish(version, head, |publish| publish.encoded_len(version))
    }

    fn expires_at(&self) -> Option<Instant> {
        self.message.expires_at()
    }

    fn byte_size(&self) -> usize {
        self.message.size()
    }
}
