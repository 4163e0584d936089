//! A session as bytes: numbered format, checked on the way in.
//!
//! Leaves the form of a message to the driver, which writes and reads it with a closure.
//!
//! ```text
//! "WSES"  format u16   last packet id u16
//! in flight: count u32, each  state u8  flags u8  packet id u16  PUBREC reason u8  delivery
//! queue:     count u32, each  QoS u8  flags u8  delivery
//! held ids:  count u32, each  u16
//! delivery:  subscription ids: count u32, each u32;  message: length u32, bytes
//! ```
//! All numbers are big-endian. Flags: bit 0 RETAIN, bit 1 a message is there, bit 2 it waits and may have left.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use hashbrown::HashSet;
use whinchat_codec::{PacketId, PubRecReason, QoS};

use super::packet_ids::PacketIds;
use super::{Incoming, Outgoing, Queued, Sender, SessionState, Slot, Unsent};
use crate::message::{Message, SubscriptionIds};

pub(super) const MAGIC: &[u8; 4] = b"WSES";
pub(super) const FORMAT: u16 = 1;

pub(super) const AWAIT_PUBACK: u8 = 1;
pub(super) const AWAIT_PUBREC: u8 = 2;
pub(super) const AWAIT_PUBCOMP: u8 = 3;

pub(super) const RETAIN: u8 = 0b01;
pub(super) const HAS_MESSAGE: u8 = 0b10;
pub(super) const MAY_HAVE_LEFT: u8 = 0b100;

/// A session as opaque bytes, with a format number in front.
///
/// Later releases read what earlier ones wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionSnapshot(pub(super) Vec<u8>);

impl SessionSnapshot {
    /// Takes bytes that [`as_bytes`](Self::as_bytes) gave, possibly long ago.
    ///
    /// # Errors
    /// If they do not begin like a snapshot, or have a format that this release does not know.
    /// What is behind the format number is checked by [`SessionState::restore`].
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, SnapshotError> {
        let mut reader = Reader(&bytes);
        if reader.take(4)? != MAGIC {
            return Err(SnapshotError::NotASnapshot);
        }
        let format = reader.u16()?;
        if format != FORMAT {
            return Err(SnapshotError::UnknownFormat(format));
        }
        Ok(Self(bytes))
    }

    /// The bytes to keep.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes to keep.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// The format number.
    #[must_use]
    pub const fn format(&self) -> u16 {
        FORMAT
    }
}

/// Why bytes are no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SnapshotError {
    /// They do not begin like a snapshot.
    NotASnapshot,
    /// A format of a later release.
    UnknownFormat(u16),
    /// They end too early.
    Truncated,
    /// Bytes behind the end.
    TrailingBytes(usize),
    /// A value that no session has.
    Invalid(&'static str),
    /// The driver could not read one of its messages.
    Message,
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotASnapshot => f.write_str("not a session snapshot"),
            Self::UnknownFormat(format) => {
                write!(
                    f,
                    "session snapshot of format {format}, this release reads {FORMAT}"
                )
            }
            Self::Truncated => f.write_str("session snapshot ends too early"),
            Self::TrailingBytes(bytes) => write!(f, "session snapshot with {bytes} bytes too many"),
            Self::Invalid(field) => write!(f, "session snapshot with an impossible {field}"),
            Self::Message => f.write_str("session snapshot with an unreadable message"),
        }
    }
}

impl core::error::Error for SnapshotError {}

