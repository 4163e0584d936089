//! Queues longer than memory should hold: behind its first messages, a long queue has references to the log in place of messages.
//!
//! ```text
//!   front                                            back
//!   Memory Memory ... Memory │ Log Log ... Log │ Memory     (not committed yet)
//!      ▲  `queue_in_memory`        │
//!      └────────── load ◄──────────┘  when its turn comes
//! ```
//!
//! Nothing is written for it: a message that a session may have to wait for stands in the log anyway, once for all sessions. From the first long queue on,
//! each shard notes where it wrote its messages, and when that is committed, the messages in the long queues are let go. A pass that writes the old segments
//! anew (`moving`) reads such a message back, and notes its new place, before the old one is given up.
//!
//! Reading back waits for the disk, in the shard's turn. The messages of a queue lie in the log in the order in which they are sent, so that the operating
//! system has mostly read them ahead; a slow disk slows the shard down as it would slow down its acks. What cannot be read back is a failed log.

use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use whinchat_session::{Instant, Ticket};
use whinchat_store::{Log, LogFailure, Place, record};

use super::{
    message::Message,
    records::read::{Recorded, RecordedMessage},
};
use crate::shard::Shard;

/// Messages of one queue that are looked at after one commit.
const LOOKED_AT_MAX: usize = 65_536;

/// A message as a queue has it.
#[derive(Clone, Debug)]
pub(crate) enum Stored {
    Memory(Arc<Message>),
    Log(Arc<Spilled>),
}

impl Stored {
    pub(crate) fn id(&self) -> u64 {
        match self {
            Self::Memory(message) => message.id,
            Self::Log(spilled) => spilled.id,
        }
    }

    pub(crate) fn is_in_log(&self) -> bool {
        matches!(self, Self::Log(_))
    }

    /// As [`Message::is_recorded`].
    pub(crate) fn is_recorded(&self) -> bool {
        match self {
            Self::Memory(message) => message.is_recorded(),
            Self::Log(_) => true,
        }
    }

    /// As [`Message::is_before`].
    pub(crate) fn is_before(&self, segment: u64) -> bool {
        match self {
            Self::Memory(message) => message.is_before(segment),
            Self::Log(spilled) => spilled.segment.load(Ordering::Relaxed) < segment,
        }
    }

    pub(crate) fn expires_at(&self) -> Option<Instant> {
        match self {
            Self::Memory(message) => message.expires_at,
            Self::Log(spilled) => spilled.expires_at(),
        }
    }

    /// As [`Message::size`], wherever it is.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Memory(message) => message.size(),
            Self::Log(spilled) => spilled.size,
        }
    }

    /// The message itself; `None` if the log cannot be read, and has failed by that.
    pub(crate) fn message(&self) -> Option<Arc<Message>> {
        match self {
            Self::Memory(message) => Some(Arc::clone(message)),
            Self::Log(spilled) => spilled.load(),
        }
    }
}

/// A message that is only in the log. All sessions that wait for it share this.
#[derive(Debug)]
pub(crate) struct Spilled {
    id: u64,
    expires_at: Option<Instant>,
    size: usize,
    /// As [`Message::segment`].
    segment: AtomicU64,
    /// Of its record. It changes when a pass has written the record anew, before the old one is given up.
    place: Mutex<Place>,
    spill: Arc<Spill>,
}

impl Spilled {
    /// The message; `None` if the log cannot be read, and has failed by that.
    pub(crate) fn load(self: &Arc<Self>) -> Option<Arc<Message>> {
        loop {
            let place = *self.place.lock();
            let read = self.read(place);
            // What was read while the record moved may be of anything.
            if *self.place.lock() != place {
                continue;
            }
            return match read {
                Ok(recorded) => {
                    let message = recorded.into_message(self.expires_at, self.segment());
                    message.spilled.set(Arc::clone(self)).ok();
                    Some(Arc::new(message))
                }
                Err(error) => {
                    self.spill.fail(place, error);
                    None
                }
            };
        }
    }

    fn read(&self, place: Place) -> io::Result<RecordedMessage> {
        let segments = self.spill.log.segments().ok_or(io::ErrorKind::NotFound)?;
        let header = segments.read(place, 0, record::HEADER_BYTES)?;
        let length = record::body_length(&header).ok_or(io::ErrorKind::InvalidData)?;
        let bytes = segments.read(place, 0, record::HEADER_BYTES + length)?;
        let invalid = |error: &dyn std::error::Error| {
            io::Error::new(io::ErrorKind::InvalidData, error.to_string())
        };
        let record = record::read(&bytes)
            .next()
            .ok_or(io::ErrorKind::UnexpectedEof)?
            .map_err(|error| invalid(&error))?;
        match Recorded::read(&record).map_err(|error| invalid(&error))? {
            Some(Recorded::Message(message)) if message.id == self.id => Ok(message),
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("message {} is not there", self.id),
            )),
        }
    }

    pub(crate) fn expires_at(&self) -> Option<Instant> {
        self.expires_at
    }

    fn segment(&self) -> u64 {
        self.segment.load(Ordering::Relaxed)
    }
}

