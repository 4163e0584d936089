//! Requests and their responses: a response topic to answer to, correlation data to tell answers apart.
//!
//! The response topic is subscribed at the first request and stays so. Read first: MQTT 5.0 section 4.10.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    future::{Future, IntoFuture},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};
use whinchat_codec::{ProtocolVersion, QoS, SubscriptionOptions, Utf8String};
use whinchat_topic::TopicName;

use crate::{
    client::Shared,
    command::{Command, Subscribe},
    dispatch::Target,
    error::{PublishError, RequestError, SubscribeError},
    message::Message,
    publish::Publication,
    status::StatusWatch,
};

/// The requests that wait for their responses.
pub(crate) struct Responses {
    default_topic: String,
    waiting: Mutex<HashMap<Bytes, oneshot::Sender<Message>>>,
    subscribed: Mutex<HashSet<String>>,
    /// Correlation data: a start that nobody can guess, then a count.
    start: u64,
    count: AtomicU64,
}

impl Responses {
    pub(crate) fn new() -> Self {
        Self {
            // 128 random bits: nobody else answers to, or listens at, this topic by accident.
            default_topic: format!(
                "whinchat/response/{:016x}{:016x}",
                fastrand::u64(..),
                fastrand::u64(..)
            ),
            waiting: Mutex::default(),
            subscribed: Mutex::default(),
            start: fastrand::u64(..),
            count: AtomicU64::new(0),
        }
    }

    fn next_correlation_data(&self) -> Bytes {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        [self.start.to_be_bytes(), count.to_be_bytes()]
            .concat()
            .into()
    }

    /// Hands a response to its request; says whether one waited for it.
    pub(crate) fn resolve(&self, message: Message) -> bool {
        let request = message
            .properties
            .correlation_data()
            .and_then(|data| self.waiting.lock().remove(data));
        match request {
            Some(request) => request.send(message).is_ok(),
            None => false,
        }
    }

    /// The client is at its end: nobody will answer.
    pub(crate) fn close(&self) {
        self.waiting.lock().clear();
    }
}

/// A request about to be made: by [`Client::request`](crate::Client::request). Await it for the response.
#[must_use = "a request is made when it is awaited"]
pub struct Request {
    publication: Publication,
    shared: Arc<Shared>,
    response_topic: Option<String>,
    timeout: Duration,
}

impl Request {
    pub(crate) fn new(publication: Publication, shared: Arc<Shared>) -> Self {
        Self {
            publication,
            shared,
            response_topic: None,
            timeout: Duration::from_secs(30),
        }
    }

    /// The QoS of the request, and the highest for the response. Default: at least once.
    pub fn qos(mut self, qos: QoS) -> Self {
        self.publication = self.publication.qos(qos);
        self
    }

    /// How long to wait for the response, connecting and publishing included. Default: 30 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Where the response is to go. Default: a topic of this client, `whinchat/response/` and 32 random digits.
    pub fn response_topic(mut self, topic: &str) -> Self {
        self.response_topic = Some(topic.to_owned());
        self
    }

    /// What the payload is, for instance `application/json`.
    pub fn content_type(mut self, content_type: &str) -> Self {
        self.publication = self.publication.content_type(content_type);
        self
    }

    /// Adds a name and a value of the application's own.
    pub fn user_property(mut self, name: &str, value: &str) -> Self {
        self.publication = self.publication.user_property(name, value);
        self
    }

    async fn run(self) -> Result<Message, RequestError> {
        let after = self.timeout;
        match timeout_at(Instant::now() + after, self.run_without_limit()).await {
            Ok(result) => result,
            Err(_) => Err(RequestError::TimedOut { after }),
        }
    }

    async fn run_without_limit(self) -> Result<Message, RequestError> {
        let Self {
            publication,
            shared,
            response_topic,
            timeout: _,
        } = self;
        let info = StatusWatch::new(shared.status.subscribe())
            .connected()
            .await
            .map_err(RequestError::Closed)?;
        if info.version < ProtocolVersion::V5 {
            return Err(RequestError::NotInThisVersion {
                version: info.version,
            });
        }
        let topic = response_topic.unwrap_or_else(|| shared.responses.default_topic.clone());
        TopicName::new(&topic).map_err(PublishError::from)?;
        subscribe_once(&shared, &topic).await?;

        let data = shared.responses.next_correlation_data();
        let (request, response) = oneshot::channel();
        shared
            .responses
            .waiting
            .lock()
            .insert(data.clone(), request);
        let _withdrawn_at_the_end = Withdraw {
            responses: &shared.responses,
            data: &data,
        };
        publication
            .response_topic(&topic)
            .correlation_data(&data)
            .await?;
        response
            .await
            .map_err(|_| RequestError::Closed(shared.close_reason()))
    }
}

impl IntoFuture for Request {
    type Output = Result<Message, RequestError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("publication", &self.publication)
            .finish_non_exhaustive()
    }
}

/// Forgets a request whose future is done or was dropped.
struct Withdraw<'a> {
    responses: &'a Responses,
    data: &'a Bytes,
}

impl Drop for Withdraw<'_> {
    fn drop(&mut self) {
        self.responses.waiting.lock().remove(self.data);
    }
}

async fn subscribe_once(shared: &Shared, topic: &str) -> Result<(), SubscribeError> {
    if shared.responses.subscribed.lock().contains(topic) {
        return Ok(());
    }
    let (reply, answer) = oneshot::channel();
    let command = Command::Subscribe(Subscribe {
        filters: vec![(
            Utf8String::try_from(topic)?,
            SubscriptionOptions::new(QoS::ExactlyOnce),
        )],
        user_properties: Vec::new(),
        target: Target::Responses,
        reply,
    });
    shared
        .outbox
        .send(command)
        .map_err(SubscribeError::Closed)?;
    match answer.await {
        Ok(granted) => granted?,
        Err(_) => return Err(SubscribeError::Closed(shared.close_reason())),
    };
    shared.responses.subscribed.lock().insert(topic.to_owned());
    Ok(())
}
