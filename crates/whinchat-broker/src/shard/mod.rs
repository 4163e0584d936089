//! One shard: a thread, the connections and sessions it owns, and its turn.
//!
//! ```text
//!   turn:  accept ─► mail ─► ready connections: read, decode, handle ─► timers
//!                                             │
//!          log: append this turn's records ◄──┘
//!          log: release what was committed
//!          mailboxes: one batch per shard
//!          sockets: one write per dirty connection
//! ```
//!
//! The whole state is touched by this thread alone. Nothing here waits: what is not ready comes back
//! in a later turn. Records are appended before any effect is visible to another session or on a
//! socket.
//!
//! Read first: `docs/architecture.md`, then [`driver`], [`read`], `core::publish`, `core::deliver`, [`flush`].

pub(crate) mod accept;
pub(crate) mod buffers;
pub(crate) mod driver;
pub(crate) mod flush;
pub(crate) mod handshakes;
pub(crate) mod mailbox;
pub(crate) mod outbox;
pub(crate) mod post;
pub(crate) mod read;
pub(crate) mod ready;
pub(crate) mod slot;
pub(crate) mod timers;

use std::{collections::VecDeque, sync::Arc};

use bytes::{Bytes, BytesMut};
use slab::Slab;
use whinchat_codec::{EncodeError, ProtocolVersion};
use whinchat_session::{
    Connection, DropReason, Effect, Instant, Message, Output, PublishHead, SessionState, Ticket,
};
use whinchat_store::Lsn;
use whinchat_topic::Cursor;

use self::{
    accept::Accepting, buffers::Buffers, handshakes::Handshakes, outbox::Outbox, ready::ReadyList,
    slot::Slot, timers::TimerWheel,
};
use crate::{
    commons::Commons,
    core::{
        census::Census,
        deliver::Frames,
        full_store::Room,
        keys::ShardId,
        limits_met::LimitLog,
        mail::{Mail, SlotKey},
        memory::Watch,
        message::Delivery,
        moving::Move,
        records::Records,
        retained_scan::Scans,
        routing::RouteCache,
        sessions::Sessions,
        spill::Spilling,
        system_topics::SystemTopics,
    },
    metrics::ShardMetrics,
    settings::Settings,
};

/// The state of one shard.
pub(crate) struct Shard {
    pub(crate) id: ShardId,
    pub(crate) commons: Arc<Commons>,
    /// The settings of this turn; read again when [`Mail::Reload`] arrives.
    pub(crate) settings: Arc<Settings>,
    /// This shard's own counters.
    pub(crate) metrics: Arc<ShardMetrics>,
    pub(crate) ready: Arc<ReadyList>,
    pub(crate) accepting: Accepting,
    pub(crate) slots: Slab<Slot>,
    pub(crate) next_check: u32,
    pub(crate) handshakes: Handshakes,
    pub(crate) sessions: Sessions,
    pub(crate) wheel: TimerWheel,
    pub(crate) routes: RouteCache,
    pub(crate) frames: Frames,
    pub(crate) scans: Scans,
    pub(crate) records: Records,
    pub(crate) moving: Option<Move>,
    pub(crate) spilling: Spilling,
    pub(crate) room: Room,
    pub(crate) limit_log: LimitLog,
    pub(crate) watch: Watch,
    /// The process is above its cap, as of the start of this turn.
    pub(crate) memory_is_full: bool,
    /// The process is near its cap, so that who lags pays.
    pub(crate) memory_is_tight: bool,
    /// Unsent bytes at which a connection is full in this turn: less when memory is tight.
    pub(crate) unsent_room: usize,
    /// Bytes of payload that the connection which is served has given to readers of this shard.
    pub(crate) given_bytes: usize,
    /// How many of them it may give in this turn.
    pub(crate) given_room: usize,
    /// Bytes that were read in this turn.
    pub(crate) read_bytes: usize,
    /// What was appended and is not committed, in order.
    pub(crate) appended: VecDeque<(Ticket, Lsn)>,
    /// The last ticket whose records are committed.
    pub(crate) committed: Ticket,
    /// Under which the end of a session was recorded last.
    pub(crate) last_session_end: Ticket,
    /// Connections with answers that wait for a ticket, in the order of their tickets.
    pub(crate) waiting: VecDeque<(Ticket, SlotKey)>,
    /// Letters of this turn, one list per shard.
    pub(crate) outgoing: Vec<Vec<Mail>>,
    /// Empty between turns; the memory goes back into the mailbox with the next batch.
    pub(crate) read_letters: Vec<Mail>,
    /// Connections to write to at the end of the turn.
    pub(crate) dirty: Vec<u32>,
    /// Connections that stopped reading until another shard has taken its mail.
    pub(crate) throttled: Vec<u32>,
    pub(crate) system_topics: SystemTopics,
    /// How far the search for expired retained messages has come.
    pub(crate) retained_sweep: Option<Cursor>,
    pub(crate) census: Census,
    /// Empty buffers for connections that have something to send.
    pub(crate) buffers: Buffers,
    pub(crate) read_buffer: Vec<u8>,
    /// The packet that is being handled, if it is a large one in a buffer of its own.
    pub(crate) arrived: Option<Bytes>,
    pub(crate) now: Instant,
    pub(crate) life: Life,
}

