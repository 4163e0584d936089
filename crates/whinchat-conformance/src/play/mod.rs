//! Plays scenes against a broker that is reached over byte streams.

mod allowance;
pub(crate) mod client;
pub(crate) mod connection;
mod expectation;
mod leftovers;
mod offers;
mod player;
pub(crate) mod record;
mod target;
#[cfg(test)]
mod tests;
mod verdict;

use std::time::Instant;

use futures_util::StreamExt;
use whinchat_codec::ProtocolVersion;

pub use offers::{Offers, RunError};
use player::Player;
pub use target::{Options, Setup, Target};
pub use verdict::{Failure, Played, Verdict};

use crate::needs::Need;
use crate::scene::Scene;

/// A scene and the version to play it in.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Play<'a> {
    /// The scene.
    pub scene: &'a Scene,
    /// One of the scene's versions.
    pub version: ProtocolVersion,
}

/// Each scene in each of its versions.
pub fn plays(scenes: &[Scene]) -> Vec<Play<'_>> {
    let plays = scenes.iter().flat_map(|scene| {
        let versions = scene.versions.iter();
        versions.map(move |(version, _)| Play {
            scene,
            version: *version,
        })
    });
    plays.collect()
}

impl Play<'_> {
    pub(crate) fn played(&self, verdict: Verdict, began: Instant) -> Played {
        Played {
            name: self.scene.name(self.version),
            place: format!("{}:{}", self.scene.file, self.scene.line),
            version: self.version,
            ids: self.scene.ids(self.version).to_vec(),
            verdict,
            duration: began.elapsed(),
        }
    }
}

/// Asks the target what it offers and plays what can be played, `jobs` scenes beside each other and those that
/// disturb others by themselves. The result is in the order of `plays`; `progress` is called as each one ends.
///
/// # Errors
/// If the target cannot be reached or lets nobody in.
pub async fn run<T: Target>(
    plays: &[Play<'_>],
    target: &T,
    options: &Options,
    mut progress: impl FnMut(&Played),
) -> Result<Vec<Played>, RunError> {
    let offers = Offers::learn(target, options).await?;
    let is_alone = |play: &Play<'_>| {
        play.scene.needs.contains(&Need::Alone)
            || (target.moves_clock() && !play.scene.waits().is_zero())
    };
    let (alone, together): (Vec<_>, Vec<_>) = plays
        .iter()
        .enumerate()
        .partition(|(_, play)| is_alone(play));
    let mut all: Vec<(usize, Played)> = Vec::with_capacity(plays.len());
    for (plays, jobs) in [(together, options.jobs.max(1)), (alone, 1)] {
        let plays = plays.into_iter().map(|(number, play)| {
            let offers = &offers;
            async move {
                (
                    number,
                    play_as(number, *play, target, offers, options).await,
                )
            }
        });
        let mut playing = futures_util::stream::iter(plays).buffer_unordered(jobs);
        while let Some(played) = playing.next().await {
            progress(&played.1);
            all.push(played);
        }
    }
    all.sort_by_key(|(number, _)| *number);
    Ok(all.into_iter().map(|(_, played)| played).collect())
}

/// Plays one scene in one version, if the target offers what it needs. No other may be played beside it.
pub async fn play<T: Target>(
    play: Play<'_>,
    target: &T,
    offers: &Offers,
    options: &Options,
) -> Played {
    play_as(0, play, target, offers, options).await
}

async fn play_as<T: Target>(
    number: usize,
    play: Play<'_>,
    target: &T,
    offers: &Offers,
    options: &Options,
) -> Played {
    let began = Instant::now();
    if let Some(verdict) = offers.verdict_without_playing(play.scene, play.version) {
        return play.played(verdict, began);
    }
    let mut player = Player::new(target, options, play.version, number);
    let verdict = player.play(play.scene).await;
    let played = play.played(verdict, began);
    player.clean_up().await;
    played
}
