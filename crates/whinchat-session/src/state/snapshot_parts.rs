//! A snapshot field by field, for programs that show sessions or bring them from elsewhere.

use alloc::vec::Vec;

use whinchat_codec::{PacketId, PubRecReason, QoS};

use super::snapshot::{
    AWAIT_PUBACK, AWAIT_PUBCOMP, AWAIT_PUBREC, FORMAT, HAS_MESSAGE, MAGIC, MAY_HAVE_LEFT, RETAIN,
    Reader, SessionSnapshot, SnapshotError, flags, put_len, put_u16,
};

/// What a [`SessionSnapshot`] says. Messages are the bytes that the closure of
/// [`SessionState::export`](crate::SessionState::export) wrote for them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotParts {
    /// The packet id that was given out last; 0: none yet.
    pub last_packet_id: u16,
    /// Messages that were sent and whose exchange is not over, in the order in which they were sent.
    pub in_flight: Vec<InFlightPart>,
    /// Messages that were not sent, in order.
    pub queue: Vec<QueuedPart>,
    /// Packet ids of QoS 2 messages of the peer that it has not released.
    pub held_ids: Vec<PacketId>,
}

/// A message in flight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InFlightPart {
    /// Under which it was sent.
    pub packet_id: PacketId,
    /// What has to come from the peer.
    pub awaits: AwaitedPart,
    /// The message; none is needed once the PUBREC is there.
    pub message: Option<Vec<u8>>,
    /// RETAIN of its PUBLISH.
    pub retain: bool,
    /// The subscription identifiers of its PUBLISH.
    pub subscription_ids: Vec<u32>,
}

/// What a message in flight waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AwaitedPart {
    /// PUBACK: QoS 1.
    PubAck,
    /// PUBREC: QoS 2, first step.
    PubRec,
    /// PUBCOMP: QoS 2, second step, after a PUBREC with this reason.
    PubComp(PubRecReason),
}

/// A message that waits to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuedPart {
    /// The message.
    pub message: Vec<u8>,
    /// With which it will be sent.
    pub qos: QoS,
    /// RETAIN of its PUBLISH.
    pub retain: bool,
    /// The subscription identifiers of its PUBLISH.
    pub subscription_ids: Vec<u32>,
    /// It may have been sent before the state was lost, so that it goes out with DUP; QoS 1 only.
    pub may_have_left: bool,
}

impl SessionSnapshot {
    /// The snapshot field by field.
    ///
    /// # Errors
    /// If its bytes end too early or have an impossible value.
    pub fn parts(&self) -> Result<SnapshotParts, SnapshotError> {
        let mut reader = Reader(&self.0);
        reader.take(MAGIC.len() + 2)?;
        let mut parts = SnapshotParts {
            last_packet_id: reader.u16()?,
            ..SnapshotParts::default()
        };
        for _ in 0..reader.u32()? {
            let state = reader.u8()?;
            let flags = reader.u8()?;
            let packet_id = reader.packet_id()?;
            let pubrec = PubRecReason::from_code(reader.u8()?)
                .ok_or(SnapshotError::Invalid("reason of a PUBREC"))?;
            let awaits = match state {
                AWAIT_PUBACK => AwaitedPart::PubAck,
                AWAIT_PUBREC => AwaitedPart::PubRec,
                AWAIT_PUBCOMP => AwaitedPart::PubComp(pubrec),
                _ => return Err(SnapshotError::Invalid("state of a delivery")),
            };
            let (subscription_ids, message) = delivery(&mut reader)?;
            parts.in_flight.push(InFlightPart {
                packet_id,
                awaits,
                message: (flags & HAS_MESSAGE != 0).then_some(message),
                retain: flags & RETAIN != 0,
                subscription_ids,
            });
        }
        for _ in 0..reader.u32()? {
            let qos = QoS::try_from(reader.u8()?).map_err(|_| SnapshotError::Invalid("QoS"))?;
            let flags = reader.u8()?;
            let (subscription_ids, message) = delivery(&mut reader)?;
            parts.queue.push(QueuedPart {
                message,
                qos,
                retain: flags & RETAIN != 0,
                subscription_ids,
                may_have_left: flags & MAY_HAVE_LEFT != 0,
            });
        }
        for _ in 0..reader.u32()? {
            parts.held_ids.push(reader.packet_id()?);
        }
        match reader.0.len() {
            0 => Ok(parts),
            bytes => Err(SnapshotError::TrailingBytes(bytes)),
        }
    }
}

impl From<&SnapshotParts> for SessionSnapshot {
    /// The snapshot that says this. Whether a session can be like that is checked by
    /// [`SessionState::restore`](crate::SessionState::restore).
    fn from(parts: &SnapshotParts) -> Self {
        let mut out = Vec::new();
        out.extend_from_slice(MAGIC);
        put_u16(&mut out, FORMAT);
        put_u16(&mut out, parts.last_packet_id);
        put_len(&mut out, parts.in_flight.len());
        for part in &parts.in_flight {
            let (state, pubrec) = match part.awaits {
                AwaitedPart::PubAck => (AWAIT_PUBACK, PubRecReason::Success),
                AwaitedPart::PubRec => (AWAIT_PUBREC, PubRecReason::Success),
                AwaitedPart::PubComp(pubrec) => (AWAIT_PUBCOMP, pubrec),
            };
            out.push(state);
            out.push(flags(part.retain, part.message.is_some()));
            put_u16(&mut out, part.packet_id.get());
            out.push(pubrec.code());
            let message = part.message.as_deref().unwrap_or_default();
            put_delivery(&mut out, &part.subscription_ids, message);
        }
        put_len(&mut out, parts.queue.len());
        for part in &parts.queue {
            let may_have_left = if part.may_have_left { MAY_HAVE_LEFT } else { 0 };
            out.push(part.qos.into());
            out.push(flags(part.retain, true) | may_have_left);
            put_delivery(&mut out, &part.subscription_ids, &part.message);
        }
        put_len(&mut out, parts.held_ids.len());
        for id in &parts.held_ids {
            put_u16(&mut out, id.get());
        }
        Self(out)
    }
}

fn delivery(reader: &mut Reader<'_>) -> Result<(Vec<u32>, Vec<u8>), SnapshotError> {
    let mut ids = Vec::new();
    for _ in 0..reader.u32()? {
        ids.push(reader.u32()?);
    }
    let len = usize::try_from(reader.u32()?).map_err(|_| SnapshotError::Truncated)?;
    Ok((ids, reader.take(len)?.to_vec()))
}

fn put_delivery(out: &mut Vec<u8>, subscription_ids: &[u32], message: &[u8]) {
    put_len(out, subscription_ids.len());
    for id in subscription_ids {
        out.extend_from_slice(&id.to_be_bytes());
    }
    put_len(out, message.len());
    out.extend_from_slice(message);
}
