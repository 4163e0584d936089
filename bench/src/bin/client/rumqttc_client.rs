//! rumqttc: a client that asks, and an event loop that has to be polled.

use rumqttc::{AsyncClient, Event, MqttOptions, Outgoing, Packet, QoS};

use super::{Error, PAYLOAD, TOPIC, WINDOW};

pub async fn run(case: &str, port: u16, count: u32) -> Result<(), Error> {
    let mut options = MqttOptions::new("bench", "127.0.0.1", port);
    options.set_inflight(WINDOW);
    let (client, mut events) = AsyncClient::new(options, usize::from(WINDOW));
    let qos = if case.ends_with("qos1") {
        QoS::AtLeastOnce
    } else {
        QoS::AtMostOnce
    };
    let is_receiving = case.starts_with("receive");
    let asking = tokio::spawn(async move {
        if is_receiving {
            client.subscribe("sensors/#", qos).await?;
        } else {
            for _ in 0..count {
                client.publish(TOPIC, qos, false, PAYLOAD).await?;
            }
        }
        Ok::<_, rumqttc::ClientError>(client)
    });
    let mut done = 0;
    while done < count {
        let event = events.poll().await?;
        let counts = matches!(
            (&event, is_receiving, qos),
            (Event::Incoming(Packet::Publish(_)), true, _)
                | (Event::Incoming(Packet::PubAck(_)), false, QoS::AtLeastOnce)
                | (
                    Event::Outgoing(Outgoing::Publish(_)),
                    false,
                    QoS::AtMostOnce
                )
        );
        done += u32::from(counts);
    }
    drop(asking.await??);
    Ok(())
}
