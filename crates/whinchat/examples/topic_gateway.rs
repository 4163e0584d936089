//! A gateway between two brokers: what a plant publishes under `plant/` appears at the head office under `berlin/plant/`, and
//! commands for Berlin go down to the plant.
//!
//! A message is acknowledged where it came from after the other broker has taken it over, so that neither a lost connection nor
//! the end of the gateway loses any. QoS and RETAIN are kept; QoS 2 stays exactly once on each side.

use std::{env, error::Error, time::Duration};

use whinchat::client::{Client, PublishError, QoS, Subscription};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut urls = env::args().skip(1);
    let plant = urls.next().unwrap_or("mqtt://127.0.0.1:1883".into());
    let office = urls.next().unwrap_or("mqtt://127.0.0.1:1884".into());
    let (plant, office) = (connect(&plant).await?, connect(&office).await?);
    let (up, down) = open(&plant, &office).await?;
    tokio::select! {
        ended = carry(up, &office, |topic| format!("berlin/{topic}")) => ended?,
        ended = carry(down, &plant, without_berlin) => ended?,
        _ = tokio::signal::ctrl_c() => {}
    }
    plant.close().await;
    office.close().await;
    Ok(())
}

/// A client whose session waits for an hour while the gateway is away.
async fn connect(url: &str) -> Result<Client, Box<dyn Error>> {
    let options = Client::builder(url)?.client_id("gateway-berlin")?;
    let options = options.clean_start(false);
    Ok(options
        .session_expiry(Duration::from_secs(3600))
        .connect()
        .await?)
}

/// Subscribes at both brokers. The two filters must not overlap in what they map to, or messages would go in circles.
pub(crate) async fn open(
    plant: &Client,
    office: &Client,
) -> Result<(Subscription, Subscription), Box<dyn Error>> {
    let up = plant.subscribe("plant/#");
    let down = office.subscribe("berlin/command/#");
    let [up, down] = [up, down].map(|side| {
        side.qos(QoS::ExactlyOnce)
            .retain_as_published(true)
            .manual_acks()
    });
    Ok((up.await?, down.await?))
}

pub(crate) fn without_berlin(topic: &str) -> String {
    topic.strip_prefix("berlin/").unwrap_or(topic).to_owned()
}

/// Publishes each message again under another name.
///
/// # Errors
/// The other broker refused one; it stays unacknowledged.
pub(crate) async fn carry(
    mut from: Subscription,
    to: &Client,
    rename: impl Fn(&str) -> String,
) -> Result<(), PublishError> {
    while let Some(mut message) = from.next().await {
        to.publish(rename(message.topic()), message.payload().clone())
            .qos(message.qos())
            .retain(message.is_retained())
            .await?;
        message.acknowledge();
    }
    Ok(())
}
