//! What the codec allocates, counted.

use allocation_counter::{AllocationInfo, measure};
use bytes::{Bytes, BytesMut};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use whinchat_codec::{
    DecodeLimits, Packet, PacketRef, PacketType, ProtocolVersion, decode, strategy,
};

const SAMPLES: usize = 20;

/// Some packets of every type in every version, with their bytes.
fn samples() -> Vec<(ProtocolVersion, Packet, Bytes)> {
    let mut runner = TestRunner::deterministic();
    let mut samples = Vec::new();
    for version in ProtocolVersion::ALL {
        for packet_type in PacketType::ALL {
            for _ in 0..SAMPLES {
                let packet = strategy::packet_of(packet_type, version)
                    .new_tree(&mut runner)
                    .expect("a packet")
                    .current();
                let mut out = BytesMut::new();
                packet.encode(version, &mut out).expect("it encodes");
                samples.push((version, packet, out.freeze()));
            }
        }
    }
    samples
}

#[track_caller]
fn assert_none(counted: AllocationInfo, packet: &Packet) {
    assert_eq!(counted.count_total, 0, "for {packet:?}");
}

#[test]
fn a_borrowed_decode_allocates_nothing() {
    let limits = DecodeLimits::default();
    for (version, packet, bytes) in samples() {
        let counted = measure(|| {
            let decoded = decode(&bytes, version, &limits);
            assert!(matches!(decoded, Ok(Some(_))));
        });
        assert_none(counted, &packet);
    }
}

#[test]
fn reading_what_was_decoded_allocates_nothing() {
    let limits = DecodeLimits::default();
    for (version, packet, bytes) in samples() {
        let Ok(Some((decoded, _))) = decode(&bytes, version, &limits) else {
            panic!("does not decode")
        };
        let counted = measure(|| {
            if let PacketRef::Publish(publish) = decoded {
                let read = publish.properties.iter().count()
                    + publish.properties.user_properties().count();
                assert!(read < 100);
            }
            if let PacketRef::Subscribe(subscribe) = decoded {
                assert_eq!(
                    subscribe.subscriptions.count(),
                    subscribe.subscriptions.len()
                );
            }
        });
        assert_none(counted, &packet);
    }
}

#[test]
fn encoding_into_a_buffer_with_room_allocates_nothing() {
    for (version, packet, bytes) in samples() {
        let mut out = BytesMut::with_capacity(bytes.len());
        let counted = measure(|| packet.encode(version, &mut out).expect("it encodes"));
        assert_eq!(out, bytes);
        assert_none(counted, &packet);
    }
}

#[test]
fn an_error_allocates_nothing() {
    let bytes = [0x30, 0x04, 0x00, 0x02, 0xFF, 0xFF];
    let counted = measure(|| {
        let decoded = decode(&bytes, ProtocolVersion::V5, &DecodeLimits::default());
        assert!(decoded.is_err());
    });
    assert_eq!(counted.count_total, 0);
}

#[test]
fn a_declared_length_makes_nobody_reserve_memory() {
    use tokio_util::codec::Decoder;
    let mut codec = whinchat_codec::framed::Codec::default().with_version(ProtocolVersion::V311);
    // A PUBLISH of 256 MiB of which six bytes are here.
    let mut buffer = BytesMut::from(&b"\x30\xFF\xFF\xFF\x7F\x00"[..]);
    let counted = measure(|| {
        assert!(matches!(codec.decode(&mut buffer), Ok(None)));
    });
    assert_eq!(counted.count_total, 0);
}

#[test]
fn an_owned_publish_points_into_the_buffer_it_was_decoded_from() {
    let bytes = Bytes::from_static(b"\x30\x07\x00\x03a/bxy");
    let decoded = Packet::decode(&bytes, ProtocolVersion::V311, &DecodeLimits::default());
    let Ok(Some((Packet::Publish(publish), _))) = decoded else {
        panic!("not a PUBLISH")
    };
    assert_eq!(publish.payload.as_ptr(), bytes[7..].as_ptr());
    assert_eq!(publish.topic.as_bytes().as_ptr(), bytes[4..].as_ptr());
}
