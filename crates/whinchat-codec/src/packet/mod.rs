//! The packets: dispatch only; each packet's own rules are in its file, all versions together.

mod ack;
mod auth;
mod connack;
mod connect;
mod disconnect;
mod downgrade;
mod list;
mod ping;
mod puback;
mod pubcomp;
mod publish;
mod pubrec;
mod pubrel;
mod redacted;
mod suback;
mod subscribe;
mod unsuback;
mod unsubscribe;
mod will;

use alloc::boxed::Box;

use bytes::{Bytes, BytesMut};

pub use auth::{Auth, AuthRef};
pub use connack::{ConnAck, ConnAckRef};
pub use connect::{Connect, ConnectRef};
pub use disconnect::{Disconnect, DisconnectRef};
pub use puback::{PubAck, PubAckRef};
pub use pubcomp::{PubComp, PubCompRef};
pub(crate) use publish::DUP;
pub use publish::{Publish, PublishRef};
pub use pubrec::{PubRec, PubRecRef};
pub use pubrel::{PubRel, PubRelRef};
pub use suback::{SubAck, SubAckReasons, SubAckRef};
pub use subscribe::{
    RetainHandling, Subscribe, SubscribeRef, Subscription, SubscriptionOptions, SubscriptionRef,
    Subscriptions,
};
pub use unsuback::{UnsubAck, UnsubAckReasons, UnsubAckRef};
pub use unsubscribe::{Filters, Unsubscribe, UnsubscribeRef};
pub use will::{Will, WillRef};

use crate::error::EncodeErrorKind;
use crate::frame::Frame;
use crate::property::RawRef;
use crate::{DecodeError, DecodeLimits, EncodeError, PacketType, ProtocolVersion, frame, writer};

/// Bytes that a property section takes: 0 in 3.x, where there must be none.
#[inline]
fn properties_len(properties: RawRef<'_>, version: ProtocolVersion) -> Result<usize, EncodeError> {
    if version.is_v5() {
        return Ok(properties.encoded_len());
    }
    if properties.is_empty() {
        return Ok(0);
    }
    Err(not_in_version("properties", version))
}

#[inline]
fn put_properties(properties: RawRef<'_>, version: ProtocolVersion, out: &mut BytesMut) {
    if version.is_v5() {
        properties.put(out);
    }
}

#[cold]
fn not_in_version(field: &'static str, version: ProtocolVersion) -> EncodeError {
    EncodeError::new(field, EncodeErrorKind::NotInVersion { version })
}

/// Declares `encode` and `encoded_len` of a packet, borrowed and owned, over its
/// `remaining_len`, `first_byte` and `put`.
macro_rules! encoding {
    ($borrowed:ident $owned:ident $packet_type:ident) => {
        super::encoding! { @len $borrowed $owned $packet_type }

        impl $borrowed<'_> {
            /// Appends the packet in its shortest form.
            ///
            /// # Errors
            /// If a field is too long or out of range, or `version` does not have it; then
            /// nothing is appended.
            #[inline]
            pub fn encode(
                &self,
                version: $crate::ProtocolVersion,
                out: &mut bytes::BytesMut,
            ) -> Result<(), $crate::EncodeError> {
                let in_packet =
                    |error: $crate::EncodeError| error.in_packet($crate::PacketType::$packet_type);
                let remaining_len = self.remaining_len(version).map_err(in_packet)?;
                $crate::writer::put_fixed_header(out, self.first_byte(), remaining_len)
                    .map_err(in_packet)?;
                self.put(version, out);
                Ok(())
            }
        }
    };
    // For a packet that writes its own `encode`.
    (@len $borrowed:ident $owned:ident $packet_type:ident) => {
        impl $borrowed<'_> {
            /// Bytes that [`encode`](Self::encode) appends: the whole packet, exactly.
            ///
            /// # Errors
            /// Those of [`encode`](Self::encode).
            #[inline]
            pub fn encoded_len(
                &self,
                version: $crate::ProtocolVersion,
            ) -> Result<usize, $crate::EncodeError> {
                self.remaining_len(version)
                    .and_then($crate::writer::packet_len)
                    .map_err(|error| error.in_packet($crate::PacketType::$packet_type))
            }
        }

        impl $owned {
            /// Bytes that [`encode`](Self::encode) appends: the whole packet, exactly.
            ///
            /// # Errors
            /// Those of [`encode`](Self::encode).
            #[inline]
            pub fn encoded_len(
                &self,
                version: $crate::ProtocolVersion,
            ) -> Result<usize, $crate::EncodeError> {
                self.borrowed().encoded_len(version)
            }

            /// Appends the packet in its shortest form.
            ///
            /// # Errors
            /// If a field is too long or out of range, or `version` does not have it; then
            /// nothing is appended.
            #[inline]
            pub fn encode(
                &self,
                version: $crate::ProtocolVersion,
                out: &mut bytes::BytesMut,
            ) -> Result<(), $crate::EncodeError> {
                self.borrowed().encode(version, out)
            }
        }

        impl<'a> From<&'a $owned> for $borrowed<'a> {
            #[inline]
            fn from(packet: &'a $owned) -> Self {
                packet.borrowed()
            }
        }
    };
}
use encoding;

