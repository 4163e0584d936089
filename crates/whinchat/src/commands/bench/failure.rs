//! Why a connection of a run failed.

use std::io;

use whinchat_codec::{
    ConnAckReason, DecodeError, DisconnectReason, EncodeError, PacketId, PacketType, PubAckReason,
    PubRecReason, SubAckReason,
};
use whinchat_transport::DialError;

#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("connection lost: {0}")]
    Transport(#[from] io::Error),
    #[error("the broker closed the connection")]
    Closed,
    #[error("the broker refused the connection: {0}")]
    Refused(ConnAckReason),
    #[error("the broker refused the subscription to {filter}: {reason}")]
    SubscriptionRefused {
        filter: String,
        reason: SubAckReason,
    },
    #[error("the broker grants {granted} for {filter}, {asked} was asked for")]
    LowerQos {
        filter: String,
        asked: u8,
        granted: SubAckReason,
    },
    #[error("the broker refused a message: {0}")]
    PubAckRefused(PubAckReason),
    #[error("the broker refused a message: {0}")]
    PubRecRefused(PubRecReason),
    #[error("the broker disconnected: {0}")]
    Disconnected(DisconnectReason),
    #[error("the broker sent {0}, which is out of place")]
    Unexpected(PacketType),
    #[error("the broker sent {packet} for packet id {id}, which is not waiting for one")]
    NotInFlight { packet: PacketType, id: PacketId },
    #[error("the broker sent a malformed packet: {0}")]
    Malformed(#[from] DecodeError),
    #[error("cannot be sent: {0}")]
    Encode(#[from] EncodeError),
    #[error(
        "{connected} of {connections} connections are ready, and none more in the last {seconds} s"
    )]
    NotReady {
        connected: u32,
        connections: u32,
        seconds: u64,
    },
    #[error(
        "{connections} connections need more file descriptors than the {limit} this process may open"
    )]
    Descriptors { connections: u32, limit: u64 },
    #[error("process {pid}: {error}")]
    Process { pid: u32, error: io::Error },
    #[error("processors {list} cannot be used: {error}")]
    Affinity { list: String, error: io::Error },
    #[error("the broker said nothing for {seconds} s")]
    Silent { seconds: u64 },
    #[error("{program} did not start: {why}")]
    Broker { program: String, why: String },
    #[error("a thread of the load generator ended early")]
    ThreadEnded,
}
