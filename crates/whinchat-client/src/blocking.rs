//! The same client for programs without async code.
//!
//! A [`Client`] of this module runs the asynchronous one on a thread of its own and waits for it. Its methods must not be called
//! from async code: tokio panics when a thread that drives a runtime blocks on another.
//!
//! ```no_run
//! use whinchat_client::{QoS, blocking};
//!
//! let options = whinchat_client::Client::builder("mqtt://localhost")?.client_id("laboratory")?;
//! let client = blocking::Client::connect(options)?;
//! let subscription = client.subscribe("lab/+").qos(QoS::AtLeastOnce).wait()?;
//! client.publish("lab/temperature", "22.5").wait()?;
//! for message in subscription.take(1) {
//!     println!("{}: {:?}", message.topic(), message.payload());
//! }
//! client.close();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::{fmt, future::IntoFuture, io, sync::Arc, thread, time::Duration};

use bytes::Bytes;
use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
    time::timeout,
};
use whinchat_codec::{PublishProperties, QoS, RetainHandling, Utf8String};

use crate::{
    client::CloseReport,
    error::{ConnectError, PublishError, RequestError, SubscribeError, UnsubscribeError},
    message::Message,
    options::ClientOptions,
    publish::{self, PublishOutcome},
    request, subscribe,
};

/// A client whose methods block. See the [module](self).
#[derive(Clone)]
pub struct Client {
    inner: crate::Client,
    thread: Arc<RuntimeThread>,
}

/// The thread that drives the client; it ends when nothing uses it any more.
struct RuntimeThread {
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl RuntimeThread {
    fn start() -> io::Result<Arc<Self>> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new()
            .name("whinchat-client".into())
            .spawn(move || {
                // An error says that the sender is gone, which means the same.
                let _ = runtime.block_on(stopped);
            })?;
        Ok(Arc::new(Self {
            handle,
            stop: Some(stop),
            thread: Some(thread),
        }))
    }

    fn wait<T: IntoFuture>(&self, future: T) -> T::Output {
        self.handle.block_on(future.into_future())
    }
}

impl Drop for RuntimeThread {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It ran nothing of ours that could panic but the driver, and tokio has caught that.
            let _ = thread.join();
        }
    }
}

impl Client {
    /// Connects as [`ClientOptions::connect`] does.
    ///
    /// # Errors
    /// The first attempt failed, or the thread could not be started.
    pub fn connect(options: ClientOptions) -> Result<Self, ConnectError> {
        let thread =
            RuntimeThread::start().map_err(|error| ConnectError::Transport(Arc::new(error)))?;
        let inner = thread.wait(options.connect())?;
        Ok(Self { inner, thread })
    }

    /// The asynchronous client behind this one.
    pub fn asynchronous(&self) -> &crate::Client {
        &self.inner
    }

    /// Waits for anything asynchronous, for instance `client.wait(client.asynchronous().connected())`.
    pub fn wait<T: IntoFuture>(&self, future: T) -> T::Output {
        self.thread.wait(future)
    }

    /// Publishes a message, as [`crate::Client::publish`] does: finish with [`wait`](Publication::wait).
    pub fn publish<T>(&self, topic: T, payload: impl Into<Bytes>) -> Publication
    where
        T: TryInto<Utf8String>,
        PublishError: From<T::Error>,
    {
        Publication {
            inner: self.inner.publish(topic, payload),
            thread: Arc::clone(&self.thread),
        }
    }

    /// Subscribes a filter, as [`crate::Client::subscribe`] does: finish with [`wait`](SubscribeBuilder::wait).
    pub fn subscribe(&self, filter: &str) -> SubscribeBuilder {
        SubscribeBuilder {
            inner: self.inner.subscribe(filter),
            thread: Arc::clone(&self.thread),
        }
    }

