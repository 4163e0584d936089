//! Who may connect: the authenticator's answer, however and whenever it comes.

use std::{
    future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use tokio::sync::Notify;
use whinchat_broker::{
    Broker,
    config::Config,
    hooks::{
        Authenticate, Authentication, AuthenticationRequest, Exchange, HookFuture, Identity,
        Refusal,
    },
    metrics::HookLabel,
};
use whinchat_codec::{
    Auth, AuthReason, ConnAckReason, Connect, DisconnectReason, Packet, ProtocolVersion, QoS,
    SubscriptionOptions,
};

use crate::{
    harness::{TestBroker, configured, on_every_broker_with},
    peer::{Peer, V5, V31, V311, connect, connect_durable, publish, subscribe, text},
};

fn user(mut connect: Connect, name: &str, password: &str) -> Connect {
    connect.user_name = Some(text(name));
    connect.password = Some(Bytes::copy_from_slice(password.as_bytes()));
    connect
}

async fn refusal(broker: &TestBroker, connect: Connect) -> whinchat_codec::ConnAck {
    let mut peer = Peer::silent(broker, connect.version);
    let connack = peer.log_in(connect).await;
    assert!(connack.reason.is_error(), "{connack:?}");
    peer.receive_end().await;
    connack
}

/// Lets everybody in under the user name, with the password `secret`.
fn with_passwords(builder: Broker) -> Broker {
    builder.authenticate(|request: &AuthenticationRequest| {
        match (request.user_name(), request.password()) {
            (Some(name), Some(b"secret")) => Ok(Identity::new(name)),
            (Some(_), _) => Err(Refusal::bad_user_name_or_password()),
            (None, _) => Err(Refusal::not_authorized()),
        }
    })
}

mod passwords {
    use super::*;

    #[tokio::test]
    async fn the_right_password_lets_in_and_another_does_not() {
        on_every_broker_with(with_passwords, async |broker| {
            for version in [V31, V311, V5] {
                let good = user(connect(version, "c"), "ann", "secret");
                let (mut peer, _) = Peer::connected_with(broker, good).await;
                peer.receive_nothing().await;
                peer.disconnect().await;
                let bad = user(connect(version, "c"), "ann", "guess");
                assert_eq!(
                    refusal(broker, bad).await.reason,
                    ConnAckReason::BadUserNameOrPassword
                );
                let none = connect(version, "c");
                assert_eq!(
                    refusal(broker, none).await.reason,
                    ConnAckReason::NotAuthorized
                );
            }
        })
        .await;
    }

    #[tokio::test]
    async fn a_session_belongs_to_its_identity() {
        on_every_broker_with(with_passwords, async |broker| {
            let anns = user(connect_durable(V5, "c"), "ann", "secret");
            let (mut ann, _) = Peer::connected_with(broker, anns.clone()).await;
            ann.subscribe("t", QoS::AtLeastOnce).await;
            for clean_start in [false, true] {
                let mut bobs = user(connect_durable(V5, "c"), "bob", "secret");
                bobs.clean_start = clean_start;
                assert_eq!(
                    refusal(broker, bobs.clone()).await.reason,
                    ConnAckReason::NotAuthorized
                );
                ann.receive_nothing().await;
            }
            // Nor while she is away.
            ann.cut();
            broker_knows(broker).await;
            let bobs = user(connect(V5, "c"), "bob", "secret");
            assert_eq!(
                refusal(broker, bobs).await.reason,
                ConnAckReason::NotAuthorized
            );
            let (_ann, connack) = Peer::connected_with(broker, anns).await;
            assert!(connack.session_present);
        })
        .await;
    }

    /// Waits until the broker has seen what was cut.
    async fn broker_knows(broker: &TestBroker) {
        let (peer, _) =
            Peer::connected_with(broker, user(connect(V5, "other"), "eve", "secret")).await;
        peer.disconnect().await;
    }

    #[tokio::test]
    async fn a_refusal_may_explain_itself_and_send_elsewhere() {
        let moved = |builder: Broker| {
            builder.authenticate(|_: &AuthenticationRequest| {
                Err::<Identity, _>(
                    Refusal::new(ConnAckReason::UseAnotherServer)
                        .with_reason_string("too far away")
                        .with_server_reference("near:1883"),
                )
            })
        };
        on_every_broker_with(moved, async |broker| {
            let connack = refusal(broker, connect(V5, "c")).await;
            assert_eq!(connack.reason, ConnAckReason::UseAnotherServer);
            assert_eq!(connack.properties.reason_string(), Some("too far away"));
            assert_eq!(connack.properties.server_reference(), Some("near:1883"));
            // v5 [MQTT-3.2.2-19]
            let mut tight = connect(V5, "c");
            tight.properties.set_maximum_packet_size(25).unwrap();
            let connack = refusal(broker, tight).await;
            assert_eq!(connack.properties.reason_string(), None);
            let mut old = Peer::silent(broker, V311);
            old.send(Packet::Connect(Box::new(connect(V311, "c"))))
                .await;
            if let Some(Packet::ConnAck(connack)) = old.receive_or_end().await {
                assert_eq!(connack.reason, ConnAckReason::ServerUnavailable);
            }
        })
        .await;
    }
}

/// Answers when it is let go.
struct Slow {
    go: Arc<Notify>,
    asked: Arc<AtomicUsize>,
}

impl Authenticate for Slow {
    fn authenticate<'a>(
        &'a self,
        request: &'a AuthenticationRequest,
    ) -> HookFuture<'a, Result<Authentication, Refusal>> {
        Box::pin(async move {
            let name = request.user_name().unwrap_or("nobody");
            if name != "quick" {
                let let_go = self.go.notified();
                self.asked.fetch_add(1, Ordering::SeqCst);
                let_go.await;
            }
            match name {
                "bad" => Err(Refusal::not_authorized()),
                name => Ok(Identity::new(name).into()),
            }
        })
    }
}

