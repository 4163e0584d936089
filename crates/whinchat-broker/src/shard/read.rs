//! From a readable socket to packets: read once, decode all that is complete, keep the rest.

use std::{
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{BufMut, Bytes};
use tokio_util::io::poll_read_buf;
use whinchat_codec::{DecodeLimits, decode, frame_len};

use super::{READ_BYTES_EACH, Shard, slot::Phase};
use crate::core::{end::Ending, mail::SlotKey};

/// The rest of a packet larger than this is read where it is to be, past the shard's buffer and up to its end: then it is
/// alone in its memory, and its payload can be kept there.
const DIRECT_BYTES: usize = 64 * 1024;

/// By how much its memory grows: what has arrived is copied then, so not often. Pages in which nothing has arrived are not
/// taken from the system.
const GROWTH: usize = 16;

/// So much of it at a time, so that others get their turn.
const DIRECT_BYTES_PER_READ: usize = 256 * 1024;

/// Whether the next packet of a connection is to be handled now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// Go on.
    Continue,
    /// Keep what is unread: something has to happen first.
    Pause,
    /// The connection is gone from its slot, or reads no more.
    Stop,
}

impl Shard {
    /// Serves a connection that is ready: writes what waits, then reads.
    pub(crate) fn serve(&mut self, index: u32) {
        let Some(slot) = self.slots.get_mut(index as usize) else {
            return; // It left; its waker was still on the list.
        };
        slot.ready.taken();
        self.given_bytes = 0;
        let write = slot.write_blocked;
        let held = !slot.is_held()
            && !self.commons.is_out_of_credit(self.id)
            && mem::take(&mut slot.has_held_packets);
        if write {
            self.mark_dirty(index);
        }
        if held {
            self.handle_unread(index);
        }
        self.read(index);
    }

    fn read(&mut self, index: u32) {
        let mut buffer = mem::take(&mut self.read_buffer);
        let mut budget = READ_BYTES_EACH;
        while let Some(slot) = self.slots.get_mut(index as usize) {
            let closing = matches!(slot.phase, Phase::AwaitFlush);
            let out_of_credit = self.commons.is_out_of_credit(self.id);
            let overfull = !closing && slot.is_overfull(self.settings.unsent_bytes);
            if slot.is_held() || slot.has_held_packets || out_of_credit || overfull {
                slot.is_unread = true;
                if out_of_credit {
                    self.throttled.push(index);
                }
                break;
            }
            if mem::take(&mut slot.is_unread) {
                slot.packet_began_at = self.now;
                slot.packet_grew_at = self.now;
            }
            if budget == 0 {
                slot.ready.enqueue();
                break;
            }
            let mut cx = Context::from_waker(&slot.waker);
            let missing = slot.wanted.saturating_sub(slot.unread.len());
            if missing > 0 && slot.wanted > DIRECT_BYTES && !closing {
                // Room grows with what has arrived: a length that is only declared takes no memory (T-03).
                if slot.unread.capacity() - slot.unread.len() < missing.min(DIRECT_BYTES) {
                    let room = (slot.unread.len() * (GROWTH - 1)).max(DIRECT_BYTES);
                    slot.unread.reserve_exact(missing.min(room));
                }
                let mut rest = (&mut slot.unread).limit(missing.min(DIRECT_BYTES_PER_READ));
                match poll_read_buf(Pin::new(&mut slot.stream), &mut cx, &mut rest) {
                    Poll::Pending => break,
                    Poll::Ready(Ok(0)) | Poll::Ready(Err(_)) => {
                        self.end_connection(index, Ending::Lost);
                        break;
                    }
                    Poll::Ready(Ok(count)) => {
                        budget = budget.saturating_sub(count);
                        self.read_bytes += count;
                        slot.note_packet_progress(self.now, false);
                        if count == missing {
                            self.handle_unread(index);
                        }
                        continue;
                    }
                }
            }
            let read = slot.stream.poll_read(&mut cx, &mut buffer);
            match read {
                Poll::Pending => break,
                Poll::Ready(Ok(0)) | Poll::Ready(Err(_)) => {
                    self.end_connection(index, Ending::Lost);
                    break;
                }
                Poll::Ready(Ok(count)) => {
                    budget = budget.saturating_sub(count);
                    self.read_bytes += count;
                    if closing {
                        continue; // Whatever it says after the end is read and forgotten.
                    }
                    let arrived = &buffer[..count];
                    if slot.unread.is_empty() {
                        self.handle_bytes(index, arrived);
                        continue;
                    }
                    // A packet in many pieces costs what its bytes cost: it is looked at again when
                    // the last of them is there (T-07).
                    slot.unread.extend_from_slice(arrived);
                    if slot.unread.len() < slot.wanted {
                        slot.note_packet_progress(self.now, false);
                    } else {
                        self.handle_unread(index);
                    }
                }
            }
        }
        self.read_buffer = buffer;
    }

