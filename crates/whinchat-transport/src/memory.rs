//! A connection inside the process: two bounded byte queues, one per direction.
//!
//! It behaves as a TCP connection does: dropping an end lets the other read what is left and then the end of the stream, and
//! makes its writes fail. [`Cutter::cut`] is the cable pulled out: what was under way is lost and both ends get an error.
//! It belongs to no runtime, so that detaching and attaching do nothing.

use std::{
    collections::VecDeque,
    fmt,
    io::{self, IoSlice},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use tokio::io::ReadBuf;

/// One end of a connection inside the process.
pub struct MemoryStream {
    incoming: Arc<Pipe>,
    outgoing: Arc<Pipe>,
}

impl MemoryStream {
    /// Two ends; each direction holds at most `capacity_bytes` (at least one) unread bytes.
    pub fn pair(capacity_bytes: usize) -> (Self, Self) {
        let there = Arc::new(Pipe::new(capacity_bytes));
        let back = Arc::new(Pipe::new(capacity_bytes));
        (
            Self {
                incoming: Arc::clone(&back),
                outgoing: Arc::clone(&there),
            },
            Self {
                incoming: there,
                outgoing: back,
            },
        )
    }

    /// A handle that can cut this connection from anywhere.
    pub fn cutter(&self) -> Cutter {
        Cutter {
            pipes: [Arc::clone(&self.incoming), Arc::clone(&self.outgoing)],
        }
    }

    pub(crate) fn poll_read_buf(
        &self,
        cx: &Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut state = self.incoming.lock();
        if state.cut {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        if state.bytes.is_empty() {
            if state.ended {
                return Poll::Ready(Ok(()));
            }
            state.reader.register(cx);
            return Poll::Pending;
        }
        let (front, back) = state.bytes.as_slices();
        let from_front = front.len().min(buffer.remaining());
        buffer.put_slice(&front[..from_front]);
        let from_back = back.len().min(buffer.remaining());
        buffer.put_slice(&back[..from_back]);
        state.bytes.drain(..from_front + from_back);
        let writer = state.writer.take();
        drop(state);
        wake(writer);
        Poll::Ready(Ok(()))
    }

    pub(crate) fn poll_write_vectored(
        &self,
        cx: &Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.outgoing.lock();
        if state.cut {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if state.ended || state.unread {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if slices.iter().all(|slice| slice.is_empty()) {
            return Poll::Ready(Ok(0));
        }
        let mut room = self.outgoing.capacity_bytes - state.bytes.len();
        if room == 0 {
            state.writer.register(cx);
            return Poll::Pending;
        }
        let mut written = 0;
        for slice in slices {
            let taken = slice.len().min(room);
            state.bytes.extend(&slice[..taken]);
            written += taken;
            room -= taken;
        }
        let reader = state.reader.take();
        drop(state);
        wake(reader);
        Poll::Ready(Ok(written))
    }

    pub(crate) fn shutdown(&self) {
        self.outgoing.change(|state| state.ended = true);
    }
}

impl Drop for MemoryStream {
    fn drop(&mut self) {
        self.shutdown();
        self.incoming.change(|state| {
            state.unread = true;
            state.bytes = VecDeque::new();
        });
    }
}

impl fmt::Debug for MemoryStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStream")
            .field("incoming_bytes", &self.incoming.lock().bytes.len())
            .field("outgoing_bytes", &self.outgoing.lock().bytes.len())
            .finish()
    }
}

/// Cuts a connection made with [`MemoryStream::pair`].
#[derive(Clone)]
pub struct Cutter {
    pipes: [Arc<Pipe>; 2],
}

impl Cutter {
    /// Ends the connection abruptly: bytes not read yet are lost, and both ends get `ConnectionReset` from reads and writes.
    pub fn cut(&self) {
        for pipe in &self.pipes {
            pipe.change(|state| {
                state.cut = true;
                state.bytes = VecDeque::new();
            });
        }
    }
}

impl fmt::Debug for Cutter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cutter")
            .field("cut", &self.pipes[0].lock().cut)
            .finish()
    }
}

struct Pipe {
    capacity_bytes: usize,
    state: Mutex<PipeState>,
}

#[derive(Default)]
struct PipeState {
    bytes: VecDeque<u8>,
    ended: bool,  // the writer will add nothing
    unread: bool, // the reader is gone
    cut: bool,
    reader: Interest,
    writer: Interest,
}

impl Pipe {
    fn new(capacity_bytes: usize) -> Self {
        Self {
            capacity_bytes: capacity_bytes.max(1),
            state: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, PipeState> {
        // Nothing panics while it holds the lock, so that a poisoned one still guards a whole state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut PipeState)) {
        let mut state = self.lock();
        change(&mut state);
        let (reader, writer) = (state.reader.take(), state.writer.take());
        drop(state); // a waker may run code of its own, which must not meet our lock
        wake(reader);
        wake(writer);
    }
}

/// The task that waits for one side of a pipe.
#[derive(Default)]
struct Interest(Option<Waker>);

impl Interest {
    fn register(&mut self, cx: &Context<'_>) {
        match &mut self.0 {
            Some(waker) => waker.clone_from(cx.waker()),
            None => self.0 = Some(cx.waker().clone()),
        }
    }

    fn take(&mut self) -> Option<Waker> {
        self.0.take()
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}
