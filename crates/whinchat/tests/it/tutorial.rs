//! The scenes of `docs/tutorial.md`, with the client library against the broker over TCP, in every version: a bank's deposits, a
//! laboratory's sensor, the status of a client, and each QoS across a cut connection.
//!
//! That nothing came is shown by what comes next: a message that was sent afterwards.

use std::time::Duration;

use whinchat::broker::{Broker, BrokerHandle};
use whinchat::client::{
    Client, ClientOptions, Endpoint, Message, ProtocolVersion, QoS, ReconnectPolicy, Subscription,
    Version, Will,
};

use crate::line::Line;

const DEPOSIT: &str = "bank/account/BA-1001-2025/deposit";
const AMOUNT: &str = r#"{"amount": 100.0}"#;
const SENSOR: &str = "sensors/temperature/lab1";
const STATUS: &str = "clients/BA-1001-2025/status";

/// Longer than any machine takes for a scene.
const PATIENCE: Duration = Duration::from_secs(60);

/// A broker, and a line to it that can be cut.
struct Scene {
    broker: BrokerHandle,
    line: Line,
    version: ProtocolVersion,
}

/// Plays a scene in each version.
async fn in_every_version(scene: impl AsyncFn(&Scene)) {
    for version in ProtocolVersion::ALL {
        let builder = Broker::builder().threads(2);
        let broker = builder
            .listen(Endpoint::tcp("127.0.0.1", 0))
            .start()
            .unwrap();
        let url = broker.local_endpoints()[0].to_string();
        let line = Line::to(url.trim_start_matches("mqtt://").to_owned()).await;
        let set = Scene {
            broker,
            line,
            version,
        };
        let played = tokio::time::timeout(PATIENCE, scene(&set)).await;
        assert!(played.is_ok(), "{version}: the scene does not end");
    }
}

impl Scene {
    fn options(&self, url: &str, client_id: &str) -> ClientOptions {
        let at_once = Duration::from_millis(10);
        Client::builder(url)
            .unwrap()
            .client_id(client_id)
            .unwrap()
            .version(Version::Only(self.version))
            .reconnect(ReconnectPolicy::default().first(at_once).longest(at_once))
    }

    /// A client that stays connected.
    async fn client(&self, client_id: &str) -> Client {
        let url = self.broker.local_endpoints()[0].to_string();
        self.options(&url, client_id).connect().await.unwrap()
    }

    /// A client behind the line, whose session outlives its connections.
    async fn client_on_the_line(&self, client_id: &str) -> Client {
        let options = self.options(self.line.url(), client_id);
        let hour = Duration::from_secs(3600);
        let options = options.clean_start(false).session_expiry(hour);
        options.connect().await.unwrap()
    }
}

/// What came, as text.
fn text(message: &Message) -> (&str, &str) {
    (message.topic(), str::from_utf8(message.payload()).unwrap())
}

#[track_caller]
fn expect(
    messages: &mut Subscription,
    topic: &str,
    payload: &str,
) -> impl Future<Output = Message> {
    let place = std::panic::Location::caller();
    async move {
        let message = messages.next().await.unwrap();
        assert_eq!(text(&message), (topic, payload), "{place}");
        message
    }
}

