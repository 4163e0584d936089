//! The clock that messages are stamped with.

use rustix::time::{ClockId, clock_gettime};

pub(super) const NS_PER_S: u64 = 1_000_000_000;

/// Nanoseconds on the system's monotonic clock. Its readings can be compared across the threads of this machine.
#[inline]
pub(super) fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.cast_unsigned() * NS_PER_S + now.tv_nsec.cast_unsigned()
}
