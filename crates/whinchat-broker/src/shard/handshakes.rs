//! Connections that have not shown who they are, by where they come from (L-17).
//!
//! When too many of them wait, the one that has waited longest among those of the busiest source makes
//! room: a flood from one place pushes itself out, and others still get in.

use std::{
    collections::{BTreeSet, VecDeque},
    net::{IpAddr, Ipv6Addr},
};

use hashbrown::HashMap;
use whinchat_transport::Peer;

use crate::core::mail::SlotKey;

/// Where connections come from: an IPv4 address, an IPv6 network of 64 bits (one household has that
/// much), or this machine without an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Source(Option<IpAddr>);

impl Source {
    pub(crate) fn of(peer: Peer) -> Self {
        const NETWORK: u128 = !0 << 64;
        Self(peer.ip().map(|ip| match ip {
            IpAddr::V4(_) => ip,
            IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & NETWORK)),
        }))
    }
}

/// The handshakes of one shard.
#[derive(Debug, Default)]
pub(crate) struct Handshakes {
    /// Oldest first.
    waiting: HashMap<Source, VecDeque<SlotKey>>,
    by_count: BTreeSet<(usize, Source)>,
}

impl Handshakes {
    pub(crate) fn begin(&mut self, source: Source, slot: SlotKey) {
        let waiting = self.waiting.entry(source).or_default();
        self.by_count.remove(&(waiting.len(), source));
        waiting.push_back(slot);
        self.by_count.insert((waiting.len(), source));
    }

    /// False if it was not one of them, or not any more.
    pub(crate) fn end(&mut self, source: Source, slot: SlotKey) -> bool {
        let Some(waiting) = self.waiting.get_mut(&source) else {
            return false;
        };
        // Whoever came first is done first, nearly always.
        let Some(place) = waiting.iter().position(|other| *other == slot) else {
            return false;
        };
        self.by_count.remove(&(waiting.len(), source));
        waiting.remove(place);
        if waiting.is_empty() {
            self.waiting.remove(&source);
        } else {
            self.by_count.insert((waiting.len(), source));
        }
        true
    }

    /// The oldest of the source with most of them.
    pub(crate) fn first_to_go(&self) -> Option<SlotKey> {
        let (_, source) = self.by_count.last()?;
        self.waiting.get(source)?.front().copied()
    }
}

/// Connects in the present second, by source; kept only where `connects_per_address` is set.
#[derive(Debug, Default)]
pub(crate) struct ConnectRates {
    second: u64,
    counts: HashMap<Source, u32>,
}

impl ConnectRates {
    /// Counts one more; false if there were `most` of them in this second.
    pub(crate) fn take(&mut self, source: Source, second: u64, most: u32) -> bool {
        if second != self.second {
            self.second = second;
            self.counts.clear();
        }
        let count = self.counts.entry(source).or_default();
        *count = count.saturating_add(1);
        *count <= most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(ip: &str) -> Source {
        Source::of(Peer::Tcp((ip.parse::<IpAddr>().unwrap(), 1).into()))
    }

    fn slot(index: u32) -> SlotKey {
        SlotKey { index, check: 1 }
    }

    #[test]
    fn the_oldest_of_the_busiest_source_goes_first() {
        let mut handshakes = Handshakes::default();
        assert_eq!(handshakes.first_to_go(), None);
        handshakes.begin(from("192.0.2.1"), slot(1));
        handshakes.begin(from("192.0.2.7"), slot(2));
        handshakes.begin(from("192.0.2.7"), slot(3));
        assert_eq!(handshakes.first_to_go(), Some(slot(2)));
        assert!(handshakes.end(from("192.0.2.7"), slot(2)));
        assert!(!handshakes.end(from("192.0.2.7"), slot(2)));
        assert!(handshakes.end(from("192.0.2.7"), slot(3)));
        assert_eq!(handshakes.first_to_go(), Some(slot(1)));
        assert!(handshakes.end(from("192.0.2.1"), slot(1)));
        assert_eq!(handshakes.first_to_go(), None);
        assert!(handshakes.waiting.is_empty());
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one_source() {
        assert_eq!(from("2001:db8::1"), from("2001:db8::ffff:1"));
        assert_ne!(from("2001:db8::1"), from("2001:db8:0:1::1"));
        assert_ne!(from("192.0.2.1"), from("192.0.2.2"));
        assert_eq!(from("::ffff:192.0.2.1"), from("192.0.2.1"));
    }

    #[test]
    fn each_second_counts_anew() {
        let mut rates = ConnectRates::default();
        let (one, other) = (from("192.0.2.1"), from("192.0.2.2"));
        assert!(rates.take(one, 5, 2) && rates.take(one, 5, 2));
        assert!(!rates.take(one, 5, 2));
        assert!(rates.take(other, 5, 2));
        assert!(rates.take(one, 6, 2));
    }
}
