//! What is judged: where its streams come from and how time passes there.

use std::{io, time::Duration};

use tokio::io::{AsyncRead, AsyncWrite};

/// A broker that scenes are played against.
///
/// Only [`connect`](Self::connect) has to be written for one that is reached over a network. The futures
/// need not be `Send`: a run stays on the task that began it.
#[expect(
    async_fn_in_trait,
    reason = "a run polls them where it is; nothing asks for Send"
)]
pub trait Target {
    /// A byte stream to the broker.
    type Stream: AsyncRead + AsyncWrite + Unpin;

    /// Opens a connection.
    ///
    /// # Errors
    /// If the broker cannot be reached. A scene fails then; so does the run, if it happens at its start.
    async fn connect(&self) -> io::Result<Self::Stream>;

    /// Lets time pass. A broker with a clock that can be moved need not be waited for.
    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    /// Whether [`pass`](Self::pass) moves a clock that all connections share. Scenes that wait are then played by
    /// themselves.
    fn moves_clock(&self) -> bool {
        false
    }

    /// Waits until all that was sent has been handled, everywhere in the broker. Where that cannot be
    /// known, `pause` is how long it may take.
    async fn settle(&self, pause: Duration) {
        tokio::time::sleep(pause).await;
    }

    /// What the broker was set up with and cannot say by itself.
    fn setup(&self) -> Setup {
        Setup::default()
    }
}

/// What a broker was set up with for the scenes that need it; see "What a scene needs" in the README.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Setup {
    /// The authentication method `echo` is there.
    pub method: bool,
    /// The user `known` with the password `secret` may connect, and no other.
    pub login: bool,
    /// Nobody may publish or subscribe to `denied/#`.
    pub denied: bool,
}

/// How to play.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// How long to wait for what a step expects. Default 5 s.
    pub patience: Duration,
    /// How long a broker may take to handle what it was sent, where it cannot be asked. Default 100 ms.
    pub settle: Duration,
    /// Scenes that are played beside each other. Default 32.
    pub jobs: usize,
    /// Asks for our own broker's choices: what may be sent before a connection ends must be sent, and of
    /// alternatives the first.
    pub strict: bool,
    /// Sends byte by byte, with a flush behind each.
    pub split: bool,
    /// For every CONNECT that has none of its own.
    pub user_name: Option<String>,
    /// For every CONNECT that has none of its own.
    pub password: Option<Vec<u8>>,
    /// Makes the prefix of topics and client ids; of two runs against one broker each needs its own.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            patience: Duration::from_secs(5),
            settle: Duration::from_millis(100),
            jobs: 32,
            strict: false,
            split: false,
            user_name: None,
            password: None,
            seed: fastrand::u64(..),
        }
    }
}
