//! All that happens by itself: a closed list of timers in one table.

use crate::Instant;

/// What a deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timer {
    /// CONNACK, or the end of a re-authentication.
    Handshake,
    /// Server: the client has to have sent something. Client: we have to send something.
    KeepAlive,
    /// Client: PINGRESP.
    PingResponse,
}

impl Timer {
    const ALL: [Self; 3] = [Self::Handshake, Self::KeepAlive, Self::PingResponse];
}

/// One deadline per timer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timers([Instant; Timer::ALL.len()]);

/// The deadline of a timer that does not run.
const NEVER: Instant = Instant::from_millis(u64::MAX);

#[expect(clippy::indexing_slicing, reason = "the table has one place per timer")]
impl Timers {
    pub(crate) const fn new() -> Self {
        Self([NEVER; Timer::ALL.len()])
    }

    #[inline]
    pub(crate) const fn set(&mut self, timer: Timer, deadline: Instant) {
        self.0[timer as usize] = deadline;
    }

    #[inline]
    pub(crate) const fn clear(&mut self, timer: Timer) {
        self.0[timer as usize] = NEVER;
    }

    pub(crate) const fn clear_all(&mut self) {
        *self = Self::new();
    }

    #[inline]
    pub(crate) fn is_running(&self, timer: Timer) -> bool {
        self.0[timer as usize] != NEVER
    }

    /// The next deadline.
    #[inline]
    pub(crate) fn next(&self) -> Option<Instant> {
        self.0
            .iter()
            .min()
            .copied()
            .filter(|deadline| *deadline != NEVER)
    }

    /// A timer whose deadline has passed; it does not run afterwards.
    pub(crate) fn take_expired(&mut self, now: Instant) -> Option<Timer> {
        let expired = Timer::ALL
            .into_iter()
            .find(|timer| self.is_running(*timer) && self.0[*timer as usize] <= now)?;
        self.clear(expired);
        Some(expired)
    }
}
