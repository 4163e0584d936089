//! One connection's place in its shard.
//!
//! ```text
//!            CONNECT                 identity                 CONNACK
//! AwaitConnect ───► Authenticating ───► (moves home) ───► Attached
//!      │                  │                                  │
//!      └──────────────────┴───────────────┬──────────────────┘
//!                                         ▼ last bytes queued
//!                                     AwaitFlush ───► gone
//! ```

use std::{sync::Arc, task::Waker, time::Duration};

use whinchat_codec::Connect;
use whinchat_session::{ConnAckOptions, Connection, Instant, Ticket};
use whinchat_transport::{Peer, Stream};

use crate::{
    core::attach::Login,
    hooks::Exchange,
    limits::{BrokerLimits, Limit},
};

use super::{
    outbox::Outbox,
    ready::{ReadyList, SlotWaker},
    timers::Scheduled,
};

/// What a connection waits for.
pub(crate) enum Phase {
    /// The first packet.
    AwaitConnect,
    /// The authenticator's answer, or the client's next AUTH packet.
    Authenticating(Box<Authenticating>),
    /// Its time: its client id was taken over too often of late.
    Delayed(Box<Login>),
    /// The log: the CONNACK of this session leaves when it is durable.
    AwaitCommit(Box<AwaitCommit>),
    /// Anything: the session at this index is served.
    Attached(u32),
    /// The peer to take what is left to send; nothing is read any more.
    AwaitFlush,
}

/// A CONNECT on hold.
pub(crate) struct Authenticating {
    pub(crate) connect: Connect,
    pub(crate) client_id_assigned: bool,
    /// What waits for the client's next AUTH.
    pub(crate) exchange: Option<Box<dyn Exchange>>,
}

/// A CONNACK on hold.
pub(crate) struct AwaitCommit {
    pub(crate) session: u32,
    pub(crate) connack: ConnAckOptions,
}

/// A connection that has no slot yet.
pub(crate) struct Arriving {
    pub(crate) stream: Stream,
    pub(crate) peer: Peer,
    pub(crate) listener: u16,
    pub(crate) engine: Connection,
}

/// Why the packets of a connection wait, while its socket is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    /// For the authenticator's answer.
    Authentication = 1,
    /// For the log, which the CONNACK waits for.
    Commit = 1 << 1,
    /// As many answers wait for the log as a Receive Maximum allows.
    Answers = 1 << 2,
    /// For its turn to take a session over.
    Turn = 1 << 3,
    /// For room in the store.
    Room = 1 << 4,
}

/// One connection.
pub(crate) struct Slot {
    pub(crate) stream: Stream,
    pub(crate) phase: Phase,
    pub(crate) engine: Connection,
    /// Bytes for the peer that the socket has not taken; without memory of its own while empty.
    pub(crate) out: Outbox,
    /// Bytes at the front of `out` that belong to packets which are counted as sent.
    pub(crate) counted: usize,
    /// The beginning of a packet whose rest has not arrived, or what came while reading was on hold.
    pub(crate) unread: Vec<u8>,
    /// The length of the packet at the front of `unread`; 0 where that is not known.
    pub(crate) wanted: usize,
    pub(crate) waker: Waker,
    pub(crate) ready: Arc<SlotWaker>,
    /// Tells this connection from the earlier ones in the same place.
    pub(crate) check: u32,
    pub(crate) listener: u16,
    pub(crate) peer: Peer,
    pub(crate) scheduled: Scheduled,
    /// On the list of slots to write at the end of the turn.
    pub(crate) dirty: bool,
    /// The socket takes no more; its waker tells when it does.
    pub(crate) write_blocked: bool,
    /// Each [`Hold`] that is in force, as its bit.
    holds: u8,
    /// The socket was not read when it was looked at last, for a reason of ours: what the peer has
    /// sent since is there, unseen.
    pub(crate) is_unread: bool,
    /// `unread` begins with packets that were on hold and may be complete.
    pub(crate) has_held_packets: bool,
    /// A re-authentication that waits for the client's next AUTH.
    pub(crate) exchange: Option<Box<dyn Exchange>>,
    /// When its client is not known any more, unless it authenticates again.
    pub(crate) identity_ends_at: Option<Instant>,
    /// When CONNECT has to be complete, or closing has to be done.
    pub(crate) deadline: Option<Instant>,
    /// When the peer last took bytes, while some wait for it.
    pub(crate) progress_at: Instant,
    /// When the packet that is incomplete began, and when it last grew.
    pub(crate) packet_began_at: Instant,
    pub(crate) packet_grew_at: Instant,
    pub(crate) packet_bytes: usize,
    /// The last ticket that the connection is on the waiting list for.
    pub(crate) awaits: Ticket,
}

