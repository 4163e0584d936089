//! What a connection has to send.
//!
//! ```text
//!   small:   packet packet head │ packet head │ packet        one buffer, in order
//!                               ▼             ▼
//!   large:                   payload       payload            where they lie, shared with all who get them
//! ```
//!
//! Small packets are copied into one buffer, which one write takes. The payload of a large one stays in the message,
//! however many subscribers it has (T-87), and goes out between the bytes before it and those after it.

use std::{
    collections::{VecDeque, vec_deque},
    io::{self, IoSlice},
    mem,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use whinchat_transport::Stream;

use super::buffers::Buffers;

/// Parts that one call to the operating system takes.
const PARTS_PER_WRITE: usize = 32;

/// Bytes for one peer, in the order in which they leave; without memory of its own while empty.
#[derive(Default)]
pub(crate) struct Outbox {
    small: BytesMut,
    large: Option<Box<Large>>,
}

/// The payloads that are not copied.
#[derive(Default)]
struct Large {
    payloads: VecDeque<Payload>,
    /// Bytes of all payloads.
    bytes: usize,
    /// Bytes of `small` that leave before the last payload.
    small_before: usize,
}

struct Payload {
    /// Bytes of `small` that leave before this one and after the one before it.
    small_before: usize,
    bytes: Bytes,
}

impl Outbox {
    /// Bytes that are to be sent, those of shared payloads as well.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.small.len() + self.large.as_ref().map_or(0, |large| large.bytes)
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.small.is_empty() && self.large.is_none()
    }

    /// The end of what is to be sent, to append to.
    #[inline]
    pub(crate) fn buffer(&mut self) -> &mut BytesMut {
        &mut self.small
    }

    /// Appends a payload whose head was appended to [`buffer`](Self::buffer) last.
    pub(crate) fn append_shared(&mut self, payload: Bytes) {
        let large = self.large.get_or_insert_default();
        large.bytes += payload.len();
        let small_before = self.small.len() - large.small_before;
        large.small_before = self.small.len();
        large.payloads.push_back(Payload {
            small_before,
            bytes: payload,
        });
    }

    /// Takes one of the buffers, if it has none.
    #[inline]
    pub(crate) fn take_buffer(&mut self, buffers: &mut Buffers) {
        if self.small.capacity() == 0 {
            self.small = buffers.take();
        }
    }

    /// Gives its buffer back if it is empty, for the next connection that has something to send.
    #[inline]
    pub(crate) fn give_buffer(&mut self, buffers: &mut Buffers) {
        if self.is_empty() && self.small.capacity() > 0 {
            buffers.put(mem::take(&mut self.small));
        }
    }

    /// Calls `with` with all parts in order.
    #[inline]
    pub(crate) fn each_part(&self, mut with: impl FnMut(&[u8])) {
        match self.large {
            None => with(&self.small),
            Some(_) => self.parts().for_each(with),
        }
    }

    /// All parts in order, none of them empty.
    fn parts(&self) -> Parts<'_> {
        Parts {
            small: &self.small,
            payloads: self.large.as_ref().map(|large| large.payloads.iter()),
            payload: &[],
        }
    }

    /// Writes as much as the stream takes in one call, and says how much that was.
    #[inline]
    pub(crate) fn poll_write(
        &mut self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let count = match self.large {
            None => ready!(stream.poll_write(cx, &self.small))?,
            Some(_) => return self.poll_write_parts(stream, cx),
        };
        self.advance_small(count);
        Poll::Ready(Ok(count))
    }

    fn poll_write_parts(
        &mut self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let mut slices = [IoSlice::new(&[]); PARTS_PER_WRITE];
        let mut filled = 0;
        for (slice, part) in slices.iter_mut().zip(self.parts()) {
            *slice = IoSlice::new(part);
            filled += 1;
        }
        let count = ready!(stream.poll_write_vectored(cx, &slices[..filled]))?;
        self.advance(count);
        Poll::Ready(Ok(count))
    }

    /// Gives up the first `count` bytes.
    fn advance(&mut self, mut count: usize) {
        while let Some(large) = &mut self.large {
            let Some(payload) = large.payloads.front_mut() else {
                self.large = None;
                break;
            };
            let before = count.min(payload.small_before);
            self.small.advance(before);
            payload.small_before -= before;
            large.small_before -= before;
            count -= before;
            let sent = count.min(payload.bytes.len());
            payload.bytes.advance(sent);
            large.bytes -= sent;
            count -= sent;
            if payload.small_before > 0 || !payload.bytes.is_empty() {
                return;
            }
            large.payloads.pop_front();
        }
        self.advance_small(count);
    }

    /// The same, behind the last payload.
    #[inline]
    fn advance_small(&mut self, count: usize) {
        if count == self.small.len() {
            self.small.clear(); // all of its memory is free again
        } else {
            self.small.advance(count);
        }
    }
}

