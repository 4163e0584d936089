//! Against the project's own broker, inside the process: in each version, with several clients and cut connections.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::time::timeout;
use whinchat_broker::{Broker, BrokerHandle};
use whinchat_client::{
    Client, ClientOptions, Message, ProtocolVersion, QoS, Stream, Subscription, Version, Will,
    blocking,
};
use whinchat_transport::Cutter;

use crate::broker::text;

const VERSIONS: [ProtocolVersion; 3] = [
    ProtocolVersion::V31,
    ProtocolVersion::V311,
    ProtocolVersion::V5,
];

fn broker() -> BrokerHandle {
    Broker::builder().threads(2).start().unwrap()
}

fn options(broker: &BrokerHandle, client_id: &str) -> ClientOptions {
    let broker = broker.clone();
    let options = ClientOptions::over(move || {
        let stream = broker.connect_in_memory();
        async move { Ok(stream) }
    });
    options.client_id(client_id).unwrap()
}

/// Cuts the client's connection of the moment.
type Cut = Arc<Mutex<Option<Cutter>>>;

fn options_to_cut(broker: &BrokerHandle, client_id: &str) -> (ClientOptions, Cut) {
    let (broker, cut) = (broker.clone(), Cut::default());
    let latest = Arc::clone(&cut);
    let options = ClientOptions::over(move || {
        let stream = broker.connect_in_memory();
        if let Stream::Memory(memory) = &stream {
            *latest.lock().unwrap() = Some(memory.cutter());
        }
        async move { Ok(stream) }
    });
    (options.client_id(client_id).unwrap(), cut)
}

async fn next(stream: &mut Subscription) -> Message {
    timeout(Duration::from_secs(20), stream.next())
        .await
        .expect("a message comes")
        .expect("the stream lives")
}

#[tokio::test]
async fn every_version_talks_to_every_version_at_every_qos() {
    let broker = broker();
    for subscriber_version in VERSIONS {
        let options_of = options(&broker, "subscriber").version(Version::Only(subscriber_version));
        let subscriber = options_of.connect().await.unwrap();
        let mut stream = subscriber
            .subscribe("sensors/+/lab1")
            .qos(QoS::ExactlyOnce)
            .await
            .unwrap();
        for publisher_version in VERSIONS {
            let options_of =
                options(&broker, "publisher").version(Version::Only(publisher_version));
            let publisher = options_of.connect().await.unwrap();
            for qos in QoS::ALL {
                publisher
                    .publish("sensors/temperature/lab1", format!("{qos}"))
                    .qos(qos)
                    .await
                    .unwrap();
                let message = next(&mut stream).await;
                assert_eq!(text(&message), format!("sensors/temperature/lab1={qos}"));
                assert_eq!(message.qos(), qos);
            }
            assert!(publisher.close().await.is_complete());
        }
        stream.unsubscribe().await.unwrap();
        assert!(subscriber.close().await.is_complete());
    }
}

#[tokio::test]
async fn a_dropped_client_leaves_its_will_and_a_closed_one_does_not() {
    let broker = broker();
    let watcher = options(&broker, "watcher").connect().await.unwrap();
    let mut wills = watcher.subscribe("clients/+/status").await.unwrap();
    for (client_id, close) in [("closed", true), ("dropped", false)] {
        let will = Will::new(&format!("clients/{client_id}/status"), "offline").unwrap();
        let client = options(&broker, client_id)
            .will(will)
            .connect()
            .await
            .unwrap();
        if close {
            client.close().await;
        }
    }
    assert_eq!(
        text(&next(&mut wills).await),
        "clients/dropped/status=offline"
    );
}

