//! `$SYS`: the names that dashboards look for, and that their values follow.

use std::{collections::BTreeMap, time::Duration};

use whinchat_broker::config::Config;
use whinchat_codec::QoS;

use crate::{
    harness::{TestBroker, configured, on_every_broker, on_every_broker_with},
    peer::{Peer, V5, V311, connect_durable, publish},
};

const SECOND: Duration = Duration::from_secs(1);

/// The names below `$SYS/broker/` that Mosquitto made usual and `clients/overflowed`, which is ours.
const NAMES: [&str; 22] = [
    "bytes/received",
    "bytes/sent",
    "clients/active",
    "clients/connected",
    "clients/disconnected",
    "clients/expired",
    "clients/inactive",
    "clients/maximum",
    "clients/overflowed",
    "clients/total",
    "messages/received",
    "messages/sent",
    "publish/messages/dropped",
    "publish/messages/received",
    "publish/messages/sent",
    "retained messages/count",
    "shared_subscriptions/count",
    "store/messages/bytes",
    "store/messages/count",
    "subscriptions/count",
    "uptime",
    "version",
];

/// What a new subscriber is told.
async fn values(broker: &TestBroker) -> BTreeMap<String, String> {
    let mut reader = Peer::connected(broker, V311, "reader").await;
    reader.subscribe("$SYS/#", QoS::AtMostOnce).await;
    let mut values = BTreeMap::new();
    for _ in NAMES {
        let message = reader.take().await;
        assert!(message.retain);
        let name = message
            .topic
            .strip_prefix("$SYS/broker/")
            .expect("a name below")
            .to_owned();
        let value = String::from_utf8_lossy(&message.payload).into_owned();
        assert!(values.insert(name, value).is_none());
    }
    reader.receive_nothing().await;
    reader.disconnect().await;
    values
}

#[tokio::test]
async fn the_usual_names_are_there_from_the_start() {
    on_every_broker(async |broker| {
        broker.settle().await;
        let values = values(broker).await;
        assert_eq!(values.keys().map(String::as_str).collect::<Vec<_>>(), NAMES);
        assert!(values["version"].starts_with("whinchat version "));
        assert_eq!(values["uptime"], "0 seconds");
    })
    .await;
}

#[tokio::test]
async fn values_follow_with_the_next_round() {
    on_every_broker(async |broker| {
        let (mut one, _) = Peer::connected_with(broker, connect_durable(V5, "1")).await;
        let (mut two, _) = Peer::connected_with(broker, connect_durable(V5, "2")).await;
        for peer in [&mut one, &mut two] {
            peer.subscribe("t", QoS::AtLeastOnce).await;
            peer.subscribe("$share/g/u", QoS::AtLeastOnce).await;
        }
        two.disconnect().await;
        one.publish_acked("none", "x").await;
        let before = values(broker).await;
        assert_eq!(
            before["subscriptions/count"], "0",
            "nothing changes between two rounds"
        );
        broker.advance(11 * SECOND).await;
        let values = values(broker).await;
        assert_eq!(values["uptime"], "11 seconds");
        assert_eq!(values["clients/connected"], values["clients/active"]);
        assert_eq!(values["clients/disconnected"], "1");
        assert_eq!(values["subscriptions/count"], "4");
        assert_eq!(values["shared_subscriptions/count"], "2");
        assert_eq!(values["publish/messages/received"], "1");
        let number = |name: &str| values[name].parse::<u64>().unwrap();
        assert!(number("messages/received") >= 8);
        assert!(number("messages/sent") >= 8, "acks are messages too");
        assert!(number("bytes/received") > 100);
        assert!(number("bytes/sent") > 40);
    })
    .await;
}

#[tokio::test]
async fn a_subscriber_gets_what_changes() {
    on_every_broker(async |broker| {
        broker.settle().await;
        let mut reader = Peer::connected(broker, V5, "reader").await;
        reader
            .subscribe("$SYS/broker/uptime", QoS::AtMostOnce)
            .await;
        reader.take_payloads(&["0 seconds"]).await;
        for seconds in [10, 20, 30] {
            broker.advance(10 * SECOND).await;
            assert_eq!(reader.take_payload().await, format!("{seconds} seconds"));
            reader.receive_nothing().await;
        }
    })
    .await;
}

#[tokio::test]
async fn without_an_interval_there_are_none() {
    let silent = configured(|config: &mut Config| config.sys.interval = None);
    on_every_broker_with(silent, async |broker| {
        let mut reader = Peer::connected(broker, V5, "reader").await;
        reader.subscribe("$SYS/#", QoS::AtMostOnce).await;
        broker.advance(100 * SECOND).await;
        reader.publish_read(publish("t", "x")).await;
        reader.receive_nothing().await;
    })
    .await;
}