/// A packet that borrows all it holds from the bytes it was decoded from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketRef<'a> {
    /// CONNECT.
    Connect(ConnectRef<'a>),
    /// CONNACK.
    ConnAck(ConnAckRef<'a>),
    /// PUBLISH.
    Publish(PublishRef<'a>),
    /// PUBACK.
    PubAck(PubAckRef<'a>),
    /// PUBREC.
    PubRec(PubRecRef<'a>),
    /// PUBREL.
    PubRel(PubRelRef<'a>),
    /// PUBCOMP.
    PubComp(PubCompRef<'a>),
    /// SUBSCRIBE.
    Subscribe(SubscribeRef<'a>),
    /// SUBACK.
    SubAck(SubAckRef<'a>),
    /// UNSUBSCRIBE.
    Unsubscribe(UnsubscribeRef<'a>),
    /// UNSUBACK.
    UnsubAck(UnsubAckRef<'a>),
    /// PINGREQ.
    PingReq,
    /// PINGRESP.
    PingResp,
    /// DISCONNECT.
    Disconnect(DisconnectRef<'a>),
    /// AUTH, in 5.0 only.
    Auth(AuthRef<'a>),
}

/// A packet that owns what it holds, as slices of the buffer it was decoded from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum Packet {
    /// CONNECT, by far the largest.
    Connect(Box<Connect>),
    /// CONNACK.
    ConnAck(ConnAck),
    /// PUBLISH.
    Publish(Publish),
    /// PUBACK.
    PubAck(PubAck),
    /// PUBREC.
    PubRec(PubRec),
    /// PUBREL.
    PubRel(PubRel),
    /// PUBCOMP.
    PubComp(PubComp),
    /// SUBSCRIBE.
    Subscribe(Subscribe),
    /// SUBACK.
    SubAck(SubAck),
    /// UNSUBSCRIBE.
    Unsubscribe(Unsubscribe),
    /// UNSUBACK.
    UnsubAck(UnsubAck),
    /// PINGREQ.
    PingReq,
    /// PINGRESP.
    PingResp,
    /// DISCONNECT.
    Disconnect(Disconnect),
    /// AUTH, in 5.0 only.
    Auth(Auth),
}

/// Decodes the packet that starts `bytes`: the packet and how many bytes it has.
///
/// `None` means that the packet is not there as a whole; nothing of it was kept, so call again
/// with the same start and more behind it. CONNECT carries its own version, whatever `version`
/// says. Allocates nothing.
///
/// A [`PacketRef`] has room for the fields of any packet. Where nanoseconds count, match where it
/// lies, `match &decode(..)`: `decode(..)?` moves it, which takes as long as to read a small packet.
///
/// # Errors
/// If the bytes can be no packet of this version, or it exceeds `limits`. The error names
/// packet, field and rule, and the reason code to answer with.
#[inline]
pub fn decode<'a>(
    bytes: &'a [u8],
    version: ProtocolVersion,
    limits: &DecodeLimits,
) -> Result<Option<(PacketRef<'a>, usize)>, DecodeError> {
    let Some(frame) = frame::split(bytes, version, limits)? else {
        return Ok(None);
    };
    let Frame { body, len, .. } = frame;
    // Each arm builds the whole answer, so that a small packet is not moved as a large one.
    macro_rules! packet {
        ($packet:ident, $decoded:expr) => {
            match $decoded {
                Ok(packet) => Ok(Some((PacketRef::$packet(packet), len))),
                Err(error) => Err(error.in_packet(PacketType::$packet, version)),
            }
        };
    }
    match frame.packet_type {
        PacketType::Publish => packet!(
            Publish,
            PublishRef::decode(frame.flags, body, version, limits)
        ),
        PacketType::PubAck => packet!(PubAck, PubAckRef::decode(body, version, limits)),
        PacketType::PubRec => packet!(PubRec, PubRecRef::decode(body, version, limits)),
        PacketType::PubRel => packet!(PubRel, PubRelRef::decode(body, version, limits)),
        PacketType::PubComp => packet!(PubComp, PubCompRef::decode(body, version, limits)),
        // CONNECT says by itself how far it got.
        PacketType::Connect => match ConnectRef::decode(&frame, limits) {
            Ok(connect) => Ok(Some((PacketRef::Connect(connect), len))),
            Err(error) => Err(error.in_connect()),
        },
        PacketType::ConnAck => packet!(ConnAck, ConnAckRef::decode(body, version, limits)),
        PacketType::Subscribe => packet!(Subscribe, SubscribeRef::decode(body, version, limits)),
        PacketType::SubAck => packet!(SubAck, SubAckRef::decode(body, version, limits)),
        PacketType::Unsubscribe => {
            packet!(Unsubscribe, UnsubscribeRef::decode(body, version, limits))
        }
        PacketType::UnsubAck => packet!(UnsubAck, UnsubAckRef::decode(body, version, limits)),
        packet_type @ (PacketType::PingReq | PacketType::PingResp) => match ping::decode(body) {
            Ok(()) if matches!(packet_type, PacketType::PingReq) => {
                Ok(Some((PacketRef::PingReq, len)))
            }
            Ok(()) => Ok(Some((PacketRef::PingResp, len))),
            Err(error) => Err(error.in_packet(packet_type, version)),
        },
        PacketType::Disconnect => packet!(Disconnect, DisconnectRef::decode(body, version, limits)),
        PacketType::Auth => packet!(Auth, AuthRef::decode(body, limits)),
    }
}

macro_rules! each_packet {
    ($self:ident, $packet:ident => $body:expr, $ping:ident => $ping_body:expr) => {
        match $self {
            Self::Connect($packet) => $body,
            Self::ConnAck($packet) => $body,
            Self::Publish($packet) => $body,
            Self::PubAck($packet) => $body,
            Self::PubRec($packet) => $body,
            Self::PubRel($packet) => $body,
            Self::PubComp($packet) => $body,
            Self::Subscribe($packet) => $body,
            Self::SubAck($packet) => $body,
            Self::Unsubscribe($packet) => $body,
            Self::UnsubAck($packet) => $body,
            Self::PingReq => {
                let $ping = PacketType::PingReq;
                $ping_body
            }
            Self::PingResp => {
                let $ping = PacketType::PingResp;
                $ping_body
            }
            Self::Disconnect($packet) => $body,
            Self::Auth($packet) => $body,
        }
    };
}

impl PacketRef<'_> {
    /// The type of the packet.
    #[inline]
    pub const fn packet_type(&self) -> PacketType {
        match self {
            Self::Connect(_) => PacketType::Connect,
            Self::ConnAck(_) => PacketType::ConnAck,
            Self::Publish(_) => PacketType::Publish,
            Self::PubAck(_) => PacketType::PubAck,
            Self::PubRec(_) => PacketType::PubRec,
            Self::PubRel(_) => PacketType::PubRel,
            Self::PubComp(_) => PacketType::PubComp,
            Self::Subscribe(_) => PacketType::Subscribe,
            Self::SubAck(_) => PacketType::SubAck,
            Self::Unsubscribe(_) => PacketType::Unsubscribe,
            Self::UnsubAck(_) => PacketType::UnsubAck,
            Self::PingReq => PacketType::PingReq,
            Self::PingResp => PacketType::PingResp,
            Self::Disconnect(_) => PacketType::Disconnect,
            Self::Auth(_) => PacketType::Auth,
        }
    }

    /// Bytes that [`encode`](Self::encode) appends: the whole packet, exactly.
    ///
    /// # Errors
    /// Those of [`encode`](Self::encode).
    #[inline]
    pub fn encoded_len(&self, version: ProtocolVersion) -> Result<usize, EncodeError> {
        each_packet!(self, packet => packet.encoded_len(version), _ping => writer::packet_len(0))
    }

    /// Appends the packet in its shortest form. CONNECT carries its own version, whatever
    /// `version` says.
    ///
    /// # Errors
    /// If a field is too long or out of range, or `version` does not have it; then nothing is
    /// appended.
    #[inline]
    pub fn encode(&self, version: ProtocolVersion, out: &mut BytesMut) -> Result<(), EncodeError> {
        each_packet!(
            self,
            packet => packet.encode(version, out),
            ping => writer::put_fixed_header(out, ping.first_byte(), 0)
        )
    }

    /// The same packet with everything copied.
    pub fn to_owned(&self) -> Packet {
        self.owned(None)
    }

    /// The same packet as slices of `parent`, the buffer it was decoded from. What does not lie
    /// in `parent` is copied.
    pub fn to_owned_in(&self, parent: &Bytes) -> Packet {
        self.owned(Some(parent))
    }

    fn owned(&self, parent: Option<&Bytes>) -> Packet {
        match self {
            Self::Connect(packet) => Packet::Connect(packet.owned(parent).into()),
            Self::ConnAck(packet) => Packet::ConnAck(packet.owned(parent)),
            Self::Publish(packet) => Packet::Publish(packet.owned(parent)),
            Self::PubAck(packet) => Packet::PubAck(packet.owned(parent)),
            Self::PubRec(packet) => Packet::PubRec(packet.owned(parent)),
            Self::PubRel(packet) => Packet::PubRel(packet.owned(parent)),
            Self::PubComp(packet) => Packet::PubComp(packet.owned(parent)),
            Self::Subscribe(packet) => Packet::Subscribe(packet.owned(parent)),
            Self::SubAck(packet) => Packet::SubAck(packet.owned(parent)),
            Self::Unsubscribe(packet) => Packet::Unsubscribe(packet.owned(parent)),
            Self::UnsubAck(packet) => Packet::UnsubAck(packet.owned(parent)),
            Self::PingReq => Packet::PingReq,
            Self::PingResp => Packet::PingResp,
            Self::Disconnect(packet) => Packet::Disconnect(packet.owned(parent)),
            Self::Auth(packet) => Packet::Auth(packet.owned(parent)),
        }
    }
}

impl Packet {
    /// Decodes the packet that starts `parent`, sharing its bytes: as [`decode`](crate::decode).
    ///
    /// # Errors
    /// Those of [`decode`](crate::decode).
    pub fn decode(
        parent: &Bytes,
        version: ProtocolVersion,
        limits: &DecodeLimits,
    ) -> Result<Option<(Self, usize)>, DecodeError> {
        let decoded = decode(parent, version, limits)?;
        Ok(decoded.map(|(packet, len)| (packet.to_owned_in(parent), len)))
    }

    /// The same packet, borrowed.
    #[inline]
    pub fn as_packet_ref(&self) -> PacketRef<'_> {
        match self {
            Self::Connect(packet) => PacketRef::Connect(packet.borrowed()),
            Self::ConnAck(packet) => PacketRef::ConnAck(packet.borrowed()),
            Self::Publish(packet) => PacketRef::Publish(packet.borrowed()),
            Self::PubAck(packet) => PacketRef::PubAck(packet.borrowed()),
            Self::PubRec(packet) => PacketRef::PubRec(packet.borrowed()),
            Self::PubRel(packet) => PacketRef::PubRel(packet.borrowed()),
            Self::PubComp(packet) => PacketRef::PubComp(packet.borrowed()),
            Self::Subscribe(packet) => PacketRef::Subscribe(packet.borrowed()),
            Self::SubAck(packet) => PacketRef::SubAck(packet.borrowed()),
            Self::Unsubscribe(packet) => PacketRef::Unsubscribe(packet.borrowed()),
            Self::UnsubAck(packet) => PacketRef::UnsubAck(packet.borrowed()),
            Self::PingReq => PacketRef::PingReq,
            Self::PingResp => PacketRef::PingResp,
            Self::Disconnect(packet) => PacketRef::Disconnect(packet.borrowed()),
            Self::Auth(packet) => PacketRef::Auth(packet.borrowed()),
        }
    }

    /// The type of the packet.
    pub fn packet_type(&self) -> PacketType {
        self.as_packet_ref().packet_type()
    }

    /// Bytes that [`encode`](Self::encode) appends: the whole packet, exactly.
    ///
    /// # Errors
    /// Those of [`encode`](Self::encode).
    pub fn encoded_len(&self, version: ProtocolVersion) -> Result<usize, EncodeError> {
        self.as_packet_ref().encoded_len(version)
    }

    /// Appends the packet in its shortest form: as [`PacketRef::encode`].
    ///
    /// # Errors
    /// Those of [`PacketRef::encode`].
    pub fn encode(&self, version: ProtocolVersion, out: &mut BytesMut) -> Result<(), EncodeError> {
        self.as_packet_ref().encode(version, out)
    }
}
