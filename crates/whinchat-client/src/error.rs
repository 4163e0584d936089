//! What can go wrong, by what was asked for. Each error says whose fault it is and carries the peer's reason code.

use std::{io, sync::Arc, time::Duration};

use whinchat_codec::{
    ConnAckReason, DecodeError, DisconnectReason, EncodeError, ProtocolVersion, PubAckReason, QoS,
    SubAckReason, UnsubAckReason,
};
use whinchat_session::{Refused, Violation};
use whinchat_topic::TopicError;
use whinchat_transport::{DialError, EndpointError};

/// The settings contradict each other or the protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OptionsError {
    /// The URL names no place.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// An option after `?` in the URL is not one of ours, or its value is not one of its own.
    #[error("the option '{name}={value}' in the URL: expected {expected}")]
    UrlOption {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
        /// What may stand there.
        expected: &'static str,
    },
    /// A setting is outside its range.
    #[error("{setting} is {value}: expected {expected}")]
    OutOfRange {
        /// The setting.
        setting: &'static str,
        /// What it was set to.
        value: String,
        /// What may stand there.
        expected: &'static str,
    },
    /// A session that is to be kept needs a client id, or the broker cannot find it again (3.1 always needs one).
    #[error("MQTT {version} without clean start needs a client id")]
    ClientIdNeeded {
        /// The version.
        version: ProtocolVersion,
    },
    /// Before 5.0 a password goes with a user name only. (MQTT 3.1.1 section 3.1.2.9)
    #[error("MQTT {version} knows no password without a user name")]
    PasswordWithoutUserName {
        /// The version.
        version: ProtocolVersion,
    },
}

/// Why no connection came about.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The settings are wrong; nothing was tried.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// No byte stream to the broker.
    #[error(transparent)]
    Dial(Arc<DialError>),
    /// No stream from the [factory](crate::ClientOptions::over).
    #[error("no stream to the broker: {0}")]
    NoStream(Arc<io::Error>),
    /// The stream broke before the broker answered.
    #[error("the connection ended before CONNACK: {0}")]
    Transport(Arc<io::Error>),
    /// The broker did not answer in time.
    #[error("no CONNACK within {after:?}")]
    TimedOut {
        /// The limit, from the start of the attempt.
        after: Duration,
    },
    /// The broker said no.
    #[error("refused: {}{}", .0.reason, quoted(.0.reason_string.as_deref()))]
    Refused(Box<Refusal>),
    /// The credentials callback failed.
    #[error("no credentials: {0}")]
    Credentials(Arc<dyn std::error::Error + Send + Sync>),
    /// The broker's bytes are no MQTT, or break its rules.
    #[error("the broker broke the protocol: {0}")]
    Protocol(ProtocolFault),
    /// CONNECT cannot be written with these settings in this version.
    #[error("CONNECT cannot be sent: {0}")]
    NotSendable(Refused),
    /// The broker answered CONNECT with another packet than CONNACK.
    #[error("the broker answered CONNECT with another packet than CONNACK")]
    NotConnAck,
    /// The client was closed meanwhile.
    #[error("the client was closed")]
    Closed,
}

/// A CONNACK that refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// Why. The return codes of 3.x stand as their 5.0 equivalents.
    pub reason: ConnAckReason,
    /// The broker's words, if it gave any.
    pub reason_string: Option<String>,
    /// Where to go instead: with 0x9C (use another server) and 0x9D (server moved).
    pub server_reference: Option<String>,
}

/// How the broker broke the protocol.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolFault {
    /// Its bytes are wrong.
    #[error("{0}")]
    Decode(DecodeError),
    /// Its packets are wrong.
    #[error("{0}")]
    Violation(Violation),
}

/// Why a connection that had been established ended.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DisconnectError {
    /// The stream broke or ended.
    #[error("the connection ended: {0}")]
    Transport(Arc<io::Error>),
    /// The broker sent DISCONNECT.
    #[error("the broker disconnected: {}{}", .0.reason, quoted(.0.reason_string.as_deref()))]
    ByServer(Box<ServerDisconnect>),
    /// The broker's bytes are no MQTT, or break its rules; it was told so.
    #[error("the broker broke the protocol: {0}")]
    Protocol(ProtocolFault),
    /// More bytes of unread messages than the client may hold: the broker sends without waiting for acks.
    #[error("more than {limit_bytes} bytes of messages wait to be read by the application")]
    TooMuchUnread {
        /// The limit.
        limit_bytes: usize,
    },
}

/// A DISCONNECT from the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerDisconnect {
    /// Why. 0x8E (session taken over) ends the client: two of one id would take over from each other for ever.
    pub reason: DisconnectReason,
    /// The broker's words, if it gave any.
    pub reason_string: Option<String>,
    /// Where to go instead: with 0x9C (use another server) and 0x9D (server moved).
    pub server_reference: Option<String>,
}

/// Why the client is at its end.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// The application closed it, or dropped its last handle.
    #[error("the client was closed")]
    ByApplication,
    /// No further attempt makes sense, or the policy allows none.
    #[error("{0}")]
    Connect(ConnectError),
    /// The connection ended in a way after which none may follow, or the policy allows none.
    #[error("{0}")]
    Disconnect(DisconnectError),
    /// The task that drives the connection is gone: its runtime was shut down.
    #[error("the client's runtime ended")]
    RuntimeEnded,
}

