//! What a message costs the client: publishing to, and receiving from, a peer on another thread that does nothing else.
//!
//! Build it with optimisations: `cargo run --profile ci -p whinchat-client --example throughput`.

#![expect(clippy::print_stdout, reason = "printing is what an example does")]

use std::{
    collections::VecDeque,
    error::Error,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    thread,
    time::Instant,
};

use bytes::{Bytes, BytesMut};
use whinchat_client::{Client, QoS, Utf8String};
use whinchat_codec::{
    ConnAck, DecodeLimits, Packet, PacketRef, ProtocolVersion, PubAck, PubAckReason, Publish,
    SubAck, SubAckReason, decode,
};

const MESSAGES: u32 = 1_000_000;
const IN_FLIGHT_MAX: usize = 5_000;
const TOPIC: &str = "sensors/temperature/lab1";
const PAYLOAD: &[u8] = &[b'x'; 16];

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        let (stream, _) = listener.accept()?;
        serve(stream)
    });
    // A peer that sends without pause is read without pause: nothing of QoS 0 is left out.
    let options = Client::builder(&address.to_string())?.unread_messages(usize::MAX);
    let client = options.unread_bytes(usize::MAX).connect().await?;

    let topic = Utf8String::try_from(TOPIC)?;
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
        let start = Instant::now();
        let mut completions = VecDeque::new();
        for _ in 0..MESSAGES {
            let message = client
                .publish(topic.clone(), Bytes::from_static(PAYLOAD))
                .qos(qos);
            completions.push_back(message.enqueue()?);
            if completions.len() >= IN_FLIGHT_MAX {
                for completion in completions.drain(..IN_FLIGHT_MAX / 2) {
                    completion.await?;
                }
            }
        }
        for completion in completions {
            completion.await?;
        }
        report(&format!("publish {qos}"), start);
    }

    let start = Instant::now();
    let mut messages = client.subscribe("sensors/#").qos(QoS::AtMostOnce).await?;
    for _ in 0..MESSAGES {
        messages.next().await.ok_or("the peer hung up")?;
    }
    report("receive QoS 0", start);
    Ok(())
}

fn report(what: &str, start: Instant) {
    println!(
        "{what}: {} ns per message",
        start.elapsed().as_nanos() / u128::from(MESSAGES)
    );
}

/// Answers everything, and sends the messages once somebody subscribes.
fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    let mut input = vec![0; 1 << 20];
    let mut output = BytesMut::new();
    let mut filled = 0;
    loop {
        let read = stream.read(&mut input[filled..])?;
        if read == 0 {
            return Ok(());
        }
        filled += read;
        let mut used = 0;
        let mut subscribed = false;
        while let Ok(Some((packet, length))) = decode(
            &input[used..filled],
            ProtocolVersion::V5,
            &DecodeLimits::default(),
        ) {
            used += length;
            subscribed |= matches!(packet, PacketRef::Subscribe(_));
            if let Some(answer) = answer(&packet) {
                answer
                    .encode(ProtocolVersion::V5, &mut output)
                    .map_err(std::io::Error::other)?;
            }
        }
        input.copy_within(used..filled, 0);
        filled -= used;
        stream.write_all(&output.split())?;
        if subscribed {
            send_messages(&mut stream)?;
        }
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "all else needs no answer here"
)]
fn answer(packet: &PacketRef<'_>) -> Option<Packet> {
    Some(match packet {
        PacketRef::Connect(_) => Packet::ConnAck(ConnAck {
            session_present: false,
            reason: whinchat_client::ConnAckReason::Success,
            properties: Default::default(),
        }),
        PacketRef::Publish(publish) => Packet::PubAck(PubAck {
            packet_id: publish.guarantee.packet_id()?,
            reason: PubAckReason::Success,
            properties: Default::default(),
        }),
        PacketRef::Subscribe(subscribe) => Packet::SubAck(SubAck {
            packet_id: subscribe.packet_id,
            properties: Default::default(),
            reasons: vec![SubAckReason::GrantedQoS0],
        }),
        PacketRef::PingReq => Packet::PingResp,
        _ => return None,
    })
}

fn send_messages(stream: &mut TcpStream) -> std::io::Result<()> {
    const AT_A_TIME: u32 = 1000;
    let publish = Publish {
        guarantee: whinchat_codec::Guarantee::AtMostOnce,
        retain: false,
        topic: Utf8String::from_static(TOPIC),
        properties: Default::default(),
        payload: Bytes::from_static(PAYLOAD),
    };
    let mut packets = BytesMut::new();
    for _ in 0..AT_A_TIME {
        publish
            .encode(ProtocolVersion::V5, &mut packets)
            .map_err(std::io::Error::other)?;
    }
    for _ in 0..MESSAGES / AT_A_TIME {
        stream.write_all(&packets)?;
    }
    Ok(())
}
