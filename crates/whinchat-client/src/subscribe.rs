//! Subscribing, and the stream of messages that comes of it.

use std::{
    future::{Future, IntoFuture, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_core::Stream;
use tokio::sync::oneshot;
use whinchat_codec::{
    QoS, RetainHandling, SubAckReason, SubscriptionOptions, UnsubAckReason, Utf8String,
};
use whinchat_topic::Subscribed;

use crate::{
    client::Shared,
    command::{Command, Subscribe, Unsubscribe},
    dispatch::Target,
    error::{SubscribeError, UnsubscribeError},
    inbox::Inbox,
    message::Message,
    receipts::Receipt,
};

/// A subscription about to be made: by [`Client::subscribe`](crate::Client::subscribe). Await it.
///
/// The defaults are QoS 1 and automatic acks; all options hold for all filters.
#[derive(Debug)]
#[must_use = "a subscription is made when it is awaited"]
pub struct SubscribeBuilder {
    shared: Arc<Shared>,
    filters: Result<Vec<Utf8String>, SubscribeError>,
    options: SubscriptionOptions,
    user_properties: Vec<(Utf8String, Utf8String)>,
    manual_acks: bool,
}

impl SubscribeBuilder {
    pub(crate) fn new<'a>(shared: Arc<Shared>, filters: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            shared,
            filters: filters.into_iter().map(parse_filter).collect(),
            options: SubscriptionOptions::new(QoS::AtLeastOnce),
            user_properties: Vec::new(),
            manual_acks: false,
        }
    }

    /// The highest QoS to receive messages with. Default: at least once.
    pub fn qos(mut self, qos: QoS) -> Self {
        self.options.qos = qos;
        self
    }

    /// Whether to leave out what this client publishes itself; 5.0 only. Default: no.
    pub fn no_local(mut self, no_local: bool) -> Self {
        self.options.no_local = no_local;
        self
    }

    /// Whether messages keep the retain flag of their publisher; 5.0 only. Default: no.
    pub fn retain_as_published(mut self, keep: bool) -> Self {
        self.options.retain_as_published = keep;
        self
    }

    /// When the broker sends the messages it keeps; 5.0 only. Default: at once.
    pub fn retain_handling(mut self, handling: RetainHandling) -> Self {
        self.options.retain_handling = handling;
        self
    }

    /// Adds a user property; 5.0 only, left out before.
    pub fn user_property(mut self, name: &str, value: &str) -> Self {
        match (Utf8String::try_from(name), Utf8String::try_from(value)) {
            (Ok(name), Ok(value)) => self.user_properties.push((name, value)),
            (Err(error), _) | (_, Err(error)) => self.filters = Err(error.into()),
        }
        self
    }

    /// Leaves each ack to [`Message::acknowledge`]. A message that is never acknowledged occupies its place in the receive
    /// window until the connection ends, and those after it cannot be acknowledged either.
    pub fn manual_acks(mut self) -> Self {
        self.manual_acks = true;
        self
    }
}

fn parse_filter(text: &str) -> Result<Utf8String, SubscribeError> {
    Subscribed::parse(text)?;
    Ok(text.try_into()?)
}

impl IntoFuture for SubscribeBuilder {
    type Output = Result<Subscription, SubscribeError>;
    type IntoFuture = Subscribing;

    fn into_future(self) -> Subscribing {
        let inbox = self.shared.new_inbox();
        let sent = self.filters.and_then(|filters| {
            if filters.is_empty() {
                return Err(SubscribeError::NoFilter);
            }
            let (reply, answer) = oneshot::channel();
            let command = Subscribe {
                filters: filters
                    .iter()
                    .map(|filter| (filter.clone(), self.options))
                    .collect(),
                user_properties: self.user_properties,
                target: Target::Stream(Arc::clone(&inbox)),
                reply,
            };
            Ok(Waiting {
                filters,
                command: Some(command),
                answer,
            })
        });
        let stream = MessageStream {
            shared: self.shared,
            inbox,
            manual_acks: self.manual_acks,
            handed_out: None,
            release: true,
        };
        Subscribing {
            state: Some((sent, stream)),
        }
    }
}

/// The future of a [`SubscribeBuilder`]. Dropped before its first poll it sends nothing; dropped later, it leaves nothing subscribed
/// that nobody else in this client subscribed.
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct Subscribing {
    state: Option<(Result<Waiting, SubscribeError>, MessageStream)>,
}

