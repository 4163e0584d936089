//! Publishing: one message, described step by step and then awaited or enqueued.

use std::{
    fmt,
    future::{Future, IntoFuture},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use whinchat_codec::{EncodeError, PubAckReason, PublishProperties, QoS, Utf8String};
use whinchat_topic::TopicName;

use crate::{
    client::Shared,
    error::{CloseReason, PublishError},
    outgoing::{OutgoingMessage, OutgoingRef},
    quota::Place,
};

/// A message about to be published: made by [`Client::publish`](crate::Client::publish).
///
/// Awaiting it waits until the broker has taken the message over: PUBACK for QoS 1, the whole exchange for QoS 2; at QoS 0 until
/// the bytes were handed to the transport. [`enqueue`](Self::enqueue) does not wait.
///
/// The defaults are QoS 1 and not retained.
#[derive(Debug)]
#[must_use = "a message is published when it is awaited or enqueued"]
pub struct Publication {
    shared: Arc<Shared>,
    message: Result<OutgoingMessage, PublishError>,
}

impl Publication {
    pub(crate) fn new<T>(shared: Arc<Shared>, topic: T, payload: Bytes) -> Self
    where
        T: TryInto<Utf8String>,
        PublishError: From<T::Error>,
    {
        let message = topic
            .try_into()
            .map_err(PublishError::from)
            .and_then(|topic| {
                TopicName::new(&topic)?;
                Ok(OutgoingMessage {
                    topic,
                    payload,
                    qos: QoS::AtLeastOnce,
                    retain: false,
                    properties: PublishProperties::new(),
                    properties_optional: false,
                    expires_at: None,
                })
            });
        Self { shared, message }
    }

    #[cfg(feature = "json")]
    pub(crate) fn failed(mut self, error: PublishError) -> Self {
        self.message = Err(error);
        self
    }

    fn change(mut self, change: impl FnOnce(&mut OutgoingMessage)) -> Self {
        if let Ok(message) = &mut self.message {
            change(message);
        }
        self
    }

    fn try_change(
        mut self,
        change: impl FnOnce(&mut OutgoingMessage) -> Result<(), EncodeError>,
    ) -> Self {
        if let Ok(message) = &mut self.message
            && let Err(error) = change(message)
        {
            self.message = Err(error.into());
        }
        self
    }

    /// Its QoS. Default: at least once.
    pub fn qos(self, qos: QoS) -> Self {
        self.change(|message| message.qos = qos)
    }

    /// Whether the broker keeps it for later subscribers; an empty payload clears what it kept.
    pub fn retain(self, retain: bool) -> Self {
        self.change(|message| message.retain = retain)
    }

    /// How long it is of any use, in whole seconds; 5.0 only. Time spent in the queue of this client counts.
    pub fn expires_after(self, interval: Duration) -> Self {
        self.change(|message| {
            let seconds = u32::try_from(interval.as_secs()).unwrap_or(u32::MAX);
            message.properties.set_message_expiry_interval(seconds);
        })
    }

    /// What the payload is, for instance `application/json`; 5.0 only.
    pub fn content_type(self, content_type: &str) -> Self {
        self.try_change(|message| message.properties.set_content_type(content_type))
    }

    /// Says that the payload is UTF-8 text; 5.0 only.
    pub fn payload_is_text(self) -> Self {
        self.change(|message| message.properties.set_payload_format_indicator(true))
    }

    /// Where an answer is to go; 5.0 only. See also [`Client::request`](crate::Client::request).
    pub fn response_topic(self, topic: &str) -> Self {
        self.try_change(|message| message.properties.set_response_topic(topic))
    }

    /// What an answer is to repeat, so that it is recognised; 5.0 only.
    pub fn correlation_data(self, data: &[u8]) -> Self {
        self.try_change(|message| message.properties.set_correlation_data(data))
    }

    /// Adds a name and a value of the application's own; 5.0 only.
    pub fn user_property(self, name: &str, value: &str) -> Self {
        self.try_change(|message| message.properties.add_user_property(name, value))
    }

    /// All properties at once; 5.0 only.
    pub fn properties(self, properties: PublishProperties) -> Self {
        self.change(|message| message.properties = properties)
    }

    /// The properties only describe the payload: on a connection before 5.0 they are left out. Otherwise a message with
    /// properties is an error there.
    pub fn properties_optional(self) -> Self {
        self.change(|message| message.properties_optional = true)
    }

    /// Accepts the message if there is room at once. From then on it is sent even if the completion is dropped.
    ///
    /// # Errors
    /// [`PublishError::QueueFull`] if there is none; an invalid message; a client at its end.
    pub fn enqueue(self) -> Result<Completion, PublishError> {
        let reference = self
            .shared
            .outbox
            .try_publish(self.shared.with_deadline(self.message?))?;
        Ok(Completion {
            shared: self.shared,
            reference,
        })
    }
}

impl IntoFuture for Publication {
    type Output = Result<PublishOutcome, PublishError>;
    type IntoFuture = Publish;

    fn into_future(self) -> Publish {
        let state = match self.message {
            Ok(message) => State::Waiting {
                message: Some(self.shared.with_deadline(message)),
                place: None,
            },
            Err(error) => State::Refused(Some(error)),
        };
        Publish {
            shared: self.shared,
            state,
        }
    }
}

/// The future of a [`Publication`]. Dropped before the message was accepted, it sends nothing; afterwards the message still goes.
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct Publish {
    shared: Arc<Shared>,
    state: State,
}

#[derive(Debug)]
enum State {
    Waiting {
        message: Option<OutgoingMessage>,
        place: Option<Place>,
    },
    Accepted(OutgoingRef),
    Refused(Option<PublishError>),
}

impl Future for Publish {
    type Output = Result<PublishOutcome, PublishError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { shared, state } = &mut *self;
        loop {
            match state {
                State::Waiting { message, place } => {
                    match shared.outbox.poll_publish(cx, message, place) {
                        Poll::Ready(Ok(reference)) => *state = State::Accepted(reference),
                        Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                        Poll::Pending => return Poll::Pending,
                    }
                }
                State::Accepted(reference) => return shared.poll_outcome(reference, cx),
                State::Refused(error) => {
                    let error = error
                        .take()
                        .unwrap_or(PublishError::Closed(CloseReason::ByApplication));
                    return Poll::Ready(Err(error));
                }
            }
        }
    }
}

