//! Letters to and from the other shards.

use std::sync::Arc;

use super::{Shard, mailbox::shrink_batch};
use crate::core::{deliver::Outgoing, end::Ending, keys::ShardId, mail::Mail};

impl Shard {
    /// Puts a letter into this turn's batch for `to`, or opens it at once if it is for this shard.
    pub(crate) fn mail(&mut self, to: ShardId, letter: Mail) {
        if to == self.id {
            self.open(letter);
        } else {
            self.outgoing[to.position()].push(letter);
        }
    }

    /// Hands over the batches of this turn; each receiver is woken once.
    pub(crate) fn post(&mut self) {
        for to in 0..self.outgoing.len() {
            let batch = &mut self.outgoing[to];
            if !batch.is_empty() {
                self.commons.mailboxes[to].put(self.id.position(), batch);
                self.commons.ready[to].wake_driver();
            }
        }
    }

    /// Gives back the memory of large batches, some of which circulates between the shards.
    pub(crate) fn shrink_mail(&mut self) {
        self.outgoing.iter_mut().for_each(shrink_batch);
        shrink_batch(&mut self.read_letters);
        self.commons.mailboxes[self.id.position()].shrink();
    }

    /// Opens everything that has arrived, always: a full mailbox never waits for anybody.
    pub(crate) fn read_mail(&mut self) {
        let commons = Arc::clone(&self.commons);
        let mailbox = &commons.mailboxes[self.id.position()];
        let mut batch = std::mem::take(&mut self.read_letters);
        for sender in 0..mailbox.senders() {
            let had_no_credit = mailbox.take(sender, &mut batch);
            if batch.is_empty() {
                continue;
            }
            self.metrics.shard_mailbox_batches.increment();
            if had_no_credit && let Some(sender) = commons.ready.get(sender) {
                sender.wake_driver();
            }
            for letter in batch.drain(..) {
                self.open(letter);
            }
        }
        self.read_letters = batch;
        // Whoever stopped reading for want of credit may go on.
        if !self.throttled.is_empty() && !commons.is_out_of_credit(self.id) {
            for index in std::mem::take(&mut self.throttled) {
                if let Some(slot) = self.slots.get(index as usize) {
                    slot.ready.enqueue();
                }
            }
        }
    }

    fn open(&mut self, letter: Mail) {
        match letter {
            Mail::Deliver { message, targets } => {
                self.deliver(&mut Outgoing::kept(&message), &targets, None);
            }
            Mail::DeliverToMember {
                message,
                group,
                target,
            } => {
                self.deliver(&mut Outgoing::kept(&message), &[target], Some(group));
            }
            Mail::Arrival(arrival) => self.arrive(*arrival),
            Mail::Inside { stream, peer } => self.admit_inside(stream, peer),
            Mail::Authenticated { slot, outcome } => self.handle_authenticated(slot, outcome),
            Mail::Kick { client_id } => {
                if let Some(slot) = self
                    .sessions
                    .find(&client_id)
                    .and_then(|session| self.sessions.get(session))
                    .and_then(|session| session.slot)
                {
                    self.end_connection(slot, Ending::Kicked);
                }
            }
            Mail::Move { target } => self.hear_of_move(target),
            Mail::KnowsMove { target } => self.count_towards_move(target),
            Mail::Reload => self.settings = self.commons.settings(),
            Mail::Shutdown { deadline } => self.drain(deadline),
        }
    }
}
