//! What the two tiny examples keep of a message, and where their engines write.

use bytes::{Bytes, BytesMut};
use whinchat::codec::{EncodeError, ProtocolVersion, PublishProperties, PublishRef, Utf8String};
use whinchat::session::{DropReason, Effect, Instant, Message, Output, PublishHead, Ticket};

/// A message with its 5.0 properties. It neither expires nor travels under a topic alias.
#[derive(Clone)]
pub(crate) struct Note {
    pub(crate) topic: Utf8String,
    pub(crate) payload: Bytes,
    pub(crate) properties: PublishProperties,
}

impl From<&PublishRef<'_>> for Note {
    fn from(publish: &PublishRef<'_>) -> Self {
        let publish = publish.to_owned();
        Self {
            topic: publish.topic,
            payload: publish.payload,
            properties: publish.properties,
        }
    }
}

impl Note {
    fn packet<'a>(&'a self, version: ProtocolVersion, head: &PublishHead<'_>) -> PublishRef<'a> {
        PublishRef {
            guarantee: head.guarantee,
            retain: head.retain,
            topic: &self.topic,
            properties: match version {
                ProtocolVersion::V5 => self.properties.borrowed(),
                ProtocolVersion::V31 | ProtocolVersion::V311 => Default::default(),
            },
            payload: &self.payload,
        }
    }
}

impl Message for Note {
    fn topic(&self) -> &str {
        &self.topic
    }

    fn encode_to(
        &self,
        version: ProtocolVersion,
        head: &PublishHead<'_>,
        out: &mut BytesMut,
    ) -> Result<(), EncodeError> {
        self.packet(version, head).encode(version, out)
    }

    fn encoded_len(
        &self,
        version: ProtocolVersion,
        head: &PublishHead<'_>,
    ) -> Result<usize, EncodeError> {
        self.packet(version, head).encoded_len(version)
    }

    fn expires_at(&self) -> Option<Instant> {
        None
    }

    fn byte_size(&self) -> usize {
        self.topic.len() + self.payload.len()
    }
}

/// Bytes for the peer. No session outlives its connection here, so that nothing waits for a log.
#[derive(Default)]
pub(crate) struct Outbox(pub(crate) BytesMut);

impl Output<Note> for Outbox {
    fn buffer(&mut self) -> &mut BytesMut {
        &mut self.0
    }

    fn record(&mut self, _: Effect<'_, Note>) -> Ticket {
        Ticket::NONE
    }

    fn dropped(&mut self, _: Note, _: DropReason) {}
}
