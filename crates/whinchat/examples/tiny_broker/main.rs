//! A tiny broker: the codec finds packets, the engine knows the protocol, the index finds subscribers.
//!
//! This file has sockets, tasks and time; `broker.rs` says what packets mean. Left out on purpose: sessions that outlive their
//! connection, retained messages, wills, shared subscriptions, take-over of a client id, limits on what queues.

use std::{cell::RefCell, env, io, rc::Rc, time};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::{net::TcpListener, net::TcpStream, task, time::sleep_until};
use whinchat::codec::{DecodeLimits, decode};
use whinchat::session::{Instant, Violation};

mod broker;
#[path = "../note/mod.rs"]
mod note;

use broker::{Broker, Client};

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let address = env::args().nth(1).unwrap_or("127.0.0.1:1883".into());
    let listener = TcpListener::bind(address).await?;
    task::LocalSet::new().run_until(serve(listener)).await
}

/// Serves every client that comes, until the future is dropped. Runs in a `LocalSet`: with one thread a message goes straight to
/// its receivers.
pub(crate) async fn serve(listener: TcpListener) -> io::Result<()> {
    let broker = Rc::new(RefCell::new(Broker::default()));
    let origin = time::Instant::now();
    for number in 0.. {
        let (stream, _) = listener.accept().await?;
        task::spawn_local(serve_client(stream, number, origin, Rc::clone(&broker)));
    }
    Ok(())
}

async fn serve_client(
    mut stream: TcpStream,
    number: u64,
    origin: time::Instant,
    broker: Rc<RefCell<Broker>>,
) {
    let now = || Instant::from_std(time::Instant::now(), origin);
    let has_output = broker.borrow_mut().connect(number, now());
    let mut input = BytesMut::new();
    loop {
        let (mut output, due) = turn(&mut broker.borrow_mut(), number, now(), &mut input);
        let written = stream.write_all_buf(&mut output).await;
        let (Ok(()), Some(due)) = (written, due.and_then(|due| due.to_std(origin))) else {
            break;
        };
        tokio::select! {
            read = stream.read_buf(&mut input) => if !matches!(read, Ok(1..)) { break },
            () = has_output.notified() => {}
            () = sleep_until(due.into()) => {}
        }
    }
    broker.borrow_mut().disconnect(number);
}

/// Handles the whole packets of `input` and what is due. Gives the bytes to send, and when to come again unless this is the end.
fn turn(
    broker: &mut Broker,
    number: u64,
    now: Instant,
    input: &mut BytesMut,
) -> (BytesMut, Option<Instant>) {
    let handled = handle_input(broker, number, now, input);
    let Client {
        connection, out, ..
    } = broker.client(number);
    if let Err(violation) = handled.and_then(|()| connection.handle_timeout(now, out)) {
        connection.close_on_violation(violation, out);
    }
    let later = now.saturating_add_millis(60_000);
    let due = connection.poll_timeout().unwrap_or(later);
    (out.0.split(), (!connection.is_closed()).then_some(due))
}

fn handle_input(
    broker: &mut Broker,
    number: u64,
    now: Instant,
    input: &mut BytesMut,
) -> Result<(), Violation> {
    loop {
        let Client {
            connection, out, ..
        } = broker.client(number);
        let max = connection.maximum_packet_size_in();
        let limits = DecodeLimits::default().with_packet_size(max);
        match decode(input, connection.version(), &limits) {
            _ if connection.is_closed() => return Ok(()),
            Ok(None) => return Ok(()),
            Ok(Some((packet, len))) => {
                broker.handle(number, now, packet)?;
                input.advance(len);
            }
            Err(error) => connection.close_on_malformed(&error, out),
        }
    }
}
