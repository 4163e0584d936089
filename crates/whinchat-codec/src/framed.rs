//! Packets over tokio-util's `Framed`.
//!
//! Leaves to the session what a packet means and whether it may come; knows only where one ends
//! and which version's rules it is read by.

use core::fmt;
use std::io;

use bytes::BytesMut;
use tokio_util::codec::{Decoder, Encoder};

use crate::frame;
use crate::{
    DecodeError, DecodeLimits, EncodeError, Packet, PacketRef, PacketType, ProtocolVersion,
};

/// Reads and writes packets on a stream.
///
/// The version comes from the first CONNECT that is read or written; who joins in the middle
/// says it with [`with_version`](Self::with_version) or [`set_version`](Self::set_version).
/// Memory follows the bytes received: nothing is reserved for a declared length.
///
/// ```
/// use futures_util::{SinkExt, StreamExt};
/// use tokio_util::codec::Framed;
/// use whinchat_codec::{Connect, Packet, ProtocolVersion, Utf8String, framed::Codec};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (client, server) = tokio::io::duplex(64);
/// let mut client = Framed::new(client, Codec::default());
/// let mut server = Framed::new(server, Codec::default());
///
/// let connect = Connect::new(ProtocolVersion::V5, Utf8String::from_static("meter-7"));
/// client.send(Packet::Connect(connect.into())).await?;
/// client.send(Packet::PingReq).await?;
///
/// assert!(matches!(server.next().await, Some(Ok(Packet::Connect(_)))));
/// assert!(matches!(server.next().await, Some(Ok(Packet::PingReq))));
/// assert_eq!(server.codec().version(), Some(ProtocolVersion::V5));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Codec {
    version: Option<ProtocolVersion>,
    limits: DecodeLimits,
}

impl Codec {
    /// A codec that accepts what is within `limits` and learns the version from CONNECT.
    pub fn new(limits: DecodeLimits) -> Self {
        Self {
            version: None,
            limits,
        }
    }

    /// The same codec for a stream whose version is known.
    #[must_use]
    pub fn with_version(mut self, version: ProtocolVersion) -> Self {
        self.version = Some(version);
        self
    }

    /// Sets the version for all packets but CONNECT, which carries its own.
    pub fn set_version(&mut self, version: ProtocolVersion) {
        self.version = Some(version);
    }

    /// The version, once it is known.
    pub fn version(&self) -> Option<ProtocolVersion> {
        self.version
    }

    /// The limits for what is read.
    pub fn limits(&self) -> &DecodeLimits {
        &self.limits
    }

    /// The version for a packet of this type.
    fn version_for(&self, packet: PacketType) -> Result<ProtocolVersion, CodecError> {
        match self.version {
            Some(version) => Ok(version),
            // CONNECT ignores what it is given.
            None if packet == PacketType::Connect => Ok(ProtocolVersion::V5),
            None => Err(CodecError::VersionUnknown { packet }),
        }
    }
}

impl Decoder for Codec {
    type Item = Packet;
    type Error = CodecError;

    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<Packet>, CodecError> {
        let Some(packet_type) = frame::first_type(src)? else {
            return Ok(None);
        };
        let version = self.version_for(packet_type)?;
        let Some(frame) = frame::split(src, version, &self.limits)? else {
            return Ok(None);
        };
        let parent = src.split_to(frame.len).freeze();
        let Some((packet, _)) = Packet::decode(&parent, version, &self.limits)? else {
            return Ok(None);
        };
        if let Packet::Connect(connect) = &packet {
            self.version = Some(connect.version);
        }
        Ok(Some(packet))
    }
}

impl Encoder<PacketRef<'_>> for Codec {
    type Error = CodecError;

    fn encode(&mut self, packet: PacketRef<'_>, out: &mut BytesMut) -> Result<(), CodecError> {
        let version = self.version_for(packet.packet_type())?;
        packet.encode(version, out)?;
        if let PacketRef::Connect(connect) = packet {
            self.version = Some(connect.version);
        }
        Ok(())
    }
}

impl Encoder<Packet> for Codec {
    type Error = CodecError;

    fn encode(&mut self, packet: Packet, out: &mut BytesMut) -> Result<(), CodecError> {
        self.encode(packet.as_packet_ref(), out)
    }
}

impl Encoder<&Packet> for Codec {
    type Error = CodecError;

    fn encode(&mut self, packet: &Packet, out: &mut BytesMut) -> Result<(), CodecError> {
        self.encode(packet.as_packet_ref(), out)
    }
}

/// Why a stream of packets ended.
#[derive(Debug)]
#[non_exhaustive]
pub enum CodecError {
    /// The transport failed, or ended inside a packet.
    Io(io::Error),
    /// The peer sent bytes that are no packet; [`DecodeError::reason`] is the answer to it.
    Decode(DecodeError),
    /// The packet to send cannot be encoded; nothing of it was written.
    Encode(EncodeError),
    /// A packet came before any CONNECT and no version was set.
    VersionUnknown {
        /// Its type.
        packet: PacketType,
    },
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Decode(error) => error.fmt(f),
            Self::Encode(error) => error.fmt(f),
            Self::VersionUnknown { packet } => write!(
                f,
                "{packet}: version unknown: no CONNECT was seen and no version set"
            ),
        }
    }
}

impl std::error::Error for CodecError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::Decode(error) => Some(error),
            Self::Encode(error) => Some(error),
            Self::VersionUnknown { .. } => None,
        }
    }
}

impl From<io::Error> for CodecError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<DecodeError> for CodecError {
    fn from(error: DecodeError) -> Self {
        Self::Decode(error)
    }
}

impl From<EncodeError> for CodecError {
    fn from(error: EncodeError) -> Self {
        Self::Encode(error)
    }
}
