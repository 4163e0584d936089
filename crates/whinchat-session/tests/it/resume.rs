//! What a session gives away and takes back between connections.

use whinchat_codec::{PacketRef, ProtocolVersion, QoS};
use whinchat_session::{
    ConnAckOptions, Connection, Delivery, DeliveryOptions, DropReason, Instant, QueueLimits,
    QueuePolicy, SessionLimits, SessionState, Ticket,
};
use whinchat_testkit::{Pair, TestMessage, TestOutput, connect};

const NOW: Instant = Instant::from_millis(0);

fn enqueue(
    session: &mut SessionState<TestMessage>,
    payload: &str,
    limits: &QueueLimits,
) -> Delivery {
    let options = DeliveryOptions::new(QoS::AtLeastOnce).with_subscription_ids(&[1, 2]);
    let message = TestMessage::new("a/b", payload);
    session.enqueue(NOW, &message, &options, limits, |_| {})
}

#[test]
fn a_full_queue_refuses_until_it_is_below_nine_tenths() {
    let limits = QueueLimits {
        messages: 10,
        ..QueueLimits::default()
    };
    let mut session = SessionState::new();
    for number in 0..10 {
        assert_eq!(
            enqueue(&mut session, &number.to_string(), &limits),
            Delivery::Queued
        );
    }
    let full = Delivery::Dropped(DropReason::QueueFull);
    assert_eq!(enqueue(&mut session, "11", &limits), full);
    assert!(session.is_overflowed());
    let taken = session.take_unacked(|message| &message.payload[..] == b"0");
    assert_eq!(taken.len(), 1);
    assert_eq!(enqueue(&mut session, "11", &limits), full);
    session.take_unacked(|message| &message.payload[..] == b"1");
    assert_eq!(enqueue(&mut session, "11", &limits), Delivery::Queued);
    assert!(!session.is_overflowed());
}

#[test]
fn the_byte_limit_holds_and_the_oldest_make_room() {
    let limits = QueueLimits {
        bytes: 20,
        policy: QueuePolicy::DropOldest,
        ..QueueLimits::default()
    };
    let mut session = SessionState::new();
    let mut dropped = Vec::new();
    for payload in ["1234567", "1234567", "123456789012"] {
        let message = TestMessage::new("a/b", payload);
        let options = DeliveryOptions::new(QoS::AtLeastOnce);
        session.enqueue(NOW, &message, &options, &limits, |oldest| {
            dropped.push(oldest)
        });
    }
    assert_eq!(dropped.len(), 2);
    assert_eq!(session.queue_bytes(), 15);
    let too_long = TestMessage::new("a/b", "123456789012345678");
    let options = DeliveryOptions::new(QoS::AtLeastOnce);
    let delivery = session.enqueue(NOW, &too_long, &options, &limits, |_| {});
    assert_eq!(delivery, Delivery::Dropped(DropReason::QueueFull));
}

#[test]
fn mqtt_4_8_2_4_unacknowledged_messages_can_go_to_another_member_but_sent_qos_2_stays() {
    let limits = SessionLimits::default().with_in_flight_max(3);
    let mut pair = Pair::new(ProtocolVersion::V5, 0, limits, false);
    pair.connect();
    assert!(!pair.drive());
    let Pair { clock, server, .. } = &mut pair;
    server.publish(clock, QoS::AtLeastOnce, "a/b", "1");
    server.publish(clock, QoS::ExactlyOnce, "a/b", "2");
    server.publish(clock, QoS::AtLeastOnce, "a/b", "keep");
    server.publish(clock, QoS::ExactlyOnce, "a/b", "4");
    pair.cut();
    let session = &mut pair.server.session;
    let taken = session.take_unacked(|message| &message.payload[..] != b"keep");
    let seen: Vec<(&[u8], QoS, bool)> = taken
        .iter()
        .map(|unacked| (&unacked.message.payload[..], unacked.qos, unacked.was_sent))
        .collect();
    assert_eq!(
        seen,
        [
            (&b"1"[..], QoS::AtLeastOnce, true),
            (&b"4"[..], QoS::ExactlyOnce, false),
        ]
    );
    assert_eq!((session.in_flight(), session.queue_len()), (2, 0));
    pair.connect();
    assert!(!pair.drive());
    let payloads: Vec<&[u8]> = pair
        .client
        .received
        .iter()
        .map(|m| &m.payload[..])
        .collect();
    assert_eq!(payloads, [&b"2"[..], b"keep"]);
    assert!(pair.server.session.is_empty());
}

#[test]
fn v5_mqtt_3_1_2_4_clear_forgets_everything_and_reports_each_message_once() {
    let mut pair = Pair::new(
        ProtocolVersion::V5,
        0,
        SessionLimits::default().with_in_flight_max(1),
        false,
    );
    pair.connect();
    assert!(!pair.drive());
    let Pair { clock, server, .. } = &mut pair;
    server.publish(clock, QoS::AtLeastOnce, "a/b", "1");
    server.publish(clock, QoS::ExactlyOnce, "a/b", "2");
    let mut dropped = Vec::new();
    server
        .session
        .clear(|message| dropped.push(message.payload));
    assert_eq!(dropped, ["1", "2"]);
    assert!(server.session.is_empty());
}

/// A server's end, accepted, for a client with this Receive Maximum.
fn accepted(
    session: &mut SessionState<TestMessage>,
    receive_maximum: u16,
    out: &mut TestOutput,
) -> Connection {
    let mut connection = Connection::server(NOW, &SessionLimits::default());
    let mut connect = connect(ProtocolVersion::V5, "c");
    let set = connect.properties.set_receive_maximum(receive_maximum);
    set.expect("not 0");
    connection
        .handle(NOW, PacketRef::Connect(connect.borrowed()), session, out)
        .expect("a valid CONNECT");
    connection.accept(NOW, session, ConnAckOptions::new(), out);
    connection
}

/// v5 section 4.8.2: a member of a shared subscription goes, and QoS 2 that never left goes to another.
#[test]
fn qos_2_that_has_its_record_and_never_left_is_taken_out_for_another_member() {
    let (mut session, mut out) = (SessionState::new(), TestOutput::new(true));
    let mut connection = accepted(&mut session, 2, &mut out);
    for (qos, payload) in [(QoS::AtLeastOnce, "sent"), (QoS::ExactlyOnce, "held back")] {
        let (message, options) = (TestMessage::new("a", payload), DeliveryOptions::new(qos));
        connection.deliver(NOW, &mut session, &message, &options, None, &mut out);
    }
    // The next connection has room for one, and the record is written meanwhile.
    connection = accepted(&mut session, 1, &mut out);
    connection.handle_committed(NOW, Ticket::new(9), &mut session, &mut out);
    connection.handle_transport_closed();
    let taken = session.take_unacked(|_| true);
    let taken: Vec<(&[u8], bool)> = taken
        .iter()
        .map(|taken| (&taken.message.payload[..], taken.was_sent))
        .collect();
    assert_eq!(taken, [(&b"sent"[..], true), (&b"held back"[..], false)]);
    assert!(session.is_empty());
}
