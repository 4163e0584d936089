//! QoS 2 messages that we receive: which of the peer's packet ids we hold.
//!
//! A QoS 1 message leaves no trace here: it is answered once and forgotten. What is owed to the
//! peer in which order is the connection's business ([`crate::connection::answers`]).
//! Read first: MQTT 5.0 section 4.3.3, method A: the message is passed on at PUBLISH, the id is
//! kept until PUBREL.

use alloc::vec::Vec;

use hashbrown::HashMap;
use whinchat_codec::PacketId;

use crate::Ticket;

/// ```text
///          PUBLISH              acknowledge(ticket)           ticket committed
///   (none) ────────▶ Deciding ─────────────────▶ Recording ────────────────▶ Recorded
///      ▲                │ acknowledge(0x80..)     (PUBREC waits)     (PUBREC has left)
///      │                ▼                                                  │ PUBREL
///      └────────────────┴──────────────────────────────────────────────────┘
/// ```
/// A repeated PUBLISH in any of the three is answered again and never passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Incoming {
    /// The application has the message and has not said whether it takes it.
    Deciding,
    /// Taken; durable when this ticket is committed. A driver that knows it to be committed
    /// treats it as recorded: the answer leaves at once.
    Recording(Ticket),
    /// Taken and durable.
    Recorded,
}

/// The peer's QoS 2 packet ids that are held. At most 65,535, one byte of state and a ticket each.
#[derive(Clone, Debug, Default)]
pub(crate) struct Receiver {
    held: HashMap<PacketId, Incoming>,
    /// The largest that one of its connections had.
    receive_maximum: u16,
    /// What the last release of an id waits for.
    last_release: Ticket,
}

impl Receiver {
    #[inline]
    pub(crate) fn state(&self, id: PacketId) -> Option<Incoming> {
        self.held.get(&id).copied()
    }

    #[inline]
    pub(crate) fn set(&mut self, id: PacketId, state: Incoming) {
        self.held.insert(id, state);
    }

    /// Forgets the id; the state that it had.
    #[inline]
    pub(crate) fn release(&mut self, id: PacketId) -> Option<Incoming> {
        let state = self.held.remove(&id);
        // The memory of a burst goes back.
        if self.held.is_empty() && self.held.capacity() > 128 {
            self.held = HashMap::new();
        }
        state
    }

    /// Forgets what the application of an earlier connection had not decided on.
    pub(crate) fn forget_undecided(&mut self) {
        self.held.retain(|_, state| *state != Incoming::Deciding);
    }

    /// An id was released under this ticket.
    #[inline]
    pub(crate) fn note_release(&mut self, ticket: Ticket) {
        self.last_release = self.last_release.max(ticket);
    }

    #[inline]
    pub(crate) fn last_release(&self) -> Ticket {
        self.last_release
    }

    /// A connection with this Receive Maximum brings messages.
    #[inline]
    pub(crate) fn note_receive_maximum(&mut self, receive_maximum: u16) {
        self.receive_maximum = self.receive_maximum.max(receive_maximum);
    }

    /// The largest Receive Maximum of its connections; after a restart at least what is held.
    #[inline]
    pub(crate) fn receive_maximum(&self) -> usize {
        usize::from(self.receive_maximum)
    }

    pub(crate) fn len(&self) -> usize {
        self.held.len()
    }

    /// The ids that count as taken, in rising order.
    pub(crate) fn taken(&self) -> Vec<PacketId> {
        let mut ids: Vec<PacketId> = self
            .held
            .iter()
            .filter(|(_, state)| **state != Incoming::Deciding)
            .map(|(id, _)| *id)
            .collect();
        ids.sort_unstable();
        ids
    }
}