    /// Subscribes several filters, as [`crate::Client::subscribe_all`] does.
    pub fn subscribe_all<'a>(
        &self,
        filters: impl IntoIterator<Item = &'a str>,
    ) -> SubscribeBuilder {
        SubscribeBuilder {
            inner: self.inner.subscribe_all(filters),
            thread: Arc::clone(&self.thread),
        }
    }

    /// Ends a subscription, as [`crate::Client::unsubscribe`] does.
    ///
    /// # Errors
    /// As its.
    pub fn unsubscribe(&self, filter: &str) -> Result<(), UnsubscribeError> {
        self.thread.wait(self.inner.unsubscribe(filter))
    }

    /// Publishes a request, as [`crate::Client::request`] does: finish with [`wait`](Request::wait).
    pub fn request<T>(&self, topic: T, payload: impl Into<Bytes>) -> Request
    where
        T: TryInto<Utf8String>,
        PublishError: From<T::Error>,
    {
        Request {
            inner: self.inner.request(topic, payload),
            thread: Arc::clone(&self.thread),
        }
    }

    /// Messages that no live stream matches, as [`crate::Client::unclaimed`] gives them.
    pub fn unclaimed(&self) -> Unclaimed {
        Unclaimed {
            inner: self.inner.unclaimed(),
            thread: Arc::clone(&self.thread),
        }
    }

    /// Ends the client, as [`crate::Client::close`] does.
    pub fn close(&self) -> CloseReport {
        self.thread.wait(self.inner.close())
    }

    /// Ends the client, as [`crate::Client::disconnect`] does.
    pub fn disconnect(&self) -> CloseReport {
        self.thread.wait(self.inner.disconnect())
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

/// Declares a type that forwards the settings of its asynchronous twin and ends with `wait`.
macro_rules! blocking_twin {
    ($(#[$doc:meta])* $name:ident of $twin:path;
        $($setter:ident($($argument:ident: $type:ty),*);)+) => {
        $(#[$doc])*
        #[must_use = "nothing happens until `wait`"]
        pub struct $name {
            inner: $twin,
            thread: Arc<RuntimeThread>,
        }

        impl $name {
            $(
                #[doc = concat!("As [its twin's](crate::", stringify!($name), "::", stringify!($setter), ").")]
                pub fn $setter(mut self, $($argument: $type),*) -> Self {
                    self.inner = self.inner.$setter($($argument),*);
                    self
                }
            )+
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.inner.fmt(f)
            }
        }
    };
}

blocking_twin! {
    /// A message about to be published.
    Publication of publish::Publication;
    qos(qos: QoS);
    retain(retain: bool);
    expires_after(interval: Duration);
    content_type(content_type: &str);
    payload_is_text();
    response_topic(topic: &str);
    correlation_data(data: &[u8]);
    user_property(name: &str, value: &str);
    properties(properties: PublishProperties);
    properties_optional();
}

impl Publication {
    /// Waits until the broker has taken the message over.
    ///
    /// # Errors
    /// As those of [`crate::Publication`].
    pub fn wait(self) -> Result<PublishOutcome, PublishError> {
        self.thread.wait(self.inner)
    }

    /// Accepts the message if there is room at once, as [its twin](crate::Publication::enqueue) does.
    ///
    /// # Errors
    /// As its.
    pub fn enqueue(self) -> Result<publish::Completion, PublishError> {
        self.inner.enqueue()
    }
}

blocking_twin! {
    /// A subscription about to be made.
    SubscribeBuilder of subscribe::SubscribeBuilder;
    qos(qos: QoS);
    no_local(no_local: bool);
    retain_as_published(keep: bool);
    retain_handling(handling: RetainHandling);
    user_property(name: &str, value: &str);
    manual_acks();
}

impl SubscribeBuilder {
    /// Waits for the broker's answer.
    ///
    /// # Errors
    /// As those of [`crate::SubscribeBuilder`].
    pub fn wait(self) -> Result<Subscription, SubscribeError> {
        let inner = self.thread.wait(self.inner)?;
        Ok(Subscription {
            inner,
            thread: self.thread,
        })
    }
}

blocking_twin! {
    /// A request about to be made.
    Request of request::Request;
    qos(qos: QoS);
    timeout(timeout: Duration);
    response_topic(topic: &str);
    content_type(content_type: &str);
    user_property(name: &str, value: &str);
}

impl Request {
    /// Waits for the response.
    ///
    /// # Errors
    /// As those of [`crate::Request`].
    pub fn wait(self) -> Result<Message, RequestError> {
        let Self { inner, thread } = self;
        thread.wait(request::Request::into_future(inner))
    }
}

/// An iterator over messages; it blocks until the next one. Otherwise as [`crate::Subscription`].
#[must_use = "messages wait in it, and hold back their acks"]
pub struct Subscription {
    inner: subscribe::Subscription,
    thread: Arc<RuntimeThread>,
}

impl Subscription {
    /// Each filter with the highest QoS the broker delivers it with.
    pub fn granted(&self) -> impl ExactSizeIterator<Item = (&str, QoS)> {
        self.inner.granted()
    }

    /// The next message, if one comes in time. `Ok(None)` when no more can come.
    ///
    /// # Errors
    /// None came in time.
    pub fn next_timeout(&mut self, limit: Duration) -> Result<Option<Message>, TimedOut> {
        let Self { inner, thread } = self;
        // The timer needs the runtime's context, so that it is made inside.
        thread
            .wait(async { timeout(limit, inner.next()).await })
            .map_err(|_| TimedOut)
    }

    /// Acknowledges the message handed out last without asking for another.
    pub fn acknowledge(&mut self) {
        self.inner.acknowledge();
    }

    /// How many messages of QoS 0 were left out because they were not read fast enough.
    pub fn missed(&self) -> u64 {
        self.inner.missed()
    }

    /// Ends the subscription at the broker.
    ///
    /// # Errors
    /// The broker refused, or the client is at its end.
    pub fn unsubscribe(self) -> Result<(), UnsubscribeError> {
        self.thread.wait(self.inner.unsubscribe())
    }
}

impl Iterator for Subscription {
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        let Self { inner, thread } = self;
        thread.wait(inner.next())
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

/// An iterator over the messages that no live stream matches. Otherwise as [`crate::Unclaimed`].
#[must_use = "messages wait in it, and hold back their acks"]
pub struct Unclaimed {
    inner: subscribe::Unclaimed,
    thread: Arc<RuntimeThread>,
}

impl Iterator for Unclaimed {
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        let Self { inner, thread } = self;
        thread.wait(inner.next())
    }
}

impl fmt::Debug for Unclaimed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

/// Nothing came in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no message in time")]
pub struct TimedOut;
