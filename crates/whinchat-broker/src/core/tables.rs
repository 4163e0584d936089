//! Tables that give back what a crowd left.
//!
//! A place in a table is an index that others hold, so nothing is moved: the free places at the end go, when most of a table is free.

use slab::Slab;

/// A table of fewer places stays as it is.
const PLACES_MIN: usize = 1024;

/// A table is shrunk when at most this part of it is taken.
const TAKEN_ONE_IN: usize = 4;

/// Whether so many taken of so many places are few.
pub(crate) fn is_sparse(taken: usize, places: usize) -> bool {
    places > PLACES_MIN && taken <= places / TAKEN_ONE_IN
}

/// Costs a walk over the table if it was sparse and its end is free.
pub(crate) fn shrink<T>(table: &mut Slab<T>) {
    if is_sparse(table.len(), table.capacity()) {
        table.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use slab::Slab;

    use super::shrink;

    fn filled(places: usize) -> Slab<usize> {
        (0..places).map(|place| (place, place)).collect()
    }

    #[test]
    fn a_table_that_a_crowd_left_is_small_again_and_its_indexes_hold() {
        let mut table = filled(100_000);
        table.retain(|place, _| place == 3 || place == 900);
        shrink(&mut table);
        assert!(table.capacity() < 1_024, "{}", table.capacity());
        assert_eq!((table[3], table[900]), (3, 900));
    }

    #[test]
    fn a_table_that_is_used_stays_as_it_is() {
        let mut table = filled(4_096);
        table.retain(|place, _| place < 1_025);
        let places = table.capacity();
        shrink(&mut table);
        assert_eq!(table.capacity(), places);
    }
}
