//! All kinds of stream behave alike, and can move between runtimes.

use std::{
    future::poll_fn,
    io::{ErrorKind, IoSlice},
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread,
};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use whinchat_transport::{
    DialOptions, Endpoint, ListenOptions, Listener, MemoryStream, Peer, Stream, dial,
};

async fn connected(endpoint: &Endpoint) -> (Stream, Stream) {
    let mut listener = Listener::bind(endpoint, &ListenOptions::default()).unwrap();
    let dialled = dial(listener.endpoint(), &DialOptions::default())
        .await
        .unwrap();
    (dialled, listener.accept().await.unwrap().0)
}

/// Each kind of stream in turn, on the current runtime.
async fn every_kind() -> Vec<(Stream, Stream)> {
    let directory = tempfile::tempdir().unwrap();
    vec![
        connected(&Endpoint::tcp("127.0.0.1", 0)).await,
        connected(&Endpoint::tcp("::1", 0)).await,
        connected(&Endpoint::unix(directory.path().join("s"))).await,
        Stream::pair(64),
    ]
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 7 + i / 251) as u8).collect()
}

#[tokio::test]
async fn bytes_arrive_whole_and_in_order_in_both_directions_and_end() {
    for (mut a, mut b) in every_kind().await {
        let sent = pattern(300_000);
        let echo = async {
            let mut read = Vec::new();
            b.read_to_end(&mut read).await.unwrap();
            b.write_all(&read).await.unwrap();
            b.shutdown().await.unwrap();
        };
        let ask = async {
            a.write_all(&sent).await.unwrap();
            a.shutdown().await.unwrap();
            let mut read = Vec::new();
            a.read_to_end(&mut read).await.unwrap();
            read
        };
        let ((), echoed) = tokio::join!(echo, ask);
        assert!(echoed == sent);
    }
}

#[tokio::test]
async fn a_vectored_write_joins_its_slices() {
    for (mut a, mut b) in every_kind().await {
        let slices = [IoSlice::new(b"he"), IoSlice::new(b""), IoSlice::new(b"llo")];
        let written = poll_fn(|cx| a.poll_write_vectored(cx, &slices))
            .await
            .unwrap();
        assert_eq!(written, 5);
        let mut read = [0; 5];
        b.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"hello");
    }
}

#[tokio::test]
async fn a_plain_poll_reads_what_is_there_and_then_waits() {
    for (mut a, mut b) in every_kind().await {
        a.write_all(b"abc").await.unwrap();
        let mut buffer = [0; 16];
        let read = poll_fn(|cx| b.poll_read(cx, &mut buffer)).await.unwrap();
        assert_eq!(&buffer[..read], b"abc");
        let pending = poll_fn(|cx| Poll::Ready(b.poll_read(cx, &mut buffer).is_pending())).await;
        assert!(pending);
    }
}

#[tokio::test]
async fn a_full_stream_makes_its_writer_wait_until_the_reader_has_read() {
    for (mut a, mut b) in every_kind().await {
        let chunk = pattern(65_536);
        let mut sent = 0;
        while poll_fn(|cx| {
            Poll::Ready(match a.poll_write(cx, &chunk) {
                Poll::Ready(written) => {
                    sent += written.unwrap();
                    true
                }
                Poll::Pending => false,
            })
        })
        .await
        {}
        let reader = tokio::spawn(async move {
            let mut read = vec![0; sent];
            b.read_exact(&mut read).await.unwrap();
            b
        });
        poll_fn(|cx| a.poll_write(cx, b"x")).await.unwrap();
        drop(reader.await.unwrap());
    }
}

#[tokio::test]
async fn a_stream_moves_to_another_runtime_with_its_unread_bytes() {
    for (mut a, b) in every_kind().await {
        a.write_all(b"before").await.unwrap();
        let detached = b.detach().unwrap();
        let other = thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap()
                .block_on(async move {
                    let mut b = detached.attach().unwrap();
                    let mut read = [0; 11];
                    b.read_exact(&mut read).await.unwrap();
                    b.write_all(b"answer").await.unwrap();
                    read
                })
        });
        a.write_all(b"after").await.unwrap();
        let mut answer = [0; 6];
        a.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"answer");
        assert_eq!(&other.join().unwrap(), b"beforeafter");
    }
}

