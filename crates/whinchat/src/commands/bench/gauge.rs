//! One publisher as its subscribers and the coordinator see it: how much it sent, how much arrived, and who wakes it.
//!
//! The window of a publisher is closed by sending and opened by deliveries, which happen on other connections and
//! perhaps on other threads. All accesses are sequentially consistent: a publisher that goes to sleep and a subscriber
//! that opens its window must not miss each other.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::task::Context;

use futures_util::task::AtomicWaker;

/// Shared between one publisher, the subscribers that hear it and the coordinator.
#[derive(Debug)]
pub(super) struct Gauge {
    /// Subscribers that hear this publisher: how many deliveries one message makes.
    copies: u64,
    /// Messages.
    sent: AtomicU64,
    /// Deliveries, duplicates left out.
    delivered: AtomicU64,
    /// Deliveries that nobody waits for any more.
    written_off: AtomicU64,
    /// The publisher sleeps until this many deliveries are settled; `u64::MAX` while it does not.
    wake_at: AtomicU64,
    waker: AtomicWaker,
    finished: AtomicBool,
    /// Messages that were due and not sent; known at the end.
    unsent: AtomicU64,
}

impl Gauge {
    pub(super) fn new(copies: u64) -> Self {
        Self {
            copies,
            sent: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            written_off: AtomicU64::new(0),
            wake_at: AtomicU64::new(u64::MAX),
            waker: AtomicWaker::new(),
            finished: AtomicBool::new(false),
            unsent: AtomicU64::new(0),
        }
    }

    pub(super) fn sent(&self) -> u64 {
        self.sent.load(SeqCst)
    }

    pub(super) fn unsent(&self) -> u64 {
        self.unsent.load(SeqCst)
    }

    pub(super) fn delivered(&self) -> u64 {
        self.delivered.load(SeqCst)
    }

    /// Deliveries under way.
    pub(super) fn outstanding(&self) -> u64 {
        (self.sent() * self.copies).saturating_sub(self.settled())
    }

    /// By the publisher: so many messages in all.
    pub(super) fn note_sent(&self, sent: u64) {
        self.sent.store(sent, SeqCst);
    }

    /// By the publisher: how many messages may be sent now. If none, it is woken when half of the window is free.
    pub(super) fn room(&self, window: u64, cx: &Context<'_>) -> u64 {
        let room = self.free(window);
        if room > 0 {
            return room;
        }
        self.waker.register(cx.waker());
        let wake_at = (self.sent() - window.div_ceil(2).min(self.sent())) * self.copies;
        // At least one delivery more than now, or the publisher would be woken for nothing.
        let wake_at = wake_at.max((self.sent() + 1 - window.min(self.sent())) * self.copies);
        self.wake_at.store(wake_at, SeqCst);
        if self.settled() < wake_at {
            return 0;
        }
        self.wake_at.store(u64::MAX, SeqCst);
        self.free(window)
    }

    /// By a subscriber: `count` messages arrived for the first time.
    #[inline]
    pub(super) fn credit(&self, count: u64) {
        self.delivered.fetch_add(count, SeqCst);
        self.wake_if_settled();
    }

    /// By the coordinator: what is under way is not coming any more.
    pub(super) fn write_off(&self) {
        self.written_off.fetch_add(self.outstanding(), SeqCst);
        self.wake_if_settled();
    }

    /// Has the publisher look at the clock.
    pub(super) fn wake(&self) {
        self.waker.wake();
    }

    /// Registers the publisher to be [woken](Self::wake).
    pub(super) fn register(&self, cx: &Context<'_>) {
        self.waker.register(cx.waker());
    }

    /// By the publisher: it sends nothing more, everything it sent was acknowledged, and so many messages were due that it
    /// did not send.
    pub(super) fn finish(&self, unsent: u64) {
        self.unsent.store(unsent, SeqCst);
        self.finished.store(true, SeqCst);
    }

    pub(super) fn is_finished(&self) -> bool {
        self.finished.load(SeqCst)
    }

    fn settled(&self) -> u64 {
        self.delivered.load(SeqCst) + self.written_off.load(SeqCst)
    }

    fn free(&self, window: u64) -> u64 {
        window.saturating_sub(self.outstanding().div_ceil(self.copies.max(1)))
    }

    #[inline]
    fn wake_if_settled(&self) {
        let wake_at = self.wake_at.load(SeqCst);
        if wake_at != u64::MAX && self.settled() >= wake_at {
            self.wake_at.store(u64::MAX, SeqCst);
            self.waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::task::{Wake, Waker};

    use super::*;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    #[test]
    fn a_closed_window_opens_when_half_of_it_was_delivered_to_all() {
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&wakes));
        let cx = Context::from_waker(&waker);
        let gauge = Gauge::new(2);
        assert_eq!(gauge.room(4, &cx), 4);
        gauge.note_sent(4);
        assert_eq!(gauge.room(4, &cx), 0);
        gauge.credit(3);
        assert_eq!(wakes.0.load(SeqCst), 0);
        gauge.credit(1);
        assert_eq!(wakes.0.load(SeqCst), 1);
        assert_eq!(gauge.room(4, &cx), 2);
    }

    #[test]
    fn a_window_of_one_opens_with_its_message() {
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&wakes));
        let cx = Context::from_waker(&waker);
        let gauge = Gauge::new(1);
        gauge.note_sent(1);
        assert_eq!(gauge.room(1, &cx), 0);
        gauge.credit(1);
        assert_eq!((wakes.0.load(SeqCst), gauge.room(1, &cx)), (1, 1));
    }

    #[test]
    fn what_is_written_off_opens_the_window_and_a_late_arrival_does_no_harm() {
        let gauge = Gauge::new(1);
        let cx = Context::from_waker(Waker::noop());
        gauge.note_sent(3);
        assert_eq!(gauge.room(3, &cx), 0);
        gauge.write_off();
        assert_eq!(gauge.room(3, &cx), 3);
        gauge.credit(1);
        assert_eq!(gauge.room(3, &cx), 3);
    }
}
