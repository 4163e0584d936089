//! The lazy timer wheel of one shard.
//!
//! ```text
//!   tick:      0     1     2            511
//!          [ .. ][ s4 ][ .. ]  ....  [ c9 ]      512 buckets of 250 ms: 128 s once around
//! ```
//!
//! An entry is the name of something that has a deadline, never the deadline itself: when its
//! bucket comes up, the owner compares its own deadline with the clock and either acts or is put
//! back. So a deadline that moves away (keep alive, with every packet) costs nothing, and an idle
//! connection costs one entry. Deadlines beyond the wheel are put into its last bucket and looked
//! at again when it comes up.

use whinchat_session::Instant;

const TICK_MS: u64 = 250;
const BUCKETS: u64 = 512;

/// Something with a deadline, by its index in the shard's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timed {
    /// A connection: handshake, keep alive, stalled output, closing.
    Slot(u32),
    /// A session: its expiry, its delayed will.
    Session(u32),
}

/// The tick at which something is in the wheel; kept by its owner, so that it is there only once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scheduled(Option<u64>);

impl Scheduled {
    /// Called when an entry has come up: true if it is the one that counts, and not one of an earlier
    /// deadline, or of who had the place before. Those must not be put back, or they never end.
    pub(crate) fn take_due(&mut self, wheel: &TimerWheel) -> bool {
        let is_due = self.0.is_some_and(|tick| tick < wheel.next);
        if is_due {
            self.0 = None;
        }
        is_due
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct TimerWheel {
    buckets: Vec<Vec<Timed>>,
    /// The first tick that has not come up.
    next: u64,
}

impl TimerWheel {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            buckets: (0..BUCKETS).map(|_| Vec::new()).collect(),
            next: now.as_millis() / TICK_MS,
        }
    }

    /// Makes sure that `what` comes up no later than one tick after `deadline`.
    pub(crate) fn schedule(&mut self, what: Timed, at: &mut Scheduled, deadline: Instant) {
        let tick = (deadline.as_millis() / TICK_MS + 1).clamp(self.next, self.next + BUCKETS - 1);
        if at
            .0
            .is_some_and(|scheduled| scheduled >= self.next && scheduled <= tick)
        {
            return;
        }
        at.0 = Some(tick);
        self.bucket(tick).push(what);
    }

    /// Takes out everything whose tick has come by `now`.
    pub(crate) fn take_due(&mut self, now: Instant, due: &mut Vec<Timed>) {
        let last = now.as_millis() / TICK_MS;
        if last >= self.next + BUCKETS {
            // The clock jumped a whole round: everything comes up, in no particular order.
            for bucket in &mut self.buckets {
                due.append(bucket);
            }
        } else {
            for tick in self.next..=last {
                let bucket = self.bucket(tick);
                due.append(bucket);
                if bucket.capacity() > 1024 {
                    *bucket = Vec::new();
                }
            }
        }
        self.next = self.next.max(last + 1);
    }

    fn bucket(&mut self, tick: u64) -> &mut Vec<Timed> {
        let index = usize::try_from(tick % BUCKETS).expect("below the number of buckets");
        &mut self.buckets[index]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(wheel: &mut TimerWheel, at: u64) -> Vec<Timed> {
        let mut out = Vec::new();
        wheel.take_due(Instant::from_millis(at), &mut out);
        out
    }

    #[test]
    fn an_entry_comes_up_within_a_tick_of_its_deadline() {
        let mut wheel = TimerWheel::new(Instant::from_millis(0));
        let mut at = Scheduled::default();
        wheel.schedule(Timed::Slot(1), &mut at, Instant::from_millis(1000));
        assert_eq!(due(&mut wheel, 999), []);
        assert_eq!(due(&mut wheel, 1250), [Timed::Slot(1)]);
    }

    #[test]
    fn a_later_deadline_does_not_add_a_second_entry_and_an_earlier_one_does() {
        let mut wheel = TimerWheel::new(Instant::from_millis(0));
        let mut at = Scheduled::default();
        wheel.schedule(Timed::Session(3), &mut at, Instant::from_millis(5000));
        wheel.schedule(Timed::Session(3), &mut at, Instant::from_millis(9000));
        wheel.schedule(Timed::Session(3), &mut at, Instant::from_millis(1000));
        assert_eq!(due(&mut wheel, 1250), [Timed::Session(3)]);
        assert_eq!(due(&mut wheel, 60_000), [Timed::Session(3)]);
    }

    #[test]
    fn an_entry_that_was_overtaken_does_not_count() {
        let mut wheel = TimerWheel::new(Instant::from_millis(0));
        let mut at = Scheduled::default();
        wheel.schedule(Timed::Slot(1), &mut at, Instant::from_millis(5000));
        wheel.schedule(Timed::Slot(1), &mut at, Instant::from_millis(1000));
        assert_eq!(due(&mut wheel, 1250), [Timed::Slot(1)]);
        assert!(at.take_due(&wheel));
        wheel.schedule(Timed::Slot(1), &mut at, Instant::from_millis(9000));
        assert_eq!(due(&mut wheel, 5250), [Timed::Slot(1)]);
        assert!(!at.take_due(&wheel), "that was the first one");
        assert_eq!(due(&mut wheel, 9250), [Timed::Slot(1)]);
        assert!(at.take_due(&wheel));
    }

    #[test]
    fn a_deadline_beyond_the_wheel_and_a_clock_that_jumps() {
        let mut wheel = TimerWheel::new(Instant::from_millis(7_000));
        let mut at = Scheduled::default();
        wheel.schedule(Timed::Slot(9), &mut at, Instant::from_millis(10_000_000));
        assert_eq!(due(&mut wheel, 7_000 + 127 * 1000), []);
        assert_eq!(due(&mut wheel, 100_000_000), [Timed::Slot(9)]);
        wheel.schedule(Timed::Slot(9), &mut at, Instant::from_millis(100_000_500));
        assert_eq!(due(&mut wheel, 100_001_000), [Timed::Slot(9)]);
    }
}
