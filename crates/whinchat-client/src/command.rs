//! What the application asks of the driver.

use std::{fmt, sync::Arc};

use tokio::{sync::oneshot, time::Instant};
use whinchat_codec::{SubAckReason, SubscriptionOptions, UnsubAckReason, Utf8String};

use crate::{
    client::CloseReport,
    dispatch::Target,
    error::{SubscribeError, UnsubscribeError},
    inbox::Inbox,
    message::Message,
    outgoing::Outgoing,
    receipts::Receipt,
};

pub(crate) enum Command {
    Publish(Outgoing),
    Subscribe(Subscribe),
    Unsubscribe(Unsubscribe),
    /// One of the streams that got this message is done with it.
    Acknowledge(Receipt),
    /// A stream is gone, and these messages with it. Nobody ever saw it if its filters are to be `released`: those that no other
    /// stream has are unsubscribed.
    StreamDropped {
        inbox: Arc<Inbox>,
        unread: Vec<Message>,
        release: bool,
    },
}

impl Command {
    /// Whether the command is of no use once the client is being closed. Acks still leave.
    pub(crate) fn needs_the_broker(&self) -> bool {
        match self {
            Self::Publish(_) | Self::Subscribe(_) | Self::Unsubscribe(_) => true,
            Self::Acknowledge(_) | Self::StreamDropped { .. } => false,
        }
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Publish(_) => "Publish",
            Self::Subscribe(_) => "Subscribe",
            Self::Unsubscribe(_) => "Unsubscribe",
            Self::Acknowledge(_) => "Acknowledge",
            Self::StreamDropped { .. } => "StreamDropped",
        })
    }
}

/// Some filters for one stream. Each travels in a packet of its own, so that its subscription identifier and its answer are its own.
pub(crate) struct Subscribe {
    pub(crate) filters: Vec<(Utf8String, SubscriptionOptions)>,
    pub(crate) user_properties: Vec<(Utf8String, Utf8String)>,
    pub(crate) target: Target,
    pub(crate) reply: oneshot::Sender<Result<Vec<SubAckReason>, SubscribeError>>,
}

pub(crate) struct Unsubscribe {
    pub(crate) filters: Vec<Utf8String>,
    pub(crate) reply: oneshot::Sender<Result<Vec<UnsubAckReason>, UnsubscribeError>>,
}

/// How the client is to end.
pub(crate) enum Ending {
    /// Send what can be sent until then, say DISCONNECT, and report the rest.
    Close {
        until: Instant,
        report: oneshot::Sender<CloseReport>,
    },
    /// The last handle was dropped: end without DISCONNECT, so that the will is sent.
    Abandoned,
}