impl Drop for Publish {
    fn drop(&mut self) {
        if let State::Waiting {
            place: Some(place), ..
        } = &self.state
        {
            self.shared.outbox.leave_line(place);
        }
    }
}

/// The end of an [enqueued](Publication::enqueue) message. It may be dropped: the message goes all the same.
#[derive(Debug)]
#[must_use = "a completion tells whether the message arrived; drop it if nobody needs to know"]
pub struct Completion {
    shared: Arc<Shared>,
    reference: OutgoingRef,
}

impl Future for Completion {
    type Output = Result<PublishOutcome, PublishError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.shared.poll_outcome(&self.reference, cx)
    }
}

/// What became of a message that was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PublishOutcome {
    reason: PubAckReason,
}

impl PublishOutcome {
    pub(crate) fn new(reason: PubAckReason) -> Self {
        Self { reason }
    }

    pub(crate) fn success() -> Self {
        Self::new(PubAckReason::Success)
    }

    /// The reason code of the ack, below 0x80: `Success`, or `NoMatchingSubscribers` (0x10). Before 5.0 and at QoS 0 it is always
    /// `Success`.
    pub fn reason(&self) -> PubAckReason {
        self.reason
    }

    /// Whether the broker said that nobody subscribes to the topic (5.0, and only if the broker tells).
    pub fn has_no_subscribers(&self) -> bool {
        self.reason == PubAckReason::NoMatchingSubscribers
    }
}

impl fmt::Display for PublishOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)
    }
}
