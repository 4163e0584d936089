//! What a client may do: at PUBLISH, at SUBSCRIBE, for its Will, and per delivery where a filter was
//! allowed partly.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use whinchat_broker::{
    Broker,
    hooks::{Access, Action, Authorize, Decision, HookError},
    metrics::{DropLabel, HookLabel},
};
use whinchat_codec::{ConnAckReason, Packet, PubAckReason, QoS, SubAckReason, SubscriptionOptions};

use crate::{
    harness::on_every_broker_with,
    peer::{
        Peer, Refine, V5, V31, V311, connect, connect_durable, puback, publish, subscribe, will,
    },
};

/// Denies topics below `denied/`, allows `#` and `+/#` partly, breaks at `error` and `panic`.
#[derive(Clone, Default)]
struct Rules {
    /// Denies everything from here on.
    revoked: Arc<AtomicBool>,
}

impl Authorize for Rules {
    fn authorize(&self, access: &Access<'_>) -> Result<Decision, HookError> {
        if self.revoked.load(Ordering::SeqCst) {
            return Ok(Decision::Deny);
        }
        match (access.action, access.topic) {
            (_, "error") => Err(HookError::new("as it was told")),
            (_, "panic") => panic!("as it was told"),
            (_, topic) if topic.starts_with("denied") && access.client_id != "admin" => {
                Ok(Decision::Deny)
            }
            (Action::Subscribe { .. }, "#" | "+/#") => Ok(Decision::AllowPartly),
            // For all else the same as Allow.
            (Action::Publish { .. } | Action::Receive, topic) if topic.starts_with("open") => {
                Ok(Decision::AllowPartly)
            }
            _ => Ok(Decision::Allow),
        }
    }
}

fn ruled(builder: Broker) -> Broker {
    builder.authorize(Rules::default())
}

#[tokio::test]
async fn a_denied_publish_is_answered_by_its_qos() {
    on_every_broker_with(ruled, async |broker| {
        let mut admin = Peer::connected(broker, V5, "admin").await;
        admin.subscribe("denied/#", QoS::AtMostOnce).await;
        let mut peer = Peer::connected(broker, V5, "c").await;
        peer.publish_read(publish("denied/t", "0").retained()).await;
        let answer = peer.publish_acked("denied/t", "1").await;
        assert_eq!(answer.reason, PubAckReason::NotAuthorized);
        for _ in 0..2 {
            // The id is free again. // v5 [MQTT-4.3.3-9]
            peer.send(publish("denied/t", "2").exactly_once(7)).await;
            let Packet::PubRec(answer) = peer.receive().await else {
                panic!("expected PUBREC")
            };
            assert_eq!(answer.reason.code(), 0x87);
        }
        for version in [V31, V311] {
            // Without a code: acknowledged and dropped.
            let mut old = Peer::connected(broker, version, "old").await;
            old.send(publish("denied/t", "1").at_least_once(1)).await;
            assert_eq!(old.receive().await, puback(1));
            old.publish_completed("denied/t", "2").await;
        }
        admin.receive_nothing().await;
        // Neither was it retained.
        admin.subscribe("denied/#", QoS::AtMostOnce).await;
        broker.settle().await;
        admin.receive_nothing().await;
    })
    .await;
}

#[tokio::test]
async fn an_alias_is_checked_by_the_topic_it_stands_for() {
    on_every_broker_with(ruled, async |broker| {
        let mut peer = Peer::connected(broker, V5, "c").await;
        let mut message = publish("denied/t", "x").at_least_once(1);
        message.properties.set_topic_alias(1).unwrap();
        for topic in ["denied/t", ""] {
            message.topic = crate::peer::text(topic);
            peer.send(message.clone()).await;
            let Packet::PubAck(answer) = peer.receive().await else {
                panic!("expected PUBACK")
            };
            assert_eq!(answer.reason, PubAckReason::NotAuthorized);
        }
    })
    .await;
}

#[tokio::test]
async fn a_denied_subscription_is_refused_and_the_others_are_not() {
    on_every_broker_with(ruled, async |broker| {
        let options = SubscriptionOptions::new(QoS::AtMostOnce);
        // The filter decides, not the name of the group.
        let filters =
            ["a", "denied/#", "$share/g/denied/t", "$share/denied/t"].map(|f| (f, options));
        let mut peer = Peer::connected(broker, V5, "c").await;
        let suback = peer.subscribe_with(subscribe(1, &filters)).await;
        let granted = SubAckReason::GrantedQoS0;
        let denied = SubAckReason::NotAuthorized;
        assert_eq!(suback.reasons, [granted, denied, denied, granted]);
        let mut admin = Peer::connected(broker, V5, "admin").await;
        admin.publish_acked("denied/t", "x").await;
        peer.receive_nothing().await;
        let mut old = Peer::connected(broker, V311, "old").await;
        let suback = old.subscribe_with(subscribe(1, &filters)).await;
        assert_eq!(suback.reasons[1], SubAckReason::UnspecifiedError); // 0x80
    })
    .await;
}

