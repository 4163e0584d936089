//! The messages that wait in one stream.
//!
//! QoS 0 is bounded here: what does not fit is left out and counted. QoS 1 and 2 are bounded by the receive window, because
//! their acks are withheld until the application has read them; so those are never left out.

use std::{
    collections::VecDeque,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use parking_lot::Mutex;
use whinchat_codec::QoS;

use crate::message::Message;

#[derive(Debug)]
pub(crate) struct Inbox {
    messages_max: usize,
    bytes_max: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Message>,
    bytes: usize,
    missed: u64,
    ended: bool,
    dropped: bool,
    reader: Option<Waker>,
}

impl Inbox {
    /// The bounds hold for messages of QoS 0.
    pub(crate) fn new(messages_max: usize, bytes_max: usize) -> Arc<Self> {
        Arc::new(Self {
            messages_max,
            bytes_max,
            state: Mutex::default(),
        })
    }

    /// Adds a message; gives it back when nobody can read it any more.
    pub(crate) fn push(&self, message: Message) -> Option<Message> {
        let mut state = self.state.lock();
        if state.dropped || state.ended {
            return Some(message);
        }
        let bytes = message.byte_size();
        let fits = state.waiting.len() < self.messages_max
            && bytes <= self.bytes_max.saturating_sub(state.bytes);
        if message.qos() == QoS::AtMostOnce && !fits {
            state.missed += 1;
            return None;
        }
        state.bytes += bytes;
        state.waiting.push_back(message);
        let reader = state.reader.take();
        drop(state);
        wake(reader);
        None
    }

    /// The next message; `None` when no more can come.
    pub(crate) fn poll_pop(&self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        let mut state = self.state.lock();
        if let Some(message) = state.pop() {
            return Poll::Ready(Some(message));
        }
        if state.ended {
            return Poll::Ready(None);
        }
        match &mut state.reader {
            Some(reader) => reader.clone_from(cx.waker()),
            None => state.reader = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// Takes out the messages that `wanted` says yes to, in order.
    pub(crate) fn take_where(&self, mut wanted: impl FnMut(&Message) -> bool) -> Vec<Message> {
        let mut state = self.state.lock();
        let mut taken = Vec::new();
        let mut kept = VecDeque::with_capacity(state.waiting.len());
        for message in state.waiting.drain(..) {
            if wanted(&message) {
                taken.push(message)
            } else {
                kept.push_back(message)
            }
        }
        state.bytes = kept.iter().map(Message::byte_size).sum();
        state.waiting = kept;
        taken
    }

    /// No more will come; what waits can still be read.
    pub(crate) fn end(&self) {
        let mut state = self.state.lock();
        state.ended = true;
        let reader = state.reader.take();
        drop(state);
        wake(reader);
    }

    /// The reader is gone. Gives what it has not read.
    pub(crate) fn close(&self) -> Vec<Message> {
        let mut state = self.state.lock();
        state.dropped = true;
        state.bytes = 0;
        state.waiting.drain(..).collect()
    }

    pub(crate) fn missed(&self) -> u64 {
        self.state.lock().missed
    }

    pub(crate) fn len(&self) -> usize {
        self.state.lock().waiting.len()
    }
}

impl State {
    fn pop(&mut self) -> Option<Message> {
        let message = self.waiting.pop_front()?;
        self.bytes -= message.byte_size();
        Some(message)
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}
