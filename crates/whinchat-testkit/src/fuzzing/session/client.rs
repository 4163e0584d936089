//! A client's connection and session under a server that does anything, with publishes, requests, time, commits, cuts and
//! restarts, watched by a [`Witness`].

use bytes::BytesMut;
use whinchat_codec::{
    AuthProperties, AuthReason, Connect, DisconnectProperties, DisconnectReason, Guarantee,
    PacketId, PacketRef, ProtocolVersion, PubAck, PubAckReason, PubComp, PubRec, PubRecReason,
    PubRel, PublishRef, QoS, SubAck, SubAckReason, Subscribe, Subscription, SubscriptionOptions,
    Unsubscribe, Utf8String,
};
use whinchat_session::{Connection, DeliveryOptions, Event, Refused};

use super::super::steps::Steps;
use super::end::End;
use super::letter::Letter;
use super::witness::Witness;

/// Behind a byte of settings, steps of one or more bytes: the first chooses what happens, the next ones are what it needs.
pub fn client(data: &[u8]) {
    let mut steps = Steps(data);
    let Some(settings) = steps.next() else {
        return;
    };
    let mut client = Client::new(settings);
    while let Some(step) = steps.next() {
        let end = &mut client.end;
        match step % 16 {
            0..=4 => end.receive(steps.piece(), handle),
            5..=7 => client.answer(&mut steps),
            8 => client.publish(steps.byte(), steps.byte()),
            9 => client.request(&mut steps),
            10 | 11 => end.commit(steps.byte()),
            12 => end.pass_time(steps.byte()),
            13 => client.reconnect(),
            14 => {
                end.cut();
                end.restart();
                client.connect();
            }
            _ => client.leave(steps.byte()),
        }
        client.end.check();
    }
}

struct Client {
    end: End,
    connect: Connect,
}

impl Client {
    fn new(settings: u8) -> Self {
        let version = ProtocolVersion::ALL[usize::from(settings >> 2) % 3];
        let mut connect = Connect::new(version, Utf8String::from_static("c"));
        connect.clean_start = settings & 0x10 != 0;
        if version.is_v5() {
            let properties = &mut connect.properties;
            properties.set_session_expiry_interval(3600);
            if settings & 0x20 != 0 {
                properties
                    .set_authentication_method("m")
                    .expect("a short text");
            }
            if settings & 0x40 != 0 {
                properties.set_receive_maximum(2).expect("not 0");
                properties.set_topic_alias_maximum(2);
                properties.set_maximum_packet_size(256).expect("not 0");
            }
        }
        let mut client = Self {
            end: End::new(settings, Witness::of_client()),
            connect,
        };
        client.connect();
        client
    }

    fn connect(&mut self) {
        let end = &mut self.end;
        let connection =
            Connection::client::<Letter, _>(end.now, &self.connect, &end.limits, &mut end.out);
        end.connection = connection.expect("a valid CONNECT");
        end.check();
    }

    fn reconnect(&mut self) {
        self.end.cut();
        self.connect();
    }

    /// A packet that a server could send, with an id that is in flight, or not.
    fn answer(&mut self, steps: &mut Steps<'_>) {
        let (kind, choice) = (steps.byte(), steps.byte());
        let ids = self.end.out.ids_in_flight();
        let id = match ids.get(usize::from(choice)) {
            Some(id) => *id,
            None => PacketId::new(u16::from(choice)).unwrap_or(PacketId::MAX),
        };
        let version = self.end.connection.version();
        let refused = kind & 0x80 != 0 && version.is_v5();
        let mut bytes = BytesMut::new();
        let publish = |qos, dup| PublishRef {
            guarantee: Guarantee::new(qos, id, dup),
            retain: false,
            topic: "a/b",
            properties: Default::default(),
            payload: if refused { b"!" } else { b"x" },
        };
        let written = match kind % 8 {
            0 | 1 => {
                let mut puback = PubAck::success(id);
                if refused {
                    puback.reason = PubAckReason::QuotaExceeded;
                }
                puback.encode(version, &mut bytes)
            }
            2 => {
                let mut pubrec = PubRec::success(id);
                if refused {
                    pubrec.reason = PubRecReason::QuotaExceeded;
                }
                pubrec.encode(version, &mut bytes)
            }
            3 => PubComp::success(id).encode(version, &mut bytes),
            4 => PubRel::success(id).encode(version, &mut bytes),
            5 => publish(QoS::AtLeastOnce, false).encode(version, &mut bytes),
            6 => publish(QoS::ExactlyOnce, choice & 1 != 0).encode(version, &mut bytes),
            _ => SubAck {
                packet_id: id,
                properties: Default::default(),
                reasons: vec![SubAckReason::GrantedQoS0; 1 + usize::from(choice & 1)],
            }
            .encode(version, &mut bytes),
        };
        written.expect("a valid packet");
        self.end.receive(&bytes, handle);
    }

