//! Interceptors: told of what they are interested in, and obeyed.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use whinchat_broker::{
    Broker, StartError,
    hooks::{
        Client, ConnectEvent, DeliverVerdict, DisconnectEvent, Intercept, Interest, MessageEvent,
        PublishVerdict, SubscribeEvent,
    },
    metrics::HookLabel,
};
use whinchat_codec::{Packet, PubAckReason, QoS};

use crate::{
    harness::on_every_broker_with,
    peer::{Peer, Refine, V5, V311, connect, connect_durable, publish, will},
};

/// Writes down what it is told; does to messages what their topics say.
#[derive(Clone, Default)]
struct Spy {
    seen: Arc<Mutex<Vec<String>>>,
}

impl Spy {
    fn note(&self, line: String) {
        self.seen.lock().unwrap().push(line);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}

impl Intercept for Spy {
    fn interest(&self) -> Interest {
        Interest::none()
            .with_connections()
            .with_subscriptions()
            .with_publishes("seen/#")
            .with_deliveries("drop/+")
            .with_deliveries("panic at delivery")
    }

    fn on_connect(&self, client: &Client<'_>, event: &ConnectEvent) {
        if client.client_id.starts_with("probe") {
            return;
        }
        self.note(format!(
            "{} connected, session present {}",
            client.client_id, event.session_present
        ));
    }

    fn on_disconnect(&self, client: &Client<'_>, event: &DisconnectEvent) {
        if client.client_id.starts_with("probe") {
            return;
        }
        self.note(format!("{} ended: {:?}", client.client_id, event.reason));
    }

    fn on_subscribe(&self, client: &Client<'_>, event: &SubscribeEvent<'_>) {
        self.note(format!(
            "{} subscribed {} {:?}",
            client.client_id, event.filter, event.granted
        ));
    }

    fn on_publish(&self, client: &Client<'_>, event: &MessageEvent<'_>) -> PublishVerdict {
        self.note(format!("{} published to {}", client.client_id, event.topic));
        match event.topic {
            "seen/replace" => PublishVerdict::Replace(Bytes::from_static(b"replaced")),
            "seen/refuse" => PublishVerdict::Refuse(PubAckReason::PayloadFormatInvalid),
            "seen/swallow" => PublishVerdict::Refuse(PubAckReason::Success),
            "seen/panic" => panic!("as it was told"),
            _ => PublishVerdict::Pass,
        }
    }

