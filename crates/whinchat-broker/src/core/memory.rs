//! L-20: what the process holds in RAM, looked at the more often the nearer it is to its cap, and what is refused as it nears its cap and above it.
//!
//! | above | | what happens |
//! | --- | --- | --- |
//! | two thirds | a reader whose socket is full | has 64 KiB of unsent bytes in place of L-11: QoS 0 beyond is dropped, QoS 1 and 2 wait in the session's queue, which shares payloads |
//! | | PUBLISH at QoS 1 and 2 that a session is to get which has a long queue | answered with 0x97, 3.x: closed without an ack |
//! | the cap | CONNECT | refused with 0x97; 3.x: server unavailable |
//! | | QoS 0 to a reader whose socket is full | dropped |
//! | | a retained message | delivered and not kept; 0x97 in its ack |
//! | | PUBLISH at QoS 1 and 2, whoever is to get it | as above |
//!
//! Who reads nothing pays first, so that those who behave are not refused for it (I-9). What is there goes on to be delivered, so that there is room again. The first shard looks; the
//! others read a flag at the start of their turns.

use std::{
    sync::atomic::{AtomicU8, AtomicUsize, Ordering},
    time::Duration,
};

use whinchat_session::Instant;

use crate::{limits::Limit, metrics::resident_bytes, shard::Shard};

const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

/// A look takes some 30 us.
const BETWEEN_LOOKS_MIN: Duration = Duration::from_millis(10);

/// Readers that stop can take two gigabytes in a second; twice that.
const GROWTH_BYTES_PER_NANOSECOND: u64 = 4;

/// L-11 where memory is tight.
const TIGHT_UNSENT_BYTES: usize = 64 << 10;

/// How near the process is to its cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Pressure {
    None,
    /// Above two thirds of it.
    Tight,
    /// Above it.
    Full,
}

impl Pressure {
    /// What it is with so many bytes of so many. To fall back, a twentieth has to be free below the line.
    fn of(bytes: u64, most: u64, was: Self) -> Self {
        let is_above =
            |level: Self, line: u64| bytes > if was >= level { line - most / 20 } else { line };
        if is_above(Self::Full, most) {
            Self::Full
        } else if is_above(Self::Tight, most / 3 * 2) {
            Self::Tight
        } else {
            Self::None
        }
    }
}

/// The sooner, the sooner the cap could be reached.
fn until_next_look(bytes: u64, most: u64) -> Duration {
    let nanoseconds = most.saturating_sub(bytes) / GROWTH_BYTES_PER_NANOSECOND;
    Duration::from_nanos(nanoseconds).clamp(BETWEEN_LOOKS_MIN, BETWEEN_LOOKS)
}

/// What the first shard has seen, for all.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// A [`Pressure`].
    pressure: AtomicU8,
    bytes: AtomicUsize,
}

impl Memory {
    /// What the process held when it was looked at last.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    fn pressure(&self) -> Pressure {
        match self.pressure.load(Ordering::Relaxed) {
            0 => Pressure::None,
            1 => Pressure::Tight,
            _ => Pressure::Full,
        }
    }
}

/// What the first shard remembers from look to look.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    memory_due: Option<Instant>,
    due: Option<Instant>,
    /// Most of the durable sessions are used up, and that was said.
    sessions_alarmed: bool,
}

impl Shard {
    /// Called in every turn, behind the mail: new settings hold at once.
    pub(crate) fn watch_totals(&mut self) {
        let is_due = |due: Option<Instant>| due.is_none_or(|due| due <= self.now);
        let is_first = self.id.position() == 0;
        if is_first && is_due(self.watch.memory_due) {
            let wait = self.look_at_memory();
            self.watch.memory_due = Some(self.now.saturating_add(wait));
        }
        if is_first && is_due(self.watch.due) {
            self.watch.due = Some(self.now.saturating_add(BETWEEN_LOOKS));
            self.look_at_share();
            self.look_at_sessions();
        }
        let pressure = self.commons.memory.pressure();
        self.memory_is_full = pressure == Pressure::Full;
        self.memory_is_tight = pressure >= Pressure::Tight;
        self.unsent_room = if self.memory_is_tight {
            self.settings.unsent_bytes.min(TIGHT_UNSENT_BYTES)
        } else {
            self.settings.unsent_bytes
        };
    }

    /// Gives the time until the next look.
    fn look_at_memory(&self) -> Duration {
        let Some(bytes) = resident_bytes() else {
            return BETWEEN_LOOKS; // a system that does not say
        };
        let most = self.settings.limits.memory_bytes();
        let wait = until_next_look(bytes, most);
        let shown = usize::try_from(bytes).unwrap_or(usize::MAX);
        self.commons.memory.bytes.store(shown, Ordering::Relaxed);
        let was = self.commons.memory.pressure();
        let pressure = Pressure::of(bytes, most, was);
        if pressure == was {
            return wait;
        }
        let shared = &self.commons.memory.pressure;
        shared.store(pressure as u8, Ordering::Relaxed);
        let limit = Limit::MemorySize.option();
        match pressure {
            Pressure::None => tracing::info!(bytes, most, limit, "there is memory again"),
            Pressure::Tight => tracing::warn!(
                bytes,
                most,
                limit,
                "memory is tight: readers that lag have less"
            ),
            Pressure::Full => {
                tracing::warn!(bytes, most, limit, "memory is full: taking nothing new");
            }
        }
        wait
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

#[cfg(test)]
mod tests {
    use super::{
        Pressure::{self, Full, None, Tight},
        until_next_look,
    };

    #[test]
    fn it_is_looked_at_more_often_near_the_cap() {
        let millis = |free: u64| until_next_look(0, free << 20).as_millis();
        assert_eq!([millis(16 << 10), millis(256), millis(1)], [1_000, 67, 10]);
        assert_eq!(until_next_look(2, 1).as_millis(), 10);
    }

    #[test]
    fn readers_that_lag_pay_before_anything_is_refused() {
        let levels = [800, 801, 1_200, 1_201].map(|bytes| Pressure::of(bytes, 1_200, None));
        assert_eq!(levels, [None, Tight, Tight, Full]);
    }

    #[test]
    fn a_twentieth_has_to_be_free_before_it_is_as_it_was() {
        assert_eq!(Pressure::of(1_141, 1_200, Full), Full);
        assert_eq!(Pressure::of(1_140, 1_200, Full), Tight);
        assert_eq!(Pressure::of(741, 1_200, Tight), Tight);
        assert_eq!(Pressure::of(740, 1_200, Tight), None);
    }
}