#[tokio::test]
async fn everything_arrives_though_both_connections_are_cut_again_and_again() {
    const MESSAGES: usize = 200;
    let broker = broker();
    let resumable = |options: ClientOptions| {
        let soon = whinchat_client::ReconnectPolicy::default().first(Duration::from_millis(20));
        options
            .session_expiry(Duration::from_secs(600))
            .reconnect(soon.longest(Duration::from_millis(20)))
    };
    let (publisher, cut_publisher) = options_to_cut(&broker, "publisher");
    let (subscriber, cut_subscriber) = options_to_cut(&broker, "subscriber");
    let publisher = resumable(publisher).connect().await.unwrap();
    let subscriber = resumable(subscriber).connect().await.unwrap();
    let mut stream = subscriber
        .subscribe("n")
        .qos(QoS::ExactlyOnce)
        .await
        .unwrap();

    let publishing = tokio::spawn(async move {
        for n in 0..MESSAGES {
            if n % 20 == 10 {
                cut_publisher.lock().unwrap().take().unwrap().cut();
            }
            publisher
                .publish("n", n.to_string())
                .qos(QoS::ExactlyOnce)
                .await
                .unwrap();
            if n % 20 == 10 {
                publisher.connected().await.unwrap();
            }
        }
        publisher
    });
    for n in 0..MESSAGES {
        // Exactly once and in order, so that nothing is missing and nothing doubled.
        assert_eq!(text(&next(&mut stream).await), format!("n={n}"));
        if n % 30 == 15
            && let Some(cutter) = cut_subscriber.lock().unwrap().take()
        {
            cutter.cut();
        }
    }
    publishing.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn clones_publish_from_many_tasks_on_many_threads() {
    const TASKS: usize = 8;
    const EACH: usize = 200;
    let broker = broker();
    // A queue this short makes most of them wait in line.
    let client = options(&broker, "many")
        .queue_messages(3)
        .connect()
        .await
        .unwrap();
    let mut stream = client.subscribe("n").qos(QoS::ExactlyOnce).await.unwrap();
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let client = client.clone();
            tokio::spawn(async move {
                for n in 0..EACH {
                    let qos = QoS::ALL[n % 3];
                    client
                        .publish("n", format!("{task} {n}"))
                        .qos(qos)
                        .await
                        .unwrap();
                }
            })
        })
        .collect();
    let mut seen = [0; TASKS];
    for _ in 0..TASKS * EACH {
        let message = next(&mut stream).await;
        let payload = String::from_utf8(message.payload().to_vec()).unwrap();
        let (task, n) = payload.split_once(' ').unwrap();
        let task: usize = task.parse().unwrap();
        assert_eq!(
            n,
            seen[task].to_string(),
            "each task's messages come in order"
        );
        seen[task] += 1;
    }
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test]
async fn a_request_is_answered() {
    let broker = broker();
    let sensor = options(&broker, "sensor").connect().await.unwrap();
    let mut requests = sensor.subscribe("read").await.unwrap();
    let client = options(&broker, "client").connect().await.unwrap();
    let (response, ()) = tokio::join!(client.request("read", "now"), async {
        let request = next(&mut requests).await;
        let properties = request.properties();
        let answer = sensor.publish(properties.response_topic().unwrap(), "22.5");
        answer
            .correlation_data(properties.correlation_data().unwrap())
            .await
            .unwrap();
    });
    assert_eq!(response.unwrap().payload(), "22.5");
}

#[tokio::test]
async fn queued_messages_of_a_resumed_session_reach_unclaimed() {
    let broker = broker();
    let resumable = || {
        options(&broker, "reader")
            .clean_start(false)
            .session_expiry(Duration::from_secs(600))
    };
    let reader = resumable().connect().await.unwrap();
    drop(reader.subscribe("a").await.unwrap());
    reader.close().await;

    let writer = options(&broker, "writer").connect().await.unwrap();
    writer.publish("a", "while away").await.unwrap();

    let reader: Client = resumable().connect().await.unwrap();
    let message = timeout(Duration::from_secs(20), reader.unclaimed().next())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(text(&message), "a=while away");
}

#[test]
fn the_blocking_face_publishes_subscribes_and_asks() {
    let broker = broker();
    let client = blocking::Client::connect(options(&broker, "blocking")).unwrap();
    let mut stream = client
        .subscribe("a/#")
        .qos(QoS::ExactlyOnce)
        .wait()
        .unwrap();
    assert_eq!(
        stream.granted().collect::<Vec<_>>(),
        [("a/#", QoS::ExactlyOnce)]
    );
    client
        .publish("a/1", "x")
        .qos(QoS::ExactlyOnce)
        .wait()
        .unwrap();
    let completion = client.publish("a/2", "y").enqueue().unwrap();
    assert_eq!(text(&stream.next().unwrap()), "a/1=x");
    client.wait(completion).unwrap();
    assert_eq!(
        text(
            &stream
                .next_timeout(Duration::from_secs(20))
                .unwrap()
                .unwrap()
        ),
        "a/2=y"
    );
    assert!(stream.next_timeout(Duration::from_millis(1)).is_err());

    // Somebody who answers, on another thread.
    let mut requests = client.subscribe("ask").wait().unwrap();
    let answering = client.clone();
    let thread = std::thread::spawn(move || {
        let request = requests.next().unwrap();
        let properties = request.properties();
        let answer = answering.publish(properties.response_topic().unwrap(), "answer");
        answer
            .correlation_data(properties.correlation_data().unwrap())
            .wait()
            .unwrap();
    });
    assert_eq!(
        client.request("ask", "question").wait().unwrap().payload(),
        "answer"
    );
    thread.join().unwrap();

    stream.unsubscribe().unwrap();
    assert!(client.close().is_complete());
    assert!(client.publish("a", "too late").wait().is_err());
}
