//! A client's end of a connection: what is written is handled at once, what is read was answered before.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::server::{Number, Server};

/// A byte stream to a [`ReferenceServer`](super::ReferenceServer). To drop it is to cut the connection.
#[derive(Debug)]
pub struct ReferenceStream {
    server: Rc<RefCell<Server>>,
    number: Number,
}

impl ReferenceStream {
    pub(super) fn new(server: &Rc<RefCell<Server>>) -> Self {
        let number = server.borrow_mut().open();
        Self {
            server: Rc::clone(server),
            number,
        }
    }
}

impl AsyncRead for ReferenceStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut server = self.server.borrow_mut();
        let client = server.client(self.number);
        let waiting = &mut client.outbox.0;
        if waiting.is_empty() && !client.is_over {
            client.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        let len = waiting.len().min(buffer.remaining());
        buffer.put_slice(&waiting.split_to(len));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ReferenceStream {
    fn poll_write(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.server.borrow_mut().receive(self.number, bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.server.borrow_mut().cut(self.number);
        Poll::Ready(Ok(()))
    }
}

impl Drop for ReferenceStream {
    fn drop(&mut self) {
        let mut server = self.server.borrow_mut();
        server.cut(self.number);
        server.forget(self.number);
    }
}
