//! A broker that does not outlive what is played: it is started again, and what failed is played once more.
//!
//! Scenes are played beside each other: one after which a broker lets nobody in fails others that have nothing to do with
//! it. Played by itself on a broker that is there, each failure is its scene's own.

use std::time::Duration;

use indicatif::ProgressBar;
use tokio::time::{Instant, sleep};
use whinchat_conformance::{Offers, Options, Play, Played, Verdict, play};

use super::target::SocketTarget;
use crate::commands::tool::Failure;

/// How long a broker may take to let clients in again.
const START_MAX: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(200);

pub(super) struct Restart<'a> {
    pub(super) command: &'a str,
    pub(super) target: &'a SocketTarget,
    pub(super) options: &'a Options,
}

impl Restart<'_> {
    /// Plays each scene that failed by itself, and keeps what comes of it then.
    ///
    /// # Errors
    /// The broker does not come back.
    pub(super) async fn play_failed(
        &self,
        plays: &[Play<'_>],
        played: &mut [Played],
        bar: &ProgressBar,
    ) -> Result<(), Failure> {
        let failed = |played: &Played| matches!(played.verdict, Verdict::Failed(_));
        let count = played.iter().filter(|played| failed(played)).count();
        bar.set_length(bar.length().unwrap_or(0) + count as u64);
        for (one, played) in plays.iter().zip(played) {
            if failed(played) {
                let offers = self.offers().await?;
                // Names of its own: what an earlier scene left behind does not disturb it.
                let mut options = self.options.clone();
                options.seed = fastrand::u64(..);
                *played = play(*one, self.target, &offers, &options).await;
                bar.inc(1);
            }
        }
        Ok(())
    }

    /// What the broker offers, if need be after it was started again.
    async fn offers(&self) -> Result<Offers, Failure> {
        if let Ok(offers) = Offers::learn(self.target, self.options).await {
            return Ok(offers);
        }
        let status = tokio::process::Command::new("sh")
            .args(["-c", self.command])
            .status()
            .await;
        match status {
            Ok(status) if status.success() => {}
            Ok(status) => {
                return Err(Failure::Runtime(format!("--restart ended with {status}")));
            }
            Err(error) => return Err(Failure::Runtime(format!("--restart: {error}"))),
        }
        let deadline = Instant::now() + START_MAX;
        loop {
            match Offers::learn(self.target, self.options).await {
                Ok(offers) => return Ok(offers),
                Err(error) if Instant::now() > deadline => {
                    return Err(Failure::Runtime(format!(
                        "the broker does not come back after --restart: {error}"
                    )));
                }
                Err(_) => sleep(POLL).await,
            }
        }
    }
}
