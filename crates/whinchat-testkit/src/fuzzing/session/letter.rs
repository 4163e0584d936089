//! The message that the targets of the engine deliver: all of it follows from two numbers.

use bytes::BytesMut;
use whinchat_codec::{EncodeError, ProtocolVersion, PublishProperties, PublishRef};
use whinchat_session::{Instant, Message, PublishHead, TopicAlias};

const TOPICS: [&str; 4] = ["a", "a/b", "plant/7/line/3", "$SYS/x"];
const PAYLOAD: [u8; 255] = [0x2e; 255];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Letter {
    number: u8,
    expires_at: Option<Instant>,
}

impl Letter {
    /// Every fourth expires after `number` seconds.
    pub(super) fn new(number: u8, now: Instant) -> Self {
        let expires = number % 4 == 3;
        let lifetime = u64::from(number) * 1000;
        Self {
            number,
            expires_at: expires.then(|| now.saturating_add_millis(lifetime)),
        }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.push(self.number);
        let expiry = self.expires_at.map_or(u64::MAX, Instant::as_millis);
        out.extend_from_slice(&expiry.to_be_bytes());
    }

    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (number, expiry) = bytes.split_first()?;
        let expiry = u64::from_be_bytes(expiry.try_into().ok()?);
        Some(Self {
            number: *number,
            expires_at: (expiry != u64::MAX).then(|| Instant::from_millis(expiry)),
        })
    }

    fn with_publish<T>(
        &self,
        head: &PublishHead<'_>,
        then: impl FnOnce(&PublishRef<'_>) -> Result<T, EncodeError>,
    ) -> Result<T, EncodeError> {
        let mut properties = PublishProperties::new();
        if let Some(seconds) = head.message_expiry_interval {
            properties.set_message_expiry_interval(seconds);
        }
        for id in head.subscription_ids {
            properties.add_subscription_identifier(*id)?;
        }
        let mut topic = self.topic();
        match head.topic_alias {
            TopicAlias::None => {}
            TopicAlias::Define(alias) => properties.set_topic_alias(alias)?,
            TopicAlias::Reuse(alias) => {
                properties.set_topic_alias(alias)?;
                topic = "";
            }
        }
        then(&PublishRef {
            guarantee: head.guarantee,
            retain: head.retain,
            topic,
            properties: properties.borrowed(),
            payload: &PAYLOAD[..usize::from(self.number)],
        })
    }
}

impl Message for Letter {
    fn topic(&self) -> &str {
        TOPICS[usize::from(self.number) % TOPICS.len()]
    }

    fn encode_to(
        &self,
        version: ProtocolVersion,
        head: &PublishHead<'_>,
        out: &mut BytesMut,
    ) -> Result<(), EncodeError> {
        self.with_publish(head, |publish| publish.encode(version, out))
    }

    fn encoded_len(
        &self,
        version: ProtocolVersion,
        head: &PublishHead<'_>,
    ) -> Result<usize, EncodeError> {
        self.with_publish(head, |publish| publish.encoded_len(version))
    }

    fn expires_at(&self) -> Option<Instant> {
        self.expires_at
    }

    fn byte_size(&self) -> usize {
        self.topic().len() + usize::from(self.number)
    }
}
