//! L-20: what the process holds in RAM, looked at once a second, and what is refused above the cap.
//!
//! | above the cap | what happens |
//! | --- | --- |
//! | CONNECT | refused with 0x97; 3.x: server unavailable |
//! | QoS 0 to a reader whose socket is full | dropped |
//! | a retained message | delivered and not kept; 0x97 in its ack |
//! | PUBLISH at QoS 1 and 2 | answered with 0x97, 3.x: closed without an ack |
//!
//! What is there goes on to be delivered, so that there is room again. The first shard looks; the
//! others read a flag at the start of their turns.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};

use whinchat_session::Instant;

use crate::{limits::Limit, metrics::resident_bytes, shard::Shard};

const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

/// Whether the process is above its cap.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    is_full: AtomicBool,
    bytes: AtomicUsize,
}

impl Memory {
    /// What the process held when it was looked at last.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// What the first shard remembers from look to look.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    due: Option<Instant>,
    /// Most of the durable sessions are used up, and that was said.
    sessions_alarmed: bool,
}

impl Shard {
    /// Called in every turn, behind the mail: new settings hold at once.
    pub(crate) fn watch_totals(&mut self) {
        if self.id.position() == 0 && self.watch.due.is_none_or(|due| due <= self.now) {
            self.watch.due = Some(self.now.saturating_add(BETWEEN_LOOKS));
            self.look_at_memory();
            self.look_at_share();
            self.look_at_sessions();
        }
        self.memory_is_full = self.commons.memory.is_full.load(Ordering::Relaxed);
    }

    fn look_at_memory(&self) {
        let Some(bytes) = resident_bytes() else {
            return; // a system that does not say
        };
        let most = self.settings.limits.memory_bytes();
        let shown = usize::try_from(bytes).unwrap_or(usize::MAX);
        self.commons.memory.bytes.store(shown, Ordering::Relaxed);
        let was_full = self.commons.memory.is_full.load(Ordering::Relaxed);
        // Room for a twentieth has to be there before anything new is taken again.
        let is_full = bytes > if was_full { most - most / 20 } else { most };
        if is_full == was_full {
            return;
        }
        self.commons
            .memory
            .is_full
            .store(is_full, Ordering::Relaxed);
        let limit = Limit::MemorySize.option();
        if is_full {
            tracing::warn!(bytes, most, limit, "memory is full: taking nothing new");
        } else {
            tracing::info!(bytes, most, limit, "there is memory again");
        }
    }

    /// L-14: says it when four fifths of the durable sessions are used up.
    fn look_at_sessions(&mut self) {
        let sessions = self.commons.counts.durable_sessions.load(Ordering::Relaxed) as u64;
        let most = u64::from(self.settings.limits.durable_sessions);
        let is_near = sessions * 10 >= most * 8;
        if is_near && !self.watch.sessions_alarmed {
            let limit = Limit::DurableSessions.option();
            tracing::warn!(
                sessions,
                most,
                limit,
                "most of the sessions that may outlive their connections are there"
            );
        }
        self.watch.sessions_alarmed = is_near;
    }
}
