//! The transcripts of `whinchat-conformance`, played on the plain reference server around the engine.
//!
//! Each scene has a server for itself, in each setup that it fits. The clock is pushed, and that of the runtime stands
//! still, so that what does not come is known at once.

use std::collections::BTreeSet;

use whinchat_conformance::{Offers, Options, Verdict, broker_scenes, play, plays};
use whinchat_testkit::reference_server::{Offered, ReferenceServer};

/// Plays every scene in all setups. Each passes in one at least, and fails in none.
async fn every_scene_passes(split: bool) {
    let mut unplayed: BTreeSet<String> = plays(broker_scenes())
        .iter()
        .map(|one| one.scene.name(one.version))
        .collect();
    let mut failures = Vec::new();
    for offered in Offered::each() {
        let mut options = Options::default();
        options.strict = true;
        options.split = split;
        if offered.asks_for_login {
            options.user_name = Some("known".to_owned());
            options.password = Some(b"secret".to_vec());
        }
        let server = ReferenceServer::new(offered);
        let offers = Offers::learn(&server, &options).await.expect("a server");
        for one in plays(broker_scenes()) {
            let server = ReferenceServer::new(offered);
            let played = play(one, &server, &offers, &options).await;
            match played.verdict {
                Verdict::Passed => {
                    unplayed.remove(&played.name);
                }
                Verdict::NotTested(_) | Verdict::NotOffered(_) => {}
                Verdict::Failed(failure) => failures.push(format!(
                    "{}: {}\n{}\n{failure}\n",
                    played.place, played.name, offered.name
                )),
            }
        }
    }
    assert!(
        failures.is_empty(),
        "{} failures\n{}",
        failures.len(),
        failures.join("\n")
    );
    assert!(unplayed.is_empty(), "passed in no setup: {unplayed:#?}");
}

#[tokio::test(start_paused = true)]
async fn every_transcript_passes() {
    every_scene_passes(false).await;
}

#[tokio::test(start_paused = true)]
async fn every_transcript_passes_byte_by_byte() {
    every_scene_passes(true).await;
}
