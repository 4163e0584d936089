//! When the load has fallen, what it left free in the heap goes back to the system.
//!
//! The allocator keeps it for the next load: a broker that served a burst in the morning would look as large all day
//! ([0015](https://github.com/whinchat/whinchat/blob/main/docs/decisions/0015-memory-given-back.md)). While the load lasts nothing is given back, since it would be taken again at once.

use std::{convert::Infallible, time::Duration};

use tokio::time::{MissedTickBehavior, interval};
use whinchat_broker::{BrokerHandle, metrics::Metrics};

const BETWEEN_LOOKS: Duration = Duration::from_secs(10);

/// A load has fallen when it is at most this part of its peak.
const FALLEN_TO_ONE_IN: u64 = 4;

/// Growth that is not worth a walk through the heaps.
const GROWTH_BYTES_MIN: u64 = 512 << 10;

/// Looks now and then, for as long as it is polled.
pub(super) async fn watch(broker: BrokerHandle) -> Infallible {
    let mut looks = interval(BETWEEN_LOOKS);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let metrics = broker.metrics();
    let mut before = packets(metrics);
    let mut peaks = Peaks::default();
    loop {
        looks.tick().await;
        let now = packets(metrics);
        let load = Load {
            packets: now.wrapping_sub(before),
            connections: metrics.sum_gauge(|shard| shard.connections.value()),
        };
        before = now;
        let Some(bytes) = Metrics::resident_memory_bytes() else {
            continue;
        };
        if peaks.have_passed(load, bytes) {
            let gave = whinchat_heap::give_back();
            let left = Metrics::resident_memory_bytes().unwrap_or(bytes);
            peaks.begin_again(load, left);
            tracing::debug!(
                bytes,
                left,
                gave,
                "the load has fallen: free memory given back"
            );
        }
    }
}

fn packets(metrics: &Metrics) -> u64 {
    metrics.sum(|shard| {
        shard
            .packets_received
            .total()
            .wrapping_add(shard.packets_sent.total())
    })
}

/// What the broker had to do between two looks.
#[derive(Clone, Copy, Debug, Default)]
struct Load {
    packets: u64,
    connections: u64,
}

/// The most since memory was given back last.
#[derive(Debug, Default)]
struct Peaks {
    load: Load,
    /// What was resident then.
    bytes: u64,
}

impl Peaks {
    /// Whether this load is a fraction of the peak and the process has grown.
    fn have_passed(&mut self, now: Load, bytes: u64) -> bool {
        let peak = &mut self.load;
        peak.packets = peak.packets.max(now.packets);
        peak.connections = peak.connections.max(now.connections);
        let has_fallen = now.packets < peak.packets.div_ceil(FALLEN_TO_ONE_IN)
            || now.connections < peak.connections.div_ceil(FALLEN_TO_ONE_IN);
        has_fallen && bytes >= self.bytes.saturating_add(GROWTH_BYTES_MIN)
    }

    fn begin_again(&mut self, load: Load, bytes: u64) {
        *self = Self { load, bytes };
    }
}

#[cfg(test)]
mod tests {
    use super::{Load, Peaks};

    fn messages(packets: u64) -> Load {
        Load {
            packets,
            connections: 10,
        }
    }

    #[test]
    fn nothing_is_given_back_while_the_load_lasts() {
        let mut peaks = Peaks::default();
        for (packets, bytes) in [
            (0, 8 << 20),
            (1_000, 90 << 20),
            (400, 90 << 20),
            (250, 90 << 20),
        ] {
            assert!(!peaks.have_passed(messages(packets), bytes), "{packets}");
        }
    }

    #[test]
    fn what_a_load_left_is_given_back_once() {
        let mut peaks = Peaks::default();
        assert!(!peaks.have_passed(messages(1_000), 90 << 20));
        assert!(peaks.have_passed(messages(249), 90 << 20));
        peaks.begin_again(messages(249), 9 << 20);
        assert!(!peaks.have_passed(messages(10), 9 << 20));
        assert!(!peaks.have_passed(messages(0), (9 << 20) + (511 << 10)));
        assert!(peaks.have_passed(messages(0), (9 << 20) + (512 << 10)));
    }

    #[test]
    fn connections_that_left_are_a_load_that_has_fallen() {
        let with = |connections| Load {
            packets: 100,
            connections,
        };
        let mut peaks = Peaks::default();
        assert!(!peaks.have_passed(with(18_000), 40 << 20));
        assert!(!peaks.have_passed(with(4_500), 40 << 20));
        assert!(peaks.have_passed(with(4_499), 40 << 20));
    }
}
