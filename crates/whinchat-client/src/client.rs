//! The handle a user holds.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::{oneshot, watch},
    time::Instant,
};
use whinchat_codec::{QoS, Utf8String};
use whinchat_topic::Subscribed;

use crate::{
    command::Ending,
    driver,
    error::{CloseReason, ConnectError, OptionsError, PublishError, UnsubscribeError},
    inbox::Inbox,
    options::ClientOptions,
    outbox::Outbox,
    outgoing::{OutgoingMessage, OutgoingRef},
    publish::{Publication, PublishOutcome},
    quota::Quota,
    request::{Request, Responses},
    status::{ConnectionInfo, Status, StatusWatch},
    subscribe::{SubscribeBuilder, Unclaimed, unsubscribe},
};

/// A connection to a broker that is kept up, and the session behind it.
///
/// Clones share it. Dropping the last one ends the connection without DISCONNECT, so that the broker publishes the will;
/// [`disconnect`](Self::disconnect) and [`close`](Self::close) end it in order. Streams do not keep it open.
///
/// All futures are cancel-safe: dropped before the client accepted what was asked, nothing is sent; dropped afterwards, it is
/// still done.
#[derive(Clone)]
pub struct Client {
    handle: Arc<Handle>,
}

/// Counts the clones of [`Client`].
struct Handle {
    shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        // Fails only where the client is at its end anyway.
        let _ = self.shared.outbox.end(Ending::Abandoned);
    }
}

/// What the handle, its futures and streams, and the driver share.
pub(crate) struct Shared {
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) unclaimed: Arc<Inbox>,
    pub(crate) responses: Responses,
    pub(crate) status: watch::Sender<Status>,
    /// The engine's time starts here.
    pub(crate) origin: Instant,
    unread_messages: usize,
    unread_bytes: usize,
    close_timeout: Duration,
}

impl Shared {
    fn new(options: &ClientOptions) -> Arc<Self> {
        Arc::new(Self {
            outbox: Arc::new(Outbox::new(Quota::new(
                options.queue_messages,
                options.queue_bytes,
            ))),
            unclaimed: Inbox::new(options.unread_messages, options.unread_bytes),
            responses: Responses::new(),
            status: watch::Sender::new(Status::Connecting),
            origin: Instant::now(),
            unread_messages: options.unread_messages,
            unread_bytes: options.unread_bytes,
            close_timeout: options.close_timeout,
        })
    }

    pub(crate) fn new_inbox(&self) -> Arc<Inbox> {
        Inbox::new(self.unread_messages, self.unread_bytes)
    }

    pub(crate) fn now(&self) -> whinchat_session::Instant {
        let elapsed = Instant::now().saturating_duration_since(self.origin);
        whinchat_session::Instant::ORIGIN.saturating_add(elapsed)
    }

    /// Sets until when the message is of any use, counted from now.
    pub(crate) fn with_deadline(&self, mut message: OutgoingMessage) -> OutgoingMessage {
        let seconds = message.properties.message_expiry_interval();
        message.expires_at = seconds.map(|seconds| {
            self.now()
                .saturating_add(Duration::from_secs(u64::from(seconds)))
        });
        message
    }

    pub(crate) fn poll_outcome(
        &self,
        reference: &OutgoingRef,
        cx: &mut Context<'_>,
    ) -> Poll<Result<PublishOutcome, PublishError>> {
        reference.poll_result(cx).map_err(|lost| match lost {
            Some(error) => *error,
            None => PublishError::Closed(self.close_reason()),
        })
    }

    /// Why nothing more will happen.
    pub(crate) fn close_reason(&self) -> CloseReason {
        self.outbox.closed().unwrap_or(CloseReason::RuntimeEnded)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared")
    }
}

impl Client {
    /// Settings for a client of the broker at `url`: `mqtt://user:password@host:port`, `host:port` or `unix:/path`, with options
    /// as [`ClientOptions::from_url`] lists them.
    ///
    /// # Errors
    /// What is wrong with the URL.
    pub fn builder(url: &str) -> Result<ClientOptions, OptionsError> {
        ClientOptions::from_url(url)
    }

    pub(crate) async fn connect(options: ClientOptions) -> Result<Self, ConnectError> {
        options.check()?;
        let shared = Shared::new(&options);
        let (first, connected) = oneshot::channel();
        driver::spawn(options, Arc::clone(&shared), Some(first));
        // If this future is dropped here, the handle goes with it, and with the handle the driver.
        let client = Self {
            handle: Arc::new(Handle { shared }),
        };
        match connected.await {
            Ok(Ok(())) => Ok(client),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(ConnectError::Closed),
        }
    }

    pub(crate) fn start(options: ClientOptions) -> Result<Self, OptionsError> {
        options.check()?;
        let shared = Shared::new(&options);
        driver::spawn(options, Arc::clone(&shared), None);
        Ok(Self {
            handle: Arc::new(Handle { shared }),
        })
    }

    fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.handle.shared)
    }

    /// Publishes a message: `client.publish("lab/temperature", "22.5").qos(..).await?`. While there is no connection it waits in
    /// the queue.
    ///
    /// The topic is a `&str`, a `String` or a [`Utf8String`]; the last costs no copy when it is used again.
    pub fn publish<T>(&self, topic: T, payload: impl Into<Bytes>) -> Publication
    where
        T: TryInto<Utf8String>,
        PublishError: From<T::Error>,
    {
        Publication::new(self.shared(), topic, payload.into())
    }

    /// Subscribes a topic filter and gives a stream of its messages. `$share/group/filter` shares them within a group.
    pub fn subscribe(&self, filter: &str) -> SubscribeBuilder {
        SubscribeBuilder::new(self.shared(), [filter])
    }

    /// Subscribes several filters and gives one stream of their messages; one that several of them match comes once.
    pub fn subscribe_all<'a>(
        &self,
        filters: impl IntoIterator<Item = &'a str>,
    ) -> SubscribeBuilder {
        SubscribeBuilder::new(self.shared(), filters)
    }

    /// Ends a subscription, whether it is of this process or of an earlier one with the same session. Streams that have no other
    /// filter end after what they hold. That it was not subscribed is no error.
    ///
    /// # Errors
    /// The broker refused, or the client is at its end.
    pub async fn unsubscribe(&self, filter: &str) -> Result<(), UnsubscribeError> {
        Subscribed::parse(filter)?;
        unsubscribe(&self.handle.shared, vec![filter.try_into()?]).await
    }

    /// Messages that no live stream matches. While nobody reads them they hold back their acks, and a full receive window holds
    /// back everything else of QoS 1 and 2.
    pub fn unclaimed(&self) -> Unclaimed {
        Unclaimed::new(self.shared())
    }

    /// Publishes a request and waits for its response: `client.request("lab/read", "now").await?`. 5.0 only.
    pub fn request<T>(&self, topic: T, payload: impl Into<Bytes>) -> Request
    where
        T: TryInto<Utf8String>,
        PublishError: From<T::Error>,
    {
        Request::new(self.publish(topic, payload), self.shared())
    }

    /// What the connection is doing at this moment.
    pub fn status(&self) -> Status {
        self.handle.shared.status.borrow().clone()
    }

    /// Follows the status, from its next change on.
    pub fn watch(&self) -> StatusWatch {
        StatusWatch::new(self.handle.shared.status.subscribe())
    }

    /// Waits until the client is connected. Cancel-safe.
    ///
    /// # Errors
    /// The client came to its end.
    pub async fn connected(&self) -> Result<Arc<ConnectionInfo>, CloseReason> {
        self.watch().connected().await
    }

    /// Ends the client for all clones: accepts nothing more, waits for the messages under way as long as
    /// [`close_timeout`](ClientOptions::close_timeout) says, sends DISCONNECT, and reports what was not sent. While there is no
    /// connection it does not wait for one.
    pub async fn close(&self) -> CloseReport {
        self.end(self.handle.shared.close_timeout).await
    }

    /// As [`close`](Self::close), without waiting for messages under way.
    pub async fn disconnect(&self) -> CloseReport {
        self.end(Duration::ZERO).await
    }

    async fn end(&self, wait: Duration) -> CloseReport {
        let (report, reported) = oneshot::channel();
        let ending = Ending::Close {
            until: Instant::now() + wait,
            report,
        };
        if self.handle.shared.outbox.end(ending).is_err() {
            // Somebody else ends it: what is left is theirs to report, but it is over when this returns.
            self.watch().closed().await;
            return CloseReport::default();
        }
        reported.await.unwrap_or_default()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("status", &self.status())
            .finish()
    }
}

/// What a client had not finished when it was closed, oldest first.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct CloseReport {
    /// Messages that were never sent.
    pub unsent: Vec<UnsentMessage>,
    /// Messages that were sent and not acknowledged: they may or may not have arrived.
    pub unacknowledged: Vec<UnsentMessage>,
}

impl CloseReport {
    /// Whether nothing was left.
    pub fn is_complete(&self) -> bool {
        self.unsent.is_empty() && self.unacknowledged.is_empty()
    }
}

/// A message that was left over. `Debug` does not show the payload.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnsentMessage {
    /// Its topic name.
    pub topic: Utf8String,
    /// Its payload.
    pub payload: Bytes,
    /// Its QoS.
    pub qos: QoS,
    /// Whether the broker was to keep it.
    pub retain: bool,
}

impl From<&OutgoingMessage> for UnsentMessage {
    fn from(message: &OutgoingMessage) -> Self {
        Self {
            topic: message.topic.clone(),
            payload: message.payload.clone(),
            qos: message.qos,
            retain: message.retain,
        }
    }
}

impl fmt::Debug for UnsentMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnsentMessage")
            .field("topic", &self.topic)
            .field("payload_bytes", &self.payload.len())
            .field("qos", &self.qos)
            .field("retain", &self.retain)
            .finish()
    }
}
