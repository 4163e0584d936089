//! The clients that take more than their share.
//!
//! An attack is a number of connections that are only held, and of workers, which do the same again and again until the scene is over. Workers run at the lowest priority: they take what
//! the broker and those who behave leave of the processors, and it is the broker that has to hold them off.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Ipv4Addr, TcpStream},
    time::Duration,
};

use bytes::BytesMut;
use whinchat_codec::{DecodeLimits, Packet, PacketRef, ProtocolVersion, QoS, decode};

use crate::{connect, id, publish, torture::packets};

/// A broker that does not answer a handshake for so long is stuck.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// How long a worker waits for a broker that reads or says nothing, before it looks whether the scene is over.
const PATIENCE: Duration = Duration::from_millis(50);

/// Messages of one write, and the window of a publisher at QoS 1.
const BATCH: u16 = 64;
const LARGE_BYTES: usize = 1 << 20;

/// Who attacks; the ids are the threats of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attack {
    /// T-82: readers of QoS 0 that stop, and a publisher that does not.
    StoppedQos0,
    /// T-83: the same at QoS 1 with sessions that are kept.
    StoppedQos1,
    /// T-86: pings, and subscriptions that come and go.
    Churn,
    /// T-87: 1 MiB to all readers, which stop.
    Large,
    /// T-88: a publisher without a pause, and a subscriber of everything that is ten times too slow.
    Firehose,
    /// T-85: all of them at once.
    Together,
}

/// One thing that is done again and again; `Err`: the broker has closed the connection.
pub(super) type Worker = Box<dyn FnMut() -> io::Result<()> + Send>;

/// An attack that has connected.
#[derive(Default)]
pub(super) struct Attackers {
    pub(super) held: Vec<TcpStream>,
    pub(super) workers: Vec<Worker>,
}

impl Attack {
    /// In the order in which they are run.
    pub const ALL: [Self; 6] = [
        Self::StoppedQos0,
        Self::StoppedQos1,
        Self::Churn,
        Self::Large,
        Self::Firehose,
        Self::Together,
    ];

    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::StoppedQos0 => "stopped-qos0",
            Self::StoppedQos1 => "stopped-qos1",
            Self::Churn => "churn",
            Self::Large => "large",
            Self::Firehose => "firehose",
            Self::Together => "together",
        }
    }

    /// Whether so much is published that something cannot be delivered.
    pub(super) const fn exceeds(self) -> bool {
        !matches!(self, Self::Churn)
    }

    /// Connects with so many readers.
    pub(super) fn connect(self, port: u16, readers: usize) -> io::Result<Attackers> {
        let mut attackers = Attackers::default();
        match self {
            Self::StoppedQos0 => {
                attackers.held = stopped(port, readers, "stop0", "stop0/#", QoS::AtMostOnce)?;
                attackers.workers.push(flood(port, "stop0/a", 1024)?);
            }
            Self::StoppedQos1 => {
                attackers.held = stopped(port, readers, "stop1", "stop1/#", QoS::AtLeastOnce)?;
                attackers.workers.push(flood_acknowledged(port, "stop1/a")?);
            }
            Self::Churn => {
                for number in 0..20 {
                    attackers.workers.push(churn(port, number)?);
                }
            }
            Self::Large => {
                attackers.held = stopped(port, readers, "large", "large/#", QoS::AtMostOnce)?;
                attackers.workers.push(flood(port, "large/a", LARGE_BYTES)?);
            }
            Self::Firehose => {
                attackers.workers.push(slow_reader(port)?);
                attackers.workers.push(flood(port, "hose/a", 64)?);
            }
            Self::Together => {
                for one in Self::ALL.into_iter().filter(|one| *one != Self::Together) {
                    let more = one.connect(port, readers / 4)?;
                    attackers.held.extend(more.held);
                    attackers.workers.extend(more.workers);
                }
            }
        }
        Ok(attackers)
    }
}

/// A connection that has been let in.
fn connected(port: u16, client_id: &str, is_kept: bool) -> io::Result<TcpStream> {
    let mut packet = connect(ProtocolVersion::V5, client_id);
    packet.clean_start = true;
    packet.keep_alive = 0;
    let seconds = if is_kept { 3600 } else { 0 };
    packet.properties.set_session_expiry_interval(seconds);
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(HANDSHAKE_MAX))?;
    stream.write_all(&bytes_of(&[Packet::Connect(Box::new(packet))]))?;
    read_answer(&mut stream)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn bytes_of(packets: &[Packet]) -> BytesMut {
    let mut bytes = BytesMut::new();
    for packet in packets {
        let written = packet.encode(ProtocolVersion::V5, &mut bytes);
        written.expect("the packets of an attack are valid");
    }
    bytes
}

