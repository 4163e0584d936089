//! A clock that stands still until it is pushed.

use core::time::Duration;

use whinchat_session::Instant;

/// Test time, from 0 on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock(Instant);

impl Clock {
    /// A clock at 0.
    pub fn new() -> Self {
        Self::default()
    }

    /// What it shows.
    pub const fn now(&self) -> Instant {
        self.0
    }

    /// Pushes it on.
    pub fn advance(&mut self, by: Duration) {
        self.0 = self.0.saturating_add(by);
    }

    /// Pushes it on to `moment`, unless it is there already.
    pub fn advance_to(&mut self, moment: Instant) {
        self.0 = self.0.max(moment);
    }
}
