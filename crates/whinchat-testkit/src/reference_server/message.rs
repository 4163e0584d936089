//! The message of the reference server, and where its answers go.

use bytes::BytesMut;
use whinchat_codec::{EncodeError, ProtocolVersion, QoS};
use whinchat_session::{DropReason, Effect, Instant, Message, Output, PublishHead, Ticket};

use crate::TestMessage;

/// Name and filter of a shared subscription.
pub(super) type Group = (String, String);

/// A message as its publisher sent it.
#[derive(Clone, Debug)]
pub(super) struct Published {
    pub(super) message: TestMessage,
    pub(super) qos: QoS,
    pub(super) retain: bool,
}

/// A message on its way to one session.
#[derive(Clone, Debug)]
pub(super) struct Routed {
    pub(super) published: Published,
    /// The group that the session got it for.
    pub(super) group: Option<Group>,
}

impl Message for Routed {
    fn topic(&self) -> &str {
        self.published.message.topic()
    }

    fn encode_to(
        &self,
        version: ProtocolVersion,
        head: &PublishHead<'_>,
        out: &mut BytesMut,
    ) -> Result<(), EncodeError> {
        self.published.message.encode_to(version, head, out)
    }

    fn encoded_len(
        &self,
        version: ProtocolVersion,
        head: &PublishHead<'_>,
    ) -> Result<usize, EncodeError> {
        self.published.message.encoded_len(version, head)
    }

    fn expires_at(&self) -> Option<Instant> {
        self.published.message.expires_at
    }

    fn byte_size(&self) -> usize {
        self.published.message.byte_size()
    }
}

/// Bytes for a client. Nothing is stored, so nothing waits.
#[derive(Debug, Default)]
pub(super) struct Outbox(pub(super) BytesMut);

impl Output<Routed> for Outbox {
    fn buffer(&mut self) -> &mut BytesMut {
        &mut self.0
    }

    fn record(&mut self, _effect: Effect<'_, Routed>) -> Ticket {
        Ticket::NONE
    }

    fn dropped(&mut self, _message: Routed, _reason: DropReason) {}
}