#[tokio::test]
async fn a_broken_authorizer_denies() {
    on_every_broker_with(ruled, async |broker| {
        let mut peer = Peer::connected(broker, V5, "c").await;
        for topic in ["error", "panic"] {
            let answer = peer.publish_acked(topic, "x").await;
            assert_eq!(answer.reason, PubAckReason::NotAuthorized);
            let suback = peer.subscribe(topic, QoS::AtMostOnce).await;
            assert_eq!(suback.reasons, [SubAckReason::NotAuthorized]);
        }
        let shared = broker.metrics().shared();
        assert_eq!(shared.hook_errors.of(HookLabel::Authorize).value(), 2);
        assert_eq!(shared.hook_panics.of(HookLabel::Authorize).value(), 2);
    })
    .await;
}

/// T-67
#[tokio::test]
async fn a_denied_will_refuses_the_connection() {
    on_every_broker_with(ruled, async |broker| {
        for id in ["a", "b", "c", "d"] {
            let mut connect = connect(V5, id);
            connect.will = Some(will("denied/gone", "x"));
            let mut peer = Peer::silent(broker, V5);
            assert_eq!(
                peer.log_in(connect).await.reason,
                ConnAckReason::NotAuthorized
            );
            peer.receive_end().await;
        }
    })
    .await;
}

/// T-67
#[tokio::test]
async fn a_will_whose_right_was_lost_is_not_published() {
    let rules = Rules::default();
    let ruled = |builder: Broker| builder.authorize(rules.clone());
    on_every_broker_with(ruled, async |broker| {
        rules.revoked.store(false, Ordering::SeqCst);
        let mut watcher = Peer::connected(broker, V5, "w").await;
        watcher.subscribe("gone", QoS::AtMostOnce).await;
        let mut connect = connect(V5, "c");
        connect.will = Some(will("gone", "x"));
        let (peer, _) = Peer::connected_with(broker, connect).await;
        rules.revoked.store(true, Ordering::SeqCst);
        peer.cut();
        broker.settle().await;
        watcher.receive_nothing().await;
    })
    .await;
}

/// T-70
#[tokio::test]
async fn a_will_that_breaks_its_check_holds_up_no_other_of_its_moment() {
    /// Has a defect that shows with the client `5`, later.
    #[derive(Clone, Default)]
    struct Breaking(Arc<AtomicBool>);

    impl Authorize for Breaking {
        fn authorize(&self, access: &Access<'_>) -> Result<Decision, HookError> {
            let breaks = self.0.load(Ordering::SeqCst) && access.client_id == "5";
            assert!(!breaks, "as it was told");
            Ok(Decision::Allow)
        }
    }

    let rules = Breaking::default();
    let breaking = |builder: Broker| builder.authorize(rules.clone());
    on_every_broker_with(breaking, async |broker| {
        rules.0.store(false, Ordering::SeqCst);
        let mut watcher = Peer::connected(broker, V5, "w").await;
        watcher.subscribe("gone", QoS::AtMostOnce).await;
        for number in 0..10 {
            let id = number.to_string();
            let mut connect = connect_durable(V5, &id);
            let mut last = will("gone", &id);
            last.properties.set_will_delay_interval(5);
            connect.will = Some(last);
            Peer::connected_with(broker, connect).await.0.cut();
        }
        broker.settle().await;
        rules.0.store(true, Ordering::SeqCst);
        watcher.receive_nothing().await;
        broker.advance(Duration::from_secs(6)).await;
        let mut got = Vec::new();
        for _ in 0..9 {
            got.push(watcher.take_payload().await);
        }
        got.sort_unstable();
        assert_eq!(got, ["0", "1", "2", "3", "4", "6", "7", "8", "9"]);
        watcher.receive_nothing().await;
        // The sessions of all of them go on, the one that broke as well.
        rules.0.store(false, Ordering::SeqCst);
        let (_, connack) = Peer::connected_with(broker, connect_durable(V5, "5")).await;
        assert!(connack.session_present);
    })
    .await;
}