    fn publish(&mut self, number: u8, options: u8) {
        let end = &mut self.end;
        let message = Letter::new(number, end.now);
        let qos = QoS::ALL[usize::from(options) % 3];
        let options = DeliveryOptions::new(qos).with_retain(options & 4 != 0);
        let (session, out) = (&mut end.session, &mut end.out);
        if end.is_closed {
            session.enqueue(end.now, &message, &options, &end.limits.queue, drop);
            return;
        }
        let published = end
            .connection
            .publish(end.now, session, &message, &options, out);
        if published.is_err() {
            assert!(!end.connection.can_publish(qos, options.retain));
        }
    }

    fn request(&mut self, steps: &mut Steps<'_>) {
        const FILTERS: [&str; 4] = ["a/b", "+/#", "$share/g/a", "$SYS/#"];
        let end = &mut self.end;
        let choice = steps.byte();
        let filter = Utf8String::from_static(FILTERS[usize::from(choice) % FILTERS.len()]);
        let (session, out) = (&mut end.session, &mut end.out);
        let asked = if choice & 0x80 == 0 {
            let mut subscribe = Subscribe {
                packet_id: PacketId::MIN,
                properties: Default::default(),
                subscriptions: vec![Subscription {
                    filter,
                    options: SubscriptionOptions::new(QoS::ALL[usize::from(choice >> 2) % 3]),
                }],
            };
            if choice & 0x40 != 0 && end.connection.version().is_v5() {
                let id = u32::from(choice);
                let set = subscribe.properties.set_subscription_identifier(id);
                set.expect("not 0");
            }
            end.connection
                .subscribe(end.now, session, &mut subscribe, out)
        } else {
            let mut unsubscribe = Unsubscribe {
                packet_id: PacketId::MIN,
                properties: Default::default(),
                filters: vec![filter],
            };
            end.connection
                .unsubscribe(end.now, session, &mut unsubscribe, out)
        };
        if end.connection.is_connected() {
            let is_closed = matches!(asked, Err(Refused::NotConnected));
            assert!(!is_closed, "it is connected: {asked:?}");
        } else {
            assert!(asked.is_err(), "it is not connected");
        }
    }

    fn leave(&mut self, choice: u8) {
        let end = &mut self.end;
        if choice & 1 == 0 {
            let reasons = [
                AuthReason::Reauthenticate,
                AuthReason::ContinueAuthentication,
            ];
            let reason = reasons[usize::from(choice >> 1) % reasons.len()];
            let properties = AuthProperties::new();
            // Refused where no exchange goes on.
            let _ =
                end.connection
                    .send_auth::<Letter, _>(end.now, reason, properties, &mut end.out);
            return;
        }
        let reasons = [
            DisconnectReason::NormalDisconnection,
            DisconnectReason::DisconnectWithWill,
        ];
        let reason = reasons[usize::from(choice >> 1) % reasons.len()];
        let properties = DisconnectProperties::new();
        end.connection
            .disconnect::<Letter, _>(reason, properties, &mut end.out)
            .expect("reasons of a client");
        end.is_closed = true;
    }
}

/// A minimal driver: it takes over every message.
fn handle(end: &mut End, packet: PacketRef<'_>) {
    let (now, session, out) = (end.now, &mut end.session, &mut end.out);
    let held_before = session.held_ids();
    let kept = if let PacketRef::ConnAck(connack) = packet
        && !end.connection.is_connected()
    {
        Some(out.accepted_by(&connack, end.connection.version()))
    } else {
        None
    };
    let event = match end.connection.handle(now, packet, session, out) {
        Ok(event) => event,
        Err(violation) => {
            if let Some(kept) = kept {
                out.refused(kept);
            }
            return end.violated(violation);
        }
    };
    if let PacketRef::PubRel(pubrel) = packet
        && session.held_ids() < held_before
    {
        out.released(pubrel.packet_id);
    }
    match event {
        Event::ConnAck(connack) => {
            if connack.reason.is_error() {
                end.is_closed = true;
                return;
            }
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
            let refused = incoming.publish.payload.first() == Some(&b'!');
            let reason = if refused {
                PubAckReason::NotAuthorized
            } else {
                PubAckReason::Success
            };
            let ticket = out.next_ticket();
            let refused = refused && end.connection.version().is_v5();
            out.decided(id, guarantee.qos(), ticket, refused);
            let answered = end
                .connection
                .acknowledge(now, session, id, reason, ticket, out);
            assert_eq!(answered, Ok(()));
        }
        Event::SubAck(suback) => out.answered(suback.packet_id),
        Event::UnsubAck(unsuback) => out.answered(unsuback.packet_id),
        Event::Disconnect(_) => end.is_closed = true,
        Event::Repeated(id) => out.repeated(id),
        Event::Auth(auth) => {
            // It goes on where the server wants it to.
            if auth.reason == AuthReason::ContinueAuthentication {
                let properties = AuthProperties::new();
                let _ = end
                    .connection
                    .send_auth::<Letter, _>(now, auth.reason, properties, out);
            }
        }
        Event::Connect(_) | Event::Subscribe(_) | Event::Unsubscribe(_) => {
            panic!("a client is not asked {event:?}")
        }
        Event::None | Event::Acked(_) | Event::Stray { .. } | _ => {}
    }
}
