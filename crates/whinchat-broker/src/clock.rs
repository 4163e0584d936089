//! The broker's clock: the machine's, or one that a test pushes.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use parking_lot::Mutex;
use whinchat_session::{Instant, WallTime};

/// Where the broker gets the time from.
///
/// ```
/// use std::time::Duration;
/// use whinchat_broker::Clock;
///
/// let (clock, hand) = Clock::manual();
/// hand.advance(Duration::from_secs(3600)); // an hour of keep alives, in no time
/// # drop(clock);
/// ```
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System {
        origin: std::time::Instant,
        /// What the wall clock said at the origin. Steps that it takes later change nothing.
        began: WallTime,
    },
    Manual(Arc<Hand>),
}

/// Moves a manual clock.
#[derive(Clone, Debug)]
pub struct ClockHand(Arc<Hand>);

#[derive(Default)]
struct Hand {
    millis: AtomicU64,
    on_move: Mutex<Vec<Box<dyn Fn() + Send + Sync>>>,
}

impl std::fmt::Debug for Hand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hand")
            .field("millis", &self.millis)
            .finish_non_exhaustive()
    }
}

impl Clock {
    /// The machine's monotonic clock, from 0 on.
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System {
            origin: std::time::Instant::now(),
            began: std::time::SystemTime::now().into(),
        })
    }

    /// A clock that stands at 0 until its hand is moved.
    #[must_use]
    pub fn manual() -> (Self, ClockHand) {
        let hand = Arc::new(Hand::default());
        (Self(Source::Manual(Arc::clone(&hand))), ClockHand(hand))
    }

    /// The time, in milliseconds since this clock began.
    #[must_use]
    pub fn now(&self) -> Instant {
        Instant::from_millis(match &self.0 {
            Source::System { origin, .. } => {
                u64::try_from(origin.elapsed().as_millis()).unwrap_or(u64::MAX)
            }
            Source::Manual(hand) => hand.millis.load(Ordering::SeqCst),
        })
    }

    /// What `at` is on the wall: for what outlives the process. A manual clock began on 9 September 2001.
    pub(crate) fn wall(&self, at: Instant) -> WallTime {
        WallTime::of(at, Instant::ORIGIN, self.began())
    }

    /// When it is `at` on the wall; what lies before this clock began is its beginning.
    pub(crate) fn instant(&self, at: WallTime) -> Instant {
        at.to_instant(Instant::ORIGIN, self.began())
    }

    fn began(&self) -> WallTime {
        match &self.0 {
            Source::System { began, .. } => *began,
            Source::Manual(_) => MANUAL_BEGAN,
        }
    }

    /// Calls `wake` whenever a manual clock moves; a system clock moves by itself.
    pub(crate) fn on_move(&self, wake: impl Fn() + Send + Sync + 'static) {
        if let Source::Manual(hand) = &self.0 {
            hand.on_move.lock().push(Box::new(wake));
        }
    }
}

/// Any time will do that has others before it.
const MANUAL_BEGAN: WallTime = WallTime::from_millis(1_000_000_000_000);

impl Default for Clock {
    fn default() -> Self {
        Self::system()
    }
}

impl ClockHand {
    /// Moves the clock forward, in whole milliseconds; the broker acts on what has become due.
    pub fn advance(&self, by: std::time::Duration) {
        let millis = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.0.millis.fetch_add(millis, Ordering::SeqCst);
        for wake in &*self.0.on_move.lock() {
            wake();
        }
    }
}