/// Waits for one packet, whatever it says.
fn read_answer(stream: &mut TcpStream) -> io::Result<()> {
    let mut bytes = [0; 1024];
    match stream.read(&mut bytes)? {
        0 => Err(ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

/// Subscribers that read nothing from now on.
fn stopped(
    port: u16,
    readers: usize,
    name: &str,
    filter: &str,
    qos: QoS,
) -> io::Result<Vec<TcpStream>> {
    let subscribe = bytes_of(&[packets::subscribe(id(1), &[filter], qos)]);
    (0..readers)
        .map(|number| {
            let is_kept = qos != QoS::AtMostOnce;
            let mut stream = connected(port, &format!("{name}-{number}"), is_kept)?;
            stream.write_all(&subscribe)?;
            stream.set_read_timeout(Some(HANDSHAKE_MAX))?;
            read_answer(&mut stream)?;
            Ok(stream)
        })
        .collect()
}

/// What a worker has still to write, and where it writes.
struct Writer {
    stream: TcpStream,
    bytes: Vec<u8>,
    written: usize,
}

impl Writer {
    fn new(stream: TcpStream, bytes: &[u8]) -> Self {
        Self {
            stream,
            bytes: bytes.to_vec(),
            written: 0,
        }
    }

    /// Writes what the broker takes; whether all is written, and the next turn begins anew.
    fn turn(&mut self) -> io::Result<bool> {
        match self.stream.write(&self.bytes[self.written..]) {
            Ok(count) => self.written += count,
            Err(error) if is_patience(&error) => {}
            Err(error) => return Err(error),
        }
        let is_done = self.written == self.bytes.len();
        if is_done {
            self.written = 0;
        }
        Ok(is_done)
    }
}

fn is_patience(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// Publishes at QoS 0 as fast as the broker reads.
fn flood(port: u16, topic: &str, payload: usize) -> io::Result<Worker> {
    let message = publish(topic).payload(vec![b'x'; payload]).build();
    let count = if payload < LARGE_BYTES {
        usize::from(BATCH)
    } else {
        1
    };
    let bytes = bytes_of(&vec![Packet::Publish(message); count]);
    let mut writer = Writer::new(connected(port, &format!("flood-{topic}"), false)?, &bytes);
    Ok(Box::new(move || writer.turn().map(drop)))
}

/// Publishes at QoS 1, a batch as soon as the one before has its answers, whatever they are.
fn flood_acknowledged(port: u16, topic: &str) -> io::Result<Worker> {
    let messages = (1..=BATCH).map(|number| {
        let message = publish(topic).payload(vec![b'x'; 1024]).qos1(number);
        Packet::Publish(message.build())
    });
    let bytes = bytes_of(&messages.collect::<Vec<_>>());
    let mut writer = Writer::new(connected(port, &format!("flood-{topic}"), false)?, &bytes);
    let mut answers = BytesMut::new();
    let mut awaited = 0;
    Ok(Box::new(move || {
        if awaited == 0 {
            if writer.turn()? {
                awaited = BATCH;
            }
            return Ok(());
        }
        read_some(&mut writer.stream, &mut answers)?;
        while let Ok(Some((packet, len))) =
            decode(&answers, ProtocolVersion::V5, &DecodeLimits::default())
        {
            awaited -= u16::from(matches!(packet, PacketRef::PubAck(_))).min(awaited);
            let _ = answers.split_to(len);
        }
        Ok(())
    }))
}

fn read_some(stream: &mut TcpStream, into: &mut BytesMut) -> io::Result<()> {
    let mut bytes = [0; 16 << 10];
    match stream.read(&mut bytes) {
        Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
        Ok(count) => {
            into.extend_from_slice(&bytes[..count]);
            Ok(())
        }
        Err(error) if is_patience(&error) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Asks for what is cheap to ask, and reads the answers.
fn churn(port: u16, number: u16) -> io::Result<Worker> {
    let filter = format!("churn/{number}/+/#");
    let mut asked = vec![Packet::PingReq; usize::from(BATCH)];
    for _ in 0..BATCH {
        asked.push(packets::subscribe(id(1), &[&filter], QoS::AtMostOnce));
        asked.push(packets::unsubscribe(id(1), &filter));
    }
    let stream = connected(port, &format!("churn-{number}"), false)?;
    let mut writer = Writer::new(stream, &bytes_of(&asked));
    let mut answers = BytesMut::new();
    Ok(Box::new(move || {
        writer.turn()?;
        answers.clear();
        read_some(&mut writer.stream, &mut answers)
    }))
}

/// Hears everything, and reads 16 KiB of it each time it looks.
fn slow_reader(port: u16) -> io::Result<Worker> {
    let mut stream = stopped(port, 1, "hose", "#", QoS::AtMostOnce)?.remove(0);
    let mut heard = BytesMut::new();
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(Box::new(move || {
        std::thread::sleep(PATIENCE);
        heard.clear();
        read_some(&mut stream, &mut heard)
    }))
}
