//! A server's connection and session under random packets, time, commits, deliveries, cuts and restarts, watched by a
//! [`Witness`] that knows only what leaves and what is recorded.

use whinchat_codec::{
    DisconnectProperties, DisconnectReason, PacketRef, PubAckReason, QoS, SubAckProperties,
    SubAckReason, UnsubAckProperties, UnsubAckReason,
};
use whinchat_session::{ConnAckOptions, Connection, DeliveryOptions, Event};

use super::super::steps::Steps;
use super::end::End;
use super::letter::Letter;
use super::witness::Witness;

/// Behind a byte of settings, steps of one or more bytes: the first chooses what happens, the next ones are what it needs.
pub fn server(data: &[u8]) {
    let mut steps = Steps(data);
    let Some(settings) = steps.next() else {
        return;
    };
    let mut end = End::new(settings, Witness::default());
    while let Some(step) = steps.next() {
        match step % 16 {
            0..=7 => end.receive(steps.piece(), handle),
            8 | 9 => deliver(&mut end, steps.byte(), steps.byte()),
            10 | 11 => end.commit(steps.byte()),
            12 => end.pass_time(steps.byte()),
            13 => reconnect(&mut end),
            14 => {
                reconnect(&mut end);
                end.restart();
            }
            _ => disconnect(&mut end, steps.byte()),
        }
        end.check();
    }
}

/// A minimal driver: it takes over every message and grants every subscription.
fn handle(end: &mut End, packet: PacketRef<'_>) {
    let (now, session, out) = (end.now, &mut end.session, &mut end.out);
    let held_before = session.held_ids();
    let event = match end.connection.handle(now, packet, session, out) {
        Ok(event) => event,
        Err(violation) => return end.violated(violation),
    };
    if let PacketRef::PubRel(pubrel) = packet
        && session.held_ids() < held_before
    {
        out.released(pubrel.packet_id);
    }
    match event {
        Event::Connect(connect) => {
            if connect.clean_start {
                session.clear(drop);
                out.session_cleared();
            }
            out.accepted(&connect);
            let options = ConnAckOptions::new().with_session_present(!session.is_empty());
            end.connection.accept(now, session, options, out);
            let committed = out.committed();
            end.connection
                .handle_committed(now, committed, session, out);
        }
        Event::Publish(incoming) => {
            assert!(!incoming.topic.as_str().is_empty());
            let guarantee = incoming.publish.guarantee;
            let Some(id) = guarantee.packet_id() else {
                return;
            };
            // What the payload says is what the application decides.
            let refused = incoming.publish.payload.first() == Some(&b'!');
            let reason = if refused {
                PubAckReason::NotAuthorized
            } else {
                PubAckReason::Success
            };
            let ticket = out.next_ticket();
            // 3.x has no refusal: the client sees success, and the id is held.
            let refused = refused && end.connection.version().is_v5();
            out.decided(id, guarantee.qos(), ticket, refused);
            let answered = end
                .connection
                .acknowledge(now, session, id, reason, ticket, out);
            assert_eq!(answered, Ok(()));
        }
        Event::Subscribe(subscribe) => {
            let reasons = vec![SubAckReason::GrantedQoS1; subscribe.subscriptions.len()];
            let (id, ticket) = (subscribe.packet_id, out.next_ticket());
            let properties = SubAckProperties::new();
            // The client may take no packet as long as the SUBACK.
            let _ = end
                .connection
                .suback(now, id, &reasons, properties, ticket, out);
        }
        Event::Unsubscribe(unsubscribe) => {
            let reasons = vec![UnsubAckReason::Success; unsubscribe.filters.len()];
            let (id, ticket) = (unsubscribe.packet_id, out.next_ticket());
            let properties = UnsubAckProperties::new();
            let _ = end
                .connection
                .unsuback(now, id, &reasons, properties, ticket, out);
        }
        Event::Disconnect(_) => end.is_closed = true,
        Event::Repeated(id) => out.repeated(id),
        Event::None
        | Event::ConnAck(_)
        | Event::SubAck(_)
        | Event::UnsubAck(_)
        | Event::Acked(_)
        | Event::Auth(_)
        | Event::Stray { .. }
        | _ => {}
    }
}

fn deliver(end: &mut End, number: u8, options: u8) {
    let message = Letter::new(number, end.now);
    let qos = QoS::ALL[usize::from(options) % 3];
    let ids = [u32::from(options) + 1, 1];
    let options = DeliveryOptions::new(qos)
        .with_retain(options & 4 != 0)
        .with_subscription_ids(&ids[..usize::from(options >> 3) % 3]);
    let (now, session, out) = (end.now, &mut end.session, &mut end.out);
    if end.is_closed {
        session.enqueue(now, &message, &options, &end.limits.queue, drop);
    } else {
        end.connection
            .deliver(now, session, &message, &options, None, out);
    }
}

/// The transport breaks, and the same client comes back on a new one.
fn reconnect(end: &mut End) {
    end.cut();
    end.connection = Connection::server(end.now, &end.limits);
}

fn disconnect(end: &mut End, choice: u8) {
    let reasons = [
        DisconnectReason::ServerShuttingDown,
        DisconnectReason::AdministrativeAction,
    ];
    let reason = reasons[usize::from(choice) % reasons.len()];
    let properties = DisconnectProperties::new();
    // A client that is not connected cannot be told.
    let _ = end
        .connection
        .disconnect::<Letter, _>(reason, properties, &mut end.out);
    end.is_closed = true;
}
