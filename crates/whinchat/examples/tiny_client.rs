//! A tiny client: codec, engine and a socket of the standard library; no task, no runtime.
//!
//! It subscribes a topic, publishes to it at QoS 1, and leaves when the message is back and its own is acknowledged.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::{env, error::Error, net::TcpStream, time};

use bytes::{Buf as _, Bytes, BytesMut};
use whinchat::codec::*;
use whinchat::session::*;

mod note;
use note::{Note, Outbox};

const VERSION: ProtocolVersion = ProtocolVersion::V5;

#[expect(clippy::print_stdout, reason = "it tells its user what came")]
fn main() -> Result<(), Box<dyn Error>> {
    let address = env::args().nth(1).unwrap_or("127.0.0.1:1883".into());
    let payload = round_trip(&address, "sensors/temperature/lab1", "22.5")?;
    println!("back again: {}", String::from_utf8_lossy(&payload));
    Ok(())
}

/// Sends a message around and gives its payload as it came back.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "there is more than it asks for"
)]
pub(crate) fn round_trip(
    address: &str,
    topic: &'static str,
    payload: &'static str,
) -> Result<Bytes, Box<dyn Error>> {
    let start = time::Instant::now();
    let now = || Instant::from_std(time::Instant::now(), start);
    let limits = SessionLimits::default().with_topic_alias_maximum_out(0);
    let (mut input, mut out) = (BytesMut::new(), Outbox::default());
    let mut session = SessionState::new();
    let connect = Connect::new(VERSION, Utf8String::from_static("tiny"));
    let mut connection = Connection::client(now(), &connect, &limits, &mut out)?;
    let (mut received, mut is_acked) = (None, false);

    let mut stream = TcpStream::connect(address)?;
    while received.is_none() || !is_acked {
        stream.write_all(&out.0.split())?;
        read(&mut stream, &mut input, connection.poll_timeout(), now())?;
        while let Some((packet, len)) = decode(&input, VERSION, &DecodeLimits::default())? {
            match connection.handle(now(), packet, &mut session, &mut out)? {
                Event::ConnAck(connack) if connack.reason.is_error() => {
                    return Err(format!("refused: {}", connack.reason).into());
                }
                Event::ConnAck(_) => {
                    let mut subscribe = subscribe_to(topic);
                    connection.subscribe(now(), &mut session, &mut subscribe, &mut out)?;
                }
                Event::SubAck(_) => {
                    let note = Note {
                        topic: Utf8String::from_static(topic),
                        payload: Bytes::from_static(payload.as_bytes()),
                        properties: PublishProperties::new(),
                    };
                    let options = DeliveryOptions::new(QoS::AtLeastOnce);
                    connection.publish(now(), &mut session, &note, &options, &mut out)?;
                }
                Event::Publish(incoming) => {
                    received = Some(Bytes::copy_from_slice(incoming.publish.payload));
                    if let Some(id) = incoming.publish.guarantee.packet_id() {
                        let (taken, ticket) = (PubAckReason::Success, Ticket::NONE);
                        connection.acknowledge(now(), &mut session, id, taken, ticket, &mut out)?;
                    }
                }
                Event::Acked(_) => is_acked = true,
                Event::Disconnect(disconnect) => {
                    return Err(format!("sent away: {}", disconnect.reason).into());
                }
                _ => {}
            }
            input.advance(len);
        }
        connection.handle_timeout(now(), &mut out)?;
    }
    let farewell = DisconnectReason::NormalDisconnection;
    connection.disconnect(farewell, DisconnectProperties::new(), &mut out)?;
    stream.write_all(&out.0)?;
    received.ok_or_else(|| "nothing came back".into())
}

/// Reads what has come; returns without when the engine has something to do.
fn read(
    stream: &mut TcpStream,
    input: &mut BytesMut,
    due: Option<Instant>,
    now: Instant,
) -> io::Result<()> {
    let patience = due.map(|due| {
        due.saturating_since(now)
            .max(time::Duration::from_millis(1))
    });
    stream.set_read_timeout(patience)?;
    let mut chunk = [0; 1024];
    match stream.read(&mut chunk) {
        Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
        Ok(len) => {
            input.extend_from_slice(&chunk[..len]);
            Ok(())
        }
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(()),
        Err(error) => Err(error),
    }
}

fn subscribe_to(topic: &'static str) -> Subscribe {
    Subscribe {
        packet_id: PacketId::MIN, // the engine puts a free one here
        properties: SubscribeProperties::new(),
        subscriptions: vec![Subscription {
            filter: Utf8String::from_static(topic),
            options: SubscriptionOptions::new(QoS::AtLeastOnce),
        }],
    }
}
