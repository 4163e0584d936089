//! What a connection and a session cost, and what large windows do to packet ids.

use whinchat_codec::{
    ConnAck, ConnAckProperties, ConnAckReason, PacketRef, ProtocolVersion, PubAckReason, PubAckRef,
    Publish, PublishFrame, QoS, Subscribe, SubscribeProperties, Subscription, SubscriptionOptions,
    Utf8String,
};
use whinchat_session::{
    ConnAckOptions, Connection, Delivery, DeliveryOptions, Event, Instant, Refused, SessionLimits,
    SessionState, Ticket,
};
use whinchat_testkit::{TestMessage, TestOutput, connect, id, publish};

const NOW: Instant = Instant::from_millis(1);

fn connected(
    version: ProtocolVersion,
    session: &mut SessionState<TestMessage>,
    out: &mut TestOutput,
) -> Connection {
    let mut connection = Connection::server(NOW, &SessionLimits::default());
    let connect = connect(version, "c1");
    let event = connection.handle(NOW, PacketRef::Connect(connect.borrowed()), session, out);
    assert!(matches!(event, Ok(Event::Connect(_))));
    connection.accept(NOW, session, ConnAckOptions::new(), out);
    out.buffer.clear();
    connection
}

#[test]
fn a_connection_and_an_empty_session_are_small() {
    assert!(
        size_of::<Connection>() <= 200,
        "{}",
        size_of::<Connection>()
    );
    assert!(size_of::<SessionState<u64>>() <= 64);
    assert_eq!(size_of::<SessionState<u64>>(), 2 * size_of::<usize>());
}

#[test]
fn a_message_without_packet_id_leaves_the_session_as_small_as_it_was() {
    let mut out = TestOutput::new(false);
    let mut session = SessionState::new();
    let mut connection = connected(ProtocolVersion::V5, &mut session, &mut out);
    let packet = publish("a/b").payload("x").build();
    let event = connection.handle(
        NOW,
        PacketRef::Publish(packet.borrowed()),
        &mut session,
        &mut out,
    );
    assert!(matches!(event, Ok(Event::Publish(_))));
    let frame = frame(&packet, ProtocolVersion::V5);
    let message = TestMessage::new("a/b", "x");
    let options = DeliveryOptions::new(QoS::AtMostOnce);
    connection.deliver(
        NOW,
        &mut session,
        &message,
        &options,
        Some(&frame),
        &mut out,
    );
    assert_eq!(&out.buffer[..], &frame.bytes()[..]);
    assert!(session.is_empty());
}

fn frame(packet: &Publish, version: ProtocolVersion) -> PublishFrame {
    PublishFrame::new(&packet.borrowed(), version).expect("a valid packet")
}

/// A million acknowledged messages, one of which is never acknowledged: no id is given twice
/// while it is in use, and none is 0.
/// T-50
#[test]
fn mqtt_2_2_1_4_a_stuck_packet_id_is_not_given_again() {
    let mut out = TestOutput::new(false);
    let mut session = SessionState::new();
    let mut connection = connected(ProtocolVersion::V311, &mut session, &mut out);
    let message = TestMessage::new("a/b", "x");
    let frame = frame(
        &publish("a/b").qos1(1).payload("x").build(),
        ProtocolVersion::V311,
    );
    let options = DeliveryOptions::new(QoS::AtLeastOnce);
    let next = |connection: &mut Connection, session: &mut _, out: &mut TestOutput| {
        let delivery = connection.deliver(NOW, session, &message, &options, Some(&frame), out);
        out.buffer.clear();
        out.effects.clear();
        match delivery {
            Delivery::Sent(Some(id)) => id,
            other @ (Delivery::Sent(None) | Delivery::Queued | Delivery::Dropped(_)) => {
                panic!("{other:?}")
            }
        }
    };
    let stuck = next(&mut connection, &mut session, &mut out);
    let mut expected = stuck.get();
    for _ in 0..1_000_000 {
        let given = next(&mut connection, &mut session, &mut out);
        expected = match expected {
            65_535 => 2,
            last => last + 1,
        };
        assert_eq!(given.get(), expected);
        let ack = PacketRef::PubAck(PubAckRef::success(given));
        let event = connection.handle(NOW, ack, &mut session, &mut out);
        assert!(matches!(event, Ok(Event::Acked(_))));
        out.effects.clear();
    }
    assert_eq!(session.in_flight(), 1);
}

