//! The letters that shards send to each other.

use std::sync::Arc;

use whinchat_session::Connection;
use whinchat_transport::{DetachedStream, Peer};

use super::{attach::Login, keys::GroupKey, message::Message, routing::Target};
use crate::{
    hooks::{Authentication, Refusal},
    shard::{COPY_BYTES, outbox::Outbox},
};

/// What a letter costs its receiver beside the copies, in bytes that could be copied instead.
const LETTER_BYTES: usize = 1024;

/// One letter. Letters of one sender are read in the order in which they were written.
pub(crate) enum Mail {
    /// A message for sessions of the receiving shard.
    Deliver {
        message: Arc<Message>,
        targets: Arc<[Target]>,
    },
    /// A message of a shared subscription for the member that was picked.
    DeliverToMember {
        message: Arc<Message>,
        group: GroupKey,
        target: Target,
    },
    /// A connection whose session lives here.
    Arrival(Box<Arrival>),
    /// A connection made inside the process.
    Inside { stream: DetachedStream, peer: Peer },
    /// The authenticator has answered.
    Authenticated {
        slot: SlotKey,
        outcome: Result<Authentication, Refusal>,
    },
    /// End the connection of this client id with Administrative action, if it is here.
    Kick { client_id: Box<str> },
    /// Write anew what the log has before this segment, once every shard has said that it knows of it.
    Move { target: u64 },
    /// The sender knows of it: what it routed before lies in what comes before this letter.
    KnowsMove { target: u64 },
    /// Read the settings again.
    Reload,
    /// Say goodbye to all connections, flush until the deadline, then end the shard.
    Shutdown { deadline: std::time::Instant },
}

impl Mail {
    /// Bytes that the receiver will give to its readers for this letter, for the sender's credit: they are its work, and at least what is kept alive.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Deliver { message, targets } => {
                LETTER_BYTES + targets.len() * (message.size() + COPY_BYTES)
            }
            Self::DeliverToMember { message, .. } => LETTER_BYTES + message.size() + COPY_BYTES,
            Self::Arrival(arrival) => arrival.unread.len(),
            Self::Inside { .. }
            | Self::Authenticated { .. }
            | Self::Kick { .. }
            | Self::Move { .. }
            | Self::KnowsMove { .. }
            | Self::Reload
            | Self::Shutdown { .. } => 0,
        }
    }
}

/// A slot of a shard; `check` tells its present owner from an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotKey {
    pub(crate) index: u32,
    pub(crate) check: u32,
}

/// A connection on its way to the shard where its session lives.
pub(crate) struct Arrival {
    pub(crate) stream: DetachedStream,
    pub(crate) peer: Peer,
    pub(crate) listener: u16,
    pub(crate) engine: Connection,
    pub(crate) login: Login,
    /// What is still to be sent.
    pub(crate) out: Outbox,
    /// What the peer sent behind its CONNECT.
    pub(crate) unread: Vec<u8>,
}
