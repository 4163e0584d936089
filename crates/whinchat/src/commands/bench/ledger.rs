//! What one subscriber has received, message by message: exact counts of losses, duplicates and reordering.
//!
//! While all is in order a publisher costs one number. Each gap adds a range that shrinks as its messages arrive late.

use std::ops::Range;

/// How a message fits what came before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// The next one, or one after a gap.
    New,
    /// One that a later message had overtaken.
    Late,
    /// One that was here before.
    Duplicate,
    /// From no publisher that this subscriber listens to.
    Foreign,
}

/// The messages of the publishers in one range of numbers.
#[derive(Debug)]
pub(super) struct Ledger {
    first_publisher: u32,
    streams: Vec<Stream>,
}

/// The messages of one publisher.
#[derive(Clone, Debug, Default)]
struct Stream {
    /// One more than the highest sequence number seen.
    next: u64,
    /// What is missing below `next`: ascending, apart, none empty.
    gaps: Vec<Range<u64>>,
}

impl Ledger {
    pub(super) fn new(publishers: Range<u32>) -> Self {
        let streams = publishers.clone().map(|_| Stream::default()).collect();
        Self {
            first_publisher: publishers.start,
            streams,
        }
    }

    #[inline]
    pub(super) fn enter(&mut self, publisher: u32, sequence: u32) -> Arrival {
        let stream = publisher
            .checked_sub(self.first_publisher)
            .and_then(|index| self.streams.get_mut(index as usize));
        match stream {
            Some(stream) => stream.enter(sequence.into()),
            None => Arrival::Foreign,
        }
    }

    /// How many messages have not come, if each publisher has sent as many as `sent` says.
    pub(super) fn missing(&self, sent: impl Fn(u32) -> u64) -> u64 {
        let publishers = self.first_publisher..;
        publishers
            .zip(&self.streams)
            .map(|(publisher, stream)| stream.missing(sent(publisher)))
            .sum()
    }
}

impl Stream {
    #[inline]
    fn enter(&mut self, sequence: u64) -> Arrival {
        if sequence >= self.next {
            if sequence > self.next {
                self.gaps.push(self.next..sequence);
            }
            self.next = sequence + 1;
            return Arrival::New;
        }
        self.enter_late(sequence)
    }

    #[cold]
    fn enter_late(&mut self, sequence: u64) -> Arrival {
        let at = self.gaps.partition_point(|gap| gap.end <= sequence);
        let Some(gap) = self.gaps.get_mut(at).filter(|gap| gap.contains(&sequence)) else {
            return Arrival::Duplicate;
        };
        let before = gap.start..sequence;
        let after = sequence + 1..gap.end;
        self.gaps.splice(
            at..=at,
            [before, after].into_iter().filter(|part| !part.is_empty()),
        );
        Arrival::Late
    }

    fn missing(&self, sent: u64) -> u64 {
        let gaps: u64 = self.gaps.iter().map(|gap| gap.end - gap.start).sum();
        gaps + sent.saturating_sub(self.next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entered(sequences: &[u32]) -> (Ledger, Vec<Arrival>) {
        let mut ledger = Ledger::new(3..4);
        let arrivals = sequences
            .iter()
            .map(|sequence| ledger.enter(3, *sequence))
            .collect();
        (ledger, arrivals)
    }

    #[test]
    fn messages_in_order_are_new_and_none_is_missing() {
        let (ledger, arrivals) = entered(&[0, 1, 2]);
        assert_eq!(arrivals, [Arrival::New; 3]);
        assert_eq!(ledger.missing(|_| 3), 0);
    }

    #[test]
    fn what_was_sent_and_never_came_is_missing() {
        let (ledger, _) = entered(&[1, 4]);
        assert_eq!(ledger.missing(|_| 6), 4, "0, 2, 3 and 5");
        assert_eq!(Ledger::new(0..2).missing(|_| 5), 10);
    }

    #[test]
    fn an_overtaken_message_is_late_once_and_a_duplicate_afterwards() {
        let (ledger, arrivals) = entered(&[0, 5, 3, 3, 1, 4, 2, 2, 5]);
        use Arrival::{Duplicate, Late, New};
        assert_eq!(
            arrivals,
            [
                New, New, Late, Duplicate, Late, Late, Late, Duplicate, Duplicate
            ]
        );
        assert_eq!(ledger.missing(|_| 6), 0);
    }

    /// The same with a set of all that has come.
    #[test]
    fn any_order_is_counted_as_by_a_plain_set() {
        for seed in 0..200 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut ledger = Ledger::new(0..1);
            let mut seen = std::collections::BTreeSet::new();
            for _ in 0..300 {
                let sequence = random.u32(..100);
                let expected = match seen.last() {
                    _ if seen.contains(&sequence) => Arrival::Duplicate,
                    Some(last) if sequence < *last => Arrival::Late,
                    Some(_) | None => Arrival::New,
                };
                seen.insert(sequence);
                assert_eq!(
                    ledger.enter(0, sequence),
                    expected,
                    "seed {seed}, {sequence}"
                );
                assert_eq!(
                    ledger.missing(|_| 100),
                    100 - seen.len() as u64,
                    "seed {seed}"
                );
            }
        }
    }

    #[test]
    fn other_publishers_are_foreign() {
        let mut ledger = Ledger::new(3..5);
        assert_eq!(ledger.enter(2, 0), Arrival::Foreign);
        assert_eq!(ledger.enter(5, 0), Arrival::Foreign);
        assert_eq!(ledger.enter(4, 0), Arrival::New);
    }
}
