//! The end of a turn: append, release, post, write, in this order.
//!
//! Records come first, so that nothing that depends on them is visible before they are in the log.
//! Then what the log has committed is released into the buffers, and each buffer is written once.

use std::task::{Context, Poll};

use whinchat_codec::{DecodeLimits, PacketType, frame_len};
use whinchat_store::Lsn;

use super::{Life, Shard, slot::Phase};
use crate::{
    core::{end::Ending, mail::SlotKey},
    metrics::ShardMetrics,
};

impl Shard {
    pub(crate) fn end_turn(&mut self) {
        loop {
            self.append_records();
            // What is released may have to be recorded itself, before it is visible.
            if !self.release_committed() {
                break;
            }
        }
        self.post();
        self.flush();
        if let Life::Draining { deadline } = self.life
            && (self.slots.is_empty() || std::time::Instant::now() >= deadline)
        {
            let left = self.slots.len();
            self.slots.clear();
            self.metrics.connections.subtract(left);
            self.life = Life::Ended;
        }
    }

    /// True if the end of the turn itself has left something to do: a failed write ends a connection,
    /// and a Will goes out.
    pub(crate) fn has_unfinished_work(&self) -> bool {
        !self.dirty.is_empty()
            || !self.records.is_empty()
            || self.outgoing.iter().any(|batch| !batch.is_empty())
    }

    fn append_records(&mut self) {
        if self.records.is_empty() {
            return;
        }
        let group = self.records.end_turn();
        let lsn = match self.commons.log.segments() {
            Some(segments) => match segments.append_placed(group.records, group.durability) {
                Some((lsn, place)) => {
                    self.spilling.note(group.ticket, place, group.notes);
                    lsn
                }
                None => Lsn::NEVER,
            },
            None => self.commons.log.append(self.id.position(), group.records),
        };
        self.appended.push_back((group.ticket, lsn));
    }

    /// Sends the answers that waited for what is committed by now; false if there were none.
    fn release_committed(&mut self) -> bool {
        let committed = self.commons.log.committed();
        let mut up_to = None;
        while let Some((ticket, lsn)) = self.appended.front() {
            if *lsn > committed {
                break;
            }
            up_to = Some(*ticket);
            self.appended.pop_front();
        }
        let Some(up_to) = up_to else { return false };
        self.committed = up_to;
        self.place_messages();
        self.shorten_queues();
        while let Some((ticket, key)) = self.waiting.front() {
            if *ticket > up_to {
                break;
            }
            let key = *key;
            self.waiting.pop_front();
            self.release(key, up_to);
        }
        true
    }

    fn release(&mut self, key: SlotKey, up_to: whinchat_session::Ticket) {
        let Some(slot) = self
            .slots
            .get_mut(key.index as usize)
            .filter(|slot| slot.check == key.check)
        else {
            return;
        };
        if matches!(slot.phase, Phase::AwaitCommit(_)) {
            return self.accept_connect(key.index, up_to);
        }
        let now = self.now;
        let Some((engine, state, mut wire)) = self.attached_engine(key.index) else {
            return;
        };
        engine.handle_committed(now, up_to, state, &mut wire);
        self.after_engine(key.index);
    }

    fn flush(&mut self) {
        let mut dirty = std::mem::take(&mut self.dirty);
        for index in dirty.drain(..) {
            if let Some(slot) = self.slots.get_mut(index as usize) {
                slot.dirty = false;
                self.write(index);
            }
        }
        dirty.append(&mut self.dirty);
        self.dirty = dirty;
    }

    /// Writes what the connection has to send, as far as its socket takes it.
    fn write(&mut self, index: u32) {
        let Some(slot) = self.slots.get_mut(index as usize) else {
            return;
        };
        let mut counted = slot.counted;
        slot.out.each_part(|part| match part.get(counted..) {
            Some(new) => counted = count_sent(new, &self.metrics),
            None => counted -= part.len(),
        });
        let closing = matches!(slot.phase, Phase::AwaitFlush);
        let was_overfull = slot.is_overfull(self.settings.unsent_bytes);
        let mut cx = Context::from_waker(&slot.waker);
        slot.write_blocked = false;
        let mut failed = false;
        while !slot.out.is_empty() {
            match slot.out.poll_write(&mut slot.stream, &mut cx) {
                Poll::Ready(Ok(0)) | Poll::Ready(Err(_)) => {
                    failed = true;
                    break;
                }
                Poll::Ready(Ok(_)) => slot.progress_at = self.now,
                Poll::Pending => {
                    slot.write_blocked = true;
                    break;
                }
            }
        }
        slot.counted = slot.out.len();
        if was_overfull && !slot.is_overfull(self.settings.unsent_bytes) {
            slot.ready.enqueue(); // to be read again
        }
        let is_blocked = slot.write_blocked;
        slot.out.give_buffer(&mut self.buffers);
        if failed {
            self.end_connection(index, Ending::Lost);
        } else if closing && !is_blocked {
            self.close_flushed(index);
        } else {
            self.refill(index);
            if is_blocked {
                self.schedule_slot(index); // from here on the peer is watched
            }
        }
    }

    /// The buffer has room again: sends what the session has queued.
    fn refill(&mut self, index: u32) {
        let (now, half) = (self.now, self.settings.unsent_bytes / 2);
        let Some((engine, state, mut wire)) = self.attached_engine(index) else {
            return;
        };
        if wire.out.len() >= half || state.queue_len() == 0 {
            return;
        }
        engine.send_queued(now, state, &mut wire);
        let is_blocked = self
            .slots
            .get(index as usize)
            .is_some_and(|slot| slot.write_blocked);
        self.await_commit(index);
        if !is_blocked {
            self.note_output(index);
        }
    }
}

/// Counts the packets in `bytes`, by looking at their first bytes alone; by how much the last of them is longer than what
/// is there.
fn count_sent(mut bytes: &[u8], metrics: &ShardMetrics) -> usize {
    let no_limits = DecodeLimits::default();
    while let Some(packet_type) = bytes
        .first()
        .and_then(|first| PacketType::from_number(first >> 4))
    {
        let Ok(Some(len)) = frame_len(bytes, &no_limits) else {
            break;
        };
        metrics.packets_sent.of(packet_type).increment();
        metrics.packets_sent_bytes.of(packet_type).add(len as u64);
        let Some(rest) = bytes.get(len..) else {
            return len - bytes.len();
        };
        bytes = rest;
    }
    0
}
