//! AUTH: several steps, at CONNECT and later.

use super::*;

/// Counts: the client sends the numbers from 1 on, the server what comes between them.
struct Counting;

/// The next number it wants, and the last one.
struct Count {
    next: u8,
    last: u8,
    name: String,
}

impl Authenticate for Counting {
    fn authenticate<'a>(
        &'a self,
        request: &'a AuthenticationRequest,
    ) -> HookFuture<'a, Result<Authentication, Refusal>> {
        let Some(method) = request.method() else {
            let name = request.user_name().unwrap_or("plain");
            return Box::pin(future::ready(Ok(Identity::new(name).into())));
        };
        let Some(last) = method.strip_prefix("COUNT-") else {
            let refusal = Refusal::new(ConnAckReason::BadAuthenticationMethod);
            return Box::pin(future::ready(Err(refusal)));
        };
        let name = request.user_name().map_or_else(
            || match (request.identity(), request.data()) {
                // A re-authentication may try to become somebody else.
                (Some(_), [_, other @ ..]) if !other.is_empty() => {
                    String::from_utf8_lossy(other).into_owned()
                }
                (Some(identity), _) => identity.name().to_owned(),
                (None, _) => "counter".to_owned(),
            },
            str::to_owned,
        );
        let count = Count {
            next: 1,
            last: last.parse().unwrap(),
            name,
        };
        let first = request.data().first().copied().map(|byte| vec![byte]);
        count.take(&first.unwrap_or_default())
    }
}

impl Count {
    fn take<'a>(mut self, data: &[u8]) -> HookFuture<'a, Result<Authentication, Refusal>> {
        let outcome = if data != [self.next] {
            Err(Refusal::not_authorized())
        } else if self.next == self.last {
            Ok(Authentication::Accepted {
                identity: Identity::new(self.name),
                data: Some(Bytes::from_static(b"done")),
            })
        } else {
            let answer = Bytes::copy_from_slice(&[self.next, b'?']);
            self.next += 1;
            Ok(Authentication::Continue {
                data: answer,
                exchange: Box::new(self),
            })
        };
        Box::pin(future::ready(outcome))
    }
}

impl Exchange for Count {
    fn proceed(
        self: Box<Self>,
        data: Bytes,
    ) -> HookFuture<'static, Result<Authentication, Refusal>> {
        self.take(&data)
    }
}

fn counting(builder: Broker) -> Broker {
    builder.authenticate(Counting)
}

fn connect_counting(client_id: &str, method: &str) -> Connect {
    let mut connect = connect(V5, client_id);
    connect
        .properties
        .set_authentication_method(method)
        .unwrap();
    connect.properties.set_authentication_data(&[1]).unwrap();
    connect
}

fn auth(reason: AuthReason, method: Option<&str>, data: &[u8]) -> Packet {
    let mut auth = Auth {
        reason,
        properties: Default::default(),
    };
    if let Some(method) = method {
        auth.properties.set_authentication_method(method).unwrap();
    }
    auth.properties.set_authentication_data(data).unwrap();
    Packet::Auth(auth)
}

async fn receive_auth(peer: &mut Peer) -> Auth {
    match peer.receive().await {
        Packet::Auth(auth) => auth,
        other => panic!("expected AUTH, got {other:?}"),
    }
}

/// Connected by counting up to `last`.
async fn counted(broker: &TestBroker, client_id: &str, last: u8) -> Peer {
    let method = format!("COUNT-{last}");
    let mut peer = Peer::silent(broker, V5);
    peer.send(Packet::Connect(Box::new(connect_counting(
        client_id, &method,
    ))))
    .await;
    for number in 2..=last {
        let asked = receive_auth(&mut peer).await;
        assert_eq!(asked.reason, AuthReason::ContinueAuthentication); // v5 [MQTT-4.12.0-2]
        // v5 [MQTT-4.12.0-5]
        assert_eq!(asked.properties.authentication_method(), Some(&*method));
        let data = asked.properties.authentication_data();
        assert_eq!(data, Some(&[number - 1, b'?'][..]));
        peer.send(auth(
            AuthReason::ContinueAuthentication,
            Some(&method),
            &[number],
        ))
        .await;
    }
    let Packet::ConnAck(connack) = peer.receive().await else {
        panic!("expected CONNACK")
    };
    assert_eq!(connack.reason, ConnAckReason::Success);
    assert_eq!(connack.properties.authentication_method(), Some(&*method));
    assert_eq!(connack.properties.authentication_data(), Some(&b"done"[..]));
    peer
}

#[tokio::test]
async fn v5_mqtt_4_12_an_exchange_of_several_steps_ends_with_connack() {
    on_every_broker_with(counting, async |broker| {
        for last in [1, 2, 5, 10] {
            for id in ["a", "b", "c", "d"] {
                let mut peer = counted(broker, id, last).await;
                peer.subscribe("t", QoS::AtMostOnce).await;
                peer.disconnect().await;
            }
        }
        // v5 [MQTT-4.12.0-6]
        let (_peer, connack) = Peer::connected_with(broker, connect(V5, "plain")).await;
        assert_eq!(connack.properties.authentication_method(), None);
    })
    .await;
}

