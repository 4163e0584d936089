//! The player against a server that says what a script tells it to: right, or wrong in each way.

mod noise;
mod runs;
mod verdicts;

use std::{io, sync::Mutex};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use whinchat_codec::{DecodeLimits, ProtocolVersion, frame_len};

use super::*;
use crate::notation::{Ids, Names, Raw, Speaker, Template, split};

const V5: ProtocolVersion = ProtocolVersion::V5;
const V311: ProtocolVersion = ProtocolVersion::V311;

/// A server with one script per connection. A script's lines are `read` (a packet of the client), a packet or bytes
/// to send, `close`, and `deaf`, which keeps the connection open and reads nothing. Behind its last line a server
/// answers PINGREQ, and keeps silent otherwise.
struct Scripted {
    version: ProtocolVersion,
    scripts: Mutex<Vec<String>>,
}

impl Scripted {
    fn new(version: ProtocolVersion, scripts: &[&str]) -> Self {
        Self {
            version,
            scripts: Mutex::new(
                scripts
                    .iter()
                    .rev()
                    .map(|script| (*script).to_owned())
                    .collect(),
            ),
        }
    }
}

impl Target for Scripted {
    type Stream = DuplexStream;

    async fn connect(&self) -> io::Result<DuplexStream> {
        let script = self.scripts.lock().unwrap().pop();
        let script = script.ok_or(io::ErrorKind::ConnectionRefused)?;
        let (ours, theirs) = duplex(100);
        tokio::spawn(serve(script, self.version, theirs));
        Ok(ours)
    }
}

async fn serve(script: String, version: ProtocolVersion, mut stream: DuplexStream) {
    let mut unread = BytesMut::new();
    for line in script.split(';').map(str::trim) {
        let bytes = match line {
            "" => continue,
            "read" => {
                read(&mut stream, &mut unread).await;
                continue;
            }
            "close" => return,
            "deaf" => return std::future::pending().await,
            line => match line.strip_prefix("bytes ") {
                Some(bytes) => Raw::parse(&split(bytes).unwrap()).unwrap().bytes().clone(),
                None => packet(line, version),
            },
        };
        if stream.write_all(&bytes).await.is_err() {
            return;
        }
    }
    while let Some(first_byte) = read(&mut stream, &mut unread).await {
        if first_byte == 0xc0 && stream.write_all(&[0xd0, 0]).await.is_err() {
            return;
        }
    }
}

async fn read(stream: &mut DuplexStream, unread: &mut BytesMut) -> Option<u8> {
    let limits = DecodeLimits::default();
    loop {
        match frame_len(unread, &limits) {
            Ok(Some(len)) if len <= unread.len() => return unread.split_to(len).first().copied(),
            _ => {}
        }
        if !matches!(stream.read_buf(unread).await, Ok(1..)) {
            return None;
        }
    }
}

/// A packet of the server, with the names that the scene has on the wire.
fn packet(text: &str, version: ProtocolVersion) -> Bytes {
    let speaker = Speaker {
        names: &Names::with_prefix("c0000", "000"),
        version,
        client_id: "",
        assigned: None,
        ids: &Ids::default(),
        user_name: None,
        password: None,
    };
    Template::parse(text).unwrap().encode(&speaker).unwrap()
}

fn options() -> Options {
    Options {
        seed: 0,
        ..Options::default()
    }
}
