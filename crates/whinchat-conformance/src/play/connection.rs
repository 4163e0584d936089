//! One connection: bytes out, packets in.
//!
//! Reads only what is asked for, and while it writes, so that neither side waits for the other to read. What the
//! other side sends is held within limits and never waited for without end.

use std::{io, time::Duration};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::time::{Instant, timeout_at};
use whinchat_codec::{DecodeLimits, Packet, ProtocolVersion, frame_len};

use super::allowance::Allowance;

/// No transcript needs a larger packet.
const PACKET_BYTES_MAX: u32 = 16 * 1024 * 1024;

/// What is read ahead while we write.
const UNREAD_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The bytes of a packet that cannot be read which are shown.
const SHOWN_BYTES_MAX: usize = 64;

/// What came.
#[derive(Debug)]
pub(crate) enum Incoming {
    Packet(Packet),
    /// The other side has closed the connection.
    End,
    /// Nothing, until the deadline.
    Nothing,
    /// Bytes that are no packet; says which and why.
    Undecodable(String),
}

pub(crate) struct Connection<S> {
    reader: ReadHalf<S>,
    writer: WriteHalf<S>,
    unread: BytesMut,
    has_ended: bool,
    version: ProtocolVersion,
    /// Whether the next packet is the first.
    is_new: bool,
    received_bytes: u64,
    /// Bytes of a packet that was sent in part, or that is none.
    unfinished: BytesMut,
    /// `None` where somebody else looks after it.
    allowance: Option<Allowance>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub(crate) fn new(stream: S, version: ProtocolVersion) -> Self {
        let (reader, writer) = split(stream);
        Self {
            reader,
            writer,
            unread: BytesMut::new(),
            has_ended: false,
            version,
            is_new: true,
            received_bytes: 0,
            unfinished: BytesMut::new(),
            allowance: Some(Allowance::default()),
        }
    }

    /// Takes packets as they come, whatever was allowed, with their aliases.
    pub(crate) fn unwatched(stream: S, version: ProtocolVersion) -> Self {
        Self {
            allowance: None,
            ..Self::new(stream, version)
        }
    }

    /// The version in which packets are read.
    pub(crate) fn version(&self) -> ProtocolVersion {
        self.version
    }

    pub(crate) fn set_version(&mut self, version: ProtocolVersion) {
        self.version = version;
    }

    /// The bytes of all packets that were read.
    pub(crate) fn received_bytes(&self) -> u64 {
        self.received_bytes
    }

    /// Whether what was sent ends with a whole packet, so that another can be sent.
    pub(crate) fn is_between_packets(&self) -> bool {
        self.unfinished.is_empty()
    }

    /// Writes; byte by byte if `split`. That the other side has closed is no error: what it said before is still
    /// to be read, and then the end.
    ///
    /// # Errors
    /// If the other side does not read until the deadline.
    pub(crate) async fn send(
        &mut self,
        bytes: &[u8],
        split: bool,
        deadline: Instant,
    ) -> Result<(), ()> {
        self.note_sent(bytes);
        let pieces = if split { 1 } else { bytes.len().max(1) };
        for piece in bytes.chunks(pieces) {
            let sent = timeout_at(deadline, self.send_piece(piece)).await;
            match sent {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Ok(()),
                Err(_) => return Err(()),
            }
        }
        Ok(())
    }

    async fn send_piece(&mut self, mut piece: &[u8]) -> io::Result<()> {
        let Self {
            reader,
            writer,
            unread,
            has_ended,
            ..
        } = self;
        while !piece.is_empty() {
            tokio::select! {
                biased;
                written = writer.write(piece) => match written? {
                    0 => return Err(io::ErrorKind::WriteZero.into()),
                    len => piece = &piece[len..],
                },
                read = reader.read_buf(unread), if !*has_ended && unread.len() < UNREAD_BYTES_MAX => {
                    *has_ended = matches!(read, Ok(0) | Err(_));
                }
            }
        }
        writer.flush().await
    }

    /// Follows what was sent from packet to packet.
    fn note_sent(&mut self, bytes: &[u8]) {
        self.unfinished.extend_from_slice(bytes);
        let limits = DecodeLimits::default();
        while let Ok(Some(len)) = frame_len(&self.unfinished, &limits) {
            if self.unfinished.len() < len {
                break;
            }
            let frame = self.unfinished.split_to(len).freeze();
            if let Some(allowance) = &mut self.allowance
                && let Ok(Some((packet, _))) = Packet::decode(&frame, self.version, &limits)
            {
                allowance.note_sent(&packet);
            }
        }
    }

