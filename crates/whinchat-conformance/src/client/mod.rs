//! Judges a client that connects to us.
//!
//! A client does as it likes: what a scene waits for may come late, or never. What comes meanwhile is answered as a
//! server would ([`answers`]); that nothing comes which must never come is seen by the [`watch`].
//!
//! ```text
//! scene --steps--> player --packets--> connection
//!                   |  ^
//!          answers <'  '- watch <- exchanges
//! ```

mod answers;
mod exchanges;
mod habits;
mod player;
mod requests;
#[cfg(test)]
mod tests;
mod watch;

use std::{io, time::Instant};

use futures_util::StreamExt;
use tokio::io::{AsyncRead, AsyncWrite};
use whinchat_codec::ProtocolVersion;

use self::habits::Habits;
use self::player::Player;
use crate::play::{Options, Play, Played};

/// Clients that can be judged: where they come from.
///
/// The futures need not be `Send`: a run stays on the task that began it.
#[expect(
    async_fn_in_trait,
    reason = "a run polls them where it is; nothing asks for Send"
)]
pub trait Clients {
    /// What has been set going.
    type Client: Client;

    /// Sets a client going that is to speak `version`, if it can be told so. Dropping it ends it.
    ///
    /// # Errors
    /// If it cannot be started.
    async fn begin(&self, version: ProtocolVersion) -> io::Result<Self::Client>;
}

/// A client that has been set going.
#[expect(
    async_fn_in_trait,
    reason = "a run polls it where it is; nothing asks for Send"
)]
pub trait Client {
    /// A byte stream from the client.
    type Stream: AsyncRead + AsyncWrite + Unpin;

    /// The next connection of the client.
    ///
    /// # Errors
    /// If no other can come, because the client has ended for instance.
    async fn accept(&mut self) -> io::Result<Self::Stream>;

    /// Whether the client has ended in order. Asked when a connection ends without a word: the DISCONNECT of a client that
    /// did not read all that it was sent may be lost.
    async fn has_ended_well(&mut self) -> bool {
        false
    }
}

/// Why a run cannot begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The client cannot be started, or nothing connects.
    #[error("no client connects: {0}")]
    NotThere(#[from] io::Error),
    /// What connects is no client of MQTT; what came in place of a CONNECT.
    #[error("no client of MQTT connects: {0}")]
    NoMqtt(String),
}

/// Asks clients what they do by themselves and plays what can be played, `jobs` scenes beside each other. The result
/// is in the order of `plays`; `progress` is called as each one ends.
///
/// # Errors
/// If no client connects within the patience of `options`.
pub async fn run_clients<C: Clients>(
    plays: &[Play<'_>],
    clients: &C,
    options: &Options,
    mut progress: impl FnMut(&Played),
) -> Result<Vec<Played>, ClientError> {
    let habits = Habits::learn(clients, options).await?;
    let plays = plays.iter().enumerate().map(|(number, play)| {
        let habits = &habits;
        async move { (number, play_client(*play, clients, habits, options).await) }
    });
    let mut playing = futures_util::stream::iter(plays).buffer_unordered(options.jobs.max(1));
    let mut all = Vec::new();
    while let Some(played) = playing.next().await {
        progress(&played.1);
        all.push(played);
    }
    all.sort_by_key(|(number, _)| *number);
    Ok(all.into_iter().map(|(_, played)| played).collect())
}

async fn play_client<C: Clients>(
    play: Play<'_>,
    clients: &C,
    habits: &Habits,
    options: &Options,
) -> Played {
    let began = Instant::now();
    let verdict = match habits.verdict_without_playing(play.scene, play.version) {
        Some(verdict) => verdict,
        None => {
            Player::new(options, play.version)
                .play(clients, play.scene)
                .await
        }
    };
    play.played(verdict, began)
}
