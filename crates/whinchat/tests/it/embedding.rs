//! What a program sees that has the broker inside: it starts and ends in any runtime or none, and a denied publish is an error.

use whinchat::broker::hooks::{Access, Action, Authorize, Decision, HookError};
use whinchat::broker::{Broker, BrokerHandle};
use whinchat::client::{
    Client, ClientOptions, Endpoint, ProtocolVersion, PubAckReason, PublishError, QoS, Version,
    blocking,
};

fn three_brokers() -> Vec<BrokerHandle> {
    let start = |_| {
        Broker::builder()
            .threads(2)
            .listen(Endpoint::tcp("127.0.0.1", 0))
            .start()
    };
    (0..3).map(start).collect::<Result<_, _>>().unwrap()
}

fn options(broker: &BrokerHandle) -> ClientOptions {
    let options = ClientOptions::new(broker.local_endpoints()[0].clone());
    options.client_id("the same in all").unwrap()
}

#[test]
fn three_brokers_start_serve_and_are_dropped_outside_any_runtime() {
    let brokers = three_brokers();
    for (number, broker) in brokers.iter().enumerate() {
        let client = blocking::Client::connect(options(broker)).unwrap();
        let mut values = client.subscribe("value").wait().unwrap();
        let value = number.to_string();
        client
            .publish("value", value.clone())
            .retain(true)
            .wait()
            .unwrap();
        assert_eq!(values.next().unwrap().payload(), value.as_bytes());
    }
    drop(brokers);
}

#[test]
fn three_brokers_are_dropped_unawaited_inside_the_runtime_of_their_clients() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let brokers = three_brokers();
        let mut clients = Vec::new();
        for broker in &brokers {
            let client = options(broker).connect().await.unwrap();
            client.publish("value", "x").await.unwrap();
            clients.push(client);
        }
        let mut watches: Vec<_> = clients.iter().map(Client::watch).collect();
        drop(brokers);
        for watch in &mut watches {
            let status = watch.changed().await.unwrap();
            assert!(!status.is_connected(), "{status:?}");
        }
    });
}

/// Denies all publishing.
struct ReadOnly;

impl Authorize for ReadOnly {
    fn authorize(&self, access: &Access<'_>) -> Result<Decision, HookError> {
        let publishes = matches!(access.action, Action::Publish { .. });
        Ok(if publishes {
            Decision::Deny
        } else {
            Decision::Allow
        })
    }
}

async fn deposit(client: &Client, qos: QoS) -> Result<(), PublishError> {
    let deposit = client.publish("bank/account/BA-1001-2025/deposit", "100.0");
    deposit.qos(qos).await?;
    Ok(())
}

#[tokio::test]
async fn a_denied_publish_is_an_error_at_the_question_mark() {
    let builder = Broker::builder().threads(1).authorize(ReadOnly);
    let broker = builder
        .listen(Endpoint::tcp("127.0.0.1", 0))
        .start()
        .unwrap();
    let client = options(&broker).connect().await.unwrap();
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let error = deposit(&client, qos).await.unwrap_err();
        let PublishError::Rejected { reason, .. } = &error else {
            panic!("{qos:?}: {error}")
        };
        assert_eq!(*reason, PubAckReason::NotAuthorized);
        assert!(error.to_string().contains("Not authorized"), "{error}");
    }
    assert!(client.status().is_connected());
    client.disconnect().await;

    // 3.1.1 has no way to say no: the message is taken and goes nowhere. v311 [MQTT-3.3.5-2]
    let options = options(&broker).version(Version::Only(ProtocolVersion::V311));
    let client = options.connect().await.unwrap();
    let mut messages = client.subscribe("bank/#").await.unwrap();
    deposit(&client, QoS::AtLeastOnce).await.unwrap();
    client.unsubscribe("bank/#").await.unwrap();
    assert!(messages.next().await.is_none(), "nothing was delivered");
}