/// v5 E5-46
#[tokio::test]
async fn misused_auth_ends_the_connection() {
    on_every_broker_with(counting, async |broker| {
        let go_on = AuthReason::ContinueAuthentication;
        // Inside the exchange of CONNECT.
        let wrong: [(Packet, ConnAckReason); 5] = [
            (
                auth(go_on, Some("COUNT-4"), &[2]),
                ConnAckReason::ProtocolError,
            ),
            (auth(go_on, None, &[2]), ConnAckReason::ProtocolError),
            (
                auth(AuthReason::Reauthenticate, Some("COUNT-3"), &[2]),
                ConnAckReason::ProtocolError,
            ),
            (Packet::PingReq, ConnAckReason::ProtocolError), // v5 [MQTT-3.1.2-30]
            (
                Packet::Connect(Box::new(connect_counting("c", "COUNT-3"))),
                ConnAckReason::ProtocolError,
            ),
        ];
        for (packet, reason) in wrong {
            let mut peer = Peer::silent(broker, V5);
            peer.send(Packet::Connect(Box::new(connect_counting("c", "COUNT-3"))))
                .await;
            receive_auth(&mut peer).await;
            peer.send(packet).await;
            match peer.receive_or_end().await {
                None => continue,
                Some(Packet::ConnAck(connack)) => assert_eq!(connack.reason, reason),
                Some(other) => panic!("expected CONNACK, got {other:?}"),
            }
            peer.receive_end().await;
        }
        // Without a method in CONNECT. // v5 [MQTT-4.12.0-7]
        let mut peer = Peer::connected(broker, V5, "c").await;
        peer.send(auth(AuthReason::Reauthenticate, Some("COUNT-3"), &[1]))
            .await;
        peer.receive_disconnect(DisconnectReason::ProtocolError)
            .await;
        // Without end.
        let mut peer = Peer::silent(broker, V5);
        peer.send(Packet::Connect(Box::new(connect_counting("c", "COUNT-99"))))
            .await;
        let mut rounds = 1;
        loop {
            match peer.receive().await {
                Packet::Auth(_) => {
                    rounds += 1;
                    peer.send(auth(go_on, Some("COUNT-99"), &[rounds])).await;
                }
                Packet::ConnAck(connack) => {
                    assert_eq!(connack.reason, ConnAckReason::NotAuthorized);
                    break;
                }
                other => panic!("expected AUTH or CONNACK, got {other:?}"),
            }
        }
        assert!(rounds <= 12, "{rounds} rounds");
        peer.receive_end().await;
    })
    .await;
}

#[tokio::test]
async fn v5_mqtt_4_12_1_2_a_failed_re_authentication_ends_the_connection() {
    on_every_broker_with(counting, async |broker| {
        for wrong in [
            auth(AuthReason::Reauthenticate, Some("COUNT-1"), &[9]),
            // As somebody else.
            auth(AuthReason::Reauthenticate, Some("COUNT-1"), b"\x01eve"),
        ] {
            let mut peer = counted(broker, "c", 1).await;
            peer.send(wrong).await;
            peer.receive_disconnect(DisconnectReason::NotAuthorized)
                .await;
        }
        let mut peer = counted(broker, "c", 1).await;
        peer.send(auth(AuthReason::Reauthenticate, Some("COUNT-2"), &[1]))
            .await;
        peer.receive_disconnect(DisconnectReason::ProtocolError)
            .await;
        // Begun, and not gone on with.
        let mut peer = counted(broker, "c", 2).await;
        peer.send(auth(AuthReason::Reauthenticate, Some("COUNT-2"), &[1]))
            .await;
        receive_auth(&mut peer).await;
        broker.advance(Duration::from_secs(12)).await;
        peer.read_to_end().await;
    })
    .await;
}

#[tokio::test]
async fn two_re_authentications_at_a_time_are_a_protocol_error() {
    on_every_broker_with(counting, async |broker| {
        let mut peer = counted(broker, "c", 2).await;
        let again = || auth(AuthReason::Reauthenticate, Some("COUNT-2"), &[1]);
        let mut bytes = BytesMut::new();
        again().encode(V5, &mut bytes).unwrap();
        again().encode(V5, &mut bytes).unwrap();
        peer.send_bytes(&bytes).await;
        loop {
            match peer.receive().await {
                Packet::Auth(_) => {}
                Packet::Disconnect(goodbye) => {
                    assert_eq!(goodbye.reason, DisconnectReason::ProtocolError);
                    break;
                }
                other => panic!("expected DISCONNECT, got {other:?}"),
            }
        }
        peer.receive_end().await;
    })
    .await;
}