mod waiting {
    use super::*;

    #[tokio::test]
    async fn a_slow_answer_holds_up_nobody_else() {
        let go = Arc::new(Notify::new());
        let asked = Arc::new(AtomicUsize::new(0));
        let slow = |builder: Broker| {
            builder.authenticate(Slow {
                go: Arc::clone(&go),
                asked: Arc::clone(&asked),
            })
        };
        on_every_broker_with(slow, async |broker| {
            let before = asked.load(Ordering::SeqCst);
            let mut waiting = Vec::new();
            for id in ["a", "b", "c"] {
                let mut peer = Peer::silent(broker, V5);
                let mut bytes = BytesMut::new();
                let packets = [
                    Packet::Connect(Box::new(user(connect(V5, id), "slow", ""))),
                    Packet::Subscribe(subscribe(1, &[("t", SubscriptionOptions::default())])),
                    Packet::PingReq,
                ];
                for packet in packets {
                    packet.encode(V5, &mut bytes).unwrap();
                }
                peer.send_bytes(&bytes).await;
                waiting.push(peer);
            }
            let quick = user(connect(V5, "quick"), "quick", "");
            let (mut quick, _) = Peer::connected_with(broker, quick).await;
            quick.publish_read(publish("t", "too early")).await;
            while asked.load(Ordering::SeqCst) < before + 3 {
                tokio::task::yield_now().await;
            }
            go.notify_waiters();
            for mut peer in waiting {
                assert!(matches!(peer.receive().await, Packet::ConnAck(_)));
                assert!(matches!(peer.receive().await, Packet::SubAck(_)));
                assert_eq!(peer.receive().await, Packet::PingResp);
            }
        })
        .await;
    }

