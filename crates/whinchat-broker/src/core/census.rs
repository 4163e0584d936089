//! What the sessions of a shard hold, counted a few at a time so that no turn takes long.

use crate::{core::tables, shard::Shard};

/// Sessions looked at per tick.
const SESSIONS_PER_TICK: usize = 4096;

/// A count that goes on from tick to tick; it is shown when it has been everywhere.
#[derive(Debug, Default)]
pub(crate) struct Census {
    next: usize,
    queued: usize,
    queued_bytes: usize,
    in_flight: usize,
    /// Bytes of records that the log had been given when it began.
    began_at: u64,
}

impl Shard {
    /// Called with every tick.
    pub(crate) fn continue_census(&mut self) {
        let census = &mut self.census;
        if census.next == 0 {
            census.began_at = self.commons.log.stats().bytes;
        }
        let last = census.next.saturating_add(SESSIONS_PER_TICK);
        for session in self.sessions.range(census.next..last) {
            census.queued += session.state.queue_len();
            census.queued_bytes +=
                usize::try_from(session.state.queue_bytes()).unwrap_or(usize::MAX);
            census.in_flight += session.state.in_flight();
        }
        census.next = last;
        if last >= self.sessions.places() {
            let census = std::mem::take(census);
            self.metrics.messages_queued.set(census.queued);
            self.metrics.messages_queued_bytes.set(census.queued_bytes);
            self.metrics.messages_in_flight.set(census.in_flight);
            self.commons.passes.counted(self.id, census.began_at);
            self.sessions.shrink();
            tables::shrink(&mut self.slots);
            self.buffers.drop_unused();
            self.shrink_mail();
        }
    }
}
