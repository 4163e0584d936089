//! Any packet in any version, there and back.

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use whinchat_codec::{
    DecodeLimits, Packet, PacketType, ProtocolVersion, PublishFrame, decode, strategy,
};

fn encoded(packet: &Packet, version: ProtocolVersion) -> Bytes {
    let mut out = BytesMut::new();
    packet
        .encode(version, &mut out)
        .expect("a generated packet encodes");
    out.freeze()
}

proptest! {
    #[test]
    fn a_packet_is_decoded_as_it_was_encoded((version, packet) in strategy::versioned_packet()) {
        let bytes = encoded(&packet, version);
        let decoded = Packet::decode(&bytes, version, &DecodeLimits::default());
        prop_assert_eq!(decoded, Ok(Some((packet, bytes.len()))));
    }

    #[test]
    fn the_encoded_length_is_exact((version, packet) in strategy::versioned_packet()) {
        prop_assert_eq!(packet.encoded_len(version), Ok(encoded(&packet, version).len()));
    }

    #[test]
    fn the_shortest_form_is_encoded_as_it_was_decoded((version, packet) in strategy::versioned_packet()) {
        let bytes = encoded(&packet, version);
        let (borrowed, _) = decode(&bytes, version, &DecodeLimits::default())
            .expect("what was encoded decodes")
            .expect("it is whole");
        let mut again = BytesMut::new();
        borrowed.encode(version, &mut again).expect("what was decoded encodes");
        prop_assert_eq!(&again[..], &bytes[..]);
    }

    #[test]
    fn borrowed_and_owned_say_the_same((version, packet) in strategy::versioned_packet()) {
        let bytes = encoded(&packet, version);
        let (borrowed, _) = decode(&bytes, version, &DecodeLimits::default())
            .expect("what was encoded decodes")
            .expect("it is whole");
        prop_assert_eq!(borrowed, packet.as_packet_ref());
        prop_assert_eq!(borrowed.to_owned(), borrowed.to_owned_in(&bytes));
        prop_assert_eq!(borrowed.packet_type(), packet.packet_type());
    }

    #[test]
    fn what_is_decoded_from_any_bytes_can_be_encoded_and_decoded_again(
        version in strategy::version(),
        bytes in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        if let Ok(Some((packet, _))) = decode(&bytes, version, &DecodeLimits::default()) {
            let again = encoded(&packet.to_owned(), version);
            let decoded = decode(&again, version, &DecodeLimits::default());
            prop_assert_eq!(decoded, Ok(Some((packet, again.len()))));
        }
    }

    #[test]
    fn a_changed_byte_gives_a_packet_an_error_or_a_longer_packet(
        (version, packet) in strategy::versioned_packet(),
        at in any::<prop::sample::Index>(),
        to in any::<u8>(),
    ) {
        let mut bytes = encoded(&packet, version).to_vec();
        let at = at.index(bytes.len());
        bytes[at] = to;
        if let Ok(Some((packet, len))) = decode(&bytes, version, &DecodeLimits::default()) {
            prop_assert!(len <= bytes.len());
            // All that is lazy is walked over.
            let _ = format!("{packet:?}");
        }
    }

    #[test]
    fn a_frame_is_the_packet_with_another_id(
        version in strategy::version(),
        publish in strategy::publish(ProtocolVersion::V311),
        id in any::<std::num::NonZeroU16>(),
        dup in any::<bool>(),
    ) {
        let frame = PublishFrame::new(&publish.borrowed(), version).expect("no properties");
        let mut expected = publish.clone();
        let delivery = publish.guarantee.packet_id().map(|_| (id.into(), dup));
        expected.guarantee =
            whinchat_codec::Guarantee::new(publish.guarantee.qos(), id.into(), dup);
        let mut out = BytesMut::new();
        frame.append_to(&mut out, delivery);
        prop_assert_eq!(&out[..], &encoded(&Packet::Publish(expected), version)[..]);
    }
}

#[test]
fn every_packet_type_is_generated_in_every_version() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for version in ProtocolVersion::ALL {
        for packet_type in PacketType::ALL {
            let tree = strategy::packet_of(packet_type, version)
                .new_tree(&mut runner)
                .expect("a packet");
            let has_it = version.is_v5() || packet_type != PacketType::Auth;
            assert_eq!(tree.current().packet_type() == packet_type, has_it);
        }
    }
}