#[tokio::test]
async fn each_end_says_who_the_other_is() {
    let mut listener =
        Listener::bind(&Endpoint::tcp("127.0.0.1", 0), &ListenOptions::default()).unwrap();
    let dialled = dial(listener.endpoint(), &DialOptions::default())
        .await
        .unwrap();
    let (accepted, peer) = listener.accept().await.unwrap();
    assert_eq!(accepted.peer().unwrap(), peer);
    let Stream::Tcp(tcp) = &dialled else {
        panic!("not TCP")
    };
    assert_eq!(peer, Peer::Tcp(tcp.local_addr().unwrap()));
    assert!(peer.is_local());
    assert_eq!(
        dialled.peer().unwrap().to_string(),
        tcp.peer_addr().unwrap().to_string()
    );
    assert_eq!(Stream::pair(1).0.peer().unwrap(), Peer::Memory);
    assert_eq!(
        Peer::Tcp("[::ffff:192.0.2.1]:5".parse().unwrap()).ip(),
        "192.0.2.1".parse().ok()
    );
}

#[tokio::test]
async fn tcp_streams_get_their_options() {
    let mut listener =
        Listener::bind(&Endpoint::tcp("127.0.0.1", 0), &ListenOptions::default()).unwrap();
    let dialled = dial(listener.endpoint(), &DialOptions::default())
        .await
        .unwrap();
    let (accepted, _) = listener.accept().await.unwrap();
    for stream in [dialled, accepted] {
        let Stream::Tcp(tcp) = stream else {
            panic!("not TCP")
        };
        let socket = socket2::SockRef::from(&tcp);
        assert!(tcp.nodelay().unwrap());
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap().as_secs(), 600);
        #[cfg(target_os = "linux")]
        assert_eq!(socket.tcp_notsent_lowat().unwrap(), 128 * 1024);
    }
}

mod memory {
    use super::*;

    #[tokio::test]
    async fn a_dropped_end_lets_the_other_read_the_rest_and_then_refuses_its_writes() {
        let (mut a, mut b) = Stream::pair(64);
        a.write_all(b"rest").await.unwrap();
        drop(a);
        let mut read = Vec::new();
        b.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, b"rest");
        assert_eq!(
            b.write_all(b"x").await.unwrap_err().kind(),
            ErrorKind::BrokenPipe
        );
    }

    #[tokio::test]
    async fn a_cut_loses_what_was_under_way_and_wakes_both_ends_with_an_error() {
        let (a, b) = MemoryStream::pair(4);
        let cutter = a.cutter();
        let (mut a, mut b) = (Stream::from(a), Stream::from(b));
        a.write_all(b"lost").await.unwrap();
        let writing = tokio::spawn(async move {
            let written = a.write_all(b"more than fits").await;
            (
                written.unwrap_err().kind(),
                a.read(&mut [0; 4]).await.unwrap_err().kind(),
            )
        });
        tokio::task::yield_now().await;
        cutter.cut();
        assert_eq!(
            b.read(&mut [0; 4]).await.unwrap_err().kind(),
            ErrorKind::ConnectionReset
        );
        assert_eq!(
            writing.await.unwrap(),
            (ErrorKind::ConnectionReset, ErrorKind::ConnectionReset)
        );
    }

    #[tokio::test]
    async fn a_cut_wakes_a_waiting_reader() {
        let (a, _b) = MemoryStream::pair(4);
        let cutter = a.cutter();
        let reading = tokio::spawn(async move { Stream::from(a).read(&mut [0; 4]).await });
        tokio::task::yield_now().await;
        cutter.cut();
        assert_eq!(
            reading.await.unwrap().unwrap_err().kind(),
            ErrorKind::ConnectionReset
        );
    }

    struct Unparker(thread::Thread);

    impl Wake for Unparker {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    #[test]
    fn it_needs_no_runtime_and_wakes_across_threads() {
        let (mut a, mut b) = Stream::pair(3);
        let sent = pattern(10_000);
        let expected = sent.clone();
        let writer = thread::spawn(move || {
            let waker = Waker::from(Arc::new(Unparker(thread::current())));
            let mut rest = &sent[..];
            while !rest.is_empty() {
                match a.poll_write(&mut Context::from_waker(&waker), rest) {
                    Poll::Ready(written) => rest = &rest[written.unwrap()..],
                    Poll::Pending => thread::park(),
                }
            }
        });
        let waker = Waker::from(Arc::new(Unparker(thread::current())));
        let mut read = Vec::new();
        let mut buffer = [0; 7];
        loop {
            match b.poll_read(&mut Context::from_waker(&waker), &mut buffer) {
                Poll::Ready(Ok(0)) => break,
                Poll::Ready(count) => read.extend_from_slice(&buffer[..count.unwrap()]),
                Poll::Pending => thread::park(),
            }
        }
        writer.join().unwrap();
        assert!(read == expected);
    }
}