    /// Handles the packets that wait in the slot itself.
    pub(crate) fn handle_unread(&mut self, index: u32) {
        let Some(slot) = self.slots.get_mut(index as usize) else {
            return;
        };
        let unread = mem::take(&mut slot.unread);
        if unread.len() > DIRECT_BYTES && unread.len() == slot.wanted {
            // What is kept of it need not be copied.
            let packet = Bytes::from(unread);
            self.arrived = Some(packet.clone());
            self.handle_bytes(index, &packet);
            self.arrived = None;
            return;
        }
        self.handle_bytes(index, &unread);
        // Nothing left over: the memory serves the rest of a large packet again, if that is near.
        if let Some(slot) = self.slots.get_mut(index as usize)
            && slot.unread.is_empty()
            && unread.capacity() <= 8192
        {
            slot.unread = unread;
            slot.unread.clear();
        }
    }

    /// Decodes and handles the packets in `bytes`; what is incomplete or on hold stays in the slot.
    fn handle_bytes(&mut self, index: u32, bytes: &[u8]) {
        let Some(slot) = self.slots.get(index as usize) else {
            return;
        };
        let key = SlotKey {
            index,
            check: slot.check,
        };
        let mut rest = bytes;
        while !rest.is_empty() {
            // A panic is a defect of ours; it costs the connection that met it, and no other.
            let step = catch_unwind(AssertUnwindSafe(|| self.handle_first(index, rest)));
            let (flow, used) = step.unwrap_or_else(|_| {
                self.commons.shared_metrics().panics.increment();
                self.end_connection(index, Ending::Panicked);
                (Flow::Stop, 0)
            });
            rest = &rest[used..];
            match flow {
                Flow::Continue if used == 0 => break, // incomplete
                Flow::Continue if self.given_bytes >= self.given_room => {
                    // What is left waits for the next turn.
                    if let (Some(slot), false) = (self.checked_slot(key), rest.is_empty()) {
                        slot.has_held_packets = true;
                        slot.ready.enqueue();
                    }
                    break;
                }
                Flow::Continue => {}
                Flow::Pause => break,
                Flow::Stop => return,
            }
        }
        let now = self.now;
        if let Some(slot) = self.checked_slot(key) {
            slot.unread.extend_from_slice(rest);
            // Within the limits, or it would have been refused; 0 while its length is incomplete.
            slot.wanted = match frame_len(rest, &DecodeLimits::default()) {
                Ok(Some(len)) => len,
                Ok(None) | Err(_) => 0,
            };
            slot.note_packet_progress(now, rest.len() < bytes.len());
            if !rest.is_empty() {
                self.schedule_slot(index);
            }
        }
    }

    /// Handles the first packet in `bytes`; the bytes it took, 0 if it is incomplete.
    fn handle_first(&mut self, index: u32, bytes: &[u8]) -> (Flow, usize) {
        let Some(slot) = self.slots.get(index as usize) else {
            return (Flow::Stop, 0);
        };
        let rules = self.settings.listener(slot.listener);
        let limits = match slot.phase {
            Phase::AwaitConnect
            | Phase::Authenticating(_)
            | Phase::Delayed(_)
            | Phase::AwaitCommit(_) => &rules.decode_before_connack,
            Phase::Attached(_) => &rules.decode,
            Phase::AwaitFlush => return (Flow::Stop, 0),
        };
        let version = slot.engine.version();
        match decode(bytes, version, limits) {
            Ok(None) => (Flow::Continue, 0),
            Ok(Some((packet, used))) => {
                if self.waits_for_room(index, &packet) {
                    return (Flow::Pause, 0);
                }
                let packet_type = packet.packet_type();
                self.metrics.packets_received.of(packet_type).increment();
                self.metrics
                    .packets_received_bytes
                    .of(packet_type)
                    .add(used as u64);
                (self.handle_packet(index, packet), used)
            }
            Err(error) => {
                self.refuse_bytes(index, &error);
                (Flow::Stop, 0)
            }
        }
    }
}