impl Slot {
    pub(crate) fn new(
        arriving: Arriving,
        list: &Arc<ReadyList>,
        index: u32,
        check: u32,
        now: Instant,
    ) -> Self {
        let Arriving {
            stream,
            peer,
            listener,
            engine,
        } = arriving;
        let ready = SlotWaker::new(Arc::clone(list), index);
        Self {
            stream,
            phase: Phase::AwaitConnect,
            engine,
            out: Outbox::default(),
            counted: 0,
            unread: Vec::new(),
            wanted: 0,
            waker: Waker::from(Arc::clone(&ready)),
            ready,
            check,
            listener,
            peer,
            scheduled: Scheduled::default(),
            dirty: false,
            write_blocked: false,
            holds: 0,
            is_unread: false,
            has_held_packets: false,
            exchange: None,
            identity_ends_at: None,
            deadline: None,
            progress_at: now,
            packet_began_at: now,
            packet_grew_at: now,
            packet_bytes: 0,
            awaits: Ticket::NONE,
        }
    }

    /// The session this connection serves.
    pub(crate) fn session(&self) -> Option<u32> {
        match self.phase {
            Phase::Attached(session) => Some(session),
            Phase::AwaitCommit(ref waiting) => Some(waiting.session),
            Phase::AwaitConnect
            | Phase::Authenticating(_)
            | Phase::Delayed(_)
            | Phase::AwaitFlush => None,
        }
    }

    /// Lets no packet in until this hold is released.
    pub(crate) fn hold(&mut self, hold: Hold) {
        self.holds |= hold as u8;
    }

    pub(crate) fn is_held(&self) -> bool {
        self.holds != 0
    }

    /// Ends one hold. With the last one packets are let in again.
    pub(crate) fn release(&mut self, hold: Hold) {
        if self.holds & hold as u8 != 0 {
            self.holds &= !(hold as u8);
            if self.holds == 0 {
                self.resume_reading();
            }
        }
    }

    /// Lets packets in; those that waited are handled before the socket is read.
    pub(crate) fn resume_reading(&mut self) {
        self.holds = 0;
        self.has_held_packets = true;
        self.ready.enqueue();
    }

    /// The peer has so much to take that nothing more is read from it, for there would be answers.
    /// Twice what deliveries may fill, so that one who takes them slowly is still heard.
    pub(crate) fn is_overfull(&self, unsent_bytes: usize) -> bool {
        self.out.len() >= unsent_bytes.saturating_mul(2)
    }

    /// When the peer, which takes nothing, has had its time.
    pub(crate) fn stalls_at(&self, limits: &BrokerLimits) -> Option<Instant> {
        let full = self.write_blocked && self.out.len() as u64 >= limits.unsent_size.bytes() / 2;
        let keep_alive = Duration::from_millis(u64::from(self.engine.keep_alive()) * 1_500);
        full.then(|| {
            self.progress_at
                .saturating_add(limits.unsent_stall_timeout.max(keep_alive))
        })
    }

    /// Called after each read: notes when the packet that is incomplete began; `is_another` says that
    /// it is not the one that was incomplete before.
    pub(crate) fn note_packet_progress(&mut self, now: Instant, is_another: bool) {
        if is_another || self.packet_bytes == 0 {
            self.packet_began_at = now;
        }
        self.packet_grew_at = now;
        self.packet_bytes = self.unread.len();
    }

    /// When the packet that has begun has stood still for too long, or has come too slowly, and by
    /// which limit. The lowest rate counts from the time that it may stand still.
    pub(crate) fn packet_stalls_at(&self, limits: &BrokerLimits) -> Option<(Instant, Limit)> {
        if self.unread.is_empty() || self.is_held() || self.is_unread {
            return None;
        }
        let patience = limits.packet_stall_timeout;
        let stands = (
            self.packet_grew_at.saturating_add(patience),
            Limit::PacketStallTimeout,
        );
        let Some(by_rate) =
            (self.unread.len() as u64 * 1_000).checked_div(limits.packet_rate_min.bytes())
        else {
            return Some(stands);
        };
        let due = self.packet_began_at.saturating_add(patience);
        let crawls = (due.saturating_add_millis(by_rate), Limit::PacketRateMin);
        Some(if crawls.0 < stands.0 { crawls } else { stands })
    }
}