/// Whether the shard takes part or ends.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Serving,
    /// Said goodbye to everybody; ends when all is flushed, or at the deadline.
    Draining {
        deadline: std::time::Instant,
    },
    Ended,
}

/// Bytes read from one connection before the others get their turn.
pub(crate) const READ_BYTES_EACH: usize = 64 * 1024;

/// Bytes read in a turn before what they brought is written and the next turn goes on: many that send without pause bring
/// more than the sockets of their readers take at a time.
const READ_BYTES_PER_TURN: usize = 4 * READ_BYTES_EACH;

/// Bytes that one connection gives to readers before the others get their turn, when there are others: few are read for
/// many copies.
const GIVEN_BYTES: usize = 2 << 20;

/// The same, when nobody else waits: many copies are written in one call.
const GIVEN_BYTES_ALONE: usize = 8 << 20;

/// What a copy costs beside its payload, in bytes that could be copied instead.
pub(crate) const COPY_BYTES: usize = 64;

impl Shard {
    pub(crate) fn new(id: ShardId, commons: Arc<Commons>, accepting: Accepting) -> Self {
        let shards = commons.mailboxes.len();
        let now = commons.clock.now();
        let settings = commons.settings();
        Self {
            id,
            metrics: commons.metrics.shard(id.position()),
            ready: Arc::clone(&commons.ready[id.position()]),
            accepting,
            slots: Slab::new(),
            next_check: 0,
            handshakes: Handshakes::default(),
            sessions: Sessions::new(id),
            wheel: TimerWheel::new(now),
            routes: RouteCache::new(),
            frames: Frames::default(),
            scans: Scans::default(),
            moving: None,
            spilling: Spilling::default(),
            room: Room::default(),
            records: Records::new(commons.log_is_awaited, commons.clock.clone()),
            limit_log: LimitLog::default(),
            watch: Watch::default(),
            memory_is_full: false,
            memory_is_tight: false,
            unsent_room: settings.unsent_bytes,
            given_bytes: 0,
            given_room: GIVEN_BYTES,
            read_bytes: 0,
            settings,
            appended: VecDeque::new(),
            committed: Ticket::NONE,
            last_session_end: Ticket::NONE,
            waiting: VecDeque::new(),
            outgoing: (0..shards).map(|_| Vec::new()).collect(),
            read_letters: Vec::new(),
            dirty: Vec::new(),
            throttled: Vec::new(),
            system_topics: SystemTopics::default(),
            retained_sweep: None,
            census: Census::default(),
            buffers: Buffers::default(),
            read_buffer: vec![0; READ_BYTES_EACH],
            arrived: None,
            now,
            life: Life::Serving,
            commons,
        }
    }

    /// Bounds what each of so many connections that are ready may give to readers in this turn.
    pub(crate) fn divide_turn(&mut self, ready: usize) {
        self.read_bytes = 0;
        self.given_room = if ready == 1 {
            GIVEN_BYTES_ALONE
        } else {
            GIVEN_BYTES
        };
    }

