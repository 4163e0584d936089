//! A proxy that adds one user property to each 5.0 PUBLISH of a client, and changes nothing else: codec's `framed::Codec` in
//! tokio-util's `Framed`.
//!
//! Order and bytes of all other properties stay as they are. What has a longer and a shorter form (a PUBACK that spells out
//! success) leaves in the shorter one. A broker whose Maximum Packet Size a message only just met refuses the longer one.

use std::{env, error::Error};

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::codec::Framed;
use whinchat::codec::framed::{Codec, CodecError};
use whinchat::codec::{Packet, ProtocolVersion};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let listen = arguments.next().unwrap_or("127.0.0.1:1884".into());
    let broker = arguments.next().unwrap_or("127.0.0.1:1883".into());
    let listener = TcpListener::bind(listen).await?;
    loop {
        let (client, _) = listener.accept().await?;
        let broker = TcpStream::connect(&broker).await?;
        tokio::spawn(async move {
            if let Err(error) = forward(client, broker).await {
                report(&error);
            }
        });
    }
}

#[expect(clippy::print_stderr, reason = "it has no other log")]
fn report(error: &CodecError) {
    eprintln!("connection ended: {error}");
}

/// Carries packets both ways until either side ends.
///
/// # Errors
/// A side sent what is no packet, or failed.
pub(crate) async fn forward(
    client: impl AsyncRead + AsyncWrite,
    broker: impl AsyncRead + AsyncWrite,
) -> Result<(), CodecError> {
    // Each codec learns the version from the CONNECT that it reads or writes.
    let (mut to_client, mut from_client) = Framed::new(client, Codec::default()).split();
    let (mut to_broker, mut from_broker) = Framed::new(broker, Codec::default()).split();
    let up = async {
        let mut version = None;
        while let Some(packet) = from_client.next().await {
            let mut packet = packet?;
            if let Packet::Connect(connect) = &packet {
                version = Some(connect.version);
            }
            if let Packet::Publish(publish) = &mut packet
                && version == Some(ProtocolVersion::V5)
            {
                publish.properties.add_user_property("via", "proxy")?;
            }
            to_broker.send(packet).await?;
        }
        Ok(())
    };
    let down = async {
        while let Some(packet) = from_broker.next().await {
            to_client.send(packet?).await?;
        }
        Ok(())
    };
    tokio::select! {
        ended = up => ended,
        ended = down => ended,
    }
}
