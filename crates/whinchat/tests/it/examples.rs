//! The examples do what they say. Each is compiled into this test and driven without its `main`.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use whinchat::broker::{Broker, BrokerHandle};
use whinchat::client::{
    Client, ClientOptions, ConnectError, Credentials, Endpoint, ProtocolVersion, PubAckReason,
    PublishError, QoS, SubscribeError, Version,
};

/// An example as a module: its `main` has no caller here.
macro_rules! example {
    ($name:ident, $path:literal) => {
        #[path = $path]
        #[expect(dead_code, reason = "its main is for the command line")]
        mod $name;
    };
}

example!(broker_hooks, "../../examples/broker_hooks.rs");
example!(embedded_broker, "../../examples/embedded_broker.rs");
example!(proxy, "../../examples/proxy.rs");
example!(tiny_broker, "../../examples/tiny_broker/main.rs");
example!(tiny_client, "../../examples/tiny_client.rs");
example!(topic_gateway, "../../examples/topic_gateway.rs");

fn broker() -> BrokerHandle {
    Broker::builder()
        .threads(1)
        .listen(Endpoint::tcp("127.0.0.1", 0))
        .start()
        .unwrap()
}

fn client_of(broker: &BrokerHandle, client_id: &str) -> ClientOptions {
    ClientOptions::new(broker.local_endpoints()[0].clone())
        .client_id(client_id)
        .unwrap()
}

/// Runs the tiny broker beside `check`, which gets its address.
async fn beside_tiny_broker<F: Future<Output = ()>>(check: impl FnOnce(String) -> F) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let served = async {
        tokio::select! {
            ended = tiny_broker::serve(listener) => panic!("the broker ended: {ended:?}"),
            () = check(address) => {}
        }
    };
    tokio::task::LocalSet::new().run_until(served).await;
}

