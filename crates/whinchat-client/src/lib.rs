//! An MQTT client: 3.1, 3.1.1 and 5.0, asynchronous, with a [blocking] face.
//!
//! A task of the library's own keeps the connection up; there is no event loop to poll. [`Client::publish`] completes when the
//! broker has taken the message over and says with which reason code, [`Client::subscribe`] gives a stream of messages.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use whinchat_client::{Client, QoS};
//!
//! let client = Client::builder("mqtt://localhost")?.client_id("laboratory")?.connect().await?;
//! let mut temperatures = client.subscribe("sensors/temperature/+").qos(QoS::AtLeastOnce).await?;
//! client.publish("sensors/temperature/lab1", "22.5").retain(true).await?;
//! while let Some(message) = temperatures.next().await {
//!     println!("{}: {:?}", message.topic(), message.payload());
//! }
//! # Ok(()) }
//! ```
//!
//! # What holds
//!
//! - **Acks.** Asking a stream for its next message acknowledges the one before; a message with several streams is acknowledged
//!   after all of them. Slow reading withholds acks, which closes the receive window; it never stops the connection.
//! - **Reconnects.** Messages that were accepted survive them, in order; QoS 1 and 2 that were in flight are finished if the broker
//!   kept the session and published again if it did not. Subscriptions are made again if the session was lost.
//! - **Bounds.** Everything that queues has a limit, listed in [`ClientOptions`]; what does not fit waits, or is an error, or (QoS 0
//!   in a stream that is not read) is counted.
//! - **Cancelling.** A future dropped before the client accepted what it asks sends nothing; dropped later, it is still done.
//!
//! # Features
//!
//! - `json`: `Client::publish_json` and `Message::json`.

pub mod blocking;
mod client;
mod command;
mod dispatch;
mod driver;
mod error;
mod inbox;
#[cfg(feature = "json")]
mod json;
mod message;
mod options;
mod outbox;
mod outgoing;
mod publish;
mod quota;
mod receipts;
mod reconnect;
mod request;
mod status;
mod subscribe;
mod will;

pub use client::{Client, CloseReport, UnsentMessage};
pub use error::{
    CloseReason, ConnectError, DisconnectError, OptionsError, ProtocolFault, PublishError, Refusal,
    RequestError, ServerDisconnect, SubscribeError, UnsubscribeError,
};
#[cfg(feature = "json")]
pub use json::JsonError;
pub use message::Message;
pub use options::{ClientOptions, Credentials, Version};
pub use publish::{Completion, Publication, Publish, PublishOutcome};
pub use reconnect::ReconnectPolicy;
pub use request::Request;
pub use status::{ConnectionInfo, Interruption, Status, StatusWatch};
pub use subscribe::{SubscribeBuilder, Subscribing, Subscription, Unclaimed};
pub use whinchat_codec::{
    ConnAckProperties, ConnAckReason, DisconnectReason, ProtocolVersion, PubAckReason,
    PublishProperties, QoS, RetainHandling, SubAckReason, UnsubAckReason, Utf8String,
    WillProperties,
};
pub use whinchat_transport::{DialOptions, Endpoint, Stream};
pub use will::Will;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
