//! Prints the messages of a topic filter until Ctrl-C. Each is acknowledged when the next one is asked for.

#![expect(clippy::print_stdout, reason = "printing is what an example does")]

use whinchat_client::Client;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let filter = arguments
        .next()
        .unwrap_or_else(|| "bank/account/+/deposit".to_owned());
    let url = arguments
        .next()
        .unwrap_or_else(|| "mqtt://localhost".to_owned());
    let client = Client::builder(&url)?.connect().await?;

    let mut messages = client.subscribe(&filter).await?;
    println!("subscribed {filter} with {}", messages.granted_qos());
    loop {
        tokio::select! {
            message = messages.next() => match message {
                Some(message) => println!("{} {}", message.topic(), String::from_utf8_lossy(message.payload())),
                None => break,
            },
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    messages.unsubscribe().await?;
    client.close().await;
    Ok(())
}
