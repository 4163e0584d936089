//! One connection: the stream, its two buffers, and the engine on top.

use std::{
    collections::VecDeque,
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::{
    io::AsyncReadExt,
    time::{Instant, Sleep, sleep_until},
};
use whinchat_codec::{DecodeLimits, frame_len};
use whinchat_session::{Connection, DropReason, Effect, Output, Ticket};
use whinchat_transport::Stream;

use crate::{
    error::{DisconnectError, ProtocolFault},
    outgoing::Outgoing,
};

/// How much is read at a time; larger packets make the buffer grow with what has come.
const READ_BYTES: usize = 32 * 1024;
/// With this much waiting to be written, nothing more is taken from the application.
const WRITE_BYTES_MAX: usize = 256 * 1024;
/// What a buffer may keep once it is empty.
const IDLE_BYTES_MAX: usize = 1024 * 1024;

pub(super) struct Link {
    stream: Stream,
    pub(super) connection: Connection,
    pub(super) limits: DecodeLimits,
    /// What the broker said in CONNACK.
    pub(super) takes_subscription_identifiers: bool,
    incoming: BytesMut,
    pub(super) outgoing: Wire,
    /// How many bytes the stream has taken since the start.
    written: u64,
    /// Messages of QoS 0 with the end of their packet, counted in bytes since the start.
    unwritten: VecDeque<(u64, Outgoing)>,
    timer: Pin<Box<Sleep>>,
}

/// What the engine writes to.
#[derive(Default)]
pub(super) struct Wire {
    bytes: BytesMut,
    /// Messages that the engine gave up, to be told to the application.
    pub(super) dropped: Vec<(Outgoing, DropReason)>,
}

impl Output<Outgoing> for Wire {
    fn buffer(&mut self) -> &mut BytesMut {
        &mut self.bytes
    }

    fn record(&mut self, _: Effect<'_, Outgoing>) -> Ticket {
        Ticket::NONE // the session lives in memory
    }

    fn dropped(&mut self, message: Outgoing, reason: DropReason) {
        self.dropped.push((message, reason));
    }

    fn is_full(&self) -> bool {
        !self.has_room()
    }
}

impl Wire {
    /// Whether more may be taken from the application.
    pub(super) fn has_room(&self) -> bool {
        self.bytes.len() < WRITE_BYTES_MAX
    }
}

impl Link {
    pub(super) fn new(
        stream: Stream,
        connection: Connection,
        outgoing: Wire,
        limits: DecodeLimits,
    ) -> Self {
        Self {
            stream,
            connection,
            limits,
            takes_subscription_identifiers: false,
            incoming: BytesMut::new(),
            outgoing,
            written: 0,
            unwritten: VecDeque::new(),
            timer: Box::pin(sleep_until(Instant::now())),
        }
    }

    /// Reads what is there. Gives all packets that are complete.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Bytes, DisconnectError>> {
        loop {
            let complete = self.take_complete()?;
            if !complete.is_empty() {
                return Poll::Ready(Ok(complete));
            }
            self.incoming.reserve(READ_BYTES.max(self.incoming.len()));
            let read = std::pin::pin!(self.stream.read_buf(&mut self.incoming));
            match ready!(read.poll(cx)) {
                Ok(0) => return Poll::Ready(Err(transport(io::ErrorKind::UnexpectedEof.into()))),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Err(transport(error))),
            }
        }
    }

    /// Takes all complete packets out of what was read. Wrong bytes are an error only when nothing comes before them.
    pub(super) fn take_complete(&mut self) -> Result<Bytes, DisconnectError> {
        let mut complete = 0;
        loop {
            let rest = self.incoming.get(complete..).unwrap_or_default();
            match frame_len(rest, &self.limits) {
                Ok(Some(length)) if length <= rest.len() => complete += length,
                Ok(_) => break,
                Err(error) if complete == 0 => {
                    return Err(DisconnectError::Protocol(ProtocolFault::Decode(error)));
                }
                Err(_) => break,
            }
        }
        Ok(self.incoming.split_to(complete).freeze())
    }

    /// What was read and not handled, to be handled first.
    pub(super) fn put_back(&mut self, packets: &[u8]) {
        if !packets.is_empty() {
            let mut all = BytesMut::with_capacity(packets.len() + self.incoming.len());
            all.extend_from_slice(packets);
            all.extend_from_slice(&self.incoming);
            self.incoming = all;
        }
    }

    /// Remembers a message of QoS 0 whose packet ends the outgoing bytes: it is done once they are written.
    pub(super) fn done_when_written(&mut self, message: Outgoing) {
        self.unwritten
            .push_back((self.written + self.outgoing.bytes.len() as u64, message));
    }

    /// Writes what it can; ready when nothing is left.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), DisconnectError>> {
        while !self.outgoing.bytes.is_empty() {
            match ready!(self.stream.poll_write(cx, &self.outgoing.bytes)) {
                Ok(0) => return Poll::Ready(Err(transport(io::ErrorKind::WriteZero.into()))),
                Ok(count) => {
                    self.outgoing.bytes.advance(count);
                    self.written += count as u64;
                }
                Err(error) => return Poll::Ready(Err(transport(error))),
            }
        }
        if self.outgoing.bytes.capacity() > IDLE_BYTES_MAX {
            self.outgoing.bytes = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }

    /// The next message of QoS 0 that has been written.
    pub(super) fn next_written(&mut self) -> Option<Outgoing> {
        let written = self.written;
        self.unwritten
            .pop_front_if(|(end, _)| *end <= written)
            .map(|(_, message)| message)
    }

    /// Messages of QoS 0 that were not written, in order.
    pub(super) fn into_unwritten(self) -> impl DoubleEndedIterator<Item = Outgoing> {
        self.unwritten.into_iter().map(|(_, message)| message)
    }

    pub(super) fn has_unwritten(&self) -> bool {
        !self.outgoing.bytes.is_empty()
    }

    /// Ready at `deadline`; registers to be polled then, or earlier: deadlines move with every packet, and setting the timer each
    /// time would cost more than letting it fire once for nothing.
    pub(super) fn poll_deadline(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        if self.timer.deadline() > deadline {
            self.timer.as_mut().reset(deadline);
        }
        while self.timer.as_mut().poll(cx).is_ready() {
            if self.timer.deadline() >= deadline || Instant::now() >= deadline {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(deadline);
        }
        Poll::Pending
    }

    /// Ends our side and reads until the peer has ended its own, so that nothing it has not read yet is lost.
    pub(super) async fn hang_up(&mut self) {
        let ended = std::future::poll_fn(|cx| {
            ready!(self.poll_flush(cx)).map_err(|_| io::ErrorKind::BrokenPipe)?;
            self.stream.poll_shutdown(cx).map_err(|error| error.kind())
        });
        if ended.await.is_err() {
            return;
        }
        let mut ignored = [0; 4096];
        while matches!(self.stream.read(&mut ignored).await, Ok(1..)) {}
    }
}

fn transport(error: io::Error) -> DisconnectError {
    DisconnectError::Transport(Arc::new(error))
}