    #[tokio::test]
    async fn v5_mqtt_3_1_4_6_what_follows_connect_waits_for_the_answer() {
        for (name, is_let_in) in [("good", true), ("bad", false)] {
            let go = Arc::new(Notify::new());
            let slow = |builder: Broker| {
                builder.authenticate(Slow {
                    go: Arc::clone(&go),
                    asked: Arc::default(),
                })
            };
            on_every_broker_with(slow, async |broker| {
                let quick = user(connect(V5, "quick"), "quick", "");
                let (mut watcher, _) = Peer::connected_with(broker, quick).await;
                watcher.subscribe("t", QoS::AtMostOnce).await;
                for id in ["a", "b", "c", "d"] {
                    let mut peer = Peer::silent(broker, V5);
                    peer.send(Packet::Connect(Box::new(user(connect(V5, id), name, ""))))
                        .await;
                    // In segments of their own, half of one of them later.
                    let mut bytes = BytesMut::new();
                    Packet::Publish(publish("t", id))
                        .encode(V5, &mut bytes)
                        .unwrap();
                    Packet::PingReq.encode(V5, &mut bytes).unwrap();
                    peer.send_bytes(&bytes[..4]).await;
                    watcher.receive_nothing().await;
                    peer.send_bytes(&bytes[4..]).await;
                    watcher.receive_nothing().await;
                    go.notify_one();
                    let Packet::ConnAck(connack) = peer.receive().await else {
                        panic!("expected CONNACK")
                    };
                    assert_eq!(connack.reason.is_error(), !is_let_in);
                    if is_let_in {
                        assert_eq!(peer.receive().await, Packet::PingResp);
                        watcher.take_payloads(&[id]).await;
                    } else {
                        peer.receive_end().await;
                        watcher.receive_nothing().await;
                    }
                }
            })
            .await;
        }
    }

    #[tokio::test]
    async fn an_answer_for_who_has_gone_is_for_nobody() {
        let go = Arc::new(Notify::new());
        let asked = Arc::new(AtomicUsize::new(0));
        let slow = |builder: Broker| {
            builder.authenticate(Slow {
                go: Arc::clone(&go),
                asked: Arc::clone(&asked),
            })
        };
        on_every_broker_with(slow, async |broker| {
            let before = asked.load(Ordering::SeqCst);
            let mut gone = Peer::silent(broker, V5);
            gone.send(Packet::Connect(Box::new(user(
                connect(V5, "a"),
                "slow",
                "",
            ))))
            .await;
            while asked.load(Ordering::SeqCst) == before {
                tokio::task::yield_now().await;
            }
            // Cut by the clock: its place is free for the next one.
            broker.move_clock(Duration::from_secs(11));
            gone.receive_end().await;
            let mut next = Peer::silent(broker, V5);
            next.send_bytes(&[0x10]).await;
            go.notify_one();
            let quick = user(connect(V5, "quick"), "quick", "");
            let (mut quick, _) = Peer::connected_with(broker, quick).await;
            quick.receive_nothing().await;
            next.send_bytes(&[0x00]).await;
            next.receive_end().await;
        })
        .await;
    }

    /// Does as the user name says.
    struct Broken;

    impl Authenticate for Broken {
        fn authenticate<'a>(
            &'a self,
            request: &'a AuthenticationRequest,
        ) -> HookFuture<'a, Result<Authentication, Refusal>> {
            let name = request.user_name().unwrap_or_default();
            assert_ne!(name, "panics", "as it was told");
            Box::pin(async move {
                assert_ne!(name, "panics later", "as it was told");
                if name == "never answers" {
                    future::pending::<()>().await;
                }
                Ok(Identity::new(name).into())
            })
        }
    }

    #[tokio::test]
    async fn an_authenticator_that_breaks_or_is_late_lets_nobody_in() {
        let impatient = |builder: Broker| {
            configured(|config: &mut Config| {
                config.authentication.timeout = Duration::from_millis(20);
            })(builder)
            .authenticate(Broken)
        };
        on_every_broker_with(impatient, async |broker| {
            for name in ["panics", "panics later", "never answers"] {
                for version in [V311, V5] {
                    let connack = refusal(broker, user(connect(version, "c"), name, "")).await;
                    assert_eq!(connack.reason, ConnAckReason::ServerUnavailable, "{name}");
                }
            }
            let shared = broker.metrics().shared();
            assert_eq!(shared.hook_panics.of(HookLabel::Authenticate).value(), 4);
            assert_eq!(shared.hook_timeouts.of(HookLabel::Authenticate).value(), 2);
            let fine = user(connect(V5, "c"), "fine", "");
            Peer::connected_with(broker, fine).await;
        })
        .await;
    }
}