struct Waiting {
    filters: Vec<Utf8String>,
    command: Option<Subscribe>,
    answer: oneshot::Receiver<Result<Vec<SubAckReason>, SubscribeError>>,
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waiting")
            .field("filters", &self.filters)
            .finish_non_exhaustive()
    }
}

impl Future for Subscribing {
    type Output = Result<Subscription, SubscribeError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let result = match &mut self.state {
            Some((Ok(waiting), stream)) => {
                if let Some(command) = waiting.command.take()
                    && let Err(reason) = stream.shared.outbox.send(Command::Subscribe(command))
                {
                    Err(SubscribeError::Closed(reason))
                } else {
                    match Pin::new(&mut waiting.answer).poll(cx) {
                        Poll::Pending => return Poll::Pending,
                        Poll::Ready(Ok(answer)) => answer,
                        Poll::Ready(Err(_)) => {
                            Err(SubscribeError::Closed(stream.shared.close_reason()))
                        }
                    }
                }
            }
            Some((Err(error), _)) => Err(error.clone()),
            None => Err(SubscribeError::NoFilter),
        };
        let state = self.state.take();
        Poll::Ready(match (result, state) {
            (Ok(reasons), Some((Ok(waiting), mut stream))) => {
                stream.release = false;
                let granted = waiting
                    .filters
                    .into_iter()
                    .zip(reasons.into_iter().map(granted_qos))
                    .collect();
                Ok(Subscription { granted, stream })
            }
            (Ok(_), _) => Err(SubscribeError::NoFilter),
            (Err(error), _) => Err(error),
        })
    }
}

fn granted_qos(reason: SubAckReason) -> QoS {
    QoS::try_from(reason.code()).unwrap_or(QoS::AtMostOnce)
}

/// A stream of the messages that some filters match.
///
/// Asking for the next message acknowledges the one before it, unless acks are [manual](SubscribeBuilder::manual_acks).
///
/// Dropping the stream does not unsubscribe. What comes later goes to other streams with a matching filter, or to
/// [`Client::unclaimed`](crate::Client::unclaimed), and so does what no other stream had got. What it handed out last stays
/// unacknowledged: it occupies its place in the receive window until the connection ends, and the broker sends it again when the
/// session is resumed. [`acknowledge`](Self::acknowledge) it first, or end the stream with [`unsubscribe`](Self::unsubscribe).
#[derive(Debug)]
#[must_use = "messages wait in it, and hold back their acks"]
pub struct Subscription {
    granted: Vec<(Utf8String, QoS)>,
    stream: MessageStream,
}

impl Subscription {
    /// Each filter with the highest QoS the broker delivers it with.
    pub fn granted(&self) -> impl ExactSizeIterator<Item = (&str, QoS)> {
        self.granted.iter().map(|(filter, qos)| (&**filter, *qos))
    }

    /// The granted QoS, of the first filter.
    pub fn granted_qos(&self) -> QoS {
        self.granted
            .first()
            .map_or(QoS::AtMostOnce, |(_, qos)| *qos)
    }

    /// The next message; `None` when no more can come: the client is at its end, or all filters were unsubscribed. Cancel-safe.
    pub async fn next(&mut self) -> Option<Message> {
        poll_fn(|cx| self.stream.poll_next_message(cx)).await
    }

    /// Acknowledges the message handed out last without asking for another. With manual acks it does nothing.
    pub fn acknowledge(&mut self) {
        self.stream.acknowledge();
    }

    /// How many messages of QoS 0 were left out because this stream was not read fast enough.
    pub fn missed(&self) -> u64 {
        self.stream.inbox.missed()
    }

    /// How many messages wait to be read.
    pub fn waiting(&self) -> usize {
        self.stream.inbox.len()
    }

    /// Ends the subscription at the broker. What was handed out and what waits here is acknowledged: nobody wants it any more.
    /// Other streams of this client with one of these filters end with it.
    ///
    /// # Errors
    /// The broker refused, or the client is at its end.
    pub async fn unsubscribe(mut self) -> Result<(), UnsubscribeError> {
        let filters = self
            .granted
            .iter()
            .map(|(filter, _)| filter.clone())
            .collect();
        unsubscribe(&self.stream.shared, filters).await?;
        self.stream.acknowledge();
        for mut message in self.stream.inbox.close() {
            if let Some(receipt) = message.receipt.take() {
                self.stream.send_ack(receipt);
            }
        }
        Ok(())
    }
}

