//! One connection's bytes: whole packets in, batches out.
//!
//! Reads go through a buffer that all connections of a thread share; a connection owns only the beginning of a packet
//! that has not arrived as a whole. Several packets leave with one write.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, ReadBuf};
use whinchat_codec::{DecodeLimits, PacketRef, ProtocolVersion, decode, frame_len};
use whinchat_transport::Stream;

use super::failure::Failure;

/// How much one read takes at most.
pub(super) const SCRATCH_BYTES: usize = 256 * 1024;

/// A packet of which more than this is here is received in a buffer of its own.
const SHARED_MAX: usize = 16 * 1024;

pub(super) struct Wire {
    stream: Stream,
    version: ProtocolVersion,
    /// The beginning of a packet.
    partial: BytesMut,
    /// What is to be sent.
    out: BytesMut,
    is_at_end: bool,
}

impl Wire {
    pub(super) fn new(stream: Stream, version: ProtocolVersion) -> Self {
        Self {
            stream,
            version,
            partial: BytesMut::new(),
            out: BytesMut::new(),
            is_at_end: false,
        }
    }

    pub(super) fn version(&self) -> ProtocolVersion {
        self.version
    }

    /// Where packets to be sent are appended.
    pub(super) fn out(&mut self) -> &mut BytesMut {
        &mut self.out
    }

    /// Whether all that was appended has left.
    pub(super) fn is_flushed(&self) -> bool {
        self.out.is_empty()
    }

    /// Reads once and hands each packet that is now whole to `handle`, with the buffer for answers. Gives the bytes read;
    /// pending also without any packet, until there are bytes.
    ///
    /// # Errors
    /// Those of `handle`, a connection that broke or ended, bytes that are no MQTT.
    pub(super) fn poll_packets(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut [u8],
        handle: impl FnMut(PacketRef<'_>, &mut BytesMut) -> Result<(), Failure>,
    ) -> Poll<Result<usize, Failure>> {
        if self.is_at_end {
            return Poll::Ready(Err(Failure::Closed));
        }
        if self.partial.len() > SHARED_MAX {
            self.poll_own(cx, handle)
        } else {
            self.poll_shared(cx, scratch, handle)
        }
    }

    fn poll_shared(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut [u8],
        handle: impl FnMut(PacketRef<'_>, &mut BytesMut) -> Result<(), Failure>,
    ) -> Poll<Result<usize, Failure>> {
        let (beginning, free) = scratch.split_at_mut(self.partial.len());
        let read = std::task::ready!(self.stream.poll_read(cx, free))?;
        if read == 0 {
            return Poll::Ready(Err(Failure::Closed));
        }
        beginning.copy_from_slice(&self.partial);
        let here = &scratch[..self.partial.len() + read];
        let used = handle_all(here, self.version, &mut self.out, handle)?;
        self.partial.clear();
        self.partial.extend_from_slice(&here[used..]);
        Poll::Ready(Ok(read))
    }

    fn poll_own(
        &mut self,
        cx: &mut Context<'_>,
        handle: impl FnMut(PacketRef<'_>, &mut BytesMut) -> Result<(), Failure>,
    ) -> Poll<Result<usize, Failure>> {
        let whole = frame_len(&self.partial, &DecodeLimits::default())?.unwrap_or(SCRATCH_BYTES);
        let here = self.partial.len();
        self.partial.resize(whole.max(here + 1), 0);
        let mut free = ReadBuf::new(&mut self.partial[here..]);
        let polled = Pin::new(&mut self.stream).poll_read(cx, &mut free);
        let read = free.filled().len();
        self.partial.truncate(here + read);
        std::task::ready!(polled)?;
        if read == 0 {
            return Poll::Ready(Err(Failure::Closed));
        }
        let used = handle_all(&self.partial, self.version, &mut self.out, handle)?;
        self.partial.advance(used);
        if self.partial.is_empty() {
            self.partial = BytesMut::new();
        }
        Poll::Ready(Ok(read))
    }

    /// Writes what waits; ready when all of it has left.
    ///
    /// # Errors
    /// The connection broke.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        while !self.out.is_empty() {
            let written = std::task::ready!(self.stream.poll_write(cx, &self.out))?;
            if written == self.out.len() {
                // Keeps the capacity, which advancing would give up.
                self.out.clear();
            } else {
                self.out.advance(written);
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Ends this side of the connection.
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        std::task::ready!(self.poll_flush(cx))?;
        std::task::ready!(self.stream.poll_shutdown(cx))?;
        self.is_at_end = true;
        Poll::Ready(Ok(()))
    }
}

/// How many bytes the packets had that were whole.
fn handle_all(
    bytes: &[u8],
    version: ProtocolVersion,
    out: &mut BytesMut,
    mut handle: impl FnMut(PacketRef<'_>, &mut BytesMut) -> Result<(), Failure>,
) -> Result<usize, Failure> {
    let limits = DecodeLimits::default();
    let mut used = 0;
    while let Some((packet, len)) = decode(&bytes[used..], version, &limits)? {
        handle(packet, out)?;
        used += len;
    }
    Ok(used)
}