/// T-74
#[tokio::test]
async fn a_retained_message_whose_publisher_lost_the_right_is_not_sent() {
    /// Takes the right to publish from the client `lost`.
    #[derive(Clone, Default)]
    struct Revoking(Arc<AtomicBool>);

    impl Authorize for Revoking {
        fn authorize(&self, access: &Access<'_>) -> Result<Decision, HookError> {
            let revoked = self.0.load(Ordering::SeqCst) && access.client_id == "lost";
            Ok(if revoked {
                Decision::Deny
            } else {
                Decision::Allow
            })
        }
    }

    let rules = Revoking::default();
    let revoking = |builder: Broker| builder.authorize(rules.clone());
    on_every_broker_with(revoking, async |broker| {
        rules.0.store(false, Ordering::SeqCst);
        let mut keeps = Peer::connected(broker, V5, "keeps").await;
        keeps.publish_read(publish("a", "a").retained()).await;
        let mut lost = connect(V5, "lost");
        let mut last = will("b", "b");
        last.retain = true;
        lost.will = Some(last);
        let (mut lost, _) = Peer::connected_with(broker, lost).await;
        lost.publish_read(publish("c", "c").retained()).await;
        lost.cut();
        let mut before = Peer::connected(broker, V5, "before").await;
        broker.settle().await;
        before.subscribe("+", QoS::AtMostOnce).await;
        let mut got = [
            before.take_payload().await,
            before.take_payload().await,
            before.take_payload().await,
        ];
        got.sort_unstable();
        assert_eq!(got, ["a", "b", "c"]);
        rules.0.store(true, Ordering::SeqCst);
        let mut after = Peer::connected(broker, V5, "after").await;
        after.subscribe("+", QoS::AtMostOnce).await;
        after.take_payloads(&["a"]).await;
        broker.settle().await;
        after.receive_nothing().await;
    })
    .await;
}

mod partly {
    use super::*;

    /// T-75
    #[tokio::test]
    async fn live_messages_are_checked_one_by_one() {
        on_every_broker_with(ruled, async |broker| {
            let mut admin = Peer::connected(broker, V5, "admin").await;
            for version in [V31, V311, V5] {
                let mut peer = Peer::connected(broker, version, "c").await;
                peer.subscribe("#", QoS::AtLeastOnce).await;
                for _ in 0..3 {
                    admin.publish_acked("denied/t", "secret").await;
                    admin.publish_acked("open", "x").await;
                    peer.take_payloads(&["x"]).await;
                    peer.receive_nothing().await;
                }
                peer.disconnect().await;
            }
            broker.settle().await;
            let dropped = broker
                .metrics()
                .sum(|shard| shard.messages_dropped.of(DropLabel::NotAuthorized).value());
            assert_eq!(dropped, 9);
        })
        .await;
    }

    #[tokio::test]
    async fn an_overlapping_subscription_does_not_widen_the_right() {
        on_every_broker_with(ruled, async |broker| {
            let mut admin = Peer::connected(broker, V5, "admin").await;
            let mut peer = Peer::connected(broker, V5, "c").await;
            for filter in ["#", "+/t", "+/#"] {
                peer.subscribe(filter, QoS::AtLeastOnce).await;
            }
            admin.publish_acked("denied/t", "secret").await;
            admin.publish_acked("open/t", "x").await;
            peer.take_payloads(&["x"]).await;
            peer.receive_nothing().await;
        })
        .await;
    }

    /// T-75
    #[tokio::test]
    async fn retained_messages_are_checked_one_by_one() {
        on_every_broker_with(ruled, async |broker| {
            let mut admin = Peer::connected(broker, V5, "admin").await;
            for topic in ["denied/a", "open/a", "denied/b", "open/b"] {
                admin.publish_read(publish(topic, topic).retained()).await;
            }
            let mut peer = Peer::connected(broker, V5, "c").await;
            peer.subscribe("#", QoS::AtLeastOnce).await;
            let mut got = [peer.take_payload().await, peer.take_payload().await];
            got.sort_unstable();
            assert_eq!(got, ["open/a", "open/b"]);
            broker.settle().await;
            peer.receive_nothing().await;
        })
        .await;
    }

    /// T-75
    #[tokio::test]
    async fn messages_for_a_session_that_is_away_are_checked_one_by_one() {
        on_every_broker_with(ruled, async |broker| {
            let (mut peer, _) = Peer::connected_with(broker, connect_durable(V5, "c")).await;
            peer.subscribe("+/#", QoS::AtLeastOnce).await;
            peer.disconnect().await;
            let mut admin = Peer::connected(broker, V5, "admin").await;
            admin.publish_acked("denied/t", "secret").await;
            admin.publish_acked("open/t", "x").await;
            let (mut peer, _) = Peer::connected_with(broker, connect_durable(V5, "c")).await;
            peer.take_payloads(&["x"]).await;
            peer.receive_nothing().await;
        })
        .await;
    }

    /// T-78
    #[tokio::test]
    async fn shared_messages_are_checked_for_the_member() {
        on_every_broker_with(ruled, async |broker| {
            let mut admin = Peer::connected(broker, V5, "admin").await;
            let mut peer = Peer::connected(broker, V5, "c").await;
            peer.subscribe("$share/g/#", QoS::AtLeastOnce).await;
            admin.publish_acked("denied/t", "secret").await;
            admin.publish_acked("open", "x").await;
            peer.take_payloads(&["x"]).await;
            peer.receive_nothing().await;
        })
        .await;
    }
}
