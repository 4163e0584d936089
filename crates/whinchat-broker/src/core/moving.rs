//! What the log has in its oldest segments is written anew at its end, so that they can be given up.
//!
//! ```text
//!  log grows ─► shard 0: Move ─► each shard: KnowsMove to all others
//!                                   │ all have said so
//!                                   ▼
//!              sessions, and at shard 0 the retained messages, some per turn ─► committed ─► release
//! ```
//!
//! A pass begins when the log has doubled since the last one, so that what is written again is at most half of all that is written, and the files are at most
//! three times what is needed. The letters between the shards make sure that a shard knows of every message that another one routed to its sessions in the old segments.
//! What it does not know yet lies in newer ones, and replay keeps it (`replay`).

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use parking_lot::Mutex;
use whinchat_session::Ticket;
use whinchat_store::{Durability, LogSegments};
use whinchat_topic::Cursor;

use super::{keys::ShardId, mail::Mail, message::Message, retained::Source};
use crate::shard::Shard;

/// Segments before the first pass.
const SEGMENTS_MIN: usize = 4;
/// Bytes of the records of a session without messages, and of a message in flight, about.
const SESSION_BYTES: u64 = 200;
const IN_FLIGHT_BYTES: u64 = 1_024;
/// Bytes of records that a pass adds to one turn, about.
const BYTES_PER_TURN: usize = 128 << 10;
/// Retained messages looked at under one hold of their lock.
const RETAINED_PER_LOOK: usize = 256;

/// The passes of all shards.
#[derive(Debug)]
pub(crate) struct Passes {
    /// The segment from which on everything lies after the present pass, or lay after the last.
    floor: AtomicU64,
    pass: Mutex<Pass>,
    /// For each shard, one more than the bytes of records that the log had been given when its sessions were last counted; 0: they never were.
    counted_at: Box<[AtomicU64]>,
}

#[derive(Debug, Default)]
struct Pass {
    /// Shards that have not finished; 0: there is no pass.
    shards_left: usize,
    /// Segments that were needed after the last pass.
    needed_after: usize,
    /// The segment in which it ended. A later pass begins behind it: what a pass wrote and what superseded that meanwhile are given up together.
    ended_in: u64,
}

