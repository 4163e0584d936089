//! Keeps one cause from filling the log: of one place in the code, so many lines per window are
//! written; how many were left out is said with the next one that is.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use tracing::{Level, Metadata, callsite::Identifier};

const WINDOW: Duration = Duration::from_secs(10);
/// Per place in the code and window.
const LINES_MAX: u32 = 100;

/// Lets through a bounded number of lines of each cause. Debug and trace lines are asked for and are
/// all written.
#[derive(Default)]
pub(super) struct FloodControl {
    places: Mutex<HashMap<Identifier, Place>>,
}

struct Place {
    since: Instant,
    written: u32,
    left_out: u64,
}

/// What becomes of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Write,
    /// So many were left out before it.
    WriteAfter {
        left_out: u64,
    },
    LeaveOut,
}

impl FloodControl {
    /// Decides about one line.
    pub(super) fn verdict(&self, metadata: &Metadata<'_>) -> Verdict {
        if *metadata.level() > Level::INFO {
            return Verdict::Write;
        }
        self.count(metadata.callsite(), Instant::now())
    }

    /// One more line of this place. The number of places is that of log statements in the code.
    fn count(&self, place: Identifier, now: Instant) -> Verdict {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let place = places.entry(place).or_insert(Place {
            since: now,
            written: 0,
            left_out: 0,
        });
        let mut left_out = 0;
        if now.duration_since(place.since) >= WINDOW {
            left_out = place.left_out;
            *place = Place {
                since: now,
                written: 0,
                left_out: 0,
            };
        }
        if place.written == LINES_MAX {
            place.left_out += 1;
            return Verdict::LeaveOut;
        }
        place.written += 1;
        if left_out > 0 {
            Verdict::WriteAfter { left_out }
        } else {
            Verdict::Write
        }
    }
}

#[cfg(test)]
mod tests {
    use tracing::callsite::Callsite as _;

    use super::*;

    #[test]
    fn one_cause_is_bounded_and_says_what_was_left_out() {
        let filter = FloodControl::default();
        let place =
            tracing::callsite!(name: "one", kind: tracing::metadata::Kind::EVENT, fields: message)
                .metadata()
                .callsite();
        let start = Instant::now();
        for _ in 0..LINES_MAX {
            assert_eq!(filter.count(place.clone(), start), Verdict::Write);
        }
        for _ in 0..5 {
            assert_eq!(filter.count(place.clone(), start), Verdict::LeaveOut);
        }
        assert_eq!(
            filter.count(place.clone(), start + WINDOW),
            Verdict::WriteAfter { left_out: 5 }
        );
        assert_eq!(filter.count(place, start + WINDOW), Verdict::Write);
    }

    #[test]
    fn causes_are_counted_apart() {
        let filter = FloodControl::default();
        let one =
            tracing::callsite!(name: "one", kind: tracing::metadata::Kind::EVENT, fields: message)
                .metadata()
                .callsite();
        let other = tracing::callsite!(name: "other", kind: tracing::metadata::Kind::EVENT, fields: message).metadata().callsite();
        let start = Instant::now();
        while filter.count(one.clone(), start) == Verdict::Write {}
        assert_eq!(filter.count(other, start), Verdict::Write);
    }
}