    /// The next packet, or what there is in its place. With a deadline that has passed it takes what is there.
    pub(crate) async fn next(&mut self, deadline: Instant) -> Incoming {
        loop {
            match self.decode() {
                Ok(Some(packet)) => return Incoming::Packet(packet),
                Ok(None) if self.has_ended && self.unread.is_empty() => return Incoming::End,
                Ok(None) if self.has_ended => {
                    return Incoming::Undecodable(format!(
                        "the beginning of a packet, then the end: {}",
                        hex(&self.unread)
                    ));
                }
                Ok(None) => {}
                Err(error) => return Incoming::Undecodable(error),
            }
            match timeout_at(deadline, self.reader.read_buf(&mut self.unread)).await {
                Ok(read) => self.has_ended = matches!(read, Ok(0) | Err(_)),
                Err(_) => return Incoming::Nothing,
            }
        }
    }

    fn decode(&mut self) -> Result<Option<Packet>, String> {
        let limits = DecodeLimits::default().with_packet_size(PACKET_BYTES_MAX);
        let undecodable = |error, bytes: &[u8]| format!("{error}: {}", hex(bytes));
        let len =
            frame_len(&self.unread, &limits).map_err(|error| undecodable(error, &self.unread))?;
        let Some(len) = len.filter(|len| *len <= self.unread.len()) else {
            return Ok(None);
        };
        let bytes = self.unread.split_to(len).freeze();
        self.received_bytes += bytes.len() as u64;
        // A server that has no 5.0 answers in the form that it has.
        if self.is_new && self.version.is_v5() && matches!(bytes[..], [0x20, 2, 0, _]) {
            self.version = ProtocolVersion::V311;
        }
        self.is_new = false;
        match Packet::decode(&bytes, self.version, &limits) {
            Ok(Some((mut packet, _))) => {
                let forbidden = |why| format!("{why}: {}", hex(&bytes));
                if let Some(allowance) = &mut self.allowance {
                    allowance.check_size(len).map_err(forbidden)?;
                    if let Packet::Publish(publish) = &mut packet {
                        allowance.resolve(publish).map_err(forbidden)?;
                    }
                }
                if let Packet::Connect(connect) = &packet {
                    self.version = connect.version;
                }
                Ok(Some(packet))
            }
            Ok(None) => Err(format!("an incomplete packet: {}", hex(&bytes))),
            Err(error) => Err(undecodable(error, &bytes)),
        }
    }
}

/// When patience ends that begins now.
pub(crate) fn deadline(patience: Duration) -> Instant {
    Instant::now() + patience
}

fn hex(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(SHOWN_BYTES_MAX)];
    let mut words: Vec<String> = shown.iter().map(|byte| format!("{byte:02x}")).collect();
    if bytes.len() > shown.len() {
        words.push(format!("... ({} bytes)", bytes.len()));
    }
    words.join(" ")
}

/// Bytes that were sent, as a transcript has them.
pub(crate) fn written_bytes(bytes: &[u8]) -> String {
    format!("bytes {}", hex(bytes))
}

#[cfg(test)]
mod tests {
    use tokio::io::{DuplexStream, duplex};

    use super::*;

    async fn connected(connect: &[u8]) -> (Connection<DuplexStream>, DuplexStream) {
        let (ours, theirs) = duplex(1024);
        let mut connection = Connection::new(ours, ProtocolVersion::V5);
        let sent = connection.send(connect, true, deadline(Duration::from_secs(5)));
        sent.await.expect("there is room for it");
        (connection, theirs)
    }

    #[tokio::test]
    async fn a_packet_that_we_said_we_do_not_take_is_none() {
        let connect = b"\x10\x13\0\x04MQTT\x05\x02\0\0\x05\x27\0\0\0\x05\0\x01a";
        for (puback, is_taken) in [
            (&b"\x40\x03\0\x01\x10"[..], true),
            (b"\x40\x04\0\x01\x10\0", false),
        ] {
            let (mut connection, mut theirs) = connected(connect).await;
            theirs.write_all(puback).await.unwrap();
            let next = connection.next(deadline(Duration::from_secs(5))).await;
            match next {
                Incoming::Packet(Packet::PubAck(_)) => assert!(is_taken),
                Incoming::Undecodable(why) => assert!(!is_taken, "{why}"),
                other => panic!("{other:?}"),
            }
        }
    }
}
