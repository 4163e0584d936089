//! How long a broker takes to begin with what an earlier one kept, and how much memory: retained messages, sessions and messages in their queues.
//!
//! ```text
//! cargo run --release -p whinchat-broker --example restart -- /tmp/data 1000000 100000 1000000 64
//! ```
//!
//! The last number is the size of each message in bytes. Fills a new data directory by clients in memory, then starts a second process on it, which says what it found.

use std::{env, error::Error, fs, process::Command, time::Instant};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use whinchat_broker::{
    Broker, BrokerHandle,
    config::{Ack, Auto, Config},
};
use whinchat_codec::{
    Connect, DecodeLimits, Guarantee, Packet, PacketId, PacketRef, ProtocolVersion, PublishRef,
    QoS, Subscribe, Subscription, SubscriptionOptions, Utf8String, decode,
};
use whinchat_transport::Stream;

/// Publishes without an answer.
const IN_FLIGHT: u32 = 200;

type Outcome<T> = Result<T, Box<dyn Error>>;

#[tokio::main]
async fn main() -> Outcome<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [folder, numbers @ ..] = &arguments[..] else {
        return Err("usage: restart FOLDER RETAINED SESSIONS QUEUED BYTES".into());
    };
    let began = Instant::now();
    let mut config = Config::embedded();
    // Filling need not wait for the disk; what is measured is the start.
    config.general.ack = Auto::Set(Ack::Memory);
    let broker = Broker::builder()
        .config(config)
        .threads(2)
        .data_directory(folder)
        .start()?;
    if let [retained, sessions, queued, bytes] = numbers {
        let (retained, sessions, queued) = (retained.parse()?, sessions.parse()?, queued.parse()?);
        fill(&broker, retained, sessions, queued, bytes.parse()?).await?;
        report("filled", began);
        tokio::task::spawn_blocking(move || drop(broker)).await?;
        Command::new(env::current_exe()?).arg(folder).status()?;
    } else {
        report("started", began);
    }
    Ok(())
}

fn report(what: &str, began: Instant) {
    let pages = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let resident: u64 = pages
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse().ok())
        .unwrap_or_default();
    let seconds = began.elapsed().as_secs_f64();
    eprintln!("{what}: {seconds:.2} s, {} MiB", resident * 4 / 1_024);
}

async fn fill(
    broker: &BrokerHandle,
    retained: u32,
    sessions: u32,
    queued: u32,
    bytes: usize,
) -> Outcome<()> {
    let payload = vec![b'x'; bytes];
    for number in 0..sessions {
        let mut client = Client::connect(broker, &format!("session-{number}")).await?;
        client.send(&Packet::Subscribe(Subscribe {
            packet_id: PacketId::MIN,
            properties: Default::default(),
            subscriptions: vec![Subscription {
                filter: Utf8String::try_from(format!("s/{number}"))?,
                options: SubscriptionOptions::new(QoS::AtLeastOnce),
            }],
        }))?;
        client.answers(1).await?;
    }
    let mut writer = Client::connect(broker, "writer").await?;
    let kept = (0..retained).map(|number| (format!("site/{}/{number}", number % 1_000), true));
    let waiting = (0..queued).map(|number| (format!("s/{}", number % sessions.max(1)), false));
    let mut open = 0;
    for (number, (topic, retain)) in kept.chain(waiting).enumerate() {
        let id = u16::try_from(number % 60_000)? + 1;
        writer.publish(&topic, &payload, retain, id)?;
        open += 1;
        if open == IN_FLIGHT {
            writer.answers(open).await?;
            open = 0;
        }
    }
    writer.answers(open).await
}

struct Client {
    stream: Stream,
    unread: BytesMut,
    unsent: BytesMut,
}

impl Client {
    async fn connect(broker: &BrokerHandle, name: &str) -> Outcome<Self> {
        let mut client = Self {
            stream: broker.connect_in_memory(),
            unread: BytesMut::new(),
            unsent: BytesMut::new(),
        };
        let mut connect = Connect::new(ProtocolVersion::V5, Utf8String::try_from(name)?);
        connect.clean_start = false;
        connect.properties.set_session_expiry_interval(u32::MAX);
        client.send(&Packet::Connect(Box::new(connect)))?;
        client.answers(1).await?;
        Ok(client)
    }

    fn send(&mut self, packet: &Packet) -> Outcome<()> {
        packet.encode(ProtocolVersion::V5, &mut self.unsent)?;
        Ok(())
    }

    fn publish(&mut self, topic: &str, payload: &[u8], retain: bool, id: u16) -> Outcome<()> {
        let id = PacketId::new(id).ok_or("0 is no packet id")?;
        let publish = PublishRef {
            guarantee: Guarantee::new(QoS::AtLeastOnce, id, false),
            retain,
            topic,
            properties: Default::default(),
            payload,
        };
        publish.encode(ProtocolVersion::V5, &mut self.unsent)?;
        Ok(())
    }

    /// Sends what is to be sent, and reads so many answers, none of which may be a refusal.
    async fn answers(&mut self, count: u32) -> Outcome<()> {
        self.stream.write_all_buf(&mut self.unsent).await?;
        let mut left = count;
        while left > 0 {
            let limits = DecodeLimits::default();
            let Some((packet, length)) = decode(&self.unread, ProtocolVersion::V5, &limits)? else {
                if self.stream.read_buf(&mut self.unread).await? == 0 {
                    return Err("the broker has closed".into());
                }
                continue;
            };
            let is_fine = if let PacketRef::PubAck(puback) = &packet {
                !puback.reason.is_error()
            } else if let PacketRef::ConnAck(connack) = &packet {
                !connack.reason.is_error()
            } else {
                matches!(packet, PacketRef::SubAck(_))
            };
            if !is_fine {
                return Err(format!("{packet:?}").into());
            }
            self.unread.advance(length);
            left -= 1;
        }
        Ok(())
    }
}