#[tokio::test]
async fn the_tiny_broker_carries_messages_of_every_qos_between_all_versions() {
    beside_tiny_broker(|address| async move {
        let url = format!("mqtt://{address}");
        for from in ProtocolVersion::ALL {
            for to in ProtocolVersion::ALL {
                let connect = |id: &str, version| {
                    let options = Client::builder(&url).unwrap().client_id(id).unwrap();
                    options.version(Version::Only(version)).connect()
                };
                let subscriber = connect("subscriber", to).await.unwrap();
                let publisher = connect("publisher", from).await.unwrap();
                let mut messages = subscriber
                    .subscribe("bank/account/+/deposit")
                    .qos(QoS::ExactlyOnce)
                    .await
                    .unwrap();
                for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
                    let deposit = publisher.publish("bank/account/BA-1001-2025/deposit", "100.0");
                    deposit.qos(qos).await.unwrap();
                    let message = messages.next().await.unwrap();
                    assert_eq!(
                        (message.qos(), &message.payload()[..]),
                        (qos, &b"100.0"[..])
                    );
                }
                messages.unsubscribe().await.unwrap();
                publisher.disconnect().await;
                subscriber.disconnect().await;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn the_tiny_client_gets_its_message_back_from_the_tiny_broker_and_from_ours() {
    let round_trip = async |address: String| {
        let sent =
            move || tiny_client::round_trip(&address, "lab/1", "22.5").map_err(|e| e.to_string());
        let payload = tokio::task::spawn_blocking(sent).await.unwrap();
        assert_eq!(payload.unwrap(), "22.5");
    };
    beside_tiny_broker(round_trip).await;
    let broker = broker();
    let Endpoint::Tcp { host, port } = &broker.local_endpoints()[0] else {
        panic!("it listens on TCP")
    };
    round_trip(format!("{host}:{port}")).await;
}

#[tokio::test]
async fn messages_through_the_proxy_carry_its_property() {
    let broker = broker();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let behind = broker.local_endpoints()[0].to_string();
    let behind = behind.trim_start_matches("mqtt://").to_owned();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let broker = TcpStream::connect(&behind).await.unwrap();
            tokio::spawn(proxy::forward(client, broker));
        }
    });

    let subscriber = client_of(&broker, "subscriber").connect().await.unwrap();
    let mut messages = subscriber.subscribe("#").await.unwrap();
    for (version, via) in [
        (ProtocolVersion::V5, vec![("site", "lab"), ("via", "proxy")]),
        (ProtocolVersion::V311, vec![]),
    ] {
        let publisher = Client::builder(&format!("mqtt://{address}")).unwrap();
        let publisher = publisher.version(Version::Only(version)).client_id("p");
        let publisher = publisher.unwrap().connect().await.unwrap();
        let mut publication = publisher.publish("sensors/temperature/lab1", "22.5");
        if version == ProtocolVersion::V5 {
            publication = publication.user_property("site", "lab");
        }
        publication.await.unwrap();
        let message = messages.next().await.unwrap();
        let properties: Vec<_> = message.properties().user_properties().collect();
        assert_eq!(properties, via);
    }
}

#[tokio::test]
async fn the_gateway_maps_topics_both_ways() {
    let (plant, office) = (broker(), broker());
    let at_plant = client_of(&plant, "gateway").connect().await.unwrap();
    let at_office = client_of(&office, "gateway").connect().await.unwrap();
    let (up, down) = topic_gateway::open(&at_plant, &at_office).await.unwrap();
    tokio::spawn(async move {
        topic_gateway::carry(up, &at_office, |topic| format!("berlin/{topic}")).await
    });
    tokio::spawn(async move {
        topic_gateway::carry(down, &at_plant, topic_gateway::without_berlin).await
    });

    let machine = client_of(&plant, "machine").connect().await.unwrap();
    let clerk = client_of(&office, "clerk").connect().await.unwrap();
    let mut seen = clerk
        .subscribe("berlin/plant/#")
        .qos(QoS::ExactlyOnce)
        .retain_as_published(true)
        .await
        .unwrap();
    let mut commands = machine.subscribe("command/#").await.unwrap();

    let reading = machine.publish("plant/press/temperature", "71");
    reading.qos(QoS::ExactlyOnce).retain(true).await.unwrap();
    let message = seen.next().await.unwrap();
    assert_eq!(message.topic(), "berlin/plant/press/temperature");
    assert_eq!(
        (message.qos(), message.is_retained()),
        (QoS::ExactlyOnce, true)
    );

    clerk.publish("berlin/command/press", "stop").await.unwrap();
    let message = commands.next().await.unwrap();
    assert_eq!(
        (message.topic(), &message.payload()[..]),
        ("command/press", &b"stop"[..])
    );
}

#[tokio::test]
async fn hooks_decide_who_comes_in_and_what_becomes_of_messages() {
    let connections = Arc::new(AtomicU64::new(0));
    let endpoint = Endpoint::tcp("127.0.0.1", 0);
    let broker = broker_hooks::start(endpoint, Arc::clone(&connections)).unwrap();
    let log_in = |name: &str, password: &'static str| {
        let options = client_of(&broker, name);
        options
            .credentials(Credentials::new(name, password).unwrap())
            .connect()
    };
    let refused = log_in("lab1", "guess").await.unwrap_err();
    assert!(matches!(refused, ConnectError::Refused(_)), "{refused}");
    let clerk = log_in("clerk", "paper").await.unwrap();
    let sensor = log_in("lab1", "sensor").await.unwrap();
    assert_eq!(connections.load(Ordering::Relaxed), 2);

    let mut readings = clerk.subscribe("sensors/#").await.unwrap();
    sensor
        .publish("sensors/temperature/lab1", "22.4871")
        .await
        .unwrap();
    assert_eq!(readings.next().await.unwrap().payload(), "22.5");

    let reason = |result: Result<_, PublishError>| match result {
        Err(PublishError::Rejected { reason, .. }) => reason,
        other => panic!("expected a refusal, got {other:?}"),
    };
    let nonsense = sensor.publish("sensors/temperature/lab1", "warm").await;
    assert_eq!(reason(nonsense), PubAckReason::PayloadFormatInvalid);
    let of_another = sensor.publish("sensors/temperature/lab2", "22.5").await;
    assert_eq!(reason(of_another), PubAckReason::NotAuthorized);
    let denied = sensor.subscribe("sensors/#").await.unwrap_err();
    assert!(
        matches!(denied, SubscribeError::Rejected { .. }),
        "{denied}"
    );
}