#[tokio::test]
async fn a_deposit_reaches_every_subscriber_whose_filter_matches() {
    in_every_version(async |scene| {
        let (auditor, clerk, branch) = tokio::join!(
            scene.client("auditor"),
            scene.client("clerk"),
            scene.client("branch")
        );
        let mut everything = auditor.subscribe("bank/#").await.unwrap();
        let mut deposits = clerk.subscribe("bank/account/+/deposit").await.unwrap();
        let mut own = branch.subscribe(DEPOSIT).await.unwrap();
        let mut withdrawals = branch.subscribe("bank/account/+/withdrawal").await.unwrap();
        assert_eq!(everything.granted_qos(), QoS::AtLeastOnce);

        let teller = scene.client("teller").await;
        teller
            .publish(DEPOSIT, AMOUNT)
            .qos(QoS::AtLeastOnce)
            .await
            .unwrap();
        let withdrawal = "bank/account/BA-1001-2025/withdrawal";
        teller.publish(withdrawal, "20").await.unwrap();
        teller.publish(DEPOSIT, "last").await.unwrap();

        for messages in [&mut everything, &mut deposits, &mut own] {
            let message = expect(messages, DEPOSIT, AMOUNT).await;
            assert_eq!(
                (message.qos(), message.is_retained()),
                (QoS::AtLeastOnce, false)
            );
        }
        expect(&mut everything, withdrawal, "20").await;
        expect(&mut withdrawals, withdrawal, "20").await;
        for messages in [&mut everything, &mut deposits, &mut own] {
            expect(messages, DEPOSIT, "last").await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_reading_is_retained_replaced_delivered_late_and_cleared() {
    in_every_version(async |scene| {
        let sensor = scene.client("sensor").await;
        let keep = |payload: &'static str| sensor.publish(SENSOR, payload).retain(true);
        keep("22.5").await.unwrap();

        let early = scene.client("early").await;
        let mut seen_early = early.subscribe("sensors/temperature/+").await.unwrap();
        assert!(expect(&mut seen_early, SENSOR, "22.5").await.is_retained());

        keep("23.0").await.unwrap();
        // To a subscription that is there already it is a message like any other. v311 [MQTT-3.3.1-9]
        assert!(!expect(&mut seen_early, SENSOR, "23.0").await.is_retained());

        let late = scene.client("late").await;
        let mut seen_late = late.subscribe("sensors/#").await.unwrap();
        assert!(expect(&mut seen_late, SENSOR, "23.0").await.is_retained());

        keep("").await.unwrap();
        expect(&mut seen_early, SENSOR, "").await;
        let latest = scene.client("latest").await;
        let mut seen_latest = latest.subscribe("sensors/#").await.unwrap();
        sensor.publish("sensors/end", "").await.unwrap();
        expect(&mut seen_latest, "sensors/end", "").await;
    })
    .await;
}

#[tokio::test]
async fn the_will_fires_on_a_cut_connection_and_not_on_disconnect() {
    in_every_version(async |scene| {
        let branch = scene.client("branch").await;
        let mut status = branch.subscribe("clients/+/status").await.unwrap();
        let connect = async || {
            let will = Will::new(STATUS, "offline").unwrap();
            let options = scene.options(scene.line.url(), "BA-1001-2025");
            options
                .will(will.qos(QoS::AtLeastOnce).retain(true))
                .reconnect(ReconnectPolicy::never())
                .connect()
                .await
                .unwrap()
        };

        let account = connect().await;
        account
            .publish(STATUS, "online")
            .retain(true)
            .await
            .unwrap();
        expect(&mut status, STATUS, "online").await;
        scene.line.cut();
        assert_eq!(
            expect(&mut status, STATUS, "offline").await.qos(),
            QoS::AtLeastOnce
        );
        let late = scene.client("late").await;
        let mut seen_late = late.subscribe(STATUS).await.unwrap();
        assert!(
            expect(&mut seen_late, STATUS, "offline")
                .await
                .is_retained()
        );

        scene.line.mend();
        let account = connect().await;
        account
            .publish(STATUS, "online")
            .retain(true)
            .await
            .unwrap();
        expect(&mut status, STATUS, "online").await;
        assert!(account.disconnect().await.is_complete());
        scene.line.until_idle().await;
        let account = connect().await;
        account.publish(STATUS, "back").await.unwrap();
        expect(&mut status, STATUS, "back").await;
    })
    .await;
}

#[tokio::test]
async fn a_qos_0_message_that_is_lost_on_the_line_stays_lost() {
    in_every_version(async |scene| {
        let branch = scene.client("branch").await;
        let mut deposits = branch.subscribe(DEPOSIT).await.unwrap();
        let teller = scene.client_on_the_line("teller").await;
        scene.line.lose_requests();
        teller
            .publish(DEPOSIT, "lost")
            .qos(QoS::AtMostOnce)
            .await
            .unwrap();
        scene.line.until_lost().await;
        scene.line.cut();
        scene.line.mend();
        teller.publish(DEPOSIT, AMOUNT).await.unwrap();
        expect(&mut deposits, DEPOSIT, AMOUNT).await;
        assert_eq!(scene.line.connections(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_qos_1_message_whose_ack_is_lost_arrives_at_least_once() {
    in_every_version(async |scene| {
        let branch = scene.client("branch").await;
        let mut deposits = branch.subscribe(DEPOSIT).await.unwrap();
        let teller = scene.client_on_the_line("teller").await;
        scene.line.lose_answers();
        let deposit = teller.publish(DEPOSIT, AMOUNT).enqueue().unwrap();
        expect(&mut deposits, DEPOSIT, AMOUNT).await;
        scene.line.until_lost().await;
        scene.line.cut();
        scene.line.mend();
        deposit.await.unwrap();
        // It was sent again, and the broker cannot know that it is the same one.
        expect(&mut deposits, DEPOSIT, AMOUNT).await;
        teller.publish(DEPOSIT, "next").await.unwrap();
        expect(&mut deposits, DEPOSIT, "next").await;
        assert_eq!(scene.line.connections(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_qos_2_message_whose_ack_is_lost_arrives_exactly_once() {
    in_every_version(async |scene| {
        let branch = scene.client("branch").await;
        let mut deposits = branch
            .subscribe(DEPOSIT)
            .qos(QoS::ExactlyOnce)
            .await
            .unwrap();
        let teller = scene.client_on_the_line("teller").await;
        scene.line.lose_answers();
        let deposit = teller.publish(DEPOSIT, AMOUNT).qos(QoS::ExactlyOnce);
        let deposit = deposit.enqueue().unwrap();
        let message = expect(&mut deposits, DEPOSIT, AMOUNT).await;
        assert_eq!(message.qos(), QoS::ExactlyOnce);
        scene.line.until_lost().await;
        scene.line.cut();
        scene.line.mend();
        deposit.await.unwrap();
        teller.publish(DEPOSIT, "next").await.unwrap();
        expect(&mut deposits, DEPOSIT, "next").await;
        assert_eq!(scene.line.connections(), 2);
    })
    .await;
}

#[tokio::test]
async fn messages_of_qos_1_and_2_wait_for_a_subscriber_whose_connection_was_cut() {
    in_every_version(async |scene| {
        let branch = scene.client_on_the_line("branch").await;
        let mut deposits = branch
            .subscribe(DEPOSIT)
            .qos(QoS::ExactlyOnce)
            .await
            .unwrap();
        scene.line.cut();
        let teller = scene.client("teller").await;
        teller
            .publish(DEPOSIT, "once")
            .qos(QoS::AtLeastOnce)
            .await
            .unwrap();
        teller
            .publish(DEPOSIT, "twice")
            .qos(QoS::ExactlyOnce)
            .await
            .unwrap();
        scene.line.mend();
        expect(&mut deposits, DEPOSIT, "once").await;
        expect(&mut deposits, DEPOSIT, "twice").await;
        assert_eq!(scene.line.connections(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_subscriber_whose_acks_are_lost_sees_qos_1_again_and_qos_2_once() {
    in_every_version(async |scene| {
        let branch = scene.client_on_the_line("branch").await;
        let mut deposits = branch
            .subscribe(DEPOSIT)
            .qos(QoS::ExactlyOnce)
            .await
            .unwrap();
        let teller = scene.client("teller").await;

        scene.line.lose_requests();
        teller
            .publish(DEPOSIT, "once")
            .qos(QoS::AtLeastOnce)
            .await
            .unwrap();
        expect(&mut deposits, DEPOSIT, "once").await;
        deposits.acknowledge();
        scene.line.until_lost().await;
        scene.line.cut();
        scene.line.mend();
        assert!(expect(&mut deposits, DEPOSIT, "once").await.is_duplicate());
        deposits.acknowledge();
        // The answer to this SUBSCRIBE comes after the broker has taken the PUBACK.
        let _end = branch.subscribe("end").await.unwrap();

        scene.line.lose_requests();
        teller
            .publish(DEPOSIT, "twice")
            .qos(QoS::ExactlyOnce)
            .await
            .unwrap();
        expect(&mut deposits, DEPOSIT, "twice").await;
        deposits.acknowledge();
        scene.line.until_lost().await;
        scene.line.cut();
        scene.line.mend();
        teller.publish(DEPOSIT, "next").await.unwrap();
        expect(&mut deposits, DEPOSIT, "next").await;
        assert_eq!(scene.line.connections(), 3);
    })
    .await;
}
