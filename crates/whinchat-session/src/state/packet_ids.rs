//! Free and used packet ids; nothing else.
//!
//! Read first: MQTT 5.0 section 2.2.1.

use alloc::vec;

use whinchat_codec::PacketId;

/// Hands out packet ids in rising order, from 65,535 back to 1, and never one that is in use.
///
/// ```text
///            next                 first used one ahead
///              v                          v
///   u u u u u  f  f  f  f  f  f  f  f  f  u u
///              <-------- run ------------->
/// ```
/// Who uses which id is known to the caller alone. It is asked once per run of free ids, so that
/// an id costs an increment as long as old ones are given back in time, however many of them
/// are stuck.
#[derive(Clone, Debug)]
pub(crate) struct PacketIds {
    /// The id at which the run starts.
    next: u16,
    /// How many ids from `next` on are known to be free.
    run: u16,
}

impl PacketIds {
    /// All ids are free, 1 is the first.
    pub(crate) const fn new() -> Self {
        Self {
            next: 1,
            run: u16::MAX,
        }
    }

    /// The allocator that goes on behind `last`; it asks for the used ids at once.
    pub(crate) const fn behind(last: u16) -> Self {
        Self {
            next: after(last),
            run: 0,
        }
    }

    /// The id that was handed out last; 0 before the first.
    pub(crate) const fn last(&self) -> u16 {
        if self.next == 1 && self.run == u16::MAX {
            0
        } else if self.next == 1 {
            u16::MAX
        } else {
            self.next - 1
        }
    }

    /// An id that is not among `used`; `None` if all are. // v5 [MQTT-2.2.1-3] [MQTT-2.2.1-4]
    #[inline]
    pub(crate) fn allocate<I>(&mut self, used: impl FnOnce() -> I) -> Option<PacketId>
    where
        I: Iterator<Item = PacketId>,
    {
        if self.run == 0 {
            self.find_run(used());
        }
        self.run = self.run.checked_sub(1)?;
        let id = PacketId::new(self.next);
        self.next = after(self.next);
        id
    }

    /// Moves to the next run of free ids.
    #[cold]
    fn find_run(&mut self, used: impl Iterator<Item = PacketId>) {
        const WORDS: usize = 65_536 / 64;
        let mut taken = vec![0_u64; WORDS];
        for id in used {
            if let Some(word) = taken.get_mut(usize::from(id.get() / 64)) {
                *word |= 1 << (id.get() % 64);
            }
        }
        let is_free = |id: u16| {
            taken
                .get(usize::from(id / 64))
                .is_some_and(|word| word & (1 << (id % 64)) == 0)
        };
        let mut candidate = self.next;
        let mut skipped = 0;
        while !is_free(candidate) {
            candidate = after(candidate);
            skipped += 1;
            if skipped == u16::MAX {
                return;
            }
        }
        self.next = candidate;
        while self.run < u16::MAX - skipped && is_free(candidate) {
            self.run += 1;
            candidate = after(candidate);
        }
    }
}

/// The id behind `id`; 0 is skipped.
#[inline]
const fn after(id: u16) -> u16 {
    if id == u16::MAX { 1 } else { id + 1 }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;
    use alloc::vec::Vec;

    use super::*;

    fn ids(numbers: &[u16]) -> BTreeSet<PacketId> {
        numbers.iter().filter_map(|id| PacketId::new(*id)).collect()
    }

    #[test]
    fn first_is_one_and_the_last_is_followed_by_one() {
        let mut packet_ids = PacketIds::new();
        assert_eq!(packet_ids.last(), 0);
        let all: Vec<u16> = (0..65_535)
            .map(|_| packet_ids.allocate(core::iter::empty).unwrap().get())
            .collect();
        assert_eq!(all.first(), Some(&1));
        assert_eq!(all.last(), Some(&65_535));
        assert_eq!(packet_ids.last(), 65_535);
        assert_eq!(packet_ids.allocate(core::iter::empty), PacketId::new(1));
    }

    #[test]
    fn stuck_ids_are_skipped_in_a_million_allocations() {
        let stuck = ids(&[1, 2, 77, 78, 79, 65_534, 65_535]);
        let mut packet_ids = PacketIds::behind(0);
        let mut counts = vec![0_u32; 65_536];
        for _ in 0..1_000_000 {
            let id = packet_ids.allocate(|| stuck.iter().copied()).unwrap();
            assert!(!stuck.contains(&id), "{id} is in use");
            counts[usize::from(id.get())] += 1;
        }
        let free = counts.iter().filter(|count| **count > 0).count();
        assert_eq!(free, 65_535 - stuck.len());
        assert!(counts.iter().max().unwrap() - 1 <= 1_000_000 / 65_528);
    }

    #[test]
    fn waits_when_all_ids_are_in_use_and_takes_the_one_given_back() {
        let all = || (1..=u16::MAX).filter_map(PacketId::new);
        let mut packet_ids = PacketIds::behind(40);
        assert_eq!(packet_ids.allocate(all), None);
        assert_eq!(packet_ids.allocate(all), None);
        let but_7 = || all().filter(|id| id.get() != 7);
        assert_eq!(packet_ids.allocate(but_7), PacketId::new(7));
        assert_eq!(packet_ids.allocate(all), None);
    }
}
