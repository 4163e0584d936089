//! Our broker for transcripts, without threads: it takes its turns whenever a client reads or writes.

use std::{
    cell::RefCell,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use whinchat_broker::{Broker, Clock, ClockHand, SteppedBroker};
use whinchat_conformance::Target;
use whinchat_transport::Stream;

/// A broker of two shards with everything on, and a clock that is pushed.
pub(super) struct SteppedTarget {
    broker: Rc<RefCell<SteppedBroker>>,
    hand: ClockHand,
}

/// More than any scene needs; a broker that never comes to rest is stuck.
const TURNS_MAX: usize = 100_000;

impl SteppedTarget {
    pub(super) fn new() -> Self {
        let (clock, hand) = Clock::manual();
        let broker = Broker::builder().threads(2).clock(clock).start_stepped();
        Self {
            broker: Rc::new(RefCell::new(broker.expect("the defaults are good"))),
            hand,
        }
    }
}

impl Target for SteppedTarget {
    type Stream = Driven;

    async fn connect(&self) -> io::Result<Driven> {
        let stream = self.broker.borrow_mut().connect_in_memory();
        Ok(Driven {
            stream,
            broker: Rc::clone(&self.broker),
        })
    }

    async fn pass(&self, time: Duration) {
        self.hand.advance(time);
        self.settle(Duration::ZERO).await;
    }

    fn moves_clock(&self) -> bool {
        true
    }

    async fn settle(&self, _: Duration) {
        settle(&self.broker);
    }
}

fn settle(broker: &RefCell<SteppedBroker>) {
    // One that never comes to rest shows in what its clients get.
    let _ = broker.borrow_mut().settle(TURNS_MAX);
}

/// A stream whose other end moves when this one is used.
pub(super) struct Driven {
    stream: Stream,
    broker: Rc<RefCell<SteppedBroker>>,
}

impl AsyncRead for Driven {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        settle(&self.broker);
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
        settle(&self.broker);
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        settle(&self.broker);
        shut
    }
}
