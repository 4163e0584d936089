//! Our broker for transcripts, without threads: it takes its turns whenever a client reads or writes.
//!
//! With a store it begins again whenever nobody is connected, on the same disk and at the same time: nobody may notice.

use std::{
    cell::RefCell,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use whinchat_broker::{Clock, ClockHand, SteppedBroker};
use whinchat_conformance::Target;
use whinchat_store::{Commit, disk::SimulatedDisk};
use whinchat_transport::Stream;

use crate::small_store::started;

/// A broker of some shards with everything on, and a clock that is pushed.
pub struct SteppedTarget {
    lives: Rc<RefCell<Lives>>,
    hand: ClockHand,
}

/// The broker, and what outlives it.
struct Lives {
    broker: SteppedBroker,
    clock: Clock,
    disk: Option<SimulatedDisk>,
    /// Connections whose client has not closed them.
    open: usize,
    /// Somebody has connected since it began.
    was_used: bool,
    restarts: u16,
}

/// More than any scene needs; a broker that never comes to rest is stuck.
const TURNS_MAX: usize = 100_000;

impl SteppedTarget {
    /// A broker that keeps nothing.
    #[expect(clippy::new_without_default, reason = "it starts a broker")]
    #[must_use]
    pub fn new() -> Self {
        Self::on(None)
    }

    /// One with a store that ends, without a word, and begins again whenever nobody is connected.
    #[must_use]
    pub fn that_restarts() -> Self {
        Self::on(Some(SimulatedDisk::new()))
    }

    fn on(disk: Option<SimulatedDisk>) -> Self {
        let (clock, hand) = Clock::manual();
        let lives = Lives {
            broker: started(&clock, 2, disk.as_ref()),
            clock,
            disk,
            open: 0,
            was_used: false,
            restarts: 0,
        };
        Self {
            lives: Rc::new(RefCell::new(lives)),
            hand,
        }
    }

    /// How often it has begun again.
    #[must_use]
    pub fn restarts(&self) -> u16 {
        self.lives.borrow().restarts
    }
}

impl Lives {
    fn settle(&mut self) {
        loop {
            // One that never comes to rest shows in what its clients get.
            let _ = self.broker.settle(TURNS_MAX);
            if !matches!(self.broker.commit_store(), Some(Commit::Done(_))) {
                return;
            }
        }
    }

    fn restart_if_alone(&mut self) {
        self.settle();
        let Some(disk) = self.disk.take_if(|_| self.open == 0 && self.was_used) else {
            return;
        };
        // Its end writes nothing into the copy.
        let disk = disk.copy();
        self.broker = started(&self.clock, 1 + self.restarts % 3, Some(&disk));
        self.disk = Some(disk);
        self.was_used = false;
        self.restarts += 1;
        self.settle();
    }
}

impl Target for SteppedTarget {
    type Stream = Driven;

    async fn connect(&self) -> io::Result<Driven> {
        let mut lives = self.lives.borrow_mut();
        lives.restart_if_alone();
        lives.open += 1;
        lives.was_used = true;
        Ok(Driven {
            stream: lives.broker.connect_in_memory(),
            lives: Rc::clone(&self.lives),
        })
    }

    async fn pass(&self, time: Duration) {
        self.lives.borrow_mut().restart_if_alone();
        self.hand.advance(time);
        self.lives.borrow_mut().settle();
    }

    fn moves_clock(&self) -> bool {
        true
    }

    async fn settle(&self, _: Duration) {
        self.lives.borrow_mut().settle();
    }
}

/// A stream whose other end moves when this one is used.
pub struct Driven {
    stream: Stream,
    lives: Rc<RefCell<Lives>>,
}

impl Drop for Driven {
    fn drop(&mut self) {
        self.lives.borrow_mut().open -= 1;
    }
}

impl AsyncRead for Driven {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.lives.borrow_mut().settle();
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Driven {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.lives.borrow_mut().settle();
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.lives.borrow_mut().settle();
        shut
    }
}