impl Passes {
    pub(crate) fn new(shards: usize) -> Self {
        Self {
            floor: AtomicU64::new(0),
            pass: Mutex::default(),
            counted_at: (0..shards).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// The sessions of a shard were counted. The count began when the log had been given so many bytes of records.
    pub(crate) fn counted(&self, shard: ShardId, began_at: u64) {
        self.counted_at[shard.position()].store(began_at + 1, Ordering::Relaxed);
    }

    /// Bytes of records that the oldest of these counts does not know of; `None` if a shard never counted.
    fn uncounted(&self, given: u64) -> Option<u64> {
        let counts = self.counted_at.iter();
        let oldest = counts.map(|count| count.load(Ordering::Relaxed)).min()?;
        oldest
            .checked_sub(1)
            .map(|oldest| given.saturating_sub(oldest))
    }

    pub(crate) fn floor(&self) -> u64 {
        self.floor.load(Ordering::Relaxed)
    }

    /// Begins a pass if it is time for one: from which segment on everything is to lie. About `live` bytes are still needed.
    ///
    /// What is written anew needs room before what is old can be given up: a pass that found none would keep everything else from the log. So where the room
    /// gets scarce, it is time as soon as a third of the log is of no use, and where there is too little, no pass begins before queues have become shorter.
    fn begin(
        &self,
        segments: &dyn LogSegments,
        shards: usize,
        is_missing: bool,
        live: u64,
    ) -> Option<u64> {
        let mut pass = self.pass.lock();
        let (needed, newest) = (segments.needed(), segments.newest());
        if pass.shards_left > 0 || needed < 2 || newest <= pass.ended_in {
            return None;
        }
        let (bytes, room) = (segments.needed_bytes(), segments.room());
        // However often queues have the same message, the log has it once.
        let live = live.min(bytes);
        let more = live.saturating_add(live / 2);
        let is_long = needed > SEGMENTS_MIN.max(pass.needed_after * 2);
        let is_scarce = (is_missing || room < more) && bytes > more;
        if room < live || !(is_long || is_scarce) {
            return None;
        }
        pass.shards_left = shards;
        self.floor.store(newest, Ordering::Relaxed);
        Some(newest)
    }

    /// A shard has written everything anew, and that is committed. True if it was the last.
    fn finish(&self, segments: &dyn LogSegments, target: u64) -> bool {
        let mut pass = self.pass.lock();
        pass.shards_left -= 1;
        if pass.shards_left == 0 {
            segments.release(target + u64::from(planted!(GivenUpTooMany)));
            pass.needed_after = segments.needed();
            pass.ended_in = segments.newest();
        }
        pass.shards_left == 0
    }
}

/// The part of one shard in a pass.
#[derive(Debug)]
pub(crate) struct Move {
    target: u64,
    /// Shards that have not said that they know of it.
    unaware: usize,
    step: Step,
}

#[derive(Debug)]
enum Step {
    /// The sessions from this place on.
    Sessions(usize),
    /// The retained messages from here on.
    Retained(Option<Cursor>),
    /// All is written; it is over when this is committed.
    AwaitCommit(Ticket),
}

impl Shard {
    /// Called at the start of each turn.
    pub(crate) fn begin_records(&mut self) {
        let commons = Arc::clone(&self.commons);
        self.records.await_until(self.settings.acks.strongest());
        if let Some(segments) = commons.log.segments() {
            self.records
                .begin_turn(segments.newest(), commons.spill.is_wanted());
            self.look_for_room(segments.is_full());
            if self.commons.log.failure().is_some() {
                self.commons.log_failed.notify_waiters();
            }
        }
    }

    /// What is still needed of the log, rather too much than too little: all that came since the sessions were counted may be.
    fn live_bytes(&self) -> u64 {
        let given = self.commons.log.stats().bytes;
        let Some(uncounted) = self.commons.passes.uncounted(given) else {
            return u64::MAX;
        };
        let metrics = &self.commons.metrics;
        let queued = metrics.sum_gauge(|shard| shard.messages_queued_bytes.value());
        let sessions = metrics.sum_gauge(|shard| shard.sessions.value());
        let in_flight = metrics.sum_gauge(|shard| shard.messages_in_flight.value());
        let retained = self.commons.retained.read().bytes() as u64;
        queued + retained + uncounted + in_flight * IN_FLIGHT_BYTES + sessions * SESSION_BYTES
    }

    /// Begins a pass if the log has grown enough.
    pub(crate) fn consider_move(&mut self) {
        let commons = Arc::clone(&self.commons);
        let Some(segments) = commons.log.segments().filter(|_| self.id.position() == 0) else {
            return;
        };
        let is_missing = self.room.is_missing();
        let begun = commons
            .passes
            .begin(segments, commons.shards(), is_missing, self.live_bytes());
        if let Some(target) = begun {
            tracing::debug!(
                target,
                needed = segments.needed(),
                "writing anew what the oldest segments of the log hold"
            );
            for shard in 0..commons.shards() {
                self.mail(ShardId::new(shard), Mail::Move { target });
            }
        }
    }

    pub(crate) fn hear_of_move(&mut self, target: u64) {
        self.move_towards(target);
        for shard in 0..self.commons.shards() {
            self.mail(ShardId::new(shard), Mail::KnowsMove { target });
        }
    }

    /// One more shard knows of the pass. It may be heard of here first.
    pub(crate) fn count_towards_move(&mut self, target: u64) {
        self.move_towards(target).unaware -= 1;
        self.ready.wake_driver();
    }

    fn move_towards(&mut self, target: u64) -> &mut Move {
        let shards = self.commons.shards();
        self.moving.get_or_insert(Move {
            target,
            unaware: shards,
            step: Step::Sessions(0),
        })
    }

    /// The next part of the pass, if there is one.
    pub(crate) fn continue_move(&mut self) {
        let Some(Move {
            target,
            unaware: 0,
            step,
        }) = self.moving.take_if(|moving| moving.unaware == 0)
        else {
            return;
        };
        // Whatever acks wait for: what is given up must be superseded on the disk.
        let awaited = self.records.await_until(Some(Durability::Synced));
        let next = match step {
            Step::Sessions(from) => self.move_sessions(from, target),
            Step::Retained(cursor) => self.move_retained(cursor),
            Step::AwaitCommit(ticket) if ticket <= self.committed || planted!(GivenUpTooEarly) => {
                let commons = Arc::clone(&self.commons);
                if let Some(segments) = commons.log.segments()
                    && commons.passes.finish(segments, target)
                {
                    // A log that nobody else writes to would not remember what it has given up.
                    self.record_numbers();
                }
                self.records.await_until(awaited);
                return;
            }
            Step::AwaitCommit(ticket) => Step::AwaitCommit(ticket),
        };
        self.records.await_until(awaited);
        if !matches!(next, Step::AwaitCommit(_)) {
            self.ready.wake_driver();
        }
        self.moving = Some(Move {
            target,
            unaware: 0,
            step: next,
        });
    }

    fn move_sessions(&mut self, from: usize, target: u64) -> Step {
        let commons = Arc::clone(&self.commons);
        let most = self.records.bytes() + BYTES_PER_TURN;
        for place in from..self.sessions.places() {
            if self.records.bytes() >= most {
                return Step::Sessions(place);
            }
            let index = u32::try_from(place).expect("sessions are limited below 2^32");
            let Some(session) = self.sessions.get_mut(index) else {
                continue;
            };
            if session.segment >= target {
                continue;
            }
            session.segment = target;
            if session.is_durable() {
                self.records.session_anew(session, &commons.groups, target);
            } else if let Some(will) = &session.will {
                self.records.will(session, will);
            }
        }
        if self.id.position() == 0 {
            Step::Retained(None)
        } else {
            self.last_step()
        }
    }

    fn move_retained(&mut self, cursor: Option<Cursor>) -> Step {
        let mut entries: Vec<(Arc<Message>, u64, Option<Arc<Source>>)> = Vec::new();
        let retained = self.commons.retained.read();
        let cursor = retained.next_entries(cursor, RETAINED_PER_LOOK, |message, mark, source| {
            // The broker's own topics are said anew after a start.
            if !message.is_own() && !planted!(RetainedNotMoved) {
                entries.push((Arc::clone(message), mark, source.cloned()));
            }
        });
        drop(retained);
        for (message, mark, source) in entries {
            // In one group, also where a session of another shard has the message and writes it anew: which of the two comes first is not known.
            self.records.message(&message);
            self.records.retain(message.id, mark, source.as_deref());
        }
        match cursor {
            Some(cursor) => Step::Retained(Some(cursor)),
            None => self.last_step(),
        }
    }

    fn record_numbers(&mut self) {
        let mark = self.commons.retained.read().mark();
        let (message, session) = self.commons.numbers();
        self.records.numbers(message, session, mark);
    }

    /// The pass of this shard ends with a record that is synced, and with it all that came before.
    fn last_step(&mut self) -> Step {
        self.record_numbers();
        Step::AwaitCommit(self.records.last_ticket())
    }
}
