//! One byte stream, whatever carries it.
//!
//! The enum is the seam for further transports: TLS and WebSocket become a boxed variant that is pumped like the others, so that
//! whoever polls a stream needs no generics and a stream can still be moved between runtimes.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
};

use crate::{MemoryStream, Peer};

/// A connected byte stream on one tokio runtime.
///
/// It implements [`AsyncRead`] and [`AsyncWrite`]. The inherent `poll_*` methods do the same without pinning, for drivers that
/// poll many streams themselves; such a driver runs inside [`tokio::task::unconstrained`], or tokio's cooperative budget makes
/// sockets look idle that are not.
#[derive(Debug)]
#[non_exhaustive]
pub enum Stream {
    /// TCP.
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
    /// Inside the process.
    Memory(MemoryStream),
}

impl Stream {
    /// Two ends of a connection inside the process. Each direction holds at most `capacity_bytes` (at least one) that the other
    /// end has not read.
    pub fn pair(capacity_bytes: usize) -> (Self, Self) {
        let (a, b) = MemoryStream::pair(capacity_bytes);
        (Self::Memory(a), Self::Memory(b))
    }

    /// Who is at the other end.
    ///
    /// # Errors
    /// What the operating system says: a TCP connection that is already gone has no peer.
    pub fn peer(&self) -> io::Result<Peer> {
        Ok(match self {
            Self::Tcp(tcp) => Peer::Tcp(tcp.peer_addr()?),
            Self::Unix(_) => Peer::Unix,
            Self::Memory(_) => Peer::Memory,
        })
    }

    /// Reads what is there into `buffer` and says how much: 0 is the end of the stream (or an empty `buffer`).
    ///
    /// # Errors
    /// The connection broke.
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        self.poll_read_buf(cx, &mut buffer)
            .map_ok(|()| buffer.filled().len())
    }

    /// As [`poll_read`](Self::poll_read), into a buffer that need not be initialised.
    ///
    /// # Errors
    /// The connection broke.
    pub fn poll_read_buf(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            Self::Unix(unix) => Pin::new(unix).poll_read(cx, buffer),
            Self::Memory(memory) => memory.poll_read_buf(cx, buffer),
        }
    }

    /// Writes a beginning of `bytes` and says how long it was.
    ///
    /// # Errors
    /// The connection broke, or this side was shut down.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Self::Unix(unix) => Pin::new(unix).poll_write(cx, bytes),
            Self::Memory(memory) => memory.poll_write_vectored(cx, &[IoSlice::new(bytes)]),
        }
    }

    /// Writes a beginning of the joined `slices`, in one call to the operating system, and says how long it was.
    ///
    /// # Errors
    /// The connection broke, or this side was shut down.
    pub fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(tcp) => Pin::new(tcp).poll_write_vectored(cx, slices),
            Self::Unix(unix) => Pin::new(unix).poll_write_vectored(cx, slices),
            Self::Memory(memory) => memory.poll_write_vectored(cx, slices),
        }
    }

    /// Ends this side: the peer reads what was written, then the end. Reading goes on.
    ///
    /// # Errors
    /// The connection broke.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Unix(unix) => Pin::new(unix).poll_shutdown(cx),
            Self::Memory(memory) => {
                memory.shutdown();
                Poll::Ready(Ok(()))
            }
        }
    }

    /// Takes the stream off its runtime, so that it can be [attached](DetachedStream::attach) to another. Bytes that wait in the
    /// operating system stay there and are read afterwards.
    ///
    /// # Errors
    /// The runtime could not let go of the socket.
    pub fn detach(self) -> io::Result<DetachedStream> {
        Ok(DetachedStream(match self {
            Self::Tcp(tcp) => Detached::Tcp(tcp.into_std()?),
            Self::Unix(unix) => Detached::Unix(unix.into_std()?),
            Self::Memory(memory) => Detached::Memory(memory),
        }))
    }
}

impl From<MemoryStream> for Stream {
    fn from(memory: MemoryStream) -> Self {
        Self::Memory(memory)
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.get_mut().poll_read_buf(cx, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Self::poll_write(self.get_mut(), cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Self::poll_write_vectored(self.get_mut(), cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(())) // nothing is buffered on this side of the system call
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_shutdown(self.get_mut(), cx)
    }
}

/// A stream that belongs to no runtime: `Send`, and only good for [`attach`](Self::attach).
#[derive(Debug)]
pub struct DetachedStream(Detached);

#[derive(Debug)]
enum Detached {
    Tcp(std::net::TcpStream),
    Unix(std::os::unix::net::UnixStream),
    Memory(MemoryStream),
}

impl DetachedStream {
    /// Registers the stream with the runtime this is called in.
    ///
    /// # Errors
    /// The runtime could not register the socket.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O enabled, as tokio's own sockets do.
    pub fn attach(self) -> io::Result<Stream> {
        Ok(match self.0 {
            Detached::Tcp(tcp) => Stream::Tcp(TcpStream::from_std(tcp)?),
            Detached::Unix(unix) => Stream::Unix(UnixStream::from_std(unix)?),
            Detached::Memory(memory) => Stream::Memory(memory),
        })
    }
}

impl From<std::net::TcpStream> for DetachedStream {
    /// Takes a connected socket; it must be in non-blocking mode.
    fn from(tcp: std::net::TcpStream) -> Self {
        Self(Detached::Tcp(tcp))
    }
}

impl From<std::os::unix::net::UnixStream> for DetachedStream {
    /// Takes a connected socket; it must be in non-blocking mode.
    fn from(unix: std::os::unix::net::UnixStream) -> Self {
        Self(Detached::Unix(unix))
    }
}