/// What all spilled messages need to be read back.
pub(crate) struct Spill {
    log: Arc<dyn Log>,
    /// There was a long queue.
    is_wanted: AtomicBool,
}

impl Spill {
    pub(crate) fn new(log: Arc<dyn Log>) -> Self {
        Self {
            log,
            is_wanted: AtomicBool::new(false),
        }
    }

    /// Whether the places of messages are to be noted.
    pub(crate) fn is_wanted(&self) -> bool {
        self.is_wanted.load(Ordering::Relaxed)
    }

    /// From now on they are.
    pub(crate) fn want(&self) {
        self.is_wanted.store(true, Ordering::Relaxed);
    }

    /// The message of which the log has this record is there alone from now on.
    pub(crate) fn spilled(
        self: &Arc<Self>,
        id: u64,
        expires_at: Option<Instant>,
        size: usize,
        place: Place,
    ) -> Arc<Spilled> {
        Arc::new(Spilled {
            id,
            expires_at,
            size,
            segment: AtomicU64::new(place.segment),
            place: Mutex::new(place),
            spill: Arc::clone(self),
        })
    }

    fn fail(&self, place: Place, error: io::Error) {
        if let Some(segments) = self.log.segments() {
            segments.fail(LogFailure::new(
                "read",
                place.offset,
                &format!("segment {}", place.segment),
                error,
            ));
        }
    }
}

impl std::fmt::Debug for Spill {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spill").finish_non_exhaustive()
    }
}

impl Message {
    /// Its record is written anew: both of its forms lie in this segment or a later one.
    pub(crate) fn set_segment(&self, segment: u64) {
        self.segment.store(segment, Ordering::Relaxed);
        if let Some(spilled) = self.spilled.get() {
            spilled.segment.store(segment, Ordering::Relaxed);
        }
    }

    /// Its record is committed, at this place.
    fn set_place(&self, spill: &Arc<Spill>, place: Place) {
        let spilled = self
            .spilled
            .get_or_init(|| spill.spilled(self.id, self.expires_at, self.size(), place));
        if !planted!(PlaceNotMoved) {
            *spilled.place.lock() = place;
        }
    }
}

/// Where messages of one turn are, from the beginning of its group.
pub(crate) type Notes = Vec<(Arc<Message>, u64)>;

/// What one shard has to do for long queues.
#[derive(Debug, Default)]
pub(crate) struct Spilling {
    /// Messages whose records are not committed, in order.
    placed: VecDeque<(Ticket, Place, Notes)>,
    /// Sessions with a long queue.
    long: Vec<u32>,
}

impl Spilling {
    pub(crate) fn note(&mut self, ticket: Ticket, place: Place, notes: Notes) {
        if !notes.is_empty() {
            self.placed.push_back((ticket, place, notes));
        }
    }
}

impl Shard {
    /// Called when a message was put into the queue of a session.
    pub(crate) fn note_queue_length(&mut self, index: u32) {
        let in_memory = self.settings.queue_in_memory;
        let Some(session) = self.sessions.get_mut(index) else {
            return;
        };
        // By a quarter, so that it is not looked at again for each message.
        let is_long = session.state.queue_len() > in_memory.saturating_add(in_memory / 4);
        if !is_long || session.is_long || !session.is_durable() {
            return;
        }
        if self.commons.log.segments().is_some() {
            session.is_long = true;
            self.spilling.long.push(index);
            self.commons.spill.want();
        }
    }

    /// Called when more was committed.
    pub(crate) fn place_messages(&mut self) {
        let committed = self.committed;
        while let Some((_, place, notes)) = self
            .spilling
            .placed
            .pop_front_if(|(ticket, ..)| *ticket <= committed)
        {
            for (message, offset) in notes {
                let offset = place.offset + offset;
                message.set_place(&self.commons.spill, Place { offset, ..place });
            }
        }
    }

    /// Lets go of messages in long queues that the log has.
    pub(crate) fn shorten_queues(&mut self) {
        let in_memory = self.settings.queue_in_memory;
        for index in std::mem::take(&mut self.spilling.long) {
            let Some(session) = self.sessions.get_mut(index) else {
                continue;
            };
            session.is_long = false;
            let behind = session.state.queued_behind(in_memory);
            for delivery in behind.rev().take(LOOKED_AT_MAX) {
                let Stored::Memory(message) = &delivery.message else {
                    break;
                };
                if let Some(spilled) = message.spilled.get() {
                    delivery.message = Stored::Log(Arc::clone(spilled));
                }
            }
        }
    }
}