    /// Whether those that are still ready wait for the next turn.
    pub(crate) fn has_read_enough(&self) -> bool {
        self.read_bytes >= READ_BYTES_PER_TURN
    }

    /// The connection at `index`, if it is still the one that `check` names.
    pub(crate) fn checked_slot(&mut self, key: SlotKey) -> Option<&mut Slot> {
        self.slots
            .get_mut(key.index as usize)
            .filter(|slot| slot.check == key.check)
    }

    /// The engine of a connection, and its way out.
    pub(crate) fn engine(&mut self, index: u32) -> Option<(&mut Connection, Wire<'_>)> {
        let slot = self.slots.get_mut(index as usize)?;
        let wire = Wire::new(
            &mut slot.out,
            &mut self.records,
            &self.metrics,
            self.unsent_room,
        );
        Some((&mut slot.engine, wire))
    }

    /// The engine of a connection, the state of the session it serves, and its way out.
    pub(crate) fn attached_engine(
        &mut self,
        index: u32,
    ) -> Option<(&mut Connection, &mut SessionState<Delivery>, Wire<'_>)> {
        let slot = self.slots.get_mut(index as usize)?;
        let session = self.sessions.get_mut(slot.session()?)?;
        let wire = Wire::new(
            &mut slot.out,
            &mut self.records,
            &self.metrics,
            self.unsent_room,
        )
        .for_session(session.durable_number());
        Some((&mut slot.engine, &mut session.state, wire))
    }

    /// Puts a connection on the list of those to write to at the end of the turn.
    pub(crate) fn mark_dirty(&mut self, index: u32) {
        if let Some(slot) = self.slots.get_mut(index as usize)
            && !slot.dirty
        {
            slot.dirty = true;
            self.dirty.push(index);
        }
    }
}

impl Drop for Shard {
    /// However it ended: nobody waits for it, and nothing waits in its mailbox.
    fn drop(&mut self) {
        self.commons.mailboxes[self.id.position()].close();
    }
}

/// What the engine of one connection writes to: the bytes for its peer, and the records of the turn.
pub(crate) struct Wire<'a> {
    out: &'a mut Outbox,
    records: &'a mut Records,
    metrics: &'a ShardMetrics,
    /// Unsent bytes at which the connection is full.
    room: usize,
    /// The number of its session, if that outlives the connection.
    durable: Option<u64>,
}

impl<'a> Wire<'a> {
    pub(crate) fn new(
        out: &'a mut Outbox,
        records: &'a mut Records,
        metrics: &'a ShardMetrics,
        room: usize,
    ) -> Self {
        Self {
            out,
            records,
            metrics,
            room,
            durable: None,
        }
    }

    /// The same, for the session of this number, if it outlives its connection.
    pub(crate) fn for_session(self, durable: Option<u64>) -> Self {
        Self { durable, ..self }
    }
}

impl Output<Delivery> for Wire<'_> {
    fn buffer(&mut self) -> &mut BytesMut {
        self.out.buffer()
    }

    fn append_message(
        &mut self,
        message: &Delivery,
        version: ProtocolVersion,
        head: &PublishHead<'_>,
    ) -> Result<(), EncodeError> {
        let Some(payload) = message.large_payload() else {
            return message.encode_to(version, head, self.out.buffer());
        };
        message.encode_head_to(version, head, self.out.buffer())?;
        self.out.append_shared(payload.clone());
        Ok(())
    }

    fn record(&mut self, effect: Effect<'_, Delivery>) -> Ticket {
        if let Effect::Sent { qos, .. } = effect {
            self.metrics.messages_sent.of(qos).increment();
        }
        match self.durable {
            Some(session) => self.records.effect(session, effect),
            None => Ticket::NONE,
        }
    }

    fn dropped(&mut self, message: Delivery, reason: DropReason) {
        self.metrics.messages_dropped.of(reason).increment();
        if let Some(session) = self.durable {
            self.records
                .dropped(session, &message.message, message.group.is_some());
        }
    }

    fn is_full(&self) -> bool {
        self.out.len() >= self.room
    }
}
