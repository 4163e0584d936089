//! Time as the engine sees it: a number that the driver passes in.
//!
//! Owns the two newtypes and their arithmetic. Nothing in this crate reads a clock.

use core::time::Duration;

/// A moment: whole milliseconds since an origin that the driver chose once.
///
/// Only differences mean anything. A driver takes its monotonic clock's start as the origin, a
/// test takes 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The origin itself.
    pub const ORIGIN: Self = Self(0);

    /// The moment `millis` milliseconds after the origin.
    #[inline]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the origin.
    #[inline]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The moment `duration` later; stops at the last one there is.
    #[inline]
    #[must_use]
    pub const fn saturating_add(self, duration: Duration) -> Self {
        // A duration of more milliseconds than fit is longer than all time this type has.
        let millis = duration.as_millis();
        if millis > u64::MAX as u128 {
            Self(u64::MAX)
        } else {
            Self(self.0.saturating_add(millis as u64))
        }
    }

    /// The moment `millis` milliseconds later; stops at the last one there is.
    #[inline]
    #[must_use]
    pub const fn saturating_add_millis(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// The time from `earlier` to this moment; zero if `earlier` is later.
    #[inline]
    #[must_use]
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// The moment of `now`, when `origin` is what this driver counts from.
    #[cfg(feature = "std")]
    #[must_use]
    pub fn from_std(now: std::time::Instant, origin: std::time::Instant) -> Self {
        let millis = now.saturating_duration_since(origin).as_millis();
        Self(u64::try_from(millis).unwrap_or(u64::MAX))
    }

    /// The same moment on the clock whose `origin` this driver counts from; `None` if that clock
    /// cannot represent it.
    #[cfg(feature = "std")]
    #[must_use]
    pub fn to_std(self, origin: std::time::Instant) -> Option<std::time::Instant> {
        origin.checked_add(Duration::from_millis(self.0))
    }
}

/// A moment that outlives the process: whole milliseconds since 1 January 1970, UTC.
///
/// What is kept across a restart (the end of a session, the expiry of a message) is a wall time,
/// since an [`Instant`] means nothing to another process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WallTime(u64);

impl WallTime {
    /// The moment `millis` milliseconds after the epoch.
    #[inline]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the epoch.
    #[inline]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// What an `instant` is on the wall, given one pair of readings of both clocks.
    #[inline]
    #[must_use]
    pub const fn of(instant: Instant, now: Instant, wall_now: Self) -> Self {
        if instant.0 >= now.0 {
            Self(wall_now.0.saturating_add(instant.0 - now.0))
        } else {
            Self(wall_now.0.saturating_sub(now.0 - instant.0))
        }
    }

    /// The instant of this wall time, given one pair of readings of both clocks. A time before
    /// the driver's origin becomes the origin.
    #[inline]
    #[must_use]
    pub const fn to_instant(self, now: Instant, wall_now: Self) -> Instant {
        if self.0 >= wall_now.0 {
            Instant(now.0.saturating_add(self.0 - wall_now.0))
        } else {
            Instant(now.0.saturating_sub(wall_now.0 - self.0))
        }
    }
}

#[cfg(feature = "std")]
impl From<std::time::SystemTime> for WallTime {
    /// A time before the epoch becomes the epoch.
    fn from(time: std::time::SystemTime) -> Self {
        let millis = time
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| since.as_millis());
        Self(u64::try_from(millis).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_stops_at_both_ends() {
        let last = Instant::from_millis(u64::MAX);
        assert_eq!(last.saturating_add(Duration::MAX), last);
        assert_eq!(Instant::ORIGIN.saturating_add(Duration::MAX), last);
        assert_eq!(Instant::ORIGIN.saturating_since(last), Duration::ZERO);
    }

    #[test]
    fn a_wall_time_and_its_instant_convert_both_ways() {
        let (now, wall) = (Instant::from_millis(500), WallTime::from_millis(10_000));
        for millis in [0, 499, 500, 501, 9_000] {
            let instant = Instant::from_millis(millis);
            assert_eq!(
                WallTime::of(instant, now, wall).to_instant(now, wall),
                instant
            );
        }
    }
}
