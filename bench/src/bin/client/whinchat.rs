//! Our client.

use std::collections::VecDeque;

use bytes::Bytes;
use whinchat_client::{Client, QoS, Utf8String, Version};
use whinchat_codec::ProtocolVersion;

use super::{Error, PAYLOAD, TOPIC, WINDOW};

pub async fn run(case: &str, port: u16, count: u32) -> Result<(), Error> {
    let options = Client::builder(&format!("mqtt://127.0.0.1:{port}"))?
        .version(Version::Only(ProtocolVersion::V311))
        .client_id("bench")?
        .in_flight_maximum(WINDOW)
        // A peer that sends without pause is read without pause: nothing of QoS 0 is left out.
        .unread_messages(usize::MAX)
        .unread_bytes(usize::MAX);
    let client = options.connect().await?;
    let qos = if case.ends_with("qos1") {
        QoS::AtLeastOnce
    } else {
        QoS::AtMostOnce
    };
    if case.starts_with("receive") {
        let mut messages = client.subscribe("sensors/#").qos(qos).await?;
        for _ in 0..count {
            messages.next().await.ok_or("the peer hung up")?;
        }
        return Ok(());
    }
    let topic = Utf8String::try_from(TOPIC)?;
    let mut completions = VecDeque::new();
    for _ in 0..count {
        let message = client.publish(topic.clone(), Bytes::from_static(PAYLOAD));
        completions.push_back(message.qos(qos).enqueue()?);
        if completions.len() >= usize::from(WINDOW) {
            for completion in completions.drain(..usize::from(WINDOW) / 2) {
                completion.await?;
            }
        }
    }
    for completion in completions {
        completion.await?;
    }
    Ok(())
}
