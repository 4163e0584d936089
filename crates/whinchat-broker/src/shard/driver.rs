//! The future that a shard's thread runs: one poll is one turn.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use whinchat_session::Instant;

use super::{Life, Shard, timers::Timed};

/// Drives a shard until it has ended.
pub(crate) struct Driver {
    shard: Shard,
    tick: Tick,
    /// Connections that wait for their turn, in order.
    ready: VecDeque<u32>,
    due: Vec<Timed>,
    /// So many of those that wait are served before what is due: they were there before it.
    due_after: usize,
}

/// The shard's only timer: it brings the turns in which the wheel moves.
pub(crate) enum Tick {
    /// Of the runtime that the driver is polled in.
    Runtime(Pin<Box<tokio::time::Sleep>>),
    /// When the broker's own clock has come to this moment: for a shard that is polled by hand.
    Clock(Instant),
}

impl Tick {
    /// The first one is due at once: a broker may not live until the next. Must be called on the shard's runtime.
    pub(crate) fn of_the_runtime() -> Self {
        Self::Runtime(Box::pin(tokio::time::sleep(std::time::Duration::ZERO)))
    }

    /// Whether it is due; then the next one is on its way.
    fn take(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        match self {
            Self::Runtime(sleep) => {
                let is_due = sleep.as_mut().poll(cx).is_ready();
                if is_due {
                    sleep.as_mut().reset(tokio::time::Instant::now() + TICK);
                }
                is_due
            }
            Self::Clock(due) => {
                let is_due = *due <= now;
                if is_due {
                    *due = now.saturating_add(TICK);
                }
                is_due
            }
        }
    }
}

/// Deadlines handled before the connections get their turn: a network that comes back may have cut
/// everybody at once.
const DUE_PER_TURN: usize = 1024;

const TICK: std::time::Duration = std::time::Duration::from_millis(250);

impl Driver {
    pub(crate) fn new(shard: Shard, tick: Tick) -> Self {
        Self {
            shard,
            tick,
            ready: VecDeque::new(),
            due: Vec::new(),
            due_after: 0,
        }
    }

    pub(crate) fn shard(&self) -> &Shard {
        &self.shard
    }

    pub(crate) fn shard_mut(&mut self) -> &mut Shard {
        &mut self.shard
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let shard = &mut this.shard;
        let began = std::time::Instant::now();
        shard.ready.begin_turn(cx.waker());
        shard.now = shard.commons.clock.now();

        while this.tick.take(cx, shard.now) {
            shard.accepting.resume();
            shard.sweep_retained();
            shard.continue_census();
            shard.consider_move();
        }
        shard.begin_records();
        shard.publish_system_topics();
        shard.read_mail();
        shard.watch_totals();
        shard.accept(cx);
        shard.continue_scans();
        shard.continue_move();
        shard.ready.take(&mut this.ready);
        shard.divide_turn(this.ready.len());
        while let Some(index) = this.ready.pop_front() {
            this.due_after = this.due_after.saturating_sub(1);
            shard.serve(index);
            if shard.has_read_enough() {
                break; // what it brought is written first
            }
        }
        // Behind the reading: after a pause of the process nobody is cut whose packet had come in time.
        if this.due.is_empty() {
            shard.wheel.take_due(shard.now, &mut this.due);
            this.due_after = this.ready.len();
        }
        if this.due_after == 0 {
            let rest = this.due.len().saturating_sub(DUE_PER_TURN);
            for timed in this.due.drain(rest..) {
                shard.handle_due(timed);
            }
        }
        shard.end_turn();
        shard.metrics.shard_turns.increment();
        shard.metrics.shard_busy_seconds.add(began.elapsed());

        if shard.life == Life::Ended {
            return Poll::Ready(());
        }
        if !this.ready.is_empty()
            || !this.due.is_empty()
            || shard.ready.has_more()
            || shard.has_scan_with_room()
            || shard.has_unfinished_work()
        {
            shard.ready.wake_driver();
        }
        Poll::Pending
    }
}