mod enhanced {
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

    #[tokio::test]
    async fn v5_mqtt_4_12_0_4_an_exchange_may_be_refused_at_any_step() {
        on_every_broker_with(counting, async |broker| {
            for wrong_at in 1..=3_u8 {
                let mut connect = connect_counting("c", "COUNT-4");
                if wrong_at == 1 {
                    connect.properties.set_authentication_data(b"!").unwrap();
                }
                let mut peer = Peer::silent(broker, V5);
                peer.send(Packet::Connect(Box::new(connect))).await;
                for number in 2..=wrong_at {
                    receive_auth(&mut peer).await;
                    let data = if number == wrong_at { 0xFF } else { number };
                    let reason = AuthReason::ContinueAuthentication;
                    peer.send(auth(reason, Some("COUNT-4"), &[data])).await;
                }
                let Packet::ConnAck(connack) = peer.receive().await else {
                    panic!("expected CONNACK")
                };
                assert_eq!(connack.reason, ConnAckReason::NotAuthorized);
                peer.receive_end().await;
            }
            let connack = refusal(broker, connect_counting("c", "OTHER")).await;
            assert_eq!(connack.reason, ConnAckReason::BadAuthenticationMethod);
        })
        .await;
    }

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
    async fn v5_mqtt_4_12_1_1_a_client_may_authenticate_again() {
        on_every_broker_with(counting, async |broker| {
            for id in ["a", "b"] {
                let mut peer = counted(broker, id, 3).await;
                peer.subscribe("t", QoS::AtLeastOnce).await;
                for _ in 0..3 {
                    let go_on = AuthReason::ContinueAuthentication;
                    peer.send(auth(AuthReason::Reauthenticate, Some("COUNT-3"), &[1]))
                        .await;
                    receive_auth(&mut peer).await;
                    // In between it is served as before.
                    peer.receive_nothing().await;
                    peer.send(auth(go_on, Some("COUNT-3"), &[2])).await;
                    receive_auth(&mut peer).await;
                    peer.send(auth(go_on, Some("COUNT-3"), &[3])).await;
                    let done = receive_auth(&mut peer).await;
                    assert_eq!(done.reason, AuthReason::Success);
                    assert_eq!(done.properties.authentication_data(), Some(&b"done"[..]));
                    peer.receive_nothing().await;
                }
                let mut publisher = Peer::connected(broker, V5, "p").await;
                publisher.publish_acked("t", "x").await;
                peer.take_payloads(&["x"]).await;
                peer.disconnect().await;
            }
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
}

#[tokio::test]
async fn the_authenticator_sees_what_the_client_says() {
    type Seen = (String, ProtocolVersion, Option<String>, String);
    let seen: Arc<std::sync::Mutex<Vec<Seen>>> = Arc::default();
    let spy = |builder: Broker| {
        let seen = Arc::clone(&seen);
        builder.authenticate(move |request: &AuthenticationRequest| {
            seen.lock().unwrap().push((
                request.client_id.clone(),
                request.version,
                request.user_name().map(str::to_owned),
                request.listener.to_string(),
            ));
            Ok(Identity::new("somebody"))
        })
    };
    on_every_broker_with(spy, async |broker| {
        seen.lock().unwrap().clear();
        Peer::connected_with(broker, user(connect(V311, "c"), "ann", "secret")).await;
        let last = seen.lock().unwrap().last().cloned().unwrap();
        assert_eq!(
            last,
            (
                "c".to_owned(),
                V311,
                Some("ann".to_owned()),
                "inside".to_owned()
            )
        );
    })
    .await;
}
