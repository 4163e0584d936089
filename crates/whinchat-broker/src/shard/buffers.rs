//! Empty buffers that go from connection to connection: a connection has one only while it has something to send.

use bytes::BytesMut;

/// A buffer larger than this is not kept for the next connection.
const BUFFER_BYTES_MAX: usize = 64 * 1024;

const BUFFERS_MAX: usize = 64;

/// Those that wait for a connection.
#[derive(Default)]
pub(crate) struct Buffers {
    free: Vec<BytesMut>,
    /// How many there were at least since the last [`drop_unused`](Self::drop_unused).
    unused: usize,
}

impl Buffers {
    #[inline]
    pub(crate) fn take(&mut self) -> BytesMut {
        let buffer = self.free.pop().unwrap_or_default();
        self.unused = self.unused.min(self.free.len());
        buffer
    }

    /// Takes an empty buffer back.
    #[inline]
    pub(crate) fn put(&mut self, buffer: BytesMut) {
        if buffer.capacity() <= BUFFER_BYTES_MAX && self.free.len() < BUFFERS_MAX {
            self.free.push(buffer);
        }
    }

    /// Drops as many as nobody has needed since this was called last.
    pub(crate) fn drop_unused(&mut self) {
        self.free.drain(..self.unused);
        self.unused = self.free.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_burst_needed_goes_when_it_is_over() {
        let mut buffers = Buffers::default();
        for _ in 0..10 {
            buffers.put(BytesMut::with_capacity(100));
        }
        buffers.drop_unused();
        assert_eq!(buffers.free.len(), 10, "they were needed a moment ago");
        let needed = [buffers.take(), buffers.take()];
        needed.into_iter().for_each(|buffer| buffers.put(buffer));
        buffers.drop_unused();
        assert_eq!(buffers.free.len(), 2);
        buffers.drop_unused();
        assert_eq!(buffers.free.len(), 0);
    }

    #[test]
    fn a_large_buffer_is_not_kept() {
        let mut buffers = Buffers::default();
        buffers.put(BytesMut::with_capacity(BUFFER_BYTES_MAX + 1));
        assert_eq!(buffers.take().capacity(), 0);
    }
}
