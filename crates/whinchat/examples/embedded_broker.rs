//! How the tests of a program use the broker: in the same process, without a port, with a clock that they move.
//!
//! The program here is [`raise_alarms`]. Each check has a broker of its own and drops it without waiting.

use std::{error::Error, time::Duration};

use whinchat::broker::{Broker, BrokerHandle, Clock, StartError};
use whinchat::client::{Client, ClientOptions, ConnectError, PublishError, Subscription};

type Checked = Result<(), Box<dyn Error>>;

#[tokio::main]
#[expect(clippy::print_stdout, reason = "it tells its user what it checked")]
async fn main() -> Checked {
    a_hot_laboratory_raises_an_alarm().await?;
    println!("a hot laboratory raises an alarm: ok");
    a_reading_is_forgotten_after_an_hour().await?;
    println!("a reading is forgotten after an hour: ok");
    brokers_know_nothing_of_each_other().await?;
    println!("brokers know nothing of each other: ok");
    Ok(())
}

/// The program under test: publishes `alarms/{laboratory}` for each reading above 30 degrees.
async fn raise_alarms(client: &Client, mut readings: Subscription) -> Result<(), PublishError> {
    while let Some(reading) = readings.next().await {
        let celsius = str::from_utf8(reading.payload()).map(str::parse::<f64>);
        if let (Ok(Ok(30.0..)), Some(laboratory)) = (celsius, reading.topic().rsplit('/').next()) {
            let alarm = format!("alarms/{laboratory}");
            client.publish(alarm, reading.payload().clone()).await?;
        }
    }
    Ok(())
}

pub(crate) async fn a_hot_laboratory_raises_an_alarm() -> Checked {
    let broker = Broker::builder().threads(1).start()?;
    let program = connect(&broker, "program").await?;
    let readings = program.subscribe("sensors/temperature/+").await?;
    let running = tokio::spawn(async move { raise_alarms(&program, readings).await });

    let client = connect(&broker, "check").await?;
    let mut alarms = client.subscribe("alarms/#").await?;
    client.publish("sensors/temperature/lab1", "22.5").await?;
    client.publish("sensors/temperature/lab2", "31.0").await?;
    let alarm = alarms.next().await.ok_or("no alarm")?;
    assert_eq!(
        (alarm.topic(), &alarm.payload()[..]),
        ("alarms/lab2", &b"31.0"[..])
    );
    running.abort();
    Ok(())
}

pub(crate) async fn a_reading_is_forgotten_after_an_hour() -> Checked {
    let (clock, hand) = Clock::manual();
    let broker = Broker::builder().threads(1).clock(clock).start()?;
    let client = connect(&broker, "check").await?;
    let hour = Duration::from_secs(3600);
    let retained = |topic, payload| client.publish(topic, payload).retain(true);
    retained("sensors/temperature/lab1", "22.5")
        .expires_after(hour)
        .await?;
    retained("sensors/temperature/lab2", "23.0").await?;

    hand.advance(hour);
    let mut readings = client.subscribe("sensors/#").await?;
    let reading = readings.next().await.ok_or("no reading")?;
    assert_eq!(reading.topic(), "sensors/temperature/lab2");
    client.publish("sensors/last", "").await?;
    let reading = readings.next().await.ok_or("no reading")?;
    assert_eq!(reading.topic(), "sensors/last", "nothing came between");
    Ok(())
}

pub(crate) async fn brokers_know_nothing_of_each_other() -> Checked {
    let start = |_| Broker::builder().threads(1).start();
    let brokers = (0..3).map(start).collect::<Result<Vec<_>, StartError>>()?;
    for (number, broker) in brokers.iter().enumerate() {
        let client = connect(broker, "the same id everywhere").await?;
        let mut values = client.subscribe("value").await?;
        client
            .publish("value", number.to_string())
            .retain(true)
            .await?;
        let value = values.next().await.ok_or("no value")?;
        assert_eq!(value.payload(), number.to_string().as_bytes());
    }
    Ok(())
}

/// A client of `broker` over memory; it dials again as often as it has to.
async fn connect(broker: &BrokerHandle, client_id: &str) -> Result<Client, ConnectError> {
    let broker = broker.clone();
    let options = ClientOptions::over(move || {
        let stream = broker.connect_in_memory();
        async { Ok(stream) }
    });
    let options = options.client_id(client_id).expect("a short name");
    options.connect().await
}
