//! Publishes a bank deposit at QoS 1 and says what became of it.

#![expect(clippy::print_stdout, reason = "printing is what an example does")]

use whinchat_client::{Client, QoS};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "mqtt://localhost".to_owned());
    let client = Client::builder(&url)?.connect().await?;

    let topic = "bank/account/BA-1001-2025/deposit";
    let outcome = client
        .publish(topic, r#"{"amount": 100.0}"#)
        .qos(QoS::AtLeastOnce)
        .content_type("application/json");
    println!("{topic}: {}", outcome.properties_optional().await?);

    let report = client.close().await;
    println!(
        "left over: {}",
        report.unsent.len() + report.unacknowledged.len()
    );
    Ok(())
}
