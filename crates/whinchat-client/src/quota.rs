//! How many messages of the application may be under way: counted from acceptance to the last ack.
//!
//! Who finds no room waits in line; nobody overtakes, so that a large message is not starved by small ones.
//! It is a plain value inside the outbox's lock. Wakers are handed out, to be woken after the lock is let go.

use std::{collections::VecDeque, task::Waker};

#[derive(Debug)]
pub(crate) struct Quota {
    messages_max: usize,
    bytes_max: usize,
    messages: usize,
    bytes: usize,
    line: VecDeque<Waiter>,
    next_place: u64,
}

#[derive(Debug)]
struct Waiter {
    place: u64,
    bytes: usize,
    waker: Waker,
}

/// A place in the line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Place(u64);

impl Quota {
    pub(crate) fn new(messages_max: usize, bytes_max: usize) -> Self {
        Self {
            messages_max,
            bytes_max,
            messages: 0,
            bytes: 0,
            line: VecDeque::new(),
            next_place: 0,
        }
    }

    pub(crate) fn messages_max(&self) -> usize {
        self.messages_max
    }

    pub(crate) fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    pub(crate) fn messages(&self) -> usize {
        self.messages
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.messages < self.messages_max && bytes <= self.bytes_max.saturating_sub(self.bytes)
    }

    /// Takes room for one message if there is some and nobody waits ahead of `place`.
    pub(crate) fn take(&mut self, bytes: usize, place: Option<&Place>) -> bool {
        let first_in_line = match (self.line.front(), place) {
            (None, _) => true,
            (Some(front), Some(place)) => front.place == place.0,
            (Some(_), None) => false,
        };
        let taken = first_in_line && self.has_room(bytes);
        if taken {
            self.messages += 1;
            self.bytes += bytes;
            if place.is_some() {
                self.line.pop_front();
            }
        }
        taken
    }

    /// Joins the line, or tells the line whom to wake from now on.
    pub(crate) fn wait(&mut self, bytes: usize, place: &mut Option<Place>, waker: &Waker) {
        if let Some(place) = place
            && let Some(waiter) = self.line.iter_mut().find(|waiter| waiter.place == place.0)
        {
            waiter.waker.clone_from(waker);
            return;
        }
        let number = self.next_place;
        self.next_place += 1;
        self.line.push_back(Waiter {
            place: number,
            bytes,
            waker: waker.clone(),
        });
        *place = Some(Place(number));
    }

    /// Leaves the line.
    pub(crate) fn leave(&mut self, place: &Place) {
        self.line.retain(|waiter| waiter.place != place.0);
    }

    /// Gives back the room of finished messages.
    pub(crate) fn give_back(&mut self, messages: usize, bytes: usize) {
        self.messages = self.messages.saturating_sub(messages);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// Whoever is first in line, if there is room; to be called after anything that may have made some.
    pub(crate) fn whom_to_wake(&self) -> Option<Waker> {
        self.line
            .front()
            .filter(|waiter| self.has_room(waiter.bytes))
            .map(|waiter| waiter.waker.clone())
    }

    /// Everybody in line, when there is nothing left to wait for.
    pub(crate) fn dissolve_line(&mut self) -> Vec<Waker> {
        self.line.drain(..).map(|waiter| waiter.waker).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        task::Wake,
    };

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn both_bounds_hold() {
        let mut quota = Quota::new(2, 10);
        assert!(quota.take(10, None));
        assert!(!quota.take(1, None), "bytes");
        quota.give_back(1, 10);
        assert!(quota.take(1, None) && quota.take(1, None));
        assert!(!quota.take(1, None), "messages");
    }

    #[test]
    fn nobody_overtakes_and_the_first_in_line_is_woken_when_it_fits() {
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let mut quota = Quota::new(10, 10);
        assert!(quota.take(8, None));
        let (mut large, mut small) = (None, None);
        quota.wait(5, &mut large, &waker);
        assert!(!quota.take(1, None), "a newcomer overtook");
        quota.wait(1, &mut small, &waker);
        assert!(
            !quota.take(1, small.as_ref()),
            "the second overtook the first"
        );
        assert!(quota.whom_to_wake().is_none());
        quota.give_back(1, 8);
        quota.whom_to_wake().unwrap().wake();
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert!(quota.take(5, large.as_ref()));
        assert!(quota.take(1, small.as_ref()));
        assert!(quota.take(4, None));
    }

    #[test]
    fn who_leaves_the_line_makes_way() {
        let mut quota = Quota::new(10, 10);
        assert!(quota.take(8, None));
        let mut large = None;
        quota.wait(5, &mut large, Waker::noop());
        quota.leave(&large.unwrap());
        assert!(quota.take(2, None));
    }
}
