//! The same result however the bytes arrive.

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use tokio_util::codec::Decoder;
use whinchat_codec::{
    DecodeLimits, Packet, ProtocolVersion, decode, frame_len, framed::Codec, strategy,
};

fn stream(packets: &[Packet], version: ProtocolVersion) -> Bytes {
    let mut out = BytesMut::new();
    for packet in packets {
        packet
            .encode(version, &mut out)
            .expect("a generated packet encodes");
    }
    out.freeze()
}

fn several() -> impl Strategy<Value = (ProtocolVersion, Vec<Packet>)> {
    strategy::version().prop_flat_map(|version| {
        let packets = prop::collection::vec(strategy::packet(version), 1..4);
        (Just(version), packets)
    })
}

proptest! {
    #[test]
    fn every_truncation_is_incomplete((version, packet) in strategy::versioned_packet()) {
        let bytes = stream(&[packet], version);
        let limits = DecodeLimits::default();
        for end in 0..bytes.len() {
            prop_assert_eq!(decode(&bytes[..end], version, &limits), Ok(None), "at {}", end);
            let len = frame_len(&bytes[..end], &limits);
            prop_assert!(len == Ok(None) || len == Ok(Some(bytes.len())));
        }
    }

    #[test]
    fn bytes_behind_a_packet_change_nothing(
        (version, packet) in strategy::versioned_packet(),
        behind in prop::collection::vec(any::<u8>(), 0..8),
    ) {
        let alone = stream(&[packet], version);
        let followed = [&alone[..], &behind].concat();
        let limits = DecodeLimits::default();
        prop_assert_eq!(decode(&followed, version, &limits), decode(&alone, version, &limits));
    }

    #[test]
    fn packets_are_the_same_however_the_stream_is_cut(
        (version, packets) in several(),
        cuts in prop::collection::vec(1..40_usize, 1..20),
    ) {
        // CONNECT would change the version of what follows.
        let packets: Vec<Packet> = packets
            .into_iter()
            .filter(|packet| !matches!(packet, Packet::Connect(_)))
            .collect();
        let bytes = stream(&packets, version);
        let mut codec = Codec::default().with_version(version);
        let mut buffer = BytesMut::new();
        let mut decoded = Vec::new();
        let mut rest = &bytes[..];
        for cut in cuts.iter().cycle() {
            let (piece, behind) = rest.split_at(rest.len().min(*cut));
            buffer.extend_from_slice(piece);
            rest = behind;
            while let Some(packet) = codec.decode(&mut buffer).expect("a valid stream") {
                decoded.push(packet);
            }
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(decoded, packets);
        prop_assert!(buffer.is_empty());
    }

    #[test]
    fn an_error_is_the_same_however_the_stream_is_cut(
        version in strategy::version(),
        bytes in prop::collection::vec(any::<u8>(), 1..60),
    ) {
        let limits = DecodeLimits::default();
        let whole = decode(&bytes, version, &limits);
        let first = (0..=bytes.len())
            .map(|end| decode(&bytes[..end], version, &limits))
            .find(|decoded| *decoded != Ok(None));
        prop_assert_eq!(first.unwrap_or(Ok(None)), whole);
    }
}

/// A large packet that comes in drops costs no more than one that comes at once: T-07.
#[test]
fn the_body_is_not_looked_at_before_it_is_whole() {
    let ill_formed = b"\x30\x04\x00\x02\xFF\xFF";
    let limits = DecodeLimits::default();
    for end in 0..ill_formed.len() {
        let decoded = decode(&ill_formed[..end], ProtocolVersion::V5, &limits);
        assert_eq!(decoded, Ok(None), "at {end}");
    }
    assert!(decode(ill_formed, ProtocolVersion::V5, &limits).is_err());
}

#[test]
fn a_wrong_first_byte_is_refused_without_a_second_one() {
    for first_byte in [0x00, 0x21, 0x36, 0x38, 0x60, 0xE1] {
        let bytes = [first_byte];
        let error = decode(&bytes, ProtocolVersion::V311, &DecodeLimits::default())
            .expect_err("no packet starts so");
        assert_eq!(error.reason().code(), 0x81, "{first_byte:#04X}");
    }
}
