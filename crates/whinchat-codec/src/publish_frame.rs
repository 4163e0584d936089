//! A PUBLISH that is encoded once and sent to many.
//!
//! ```text
//! first byte   length   topic name   packet id   properties   payload
//!  ^ DUP                              ^ patched
//! ```
//!
//! Copies differ in packet id and DUP only; another QoS, retain flag, version or property needs
//! another frame. Read first: MQTT 5.0 section 3.3.

use bytes::{Bytes, BytesMut};

use crate::packet::DUP;
use crate::{EncodeError, PacketId, ProtocolVersion, PublishRef, QoS, writer};

/// One PUBLISH in its encoded form, for one version, QoS, retain flag and set of properties.
///
/// ```
/// use bytes::BytesMut;
/// use whinchat_codec::{Guarantee, PacketId, ProtocolVersion, PublishFrame, PublishRef};
///
/// let publish = PublishRef {
///     guarantee: Guarantee::AtLeastOnce { id: PacketId::MIN, dup: false },
///     retain: false,
///     topic: "a/b",
///     properties: Default::default(),
///     payload: b"x",
/// };
/// let frame = PublishFrame::new(&publish, ProtocolVersion::V311)?;
/// let mut out = BytesMut::new();
/// frame.append_to(&mut out, PacketId::new(7).map(|id| (id, false)));
/// assert_eq!(&out[..], b"\x32\x08\x00\x03a/b\x00\x07x");
/// # Ok::<(), whinchat_codec::EncodeError>(())
/// ```
#[derive(Clone, Debug)]
pub struct PublishFrame {
    bytes: Bytes,
    /// Where the packet id stands; at QoS 0 where it would.
    id_at: usize,
    qos: QoS,
}

impl PublishFrame {
    /// Encodes the packet; its packet id and DUP flag only hold the place.
    ///
    /// # Errors
    /// Those of [`PublishRef::encode`].
    pub fn new(publish: &PublishRef<'_>, version: ProtocolVersion) -> Result<Self, EncodeError> {
        let len = publish.encoded_len(version)?;
        let mut bytes = BytesMut::with_capacity(len);
        publish.encode(version, &mut bytes)?;
        let payload_at = len - publish.payload.len();
        let head_len = publish.head_len(version)?;
        Ok(Self {
            bytes: bytes.freeze(),
            id_at: payload_at - head_len + 2 + publish.topic.len(),
            qos: publish.guarantee.qos(),
        })
    }

    /// Bytes of the whole packet.
    #[inline]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Never: a packet has at least its fixed header.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The QoS it was encoded with.
    #[inline]
    pub const fn qos(&self) -> QoS {
        self.qos
    }

    /// The packet as it was encoded, with the packet id and DUP flag given to [`new`](Self::new).
    #[inline]
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Appends the whole packet with this packet id and DUP flag, which QoS 0 has neither of. For one whose payload is not
    /// to be copied see [`PublishRef::encode_head`].
    #[inline]
    pub fn append_to(&self, out: &mut BytesMut, delivery: Option<(PacketId, bool)>) {
        debug_assert_eq!(
            delivery.is_some(),
            self.qos != QoS::AtMostOnce,
            "a packet id goes with QoS 1 and 2"
        );
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        let Some((id, dup)) = delivery else {
            return;
        };
        if self.qos == QoS::AtMostOnce {
            return;
        }
        if let Some(copy) = out.get_mut(start..) {
            writer::patch_publish(copy, self.id_at, id, if dup { DUP } else { 0 });
        }
    }
}