impl<M: Message> SessionState<M> {
    /// The session as a snapshot. `write` appends one message to the bytes.
    ///
    /// What still waits for a commit is written as if it were committed: who keeps the snapshot
    /// keeps the effect. SUBSCRIBE and UNSUBSCRIBE belong to a connection and are not part of it,
    /// nor are messages on which the application has not decided: the peer sends them again.
    pub fn export(&self, mut write: impl FnMut(&M, &mut Vec<u8>)) -> SessionSnapshot {
        let mut out = Vec::new();
        out.extend_from_slice(MAGIC);
        put_u16(&mut out, FORMAT);
        let sender = self.sender.as_deref();
        put_u16(&mut out, sender.map_or(0, Sender::last_packet_id));

        let slots = || sender.into_iter().flat_map(Sender::slots);
        let deliveries = || slots().filter(|slot| slot.state.is_delivery());
        put_len(&mut out, deliveries().count());
        for slot in deliveries() {
            // The message itself is not needed any more once the peer has it.
            let (state, message) = match slot.state {
                Outgoing::AwaitPubAck => (AWAIT_PUBACK, slot.message.as_ref()),
                Outgoing::AwaitSentCommit | Outgoing::AwaitPubRec => {
                    (AWAIT_PUBREC, slot.message.as_ref())
                }
                Outgoing::AwaitPubRecCommit
                | Outgoing::AwaitPubComp
                | Outgoing::AwaitSubAck
                | Outgoing::AwaitUnsubAck
                | Outgoing::Done => (AWAIT_PUBCOMP, None),
            };
            out.push(state);
            out.push(flags(slot.retain, message.is_some()));
            put_u16(&mut out, slot.id.get());
            out.push(slot.pubrec.code());
            put_delivery(&mut out, &slot.subscription_ids, message, &mut write);
        }

        put_len(&mut out, self.queue_len());
        for queued in sender.into_iter().flat_map(|sender| sender.queue.iter()) {
            out.push(queued.qos.into());
            let may_have_left = if queued.may_have_left {
                MAY_HAVE_LEFT
            } else {
                0
            };
            out.push(flags(queued.retain, true) | may_have_left);
            put_delivery(
                &mut out,
                &queued.subscription_ids,
                Some(&queued.message),
                &mut write,
            );
        }

        let held = self
            .receiver
            .as_ref()
            .map_or_else(Vec::new, |receiver| receiver.taken());
        put_len(&mut out, held.len());
        for id in held {
            put_u16(&mut out, id.get());
        }
        SessionSnapshot(out)
    }

    /// The session that a snapshot describes. `read` makes a message of the bytes that `write`
    /// of [`export`](Self::export) appended for it; `None` says that they are none.
    ///
    /// # Errors
    /// If the bytes are damaged. A session is restored whole or not at all.
    pub fn restore(
        snapshot: &SessionSnapshot,
        mut read: impl FnMut(&[u8]) -> Option<M>,
    ) -> Result<Self, SnapshotError> {
        let mut reader = Reader(&snapshot.0);
        reader.take(MAGIC.len() + 2)?;
        let mut state = Self::new();
        let packet_ids = match reader.u16()? {
            0 => PacketIds::new(),
            last => PacketIds::behind(last),
        };
        let mut sender = Sender::with_packet_ids(packet_ids);

        let mut ids = HashSet::new();
        for _ in 0..reader.u32()? {
            let awaited = match reader.u8()? {
                AWAIT_PUBACK => Outgoing::AwaitPubAck,
                AWAIT_PUBREC => Outgoing::AwaitPubRec,
                AWAIT_PUBCOMP => Outgoing::AwaitPubComp,
                _ => return Err(SnapshotError::Invalid("state of a delivery")),
            };
            let flags = reader.u8()?;
            let id = reader.packet_id()?;
            if !ids.insert(id) {
                return Err(SnapshotError::Invalid("packet id in flight"));
            }
            let pubrec = PubRecReason::from_code(reader.u8()?)
                .ok_or(SnapshotError::Invalid("reason of a PUBREC"))?;
            let (subscription_ids, message) = reader.delivery(flags, &mut read)?;
            if message.is_none() && awaited != Outgoing::AwaitPubComp {
                return Err(SnapshotError::Invalid("delivery without message"));
            }
            sender.push(Slot {
                id,
                state: awaited,
                retain: flags & RETAIN != 0,
                unsent: Unsent::No,
                pubrec,
                message,
                subscription_ids,
            });
        }

        if sender.last_packet_id() == 0
            && let Some(last) = PacketId::new(u16::MAX).filter(|_| !ids.is_empty())
        {
            // No writer says so; but then it is not known either which ids are free.
            sender.set_last_packet_id(last);
        }

        for _ in 0..reader.u32()? {
            let qos = QoS::try_from(reader.u8()?).map_err(|_| SnapshotError::Invalid("QoS"))?;
            let flags = reader.u8()?;
            let (subscription_ids, message) = reader.delivery(flags, &mut read)?;
            sender.queue.push(Queued {
                message: message.ok_or(SnapshotError::Invalid("queue"))?,
                qos,
                retain: flags & RETAIN != 0,
                subscription_ids,
                may_have_left: flags & MAY_HAVE_LEFT != 0 && qos == QoS::AtLeastOnce,
            });
        }

        for _ in 0..reader.u32()? {
            let id = reader.packet_id()?;
            state.receiver_mut().set(id, Incoming::Recorded);
        }
        if let Some(receiver) = state.receiver.as_mut() {
            let held = u16::try_from(receiver.len()).unwrap_or(u16::MAX);
            receiver.note_receive_maximum(held);
        }
        if !reader.0.is_empty() {
            return Err(SnapshotError::TrailingBytes(reader.0.len()));
        }
        state.sender = Some(Box::new(sender));
        Ok(state)
    }
}

