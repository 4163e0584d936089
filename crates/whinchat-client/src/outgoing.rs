//! A message of the application on its way to the broker, and whoever waits for its end.
//!
//! One allocation holds the message and its completion: the engine keeps [`Outgoing`] handles, the application an
//! [`OutgoingRef`]. When the last engine handle goes without a result, whoever waits learns that the client is at its end;
//! so nothing can be forgotten, whatever ends the driver.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use whinchat_codec::{
    EncodeError, Guarantee, ProtocolVersion, PublishProperties, PublishRef, QoS, Utf8String,
};
use whinchat_session::{Instant, PublishHead, TopicAlias};

use crate::{error::PublishError, publish::PublishOutcome};

/// What the application gave.
pub(crate) struct OutgoingMessage {
    pub(crate) topic: Utf8String,
    pub(crate) payload: Bytes,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) properties: PublishProperties,
    /// The properties only describe the payload: before 5.0 they are left out instead of refused.
    pub(crate) properties_optional: bool,
    /// When it is too late to send it for the first time.
    pub(crate) expires_at: Option<Instant>,
}

impl fmt::Debug for OutgoingMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutgoingMessage")
            .field("topic", &self.topic)
            .field("payload_bytes", &self.payload.len())
            .field("qos", &self.qos)
            .field("retain", &self.retain)
            .finish_non_exhaustive()
    }
}

impl OutgoingMessage {
    /// What the message counts for in the queue's bound.
    pub(crate) fn queue_bytes(&self) -> usize {
        self.topic.len() + self.payload.len()
    }

    /// The packet, with this QoS and packet id.
    pub(crate) fn publish_ref(
        &self,
        version: ProtocolVersion,
        guarantee: Guarantee,
        retain: bool,
    ) -> PublishRef<'_> {
        let properties = if version < ProtocolVersion::V5 && self.properties_optional {
            Default::default()
        } else {
            self.properties.borrowed()
        };
        PublishRef {
            guarantee,
            retain,
            topic: &self.topic,
            properties,
            payload: &self.payload,
        }
    }
}

struct Shared {
    message: OutgoingMessage,
    engine_handles: AtomicUsize,
    completion: Mutex<Completion>,
}

enum Completion {
    Pending(Option<Waker>),
    Done(Result<PublishOutcome, Lost>),
    Taken,
}

/// Why there is no outcome: an error, or the end of the client (whose reason the outbox knows).
pub(crate) type Lost = Option<Box<PublishError>>;

/// The engine's handle.
pub(crate) struct Outgoing(Arc<Shared>);

/// The application's handle.
pub(crate) struct OutgoingRef(Arc<Shared>);

impl Outgoing {
    pub(crate) fn new(message: OutgoingMessage) -> (Self, OutgoingRef) {
        let shared = Arc::new(Shared {
            message,
            engine_handles: AtomicUsize::new(1),
            completion: Mutex::new(Completion::Pending(None)),
        });
        (Self(Arc::clone(&shared)), OutgoingRef(shared))
    }

    pub(crate) fn message(&self) -> &OutgoingMessage {
        &self.0.message
    }

    /// Tells whoever waits. Only the first result counts; says whether this was it.
    pub(crate) fn complete(&self, result: Result<PublishOutcome, PublishError>) -> bool {
        self.0
            .complete(result.map_err(|error| Some(Box::new(error))))
    }
}

impl Shared {
    fn complete(&self, result: Result<PublishOutcome, Lost>) -> bool {
        let mut completion = self.completion.lock();
        let Completion::Pending(waker) = &mut *completion else {
            return false;
        };
        let waker = waker.take();
        *completion = Completion::Done(result);
        drop(completion); // a waker may run code of its own
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }
}

impl Clone for Outgoing {
    fn clone(&self) -> Self {
        self.0.engine_handles.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(&self.0))
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        // AcqRel: the last handle sees a result that another one set before it went.
        if self.0.engine_handles.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.complete(Err(None));
        }
    }
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.message.fmt(f)
    }
}

impl OutgoingRef {
    /// The result, once. [`Lost`] as `None` means that the client is at its end.
    pub(crate) fn poll_result(&self, cx: &mut Context<'_>) -> Poll<Result<PublishOutcome, Lost>> {
        let mut completion = self.0.completion.lock();
        match &mut *completion {
            Completion::Pending(waker) => {
                match waker {
                    Some(waker) => waker.clone_from(cx.waker()),
                    None => *waker = Some(cx.waker().clone()),
                }
                Poll::Pending
            }
            Completion::Done(_) => match std::mem::replace(&mut *completion, Completion::Taken) {
                Completion::Done(result) => Poll::Ready(result),
                Completion::Pending(_) | Completion::Taken => Poll::Ready(Err(None)),
            },
            Completion::Taken => Poll::Ready(Err(None)),
        }
    }
}

impl fmt::Debug for OutgoingRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OutgoingRef")
    }
}

impl whinchat_session::Message for Outgoing {
    fn topic(&self) -> &str {
        &self.0.message.topic
    }

    fn encode_to(
        &self,
        version: ProtocolVersion,
        head: &PublishHead<'_>,
        out: &mut BytesMut,
    ) -> Result<(), EncodeError> {
        self.with_head(version, head, |publish| publish.encode(version, out))
    }

    fn encoded_len(
        &self,
        version: ProtocolVersion,
        head: &PublishHead<'_>,
    ) -> Result<usize, EncodeError> {
        self.with_head(version, head, |publish| publish.encoded_len(version))
    }

    fn expires_at(&self) -> Option<Instant> {
        self.0.message.expires_at
    }

    fn byte_size(&self) -> usize {
        self.0.message.queue_bytes()
    }
}

impl Outgoing {
    fn with_head<T>(
        &self,
        version: ProtocolVersion,
        head: &PublishHead<'_>,
        encode: impl FnOnce(PublishRef<'_>) -> T,
    ) -> T {
        let publish = self
            .0
            .message
            .publish_ref(version, head.guarantee, head.retain);
        if head.topic_alias == TopicAlias::None && head.message_expiry_interval.is_none() {
            return encode(publish);
        }
        let mut properties = self.0.message.properties.clone();
        if let Some(seconds) = head.message_expiry_interval {
            properties.set_message_expiry_interval(seconds);
        }
        let (alias, topic) = match head.topic_alias {
            TopicAlias::None => (None, publish.topic),
            TopicAlias::Define(alias) => (Some(alias), publish.topic),
            TopicAlias::Reuse(alias) => (Some(alias), ""),
        };
        if let Some(alias) = alias {
            // The engine gives no alias of 0, the only one that is out of range.
            let _ = properties.set_topic_alias(alias);
        }
        encode(PublishRef {
            topic,
            properties: properties.borrowed(),
            ..publish
        })
    }
}