#[tokio::test]
async fn a_program_is_tested_with_a_broker_inside() {
    embedded_broker::a_hot_laboratory_raises_an_alarm()
        .await
        .unwrap();
    embedded_broker::a_reading_is_forgotten_after_an_hour()
        .await
        .unwrap();
    embedded_broker::brokers_know_nothing_of_each_other()
        .await
        .unwrap();
}

/// Bytes as they travel, written as hex with spaces.
fn bytes(hex: &str) -> Vec<u8> {
    let hex: String = hex.split_whitespace().collect();
    let digits = hex
        .as_bytes()
        .chunks(2)
        .map(|two| str::from_utf8(two).unwrap());
    digits
        .map(|two| u8::from_str_radix(two, 16).unwrap())
        .collect()
}

/// What leaves the proxy towards the broker when a client sends these packets, and whether `down` passes it unchanged.
async fn through_the_proxy(connect: &str, down: &str, up: &str) -> Vec<u8> {
    let passed = pass_through_the_proxy(bytes(connect), bytes(down), bytes(up));
    let patience = Duration::from_secs(20);
    tokio::time::timeout(patience, passed)
        .await
        .expect("all packets are whole")
}

async fn pass_through_the_proxy(connect: Vec<u8>, down: Vec<u8>, up: Vec<u8>) -> Vec<u8> {
    let (mut client, front) = tokio::io::duplex(4096);
    let (back, mut broker) = tokio::io::duplex(4096);
    let forwarded = tokio::spawn(proxy::forward(front, back));

    client.write_all(&connect).await.unwrap();
    let mut arrived = vec![0; connect.len()];
    broker.read_exact(&mut arrived).await.unwrap();
    assert_eq!(arrived, connect, "CONNECT passes as it is");

    broker.write_all(&down).await.unwrap();
    let mut arrived = vec![0; down.len()];
    client.read_exact(&mut arrived).await.unwrap();
    assert_eq!(arrived, down, "what the broker says passes as it is");

    client.write_all(&up).await.unwrap();
    client.shutdown().await.unwrap();
    let mut arrived = Vec::new();
    broker.read_to_end(&mut arrived).await.unwrap();
    forwarded.await.unwrap().unwrap();
    arrived
}

#[tokio::test]
async fn the_proxy_adds_its_property_and_leaves_all_else_byte_identical() {
    // A will with properties, user name and password.
    let connect = "10 2D 00 04 4D515454 05 E6 003C 05 11 0000 0E10 0001 63
                   0A 18 0000 0005 03 0002 6A73 0001 77 0002 FF00 0001 75 0003 000102";
    // CONNACK with properties in no particular order, then a message.
    let down = "20 09 00 00 06 22 000A 21 0014  32 0C 0001 74 0007 03 0B 8101 FF00FF";
    // Properties out of the order of their numbers: user (z, 1), content type, user (a, ), expiry, correlation, indicator, then a
    // payload that is no text; DUP, QoS 2, RETAIN.
    let properties =
        "26 0001 7A 0001 31  03 0001 6A  26 0001 61 0000  02 0000 003C  09 0002 00FF  01 00";
    let up = |remaining: &str, length: &str, added: &str| {
        format!(
            "82 0A 0001 03 0B 8101 0001 23 02  {remaining} 0003 742F31 1234 {length} {properties} {added} 00FF80 C000 62 02 1234 E000"
        )
    };
    let sent = up("3D 28", "1D", "");
    let expected = up("3D 35", "2A", "26 0003 766961 0005 70726F7879");
    let arrived = through_the_proxy(connect, down, &sent).await;
    assert_eq!(arrived, bytes(&expected));
}

#[tokio::test]
async fn the_proxy_leaves_3_1_1_byte_identical() {
    let up = "82 06 0001 0001 23 01  3B 0A 0003 742F31 1234 00FF80 62 02 1234 C000 E000";
    let connect = "10 0D 00 04 4D515454 04 02 003C 0001 63";
    let arrived = through_the_proxy(connect, "20 02 0000 32 06 0001 74 0007 FF", up).await;
    assert_eq!(arrived, bytes(up));
}
