//! Which connections of a shard have something to do.
//!
//! Every connection polls its socket with its own small waker. Waking it pushes the slot's index
//! onto the shard's ready list and wakes the shard's driver once; the driver takes the whole list
//! at the start of its turn. The list is the only thing that other threads may touch.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Wake, Waker},
};

use parking_lot::Mutex;

/// The ready list of one shard and the waker of its driver.
#[derive(Default)]
pub(crate) struct ReadyList {
    slots: Mutex<VecDeque<u32>>,
    driver: Mutex<Option<Waker>>,
    /// True from the first wake until the driver's next turn, so that one turn costs one wake.
    notified: AtomicBool,
}

impl ReadyList {
    /// Starts a turn: later wakes reach `driver`, and those that came before are covered by this turn.
    pub(crate) fn begin_turn(&self, driver: &Waker) {
        let mut current = self.driver.lock();
        if !current
            .as_ref()
            .is_some_and(|waker| waker.will_wake(driver))
        {
            *current = Some(driver.clone());
        }
        drop(current);
        // An exchange, not a store: whoever found it true has written before what this turn reads.
        self.notified.swap(false, Ordering::SeqCst);
    }

    /// Moves the ready slots to the end of `into`.
    pub(crate) fn take(&self, into: &mut VecDeque<u32>) {
        let mut slots = self.slots.lock();
        if into.is_empty() {
            std::mem::swap(&mut *slots, into); // its capacity serves the next turn
        } else {
            into.append(&mut slots);
        }
    }

    /// True if a slot became ready since the last [`take`](Self::take).
    pub(crate) fn has_more(&self) -> bool {
        !self.slots.lock().is_empty()
    }

    /// Asks the driver for another turn.
    pub(crate) fn wake_driver(&self) {
        if !self.notified.swap(true, Ordering::SeqCst) {
            let driver = self.driver.lock().clone();
            if let Some(driver) = driver {
                driver.wake();
            }
        }
    }

    fn push(&self, slot: u32) {
        self.slots.lock().push_back(slot);
        self.wake_driver();
    }
}

/// The waker of one connection.
pub(crate) struct SlotWaker {
    list: Arc<ReadyList>,
    slot: u32,
    queued: AtomicBool,
}

impl SlotWaker {
    pub(crate) fn new(list: Arc<ReadyList>, slot: u32) -> Arc<Self> {
        Arc::new(Self {
            list,
            slot,
            queued: AtomicBool::new(false),
        })
    }

    /// Puts the slot on the ready list, unless it is there already.
    pub(crate) fn enqueue(&self) {
        if !self.queued.swap(true, Ordering::SeqCst) {
            self.list.push(self.slot);
        }
    }

    /// Called when the slot was taken off the list, before it is served.
    pub(crate) fn taken(&self) {
        // As in `begin_turn`: what made it ready is seen by the look that follows.
        self.queued.swap(false, Ordering::SeqCst);
    }
}

impl Wake for SlotWaker {
    fn wake(self: Arc<Self>) {
        self.enqueue();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.enqueue();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_woken_twice_is_listed_once() {
        let list = Arc::new(ReadyList::default());
        let waker = SlotWaker::new(Arc::clone(&list), 7);
        waker.enqueue();
        waker.enqueue();
        let mut ready = VecDeque::new();
        list.take(&mut ready);
        assert_eq!(ready, [7]);
        waker.enqueue();
        ready.clear();
        list.take(&mut ready);
        assert_eq!(ready, [], "still marked as queued until it is taken");
        waker.taken();
        waker.enqueue();
        list.take(&mut ready);
        assert_eq!(ready, [7]);
    }
}