/// The parts that are left.
struct Parts<'a> {
    small: &'a [u8],
    payloads: Option<vec_deque::Iter<'a, Payload>>,
    /// Comes next, unless it is empty.
    payload: &'a [u8],
}

impl<'a> Iterator for Parts<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        if !self.payload.is_empty() {
            return Some(mem::take(&mut self.payload));
        }
        let part = match self.payloads.as_mut().and_then(Iterator::next) {
            None => mem::take(&mut self.small),
            Some(payload) => {
                let (before, after) = self.small.split_at(payload.small_before);
                self.small = after;
                if before.is_empty() {
                    return Some(&payload.bytes);
                }
                self.payload = &payload.bytes;
                before
            }
        };
        (!part.is_empty()).then_some(part)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Small(usize),
        Large(usize),
        /// The peer reads so much, then what can be is written.
        Take(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (1..20usize).prop_map(Step::Small),
            2 => (1..200usize).prop_map(Step::Large),
            2 => (1..100usize).prop_map(Step::Take),
        ]
    }

    proptest! {
        /// What leaves is what one buffer would have sent, however small the pieces are in which the peer takes it.
        #[test]
        fn the_peer_reads_what_was_appended_in_order(
            steps in prop::collection::vec(step(), 1..60),
            capacity in 1..150usize,
        ) {
            let (mut ours, mut theirs) = Stream::pair(capacity);
            let mut cx = Context::from_waker(Waker::noop());
            let (mut outbox, mut plain, mut read) = (Outbox::default(), Vec::new(), Vec::new());
            let mut next = 0..;
            let mut bytes = |len| -> Vec<u8> { next.by_ref().take(len).map(|at: u32| at as u8).collect() };
            let finish = (0..20_000 / capacity).map(|_| Step::Take(capacity));
            for step in steps.into_iter().chain(finish) {
                match step {
                    Step::Small(len) => {
                        let small = bytes(len);
                        outbox.buffer().extend_from_slice(&small);
                        plain.extend(small);
                    }
                    Step::Large(len) => {
                        let large = bytes(len);
                        plain.extend_from_slice(&large);
                        outbox.append_shared(Bytes::from(large));
                    }
                    Step::Take(len) => {
                        let mut taken = vec![0; len];
                        if let Poll::Ready(count) = theirs.poll_read(&mut cx, &mut taken) {
                            read.extend_from_slice(&taken[..count.unwrap()]);
                        }
                        while !outbox.is_empty()
                            && outbox.poll_write(&mut ours, &mut cx).is_ready()
                        {}
                    }
                }
                let len = outbox.len();
                prop_assert_eq!(len, outbox.parts().map(<[u8]>::len).sum::<usize>());
                prop_assert_eq!(outbox.is_empty(), len == 0);
                prop_assert!(outbox.parts().flatten().eq(&plain[plain.len() - len..]));
            }
            prop_assert_eq!(read, plain);
            prop_assert!(outbox.is_empty());
        }
    }
}
