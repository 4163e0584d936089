//! A laboratory's sensor that answers requests, and somebody who asks it. Both in one program; needs a broker of MQTT 5.0.

#![expect(clippy::print_stdout, reason = "printing is what an example does")]

use whinchat_client::Client;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "mqtt://localhost".to_owned());

    let sensor = Client::builder(&url)?.connect().await?;
    let mut requests = sensor.subscribe("sensors/temperature/lab1/read").await?;
    let answering = tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            let properties = request.properties();
            let Some(topic) = properties.response_topic() else {
                continue;
            };
            let answer = sensor.publish(topic, "22.5");
            answer
                .correlation_data(properties.correlation_data().unwrap_or_default())
                .await?;
        }
        Ok::<(), whinchat_client::PublishError>(())
    });

    let client = Client::builder(&url)?.connect().await?;
    let response = client
        .request("sensors/temperature/lab1/read", "now")
        .await?;
    println!("lab1: {}", String::from_utf8_lossy(response.payload()));
    client.close().await;
    answering.abort();
    Ok(())
}
