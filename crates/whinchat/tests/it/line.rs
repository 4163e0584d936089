//! A line between clients and a broker that a test can cut, and on which it can lose what either side says.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// Carries every connection made to [`url`](Self::url) on to the broker, until it is cut.
pub(crate) struct Line {
    url: String,
    state: Arc<State>,
}

struct State {
    /// Counts the cuts: a connection lives for as long as the number stays.
    cuts: watch::Sender<usize>,
    is_cut: AtomicBool,
    loses_requests: AtomicBool,
    loses_answers: AtomicBool,
    lost_bytes: watch::Sender<usize>,
    connections: AtomicUsize,
    open: watch::Sender<usize>,
}

impl Line {
    /// A line to the broker at this address, `host:port`.
    pub(crate) async fn to(broker: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("mqtt://{}", listener.local_addr().unwrap());
        let state = Arc::new(State {
            cuts: watch::Sender::new(0),
            is_cut: AtomicBool::new(false),
            loses_requests: AtomicBool::new(false),
            loses_answers: AtomicBool::new(false),
            lost_bytes: watch::Sender::new(0),
            connections: AtomicUsize::new(0),
            open: watch::Sender::new(0),
        });
        tokio::spawn(serve(listener, broker, Arc::clone(&state)));
        Self { url, state }
    }

    /// Where clients dial.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// From here on nothing of what clients send arrives.
    pub(crate) fn lose_requests(&self) {
        self.state.loses_requests.store(true, Ordering::SeqCst);
    }

    /// From here on nothing of what the broker sends arrives.
    pub(crate) fn lose_answers(&self) {
        self.state.loses_answers.store(true, Ordering::SeqCst);
    }

    /// Waits until something was lost.
    pub(crate) async fn until_lost(&self) {
        let mut lost = self.state.lost_bytes.subscribe();
        lost.wait_for(|bytes| *bytes > 0).await.unwrap();
    }

    /// Ends all connections without a word, and takes no others.
    pub(crate) fn cut(&self) {
        self.state.is_cut.store(true, Ordering::SeqCst);
        self.state.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Carries again, and everything.
    pub(crate) fn mend(&self) {
        self.state.loses_requests.store(false, Ordering::SeqCst);
        self.state.loses_answers.store(false, Ordering::SeqCst);
        self.state.lost_bytes.send_replace(0);
        self.state.is_cut.store(false, Ordering::SeqCst);
    }

    /// Waits until both sides have ended all connections.
    pub(crate) async fn until_idle(&self) {
        let mut open = self.state.open.subscribe();
        open.wait_for(|open| *open == 0).await.unwrap();
    }

    /// How many connections it has carried.
    pub(crate) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }
}

async fn serve(listener: TcpListener, broker: String, state: Arc<State>) {
    while let Ok((client, _)) = listener.accept().await {
        if state.is_cut.load(Ordering::SeqCst) {
            continue;
        }
        let mut cuts = state.cuts.subscribe();
        let (broker, state) = (broker.clone(), Arc::clone(&state));
        tokio::spawn(async move {
            let broker = TcpStream::connect(broker).await.unwrap();
            state.connections.fetch_add(1, Ordering::SeqCst);
            state.open.send_modify(|open| *open += 1);
            let (from_client, to_client) = client.into_split();
            let (from_broker, to_broker) = broker.into_split();
            let up = carry(
                from_client,
                to_broker,
                &state.loses_requests,
                &state.lost_bytes,
            );
            let down = carry(
                from_broker,
                to_client,
                &state.loses_answers,
                &state.lost_bytes,
            );
            tokio::select! {
                _ = async { tokio::join!(up, down) } => {}
                _ = cuts.changed() => {}
            }
            state.open.send_modify(|open| *open -= 1);
        });
    }
}

async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    loses: &AtomicBool,
    lost: &watch::Sender<usize>,
) {
    let mut bytes = [0; 4096];
    while let Ok(length @ 1..) = from.read(&mut bytes).await {
        if loses.load(Ordering::SeqCst) {
            lost.send_modify(|lost| *lost += length);
        } else if to.write_all(&bytes[..length]).await.is_err() {
            return;
        }
    }
    // One side has ended: the other is told, and may still speak.
    let _ = to.shutdown().await;
}
