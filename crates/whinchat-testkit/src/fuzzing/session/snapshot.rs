//! A session out of bytes that nobody wrote.

use std::collections::BTreeSet;

use bytes::{Buf, BytesMut};
use whinchat_codec::{
    Connect, DecodeLimits, PacketRef, ProtocolVersion, PubAckRef, PubCompRef, PubRecRef, QoS,
    Utf8String, decode,
};
use whinchat_session::{
    ConnAckOptions, Connection, DropReason, Effect, Instant, Output, SessionLimits,
    SessionSnapshot, SessionState, Ticket,
};

use super::letter::Letter;

/// What stands in front of every snapshot.
pub(in crate::fuzzing) const HEAD: &[u8] = b"WSES\x00\x01";

/// What follows the head of a snapshot is a session or is refused. One that is a session is the same after it was
/// exported, and serves a client that takes two messages at a time until it owes nothing.
pub fn snapshot(data: &[u8]) {
    if let Err(error) = SessionSnapshot::from_bytes(data.to_vec()) {
        assert!(!error.to_string().is_empty());
    }
    let snapshot = SessionSnapshot::from_bytes([HEAD, data].concat()).expect("the head is right");
    let session = match SessionState::restore(&snapshot, Letter::read) {
        Ok(session) => session,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    let counts = (session.in_flight(), session.queue_len(), session.held_ids());
    let exported = session.export(Letter::write);
    let again = SessionState::<Letter>::restore(&exported, Letter::read).expect("it was exported");
    assert_eq!(again.export(Letter::write), exported);
    let counts_again = (again.in_flight(), again.queue_len(), again.held_ids());
    assert_eq!(counts_again, counts, "in flight, queued, held");
    serve(session);
}

/// The peer answers everything, one packet at a time.
fn serve(mut session: SessionState<Letter>) {
    let (now, limits) = (Instant::ORIGIN, SessionLimits::default());
    let mut connect = Connect::new(ProtocolVersion::V5, Utf8String::from_static("c"));
    connect.clean_start = false;
    connect.properties.set_receive_maximum(2).expect("not 0");
    let mut out = Plain::default();
    let mut connection = Connection::server(now, &limits);
    let connect = PacketRef::Connect(connect.borrowed());
    let accepted = connection.handle(now, connect, &mut session, &mut out);
    accepted.expect("a valid CONNECT");
    let options = ConnAckOptions::new().with_session_present(true);
    connection.accept(now, &mut session, options, &mut out);

    let mut unanswered = BTreeSet::new();
    let mut left = 10 + 4 * (session.in_flight() + session.queue_len());
    while !out.buffer.is_empty() {
        left = left.checked_sub(1).expect("it comes to an end");
        let written = out.buffer.split();
        let mut rest = &written[..];
        let mut answers = Vec::new();
        while let Some((packet, len)) =
            decode(rest, ProtocolVersion::V5, &DecodeLimits::default()).expect("valid packets")
        {
            if let PacketRef::Publish(publish) = packet {
                if let Some(id) = publish.guarantee.packet_id() {
                    assert!(unanswered.insert(id), "{publish:?} is in flight");
                    answers.push((publish.guarantee.qos(), id));
                }
            } else if let PacketRef::PubRel(pubrel) = packet {
                answers.push((QoS::AtMostOnce, pubrel.packet_id));
            } else {
                assert!(matches!(packet, PacketRef::ConnAck(_)), "{packet:?}");
            }
            rest.advance(len);
        }
        assert!(unanswered.len() <= 2, "more than the Receive Maximum");
        for (answers_to, id) in answers {
            let answer = match answers_to {
                QoS::AtMostOnce => PacketRef::PubComp(PubCompRef::success(id)),
                QoS::AtLeastOnce => PacketRef::PubAck(PubAckRef::success(id)),
                QoS::ExactlyOnce => PacketRef::PubRec(PubRecRef::success(id)),
            };
            if answers_to != QoS::ExactlyOnce {
                unanswered.remove(&id);
            }
            let handled = connection.handle(now, answer, &mut session, &mut out);
            handled.expect("an answer to what was sent");
        }
    }
    let owed = (session.in_flight(), session.queue_len());
    assert_eq!(owed, (0, 0), "in flight and queued in the end");
}

/// A driver that keeps nothing.
#[derive(Default)]
struct Plain {
    buffer: BytesMut,
}

impl Output<Letter> for Plain {
    fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    fn record(&mut self, _: Effect<'_, Letter>) -> Ticket {
        Ticket::NONE
    }

    fn dropped(&mut self, _: Letter, _: DropReason) {}
}
