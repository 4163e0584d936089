//! Answers that we owe the peer, in the order of what they answer.
//!
//! One FIFO per connection. Each entry waits for a decision of the application, or for a ticket,
//! or for those ahead of it. Read first: MQTT 5.0 section 4.6.
//!
//! ```text
//!  front                                                        back
//!  ┌──────────────┬──────────────┬──────────────┬──────────────┐
//!  │ PUBACK 7     │ PUBACK 8     │ PUBREC 9     │ PUBACK 10    │
//!  │ ticket 40    │ (none)       │ undecided    │ ticket 41    │
//!  └──────────────┴──────────────┴──────────────┴──────────────┘
//!   commit of 40 releases the first two; 9 and 10 wait for the application
//! ```

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bytes::BytesMut;
use whinchat_codec::{
    PacketId, ProtocolVersion, PubAckReason, PubAckRef, PubCompReason, PubCompRef, PubRecReason,
    PubRecRef,
};

use crate::Ticket;

/// What kind of packet answers, with the reason where it is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    PubAck(PubAckReason),
    PubRec(PubRecReason),
    PubComp(PubCompReason),
    SubAck,
    UnsubAck,
}

impl Reply {
    /// Whether writing it gives the peer one of its Receive Maximum back.
    /// // v5 [MQTT-4.9.0-2]
    const fn ends_delivery(self) -> bool {
        match self {
            Self::PubAck(_) | Self::PubComp(_) => true,
            Self::PubRec(reason) => reason.is_error(),
            Self::SubAck | Self::UnsubAck => false,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Wait {
    Ticket(Ticket),
    Decision,
}

#[derive(Clone, Debug)]
struct Entry {
    wait: Wait,
    id: PacketId,
    reply: Reply,
    /// The packet as bytes, where it is more than id and reason; else empty.
    encoded: Vec<u8>,
}

/// The FIFO.
#[derive(Clone, Debug)]
pub(crate) struct Answers {
    entries: VecDeque<Entry>,
}

impl Answers {
    pub(crate) const fn new() -> Self {
        Self {
            entries: VecDeque::new(),
        }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn clear(&mut self) {
        self.entries = VecDeque::new();
    }

    /// An answer that the application has to decide on.
    #[inline]
    pub(crate) fn push_undecided(&mut self, id: PacketId, reply: Reply) {
        self.entries.push_back(Entry {
            wait: Wait::Decision,
            id,
            reply,
            encoded: Vec::new(),
        });
    }

    /// An answer that is decided.
    #[inline]
    pub(crate) fn push(&mut self, id: PacketId, reply: Reply, ticket: Ticket, encoded: Vec<u8>) {
        self.entries.push_back(Entry {
            wait: Wait::Ticket(ticket),
            id,
            reply,
            encoded,
        });
    }

    /// Whether an answer with this id is owed.
    pub(crate) fn contains(&self, id: PacketId) -> bool {
        self.entries.iter().any(|entry| entry.id == id)
    }

    /// The oldest undecided answer with this id that `is_meant`: where it is, and what it answers.
    #[inline]
    pub(crate) fn undecided(
        &self,
        id: PacketId,
        is_meant: impl Fn(Reply) -> bool,
    ) -> Option<(usize, Reply)> {
        let is_it =
            |entry: &Entry| entry.id == id && entry.wait == Wait::Decision && is_meant(entry.reply);
        // Most often the application decides at once: only the last entry is undecided.
        let last = self.entries.len().checked_sub(1)?;
        let second_to_last = last.checked_sub(1).and_then(|at| self.entries.get(at));
        let only_last_undecided = second_to_last.is_none_or(|entry| entry.wait != Wait::Decision)
            && !self.waits_for_decision();
        let position = if last == 0 || only_last_undecided {
            self.entries
                .back()
                .filter(|entry| is_it(entry))
                .map(|_| last)
        } else {
            None
        };
        let position = position.or_else(|| self.entries.iter().position(is_it))?;
        self.entries
            .get(position)
            .map(|entry| (position, entry.reply))
    }

    /// The application has decided.
    #[inline]
    pub(crate) fn decide(
        &mut self,
        position: usize,
        reply: Reply,
        ticket: Ticket,
        encoded: Vec<u8>,
    ) {
        if let Some(entry) = self.entries.get_mut(position) {
            entry.wait = Wait::Ticket(ticket);
            entry.reply = reply;
            entry.encoded = encoded;
        }
    }

    /// Whether the oldest answer waits for the application.
    #[inline]
    pub(crate) fn waits_for_decision(&self) -> bool {
        self.entries
            .front()
            .is_some_and(|entry| entry.wait == Wait::Decision)
    }

    /// The ticket that the oldest answer waits for.
    #[inline]
    pub(crate) fn awaited(&self) -> Option<Ticket> {
        match self.entries.front()?.wait {
            Wait::Ticket(ticket) => Some(ticket),
            Wait::Decision => None,
        }
    }

    /// Writes all answers up to the first that has to wait. Returns how many of them ended a
    /// delivery of the peer.
    #[inline]
    pub(crate) fn release(
        &mut self,
        committed: Ticket,
        version: ProtocolVersion,
        out: &mut BytesMut,
    ) -> u16 {
        let mut ended: u16 = 0;
        let mut last = None;
        while let Some(entry) = self.entries.pop_front_if(|entry| {
            entry.wait <= Wait::Ticket(committed)
                || (planted!(AckBeforeCommit) && matches!(entry.wait, Wait::Ticket(_)))
        }) {
            ended = ended.saturating_add(u16::from(entry.reply.ends_delivery()));
            last = Some(entry.reply);
            if entry.encoded.is_empty() {
                write_plain(entry.id, entry.reply, version, out);
            } else {
                out.extend_from_slice(&entry.encoded);
            }
        }
        // The memory of a burst goes back; so does that of a SUBACK, behind which many clients only listen.
        if self.entries.is_empty()
            && (self.entries.capacity() > 64 || matches!(last, Some(Reply::SubAck)))
        {
            self.clear();
        }
        ended
    }
}

/// Writes an answer that is only id and reason. 3.x knows no reason. // v311 [MQTT-3.3.5-2]
#[inline]
pub(crate) fn write_plain(
    id: PacketId,
    reply: Reply,
    version: ProtocolVersion,
    out: &mut BytesMut,
) {
    let v5 = version.is_v5();
    let written = match reply {
        Reply::PubAck(reason) => PubAckRef {
            reason: if v5 { reason } else { PubAckReason::Success },
            ..PubAckRef::success(id)
        }
        .encode(version, out),
        Reply::PubRec(reason) => PubRecRef {
            reason: if v5 { reason } else { PubRecReason::Success },
            ..PubRecRef::success(id)
        }
        .encode(version, out),
        Reply::PubComp(reason) => PubCompRef {
            reason: if v5 { reason } else { PubCompReason::Success },
            ..PubCompRef::success(id)
        }
        .encode(version, out),
        // These two always come encoded.
        Reply::SubAck | Reply::UnsubAck => Ok(()),
    };
    debug_assert!(
        written.is_ok(),
        "an answer without properties fits any version"
    );
}