/// Windows as large as the protocol has them, answered in an order that is not that of sending.
/// T-50
#[test]
fn a_window_of_65_535_is_found_by_packet_id() {
    let mut out = TestOutput::new(false);
    let mut session = SessionState::new();
    let limits = SessionLimits::default().with_in_flight_max(u16::MAX);
    let mut connection = Connection::server(NOW, &limits);
    let connect = connect(ProtocolVersion::V5, "c1");
    connection
        .handle(
            NOW,
            PacketRef::Connect(connect.borrowed()),
            &mut session,
            &mut out,
        )
        .expect("a valid CONNECT");
    connection.accept(NOW, &mut session, ConnAckOptions::new(), &mut out);
    let message = TestMessage::new("a/b", "x");
    let options = DeliveryOptions::new(QoS::AtLeastOnce);
    for _ in 0..=u16::MAX {
        connection.deliver(NOW, &mut session, &message, &options, None, &mut out);
        out.buffer.clear();
        out.effects.clear();
    }
    assert_eq!(session.in_flight(), 65_535);
    assert_eq!(session.queue_len(), 1);
    // 7 has no common factor with 65,535 + 1, so each id comes once.
    let mut number = 1_u16;
    for _ in 0..=u16::MAX {
        if let Some(packet_id) = whinchat_codec::PacketId::new(number) {
            let ack = PacketRef::PubAck(PubAckRef::success(packet_id));
            let event = connection.handle(NOW, ack, &mut session, &mut out);
            assert!(
                matches!(event, Ok(Event::Acked(_))),
                "{packet_id}: {event:?}"
            );
        }
        number = number.wrapping_add(40_503);
    }
    assert_eq!(session.in_flight(), 1);
}

/// T-50
#[test]
fn a_request_without_a_free_packet_id_is_refused_and_goes_when_one_is_free() {
    let mut out = TestOutput::new(false);
    let mut session = SessionState::new();
    let limits = SessionLimits::default().with_in_flight_max(u16::MAX);
    let hello = connect(ProtocolVersion::V5, "c1");
    let mut connection =
        Connection::client(NOW, &hello, &limits, &mut out).expect("a valid CONNECT");
    let connack = ConnAck {
        session_present: false,
        reason: ConnAckReason::Success,
        properties: ConnAckProperties::new(),
    };
    let connack = PacketRef::ConnAck(connack.borrowed());
    connection
        .handle(NOW, connack, &mut session, &mut out)
        .expect("a valid CONNACK");
    let message = TestMessage::new("a/b", "x");
    let options = DeliveryOptions::new(QoS::AtLeastOnce);
    for _ in 0..u16::MAX {
        let sent = connection.publish(NOW, &mut session, &message, &options, &mut out);
        assert!(matches!(sent, Ok(Delivery::Sent(Some(_)))), "{sent:?}");
        out.buffer.clear();
        out.effects.clear();
    }
    let mut subscribe = Subscribe {
        packet_id: id(1),
        properties: SubscribeProperties::new(),
        subscriptions: vec![Subscription {
            filter: Utf8String::try_from("a/b").expect("a valid string"),
            options: SubscriptionOptions::new(QoS::AtLeastOnce),
        }],
    };
    let refused = connection.subscribe(NOW, &mut session, &mut subscribe, &mut out);
    assert_eq!(refused, Err(Refused::NoPacketId));
    assert!(out.buffer.is_empty());
    let ack = PacketRef::PubAck(PubAckRef::success(id(40_000)));
    connection
        .handle(NOW, ack, &mut session, &mut out)
        .expect("an answer that is waited for");
    let given = connection.subscribe(NOW, &mut session, &mut subscribe, &mut out);
    assert_eq!(given, Ok(id(40_000)));
}

#[test]
fn an_acknowledged_publisher_owes_nothing() {
    let mut out = TestOutput::new(false);
    let mut session = SessionState::new();
    let mut connection = connected(ProtocolVersion::V5, &mut session, &mut out);
    for _ in 0..1_000 {
        let packet = publish("a/b").qos1(9).payload("x").build();
        connection
            .handle(
                NOW,
                PacketRef::Publish(packet.borrowed()),
                &mut session,
                &mut out,
            )
            .expect("within the receive maximum");
        connection
            .acknowledge(
                NOW,
                &mut session,
                id(9),
                PubAckReason::Success,
                Ticket::NONE,
                &mut out,
            )
            .expect("the message waits");
    }
    assert!(session.is_empty());
    assert_eq!(connection.awaited_ticket(&session), None);
}
