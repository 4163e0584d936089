//! The future that a shard's thread runs: one poll is one turn.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use super::{Life, Shard, timers::Timed};

/// Drives a shard until it has ended.
pub(crate) struct Driver {
    shard: Shard,
    tick: Tick,
    /// Kept for their capacity.
    ready: Vec<u32>,
    due: Vec<Timed>,
}

/// The shard's only timer of the runtime: it brings the turns in which the wheel moves.
struct Tick(Pin<Box<tokio::time::Sleep>>);

/// Deadlines handled before the connections get their turn: a network that comes back may have cut
/// everybody at once.
const DUE_PER_TURN: usize = 1024;

const TICK: std::time::Duration = std::time::Duration::from_millis(250);

impl Driver {
    /// Must be called on the shard's runtime.
    pub(crate) fn new(shard: Shard) -> Self {
        Self {
            shard,
            tick: Tick(Box::pin(tokio::time::sleep(TICK))),
            ready: Vec::new(),
            due: Vec::new(),
        }
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

        while this.tick.0.as_mut().poll(cx).is_ready() {
            this.tick
                .0
                .as_mut()
                .reset(tokio::time::Instant::now() + TICK);
            shard.accepting.resume();
            shard.sweep_retained();
            shard.continue_census();
        }
        shard.publish_system_topics();
        shard.read_mail();
        shard.watch_totals();
        shard.accept(cx);
        shard.continue_scans();
        shard.ready.take(&mut this.ready);
        for index in this.ready.drain(..) {
            shard.serve(index);
        }
        // Behind the reading: after a pause of the process nobody is cut whose packet had come in time.
        if this.due.is_empty() {
            shard.wheel.take_due(shard.now, &mut this.due);
        }
        let rest = this.due.len().saturating_sub(DUE_PER_TURN);
        for timed in this.due.drain(rest..) {
            shard.handle_due(timed);
        }
        shard.end_turn();
        shard.metrics.shard_turns.increment();
        shard.metrics.shard_busy_seconds.add(began.elapsed());

        if shard.life == Life::Ended {
            return Poll::Ready(());
        }
        if !this.due.is_empty()
            || shard.ready.has_more()
            || shard.has_scan_with_room()
            || shard.has_unfinished_work()
        {
            shard.ready.wake_driver();
        }
        Poll::Pending
    }
}
