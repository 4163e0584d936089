//! What an engine under test is lent: a buffer, a log that commits when it is told to, and an ear.

use bytes::BytesMut;
use whinchat_session::{DropReason, Effect, Output, Ticket};

use crate::TestMessage;

/// An [`Output`] that keeps everything for the test to look at.
#[derive(Debug, Default)]
pub struct TestOutput {
    /// Bytes for the peer.
    pub buffer: BytesMut,
    /// Messages that will not be delivered.
    pub dropped: Vec<(TestMessage, DropReason)>,
    /// Effects in words, in order.
    pub effects: Vec<String>,
    /// Whether the peer has as many bytes waiting as it may.
    pub full: bool,
    /// Whether effects get tickets.
    pub durable: bool,
    last_ticket: u64,
}

impl TestOutput {
    /// An output that answers effects with tickets if it is `durable`.
    pub fn new(durable: bool) -> Self {
        Self {
            durable,
            ..Self::default()
        }
    }

    /// The ticket of one more record.
    pub const fn next_ticket(&mut self) -> Ticket {
        if self.durable {
            self.last_ticket += 1;
            Ticket::new(self.last_ticket)
        } else {
            Ticket::NONE
        }
    }

    /// The ticket of the latest record.
    pub const fn last_ticket(&self) -> Ticket {
        Ticket::new(self.last_ticket)
    }
}

impl Output<TestMessage> for TestOutput {
    fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    fn record(&mut self, effect: Effect<'_, TestMessage>) -> Ticket {
        self.effects.push(match effect {
            Effect::Sent { id, qos, .. } => format!("sent id{id} q{}", qos as u8),
            Effect::Acked { id } => format!("acked id{id}"),
            Effect::PubRecReceived { id } => format!("pubrec id{id}"),
            Effect::Completed { id } => format!("completed id{id}"),
            Effect::Received { id } => format!("received id{id}"),
            Effect::Released { id } => format!("released id{id}"),
        });
        self.next_ticket()
    }

    fn dropped(&mut self, message: TestMessage, reason: DropReason) {
        self.dropped.push((message, reason));
    }

    fn is_full(&self) -> bool {
        self.full
    }
}