    fn on_deliver(&self, client: &Client<'_>, event: &MessageEvent<'_>) -> DeliverVerdict {
        assert!(!event.topic.starts_with("panic"), "as it was told");
        if event.topic.ends_with(client.client_id) {
            DeliverVerdict::Drop
        } else {
            DeliverVerdict::Pass
        }
    }
}

#[tokio::test]
async fn connections_and_subscriptions_are_told() {
    let spy = Spy::default();
    let spied = |builder: Broker| builder.intercept(spy.clone());
    on_every_broker_with(spied, async |broker| {
        spy.take();
        let (mut peer, _) = Peer::connected_with(broker, connect_durable(V5, "a")).await;
        peer.subscribe("$share/g/t", QoS::AtLeastOnce).await;
        peer.subscribe("not#valid", QoS::AtLeastOnce).await;
        peer.disconnect().await;
        let (peer, _) = Peer::connected_with(broker, connect_durable(V5, "a")).await;
        peer.cut();
        broker.settle().await;
        let mut peer = Peer::connected(broker, V311, "b").await;
        broker.disconnect_client("b");
        peer.receive_end().await;
        broker.settle().await;
        assert_eq!(
            spy.take(),
            [
                "a connected, session present false",
                "a subscribed $share/g/t AtLeastOnce",
                "a ended: Some(NormalDisconnection)",
                "a connected, session present true",
                "a ended: None",
                "b connected, session present false",
                "b ended: Some(AdministrativeAction)",
            ]
        );
    })
    .await;
}

#[tokio::test]
async fn messages_pass_or_are_replaced_or_refused() {
    let spy = Spy::default();
    let spied = |builder: Broker| builder.intercept(spy.clone());
    on_every_broker_with(spied, async |broker| {
        let mut watcher = Peer::connected(broker, V5, "w").await;
        watcher.subscribe("#", QoS::AtMostOnce).await;
        let mut peer = Peer::connected(broker, V5, "p").await;
        spy.take();
        for (topic, reason, arrives) in [
            ("seen", PubAckReason::Success, Some("x")), // the parent of seen/#
            ("unseen", PubAckReason::Success, Some("x")),
            ("seen/pass", PubAckReason::Success, Some("x")),
            ("seen/replace", PubAckReason::Success, Some("replaced")),
            ("seen/refuse", PubAckReason::PayloadFormatInvalid, None),
            ("seen/swallow", PubAckReason::Success, None),
            (
                "seen/panic",
                PubAckReason::ImplementationSpecificError,
                None,
            ),
        ] {
            peer.publish_read(publish(topic, "x")).await;
            assert_eq!(
                peer.publish_acked(topic, "x").await.reason,
                reason,
                "{topic}"
            );
            peer.send(publish(topic, "x").exactly_once(9)).await;
            let Packet::PubRec(answer) = peer.receive().await else {
                panic!("expected PUBREC")
            };
            assert_eq!(answer.reason.code(), reason as u8);
            if !answer.reason.is_error() {
                peer.send(crate::peer::pubrel(9)).await;
                peer.receive().await;
            }
            for payload in arrives.into_iter().flat_map(|payload| [payload; 3]) {
                assert_eq!(watcher.take_payload().await, payload);
            }
            watcher.receive_nothing().await;
        }
        assert_eq!(
            broker
                .metrics()
                .shared()
                .hook_panics
                .of(HookLabel::Intercept)
                .value(),
            3
        );
        assert!(!spy.take().iter().any(|line| line.contains("unseen")));
    })
    .await;
}

#[tokio::test]
async fn wills_are_messages_too() {
    let spy = Spy::default();
    let spied = |builder: Broker| builder.intercept(spy.clone());
    on_every_broker_with(spied, async |broker| {
        let mut watcher = Peer::connected(broker, V5, "w").await;
        watcher.subscribe("#", QoS::AtMostOnce).await;
        for (topic, arrives) in [
            ("seen/pass", Some("x")),
            ("seen/replace", Some("replaced")),
            ("seen/refuse", None),
            ("seen/swallow", None),
        ] {
            let mut connect = connect(V5, "c");
            connect.will = Some(will(topic, "x"));
            let (peer, _) = Peer::connected_with(broker, connect).await;
            spy.take();
            peer.cut();
            broker.settle().await;
            if let Some(payload) = arrives {
                watcher.take_payloads(&[payload]).await;
            }
            watcher.receive_nothing().await;
            assert!(spy.take().contains(&format!("c published to {topic}")));
        }
    })
    .await;
}

#[tokio::test]
async fn a_delivery_may_be_dropped_for_one_client() {
    let spied = |builder: Broker| builder.intercept(Spy::default());
    on_every_broker_with(spied, async |broker| {
        let mut a = Peer::connected(broker, V5, "a").await;
        let (mut b, _) = Peer::connected_with(broker, connect_durable(V5, "b")).await;
        for peer in [&mut a, &mut b] {
            peer.subscribe("#", QoS::AtLeastOnce).await;
        }
        let mut publisher = Peer::connected(broker, V5, "p").await;
        for topic in ["drop/a", "drop/b", "drop/c", "panic at delivery"] {
            publisher.publish_acked(topic, topic).await;
        }
        a.take_payloads(&["drop/b", "drop/c"]).await;
        a.receive_nothing().await;
        b.take_payloads(&["drop/a", "drop/c"]).await;
        b.receive_nothing().await;
        // Before it is queued.
        b.disconnect().await;
        for topic in ["drop/b", "drop/d"] {
            publisher.publish_acked(topic, topic).await;
        }
        let (mut b, _) = Peer::connected_with(broker, connect_durable(V5, "b")).await;
        b.take_payloads(&["drop/d"]).await;
        b.receive_nothing().await;
    })
    .await;
}

#[test]
fn an_interest_in_what_is_no_filter_is_refused_at_the_start() {
    struct Confused;
    impl Intercept for Confused {
        fn interest(&self) -> Interest {
            Interest::none().with_publishes("a#")
        }
    }
    let error = Broker::builder().intercept(Confused).start().unwrap_err();
    assert!(matches!(error, StartError::InterestInvalid { filter } if filter == "a#"));
}