pub(super) fn flags(retain: bool, has_message: bool) -> u8 {
    (if retain { RETAIN } else { 0 }) | (if has_message { HAS_MESSAGE } else { 0 })
}

pub(super) fn put_u16(out: &mut Vec<u8>, number: u16) {
    out.extend_from_slice(&number.to_be_bytes());
}

/// Counts and lengths have four bytes; what does not fit could not be in memory either.
pub(super) fn put_len(out: &mut Vec<u8>, len: usize) {
    let len = u32::try_from(len).expect("a session has fewer than 2^32 parts");
    out.extend_from_slice(&len.to_be_bytes());
}

fn put_delivery<M>(
    out: &mut Vec<u8>,
    ids: &SubscriptionIds,
    message: Option<&M>,
    write: &mut impl FnMut(&M, &mut Vec<u8>),
) {
    put_len(out, ids.as_slice().len());
    for id in ids.as_slice() {
        out.extend_from_slice(&id.to_be_bytes());
    }
    let at = out.len();
    put_len(out, 0);
    if let Some(message) = message {
        write(message, out);
    }
    let len = u32::try_from(out.len() - at - 4).expect("a message is shorter than 4 GiB");
    if let Some(place) = out.get_mut(at..at + 4) {
        place.copy_from_slice(&len.to_be_bytes());
    }
}

/// What is still to be read of a snapshot.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], SnapshotError> {
        let (head, rest) = self
            .0
            .split_at_checked(len)
            .ok_or(SnapshotError::Truncated)?;
        self.0 = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], SnapshotError> {
        let (head, rest) = self
            .0
            .split_first_chunk::<N>()
            .ok_or(SnapshotError::Truncated)?;
        self.0 = rest;
        Ok(*head)
    }

    pub(super) fn u8(&mut self) -> Result<u8, SnapshotError> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Result<u16, SnapshotError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, SnapshotError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn packet_id(&mut self) -> Result<PacketId, SnapshotError> {
        PacketId::new(self.u16()?).ok_or(SnapshotError::Invalid("packet id"))
    }

    fn delivery<M>(
        &mut self,
        flags: u8,
        read: &mut impl FnMut(&[u8]) -> Option<M>,
    ) -> Result<(SubscriptionIds, Option<M>), SnapshotError> {
        let mut ids = Vec::new();
        for _ in 0..self.u32()? {
            ids.push(self.u32()?);
        }
        let len = self.u32()?;
        let bytes = self.take(usize::try_from(len).map_err(|_| SnapshotError::Truncated)?)?;
        let message = if flags & HAS_MESSAGE == 0 {
            None
        } else {
            Some(read(bytes).ok_or(SnapshotError::Message)?)
        };
        Ok((SubscriptionIds::new(&ids), message))
    }
}