/// Why a message was not published.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The broker refused the message: it will not be delivered.
    #[error("the broker refused the message: {reason}{}", quoted(.reason_string.as_deref()))]
    Rejected {
        /// Why; for QoS 2 the equal code of PUBREC.
        reason: PubAckReason,
        /// The broker's words, if it gave any.
        reason_string: Option<String>,
    },
    /// The topic is no topic name.
    #[error("{0}")]
    InvalidTopic(#[from] TopicError),
    /// A text is too long or holds U+0000.
    #[error("{0}")]
    InvalidText(#[from] EncodeError),
    /// The packet is larger than the broker takes.
    #[error("the packet has {size} bytes, the broker takes {limit}")]
    TooLarge {
        /// Size of the packet in bytes.
        size: usize,
        /// The broker's Maximum Packet Size.
        limit: u32,
    },
    /// The broker takes no message of this QoS.
    #[error("{qos} is more than the broker's maximum, {maximum}")]
    QosNotSupported {
        /// What was asked for.
        qos: QoS,
        /// The broker's Maximum QoS.
        maximum: QoS,
    },
    /// The broker keeps no retained messages.
    #[error("the broker keeps no retained messages")]
    RetainNotSupported,
    /// The message has properties, which came with 5.0.
    #[error("MQTT {version} has no properties")]
    NotInThisVersion {
        /// The connection's version.
        version: ProtocolVersion,
    },
    /// As many messages are waiting as may wait.
    #[error(
        "{messages} messages with {bytes} bytes wait already: the limits are {messages_max} and {bytes_max}"
    )]
    QueueFull {
        /// Waiting messages.
        messages: usize,
        /// Their bytes.
        bytes: usize,
        /// How many may wait.
        messages_max: usize,
        /// How many bytes may wait.
        bytes_max: usize,
    },
    /// The message alone is larger than all that may wait.
    #[error("the message has {size} bytes, the queue holds {limit}")]
    LargerThanQueue {
        /// Size in bytes.
        size: usize,
        /// The limit of the queue in bytes.
        limit: usize,
    },
    /// The message's expiry interval passed before it could be sent.
    #[error("the message expired before it could be sent")]
    Expired,
    /// The payload cannot be written as JSON.
    #[error("the payload is no JSON: {0}")]
    Json(Arc<dyn std::error::Error + Send + Sync>),
    /// The client is at its end; the message may or may not have reached the broker.
    #[error("not published: {0}")]
    Closed(CloseReason),
}

impl From<std::convert::Infallible> for PublishError {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

/// Why there is no subscription.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// The broker refused at least one filter; none of them is subscribed on behalf of this call.
    #[error("the broker refused '{filter}': {reason}")]
    Rejected {
        /// The first filter that was refused.
        filter: String,
        /// Why.
        reason: SubAckReason,
    },
    /// A filter is no topic filter.
    #[error("{0}")]
    InvalidFilter(#[from] TopicError),
    /// A filter is too long.
    #[error("{0}")]
    InvalidText(#[from] EncodeError),
    /// No filter at all.
    #[error("no topic filter was given")]
    NoFilter,
    /// The broker said in CONNACK that it does not offer this.
    #[error("the broker offers no {feature}, which '{filter}' needs")]
    NotSupported {
        /// The filter.
        filter: String,
        /// What the broker does not offer.
        feature: &'static str,
    },
    /// SUBSCRIBE cannot be sent to this broker.
    #[error("'{filter}' cannot be subscribed: {refused}")]
    NotSendable {
        /// The filter.
        filter: String,
        /// Why.
        refused: Refused,
    },
    /// An option of 5.0 on a connection of an earlier version.
    #[error("MQTT {version} has no {option}")]
    NotInThisVersion {
        /// The option.
        option: &'static str,
        /// The connection's version.
        version: ProtocolVersion,
    },
    /// The client is at its end.
    #[error("not subscribed: {0}")]
    Closed(CloseReason),
}

/// Why a filter is still subscribed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnsubscribeError {
    /// The broker refused.
    #[error("the broker refused to unsubscribe '{filter}': {reason}")]
    Rejected {
        /// The filter.
        filter: String,
        /// Why.
        reason: UnsubAckReason,
    },
    /// The filter is no topic filter.
    #[error("{0}")]
    InvalidFilter(#[from] TopicError),
    /// The filter is too long.
    #[error("{0}")]
    InvalidText(#[from] EncodeError),
    /// The client is at its end.
    #[error("not unsubscribed: {0}")]
    Closed(CloseReason),
}

/// Why a request has no response.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The request was not published.
    #[error("the request was not published: {0}")]
    Publish(#[from] PublishError),
    /// The response topic could not be subscribed.
    #[error("the response topic was not subscribed: {0}")]
    Subscribe(#[from] SubscribeError),
    /// Response topics came with 5.0.
    #[error("MQTT {version} has no response topic")]
    NotInThisVersion {
        /// The connection's version.
        version: ProtocolVersion,
    },
    /// Nobody answered in time.
    #[error("no response within {after:?}")]
    TimedOut {
        /// The limit.
        after: Duration,
    },
    /// The client is at its end.
    #[error("no response: {0}")]
    Closed(CloseReason),
}

fn quoted(text: Option<&str>) -> String {
    // The peer chose the text: control characters are escaped, so that it cannot forge log lines.
    text.map_or_else(String::new, |text| format!(" ({text:?})"))
}
