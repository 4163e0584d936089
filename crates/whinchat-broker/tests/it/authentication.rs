//! Who may connect: the authenticator's answer, however and whenever it comes.

mod enhanced;

use std::{
    future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use bytes::{Bytes, BytesMut};
use tokio::sync::Notify;
use whinchat_broker::{
    Broker,
    config::Config,
    hooks::{
        AllowAnonymous, Authenticate, Authentication, AuthenticationRequest, Exchange, HookFuture,
        Identity, Refusal,
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
    async fn v5_mqtt_4_12_0_1_who_knows_passwords_knows_no_method() {
        let anonymous: fn(Broker) -> Broker = |builder| builder.authenticate(AllowAnonymous);
        for refine in [with_passwords, anonymous] {
            on_every_broker_with(refine, async |broker| {
                let mut connect = user(connect(V5, "c"), "ann", "secret");
                connect
                    .properties
                    .set_authentication_method("SCRAM")
                    .unwrap();
                assert_eq!(
                    refusal(broker, connect).await.reason,
                    ConnAckReason::BadAuthenticationMethod
                );
            })
            .await;
        }
    }

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

    /// T-26
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

#[tokio::test]
async fn whoever_is_known_for_a_time_is_served_for_that_time() {
    on_every_broker_with(
        |builder| builder.authenticate(ForAnHour),
        async |broker| {
            let late = user(connect(V5, "late"), "past", "");
            assert_eq!(
                refusal(broker, late).await.reason,
                ConnAckReason::NotAuthorized
            );
            for version in [V311, V5] {
                let (mut peer, _) = Peer::connected_with(broker, connect(version, "c")).await;
                broker.advance(Duration::from_secs(3500)).await;
                peer.receive_nothing().await;
                broker.advance(Duration::from_secs(102)).await;
                peer.receive_disconnect(DisconnectReason::NotAuthorized)
                    .await;
            }
            // Authenticated again, the time begins again.
            let mut renewing = connect(V5, "r");
            renewing
                .properties
                .set_authentication_method("any")
                .unwrap();
            let (mut peer, _) = Peer::connected_with(broker, renewing).await;
            broker.advance(Duration::from_secs(3500)).await;
            let mut again = Auth {
                reason: AuthReason::Reauthenticate,
                properties: Default::default(),
            };
            again.properties.set_authentication_method("any").unwrap();
            peer.send(Packet::Auth(again)).await;
            assert!(matches!(peer.receive().await, Packet::Auth(_)));
            broker.advance(Duration::from_secs(3500)).await;
            peer.receive_nothing().await;
            broker.advance(Duration::from_secs(102)).await;
            peer.receive_disconnect(DisconnectReason::NotAuthorized)
                .await;
        },
    )
    .await;
}

/// Knows everybody for an hour, whatever the method, and `past` until a second ago.
struct ForAnHour;

impl Authenticate for ForAnHour {
    fn authenticate<'a>(
        &'a self,
        request: &'a AuthenticationRequest,
    ) -> HookFuture<'a, Result<Authentication, Refusal>> {
        let now = SystemTime::now();
        let at = match request.user_name() {
            Some("past") => now - Duration::from_secs(1),
            _ => now + Duration::from_secs(3600),
        };
        let identity = Identity::new("ann").with_expiry(at);
        Box::pin(future::ready(Ok(identity.into())))
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
