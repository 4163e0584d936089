//! Snapshots of all releases are read; damaged ones are refused.

use whinchat_codec::{ProtocolVersion, QoS};
use whinchat_session::{
    AwaitedPart, Delivery, SessionLimits, SessionSnapshot, SessionState, SnapshotError,
};
use whinchat_testkit::{Pair, TestMessage, read_message, write_message};

/// Ids 1 (QoS 2, behind its PUBREC), 2 (QoS 2) and 3 (QoS 1, retained, expiring) in flight, two
/// messages in the queue with subscription identifiers, ids 7 and 9 of the peer held.
const GOLDEN: &str = include_str!("../../testdata/snapshots/format-1.hex");

fn golden() -> Vec<u8> {
    GOLDEN
        .split_whitespace()
        .map(|byte| u8::from_str_radix(byte, 16).expect("a hexadecimal byte"))
        .collect()
}

#[test]
fn format_1_is_read_and_written() {
    let snapshot = SessionSnapshot::from_bytes(golden()).expect("the golden file");
    let session = SessionState::restore(&snapshot, read_message).expect("the golden file");
    assert_eq!(session.in_flight(), 3);
    assert_eq!(session.queue_len(), 2);
    assert_eq!(session.held_ids(), 2);
    assert_eq!(session.export(write_message), snapshot);
}

#[test]
fn the_parts_of_a_snapshot_make_it_again() {
    let snapshot = SessionSnapshot::from_bytes(golden()).expect("the golden file");
    let parts = snapshot.parts().expect("the golden file");
    assert_eq!(
        (
            parts.in_flight.len(),
            parts.queue.len(),
            parts.held_ids.len()
        ),
        (3, 2, 2)
    );
    assert!(matches!(parts.in_flight[0].awaits, AwaitedPart::PubComp(_)));
    assert_eq!(parts.in_flight[0].message, None);
    assert_eq!(SessionSnapshot::from(&parts), snapshot);
    let bytes = snapshot.as_bytes();
    for len in 6..bytes.len() {
        let cut = SessionSnapshot::from_bytes(bytes[..len].to_vec()).expect("the head is intact");
        assert!(cut.parts().is_err(), "{len} bytes were taken for a session");
    }
}

#[test]
fn every_truncation_and_every_trailing_byte_is_refused() {
    let bytes = golden();
    for len in 0..bytes.len() {
        let error = SessionSnapshot::from_bytes(bytes[..len].to_vec())
            .and_then(|snapshot| SessionState::restore(&snapshot, read_message).map(|_| ()));
        assert!(error.is_err(), "{len} bytes were taken for a session");
    }
    let mut longer = bytes;
    longer.push(0);
    let snapshot = SessionSnapshot::from_bytes(longer).expect("the head is intact");
    let error = SessionState::<TestMessage>::restore(&snapshot, read_message).err();
    assert_eq!(error, Some(SnapshotError::TrailingBytes(1)));
}

#[test]
fn other_bytes_and_later_formats_are_named() {
    let error = SessionSnapshot::from_bytes(b"hello world".to_vec()).err();
    assert_eq!(error, Some(SnapshotError::NotASnapshot));
    let mut later = golden();
    later[5] = 9;
    let error = SessionSnapshot::from_bytes(later).err();
    assert_eq!(error, Some(SnapshotError::UnknownFormat(9)));
}

#[test]
fn flipped_bytes_never_panic() {
    let bytes = golden();
    for position in 6..bytes.len() {
        for flip in [0x01, 0x80, 0xFF] {
            let mut damaged = bytes.clone();
            damaged[position] ^= flip;
            let snapshot = SessionSnapshot::from_bytes(damaged).expect("the head is intact");
            // Either it is refused, or it is another session.
            let _ = SessionState::<TestMessage>::restore(&snapshot, read_message);
        }
    }
}

#[test]
fn packet_ids_go_on_where_they_were() {
    let snapshot = SessionSnapshot::from_bytes(golden()).expect("the golden file");
    let session = SessionState::restore(&snapshot, read_message).expect("the golden file");
    let mut pair = Pair::new(ProtocolVersion::V5, 0, SessionLimits::default(), false);
    pair.connect();
    assert!(!pair.drive());
    pair.server.session = session;
    pair.cut();
    pair.connect();
    assert!(!pair.drive());
    let Pair { clock, server, .. } = &mut pair;
    let delivery = server.publish(clock, QoS::AtLeastOnce, "a/b", "new");
    let next = whinchat_testkit::id(6);
    assert_eq!(delivery, Delivery::Sent(Some(next)));
}

#[test]
fn an_id_in_flight_is_not_handed_out_though_the_last_one_is_not_known() {
    let mut bytes = golden();
    bytes[6..8].fill(0);
    let snapshot = SessionSnapshot::from_bytes(bytes).expect("the head is intact");
    let session = SessionState::restore(&snapshot, read_message).expect("nothing else changed");
    let mut pair = Pair::new(ProtocolVersion::V5, 0, SessionLimits::default(), false);
    pair.connect();
    assert!(!pair.drive());
    pair.server.session = session;
    pair.cut();
    pair.connect();
    assert!(!pair.drive());
    // The client would have taken a new QoS 2 message with an old id for a repeated one.
    assert_eq!(pair.client.received.len(), 4);
    assert_eq!(pair.server.acked.len(), 5);
}