impl Stream for Subscription {
    type Item = Message;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        self.stream.poll_next_message(cx)
    }
}

/// Messages that no live stream matches: those of a resumed session before its filters are subscribed again in this process, and
/// those of streams that were dropped. Made by [`Client::unclaimed`](crate::Client::unclaimed); several share one queue.
///
/// A message that waits here goes to a stream with a matching filter as soon as one is subscribed.
#[derive(Debug)]
#[must_use = "messages wait in it, and hold back their acks"]
pub struct Unclaimed {
    stream: MessageStream,
}

impl Unclaimed {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let inbox = Arc::clone(&shared.unclaimed);
        Self {
            stream: MessageStream {
                shared,
                inbox,
                manual_acks: false,
                handed_out: None,
                release: false,
            },
        }
    }

    /// Leaves each ack to [`Message::acknowledge`].
    pub fn manual_acks(mut self) -> Self {
        self.stream.manual_acks = true;
        self
    }

    /// The next message; `None` when the client is at its end. Cancel-safe.
    pub async fn next(&mut self) -> Option<Message> {
        poll_fn(|cx| self.stream.poll_next_message(cx)).await
    }

    /// Acknowledges the message handed out last without asking for another. With manual acks it does nothing.
    pub fn acknowledge(&mut self) {
        self.stream.acknowledge();
    }

    /// How many messages of QoS 0 were left out because nobody read them here.
    pub fn missed(&self) -> u64 {
        self.stream.inbox.missed()
    }
}

impl Stream for Unclaimed {
    type Item = Message;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        self.stream.poll_next_message(cx)
    }
}

/// What a subscription and the unclaimed messages have in common.
#[derive(Debug)]
struct MessageStream {
    shared: Arc<Shared>,
    inbox: Arc<Inbox>,
    manual_acks: bool,
    /// What asking for the next message acknowledges.
    handed_out: Option<Receipt>,
    /// Nobody has seen this stream yet: dropping it leaves nothing subscribed.
    release: bool,
}

impl MessageStream {
    fn poll_next_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        self.acknowledge();
        self.inbox.poll_pop(cx).map(|message| {
            let mut message = message?;
            if self.manual_acks {
                message.acknowledge_to = Some(Arc::clone(&self.shared.outbox));
            } else {
                self.handed_out = message.receipt.take();
            }
            Some(message)
        })
    }

    fn acknowledge(&mut self) {
        if let Some(receipt) = self.handed_out.take() {
            self.send_ack(receipt);
        }
    }

    fn send_ack(&self, receipt: Receipt) {
        // A client at its end has nobody to tell; the broker sends the message again to the next one.
        let _ = self.shared.outbox.send(Command::Acknowledge(receipt));
    }
}

impl Drop for MessageStream {
    fn drop(&mut self) {
        if Arc::ptr_eq(&self.inbox, &self.shared.unclaimed) {
            return; // the queue stays for the next who asks
        }
        let unread = self.inbox.close();
        let inbox = Arc::clone(&self.inbox);
        let _ = self.shared.outbox.send(Command::StreamDropped {
            inbox,
            unread,
            release: self.release,
        });
    }
}

/// Ends filters at the broker. One that was not subscribed is no error.
pub(crate) async fn unsubscribe(
    shared: &Shared,
    filters: Vec<Utf8String>,
) -> Result<(), UnsubscribeError> {
    let (reply, answer) = oneshot::channel();
    let names = filters.clone();
    let command = Command::Unsubscribe(Unsubscribe { filters, reply });
    shared
        .outbox
        .send(command)
        .map_err(UnsubscribeError::Closed)?;
    let reasons = match answer.await {
        Ok(reasons) => reasons?,
        Err(_) => return Err(UnsubscribeError::Closed(shared.close_reason())),
    };
    match names
        .iter()
        .zip(reasons)
        .find(|(_, reason)| reason.is_error())
    {
        None => Ok(()),
        Some((filter, reason)) => Err(refused(filter, reason)),
    }
}

fn refused(filter: &Utf8String, reason: UnsubAckReason) -> UnsubscribeError {
    UnsubscribeError::Rejected {
        filter: filter.to_string(),
        reason,
    }
}
