//! What must hold for any bytes at all.

use bytes::{Bytes, BytesMut};
use tokio_util::codec::Decoder;
use whinchat_codec::framed::{Codec, CodecError};
use whinchat_codec::{
    DecodeError, DecodeLimits, Packet, PacketRef, ProtocolVersion, SubAckReason, decode,
};

/// What a decoder says of bytes.
pub(super) type Decoded<'a> = Result<Option<(PacketRef<'a>, usize)>, DecodeError>;

/// Buffers that are used again from case to case.
#[derive(Default)]
pub(super) struct Judge {
    followed: Vec<u8>,
    read: BytesMut,
    written: BytesMut,
    again: BytesMut,
    /// Cases judged: how many there were, and where the next one is cut.
    pub(super) cases: usize,
}

impl Judge {
    /// Decodes `bytes`, and panics if
    ///
    /// - the owned decoder says otherwise than the borrowed one,
    /// - bytes that follow change a packet or an error,
    /// - a part of a packet is anything but incomplete, or of an error anything but incomplete or the same error,
    /// - two reads, cut at a place that moves from case to case, give something else,
    /// - a packet is not written in its announced length, is longer than it came, or is read back as another.
    #[track_caller]
    pub(super) fn decode<'a>(
        &mut self,
        bytes: &'a [u8],
        version: ProtocolVersion,
        limits: &DecodeLimits,
    ) -> Decoded<'a> {
        self.cases += 1;
        let decoded = decode(bytes, version, limits);
        let parent = Bytes::copy_from_slice(bytes);
        let owned = Packet::decode(&parent, version, limits);
        let borrowed = owned.as_ref().map(|found| {
            found
                .as_ref()
                .map(|(packet, len)| (packet.as_packet_ref(), *len))
        });
        assert_eq!(borrowed, decoded.as_ref().copied(), "the owned decoder");

        let cut = self.cases.checked_rem(bytes.len()).unwrap_or(0);
        self.check_followed(bytes, version, limits, &decoded);
        self.check_cut(bytes, cut, version, limits, &decoded);
        self.check_two_reads(bytes, cut, version, limits, &decoded);
        if let Ok(Some((packet, used))) = &decoded {
            assert!((2..=bytes.len()).contains(used), "{used} bytes used");
            self.check_written(packet, *used, version, limits);
        }
        decoded
    }

    #[track_caller]
    fn check_followed(
        &mut self,
        bytes: &[u8],
        version: ProtocolVersion,
        limits: &DecodeLimits,
        decoded: &Decoded<'_>,
    ) {
        if matches!(decoded, Ok(None)) {
            return;
        }
        self.followed.clear();
        self.followed.extend_from_slice(bytes);
        self.followed.extend_from_slice(&[0xff, 0x00, 0xc0]);
        assert_eq!(
            decode(&self.followed, version, limits),
            *decoded,
            "with more bytes behind it"
        );
    }

    #[track_caller]
    fn check_cut(
        &self,
        bytes: &[u8],
        cut: usize,
        version: ProtocolVersion,
        limits: &DecodeLimits,
        decoded: &Decoded<'_>,
    ) {
        let without_last = match decoded {
            Ok(Some((_, used))) => used - 1,
            Ok(None) | Err(_) => bytes.len().saturating_sub(1),
        };
        for end in [cut.min(without_last), without_last] {
            let part = decode(&bytes[..end], version, limits);
            let is_allowed = match (&part, decoded) {
                (Ok(None), _) => true,
                (Err(early), Err(late)) => early == late,
                (Ok(Some(_)) | Err(_), _) => false,
            };
            assert!(is_allowed, "the first {end} bytes: {part:?}");
        }
    }

    #[track_caller]
    fn check_two_reads(
        &mut self,
        bytes: &[u8],
        cut: usize,
        version: ProtocolVersion,
        limits: &DecodeLimits,
        decoded: &Decoded<'_>,
    ) {
        let mut codec = Codec::new(*limits).with_version(version);
        self.read.clear();
        self.read.extend_from_slice(&bytes[..cut]);
        let mut found = codec.decode(&mut self.read);
        let mut fed = cut;
        if matches!(found, Ok(None)) {
            self.read.extend_from_slice(&bytes[cut..]);
            fed = bytes.len();
            found = codec.decode(&mut self.read);
        }
        match (&found, decoded) {
            (Ok(None), Ok(None)) => {}
            (Ok(Some(found)), Ok(Some((packet, used)))) => {
                assert_eq!(found.as_packet_ref(), *packet, "two reads cut at {cut}");
                assert_eq!(fed - self.read.len(), *used, "two reads cut at {cut}");
            }
            (Err(CodecError::Decode(found)), Err(error)) => {
                assert_eq!(found, error, "two reads cut at {cut}");
            }
            (found, _) => panic!("two reads cut at {cut}: {found:?}"),
        }
    }

    #[track_caller]
    fn check_written(
        &mut self,
        packet: &PacketRef<'_>,
        used: usize,
        version: ProtocolVersion,
        limits: &DecodeLimits,
    ) {
        // The packet says its own.
        let version = if let PacketRef::Connect(connect) = packet {
            connect.version
        } else {
            version
        };
        self.written.clear();
        let written = packet.encode(version, &mut self.written);
        assert_eq!(
            packet.encoded_len(version),
            written.map(|()| self.written.len()),
            "announced length"
        );
        if written.is_err() {
            // 3.1 reads a failed subscription, which some servers send, and never writes one. // v31 M31-47
            assert!(
                version == ProtocolVersion::V31
                    && matches!(packet, PacketRef::SubAck(ack) if ack.reasons.iter().any(SubAckReason::is_error)),
                "{written:?}"
            );
            return;
        }
        assert!(self.written.len() <= used, "longer than it came");
        let again = decode(&self.written, version, limits);
        assert_eq!(
            again,
            Ok(Some((*packet, self.written.len()))),
            "read back from what was written"
        );
        self.again.clear();
        let owned = packet.to_owned();
        assert_eq!(owned.encode(version, &mut self.again), Ok(()));
        assert_eq!(self.again, self.written, "the owned packet as written");
    }
}
