//! A message that came from the broker.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use whinchat_codec::{PublishProperties, QoS, Utf8String};

use crate::{command::Command, outbox::Outbox, receipts::Receipt};

/// A message that came from the broker. `Debug` does not show the payload.
pub struct Message {
    pub(crate) topic: Utf8String,
    pub(crate) payload: Bytes,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) dup: bool,
    pub(crate) properties: PublishProperties,
    /// The right to acknowledge on behalf of one stream; with QoS 0 and after it was used there is none.
    pub(crate) receipt: Option<Receipt>,
    /// Where to send the ack: set when the application acknowledges by hand.
    pub(crate) acknowledge_to: Option<Arc<Outbox>>,
}

impl Message {
    /// The topic name it was published to.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// What was published.
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// What was published, without a copy.
    pub fn into_payload(self) -> Bytes {
        self.payload
    }

    /// The QoS of this delivery: the lower of the publisher's and the subscription's.
    pub fn qos(&self) -> QoS {
        self.qos
    }

    /// Whether the broker had kept it (or, with `retain_as_published`, whether the publisher asked it to).
    pub fn is_retained(&self) -> bool {
        self.retain
    }

    /// Whether the broker may have delivered it before.
    pub fn is_duplicate(&self) -> bool {
        self.dup
    }

    /// The properties of 5.0; empty before.
    pub fn properties(&self) -> &PublishProperties {
        &self.properties
    }

    /// Acknowledges a message of a stream with [manual acks](crate::SubscribeBuilder::manual_acks); otherwise, at QoS 0, and
    /// the second time it does nothing. The ack leaves when those before it have left.
    pub fn acknowledge(&mut self) {
        if let Some(outbox) = self.acknowledge_to.take()
            && let Some(receipt) = self.receipt.take()
        {
            // A client at its end has nobody to tell; the broker sends the message again to the next one.
            let _ = outbox.send(Command::Acknowledge(receipt));
        }
    }

    /// The same for another stream, whose receipt is its own.
    pub(crate) fn copy_without_receipt(&self) -> Self {
        Self {
            topic: self.topic.clone(),
            payload: self.payload.clone(),
            properties: self.properties.clone(),
            receipt: None,
            acknowledge_to: None,
            ..*self
        }
    }

    pub(crate) fn byte_size(&self) -> usize {
        self.topic.len() + self.payload.len()
    }
}

// A message is moved several times on its way; up to this size it is moved without a call.
const _: () = assert!(size_of::<Message>() <= 128);

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("topic", &self.topic)
            .field("payload_bytes", &self.payload.len())
            .field("qos", &self.qos)
            .field("retain", &self.retain)
            .field("dup", &self.dup)
            .finish_non_exhaustive()
    }
}
