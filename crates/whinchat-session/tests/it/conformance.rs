//! The transcripts of `whinchat-conformance`, played on the plain reference server around the engine.
//!
//! Each scene has a server for itself. The clock is pushed, and that of the runtime stands still, so that what does not
//! come is known at once.

use whinchat_conformance::{Offers, Options, Verdict, broker_scenes, play, plays};
use whinchat_testkit::reference_server::ReferenceServer;

/// Plays every scene, and says which ones failed.
async fn all_pass(asks_for_login: bool, change: impl Fn(&mut Options)) {
    let mut options = Options::default();
    options.strict = true;
    if asks_for_login {
        options.user_name = Some("known".to_owned());
        options.password = Some(b"secret".to_vec());
    }
    change(&mut options);
    let mut failures = Vec::new();
    let mut passed = 0;
    for one in plays(broker_scenes()) {
        let server = ReferenceServer::with_login(asks_for_login);
        let offers = Offers::learn(&server, &options).await.expect("a server");
        let played = play(one, &server, &offers, &options).await;
        match played.verdict {
            Verdict::Passed => passed += 1,
            Verdict::NotTested(_) => {}
            Verdict::Failed(failure) => {
                failures.push(format!("{}: {}\n{failure}", played.place, played.name));
            }
            Verdict::NotOffered(what) => {
                failures.push(format!("{}: {}: {what}", played.place, played.name));
            }
        }
    }
    assert!(
        failures.is_empty(),
        "{} failed, {passed} passed\n{}",
        failures.len(),
        failures.join("\n")
    );
    assert!(passed > 0);
}

#[tokio::test(start_paused = true)]
async fn every_transcript_passes() {
    all_pass(false, |_| {}).await;
}

#[tokio::test(start_paused = true)]
async fn every_transcript_passes_with_a_login() {
    all_pass(true, |_| {}).await;
}

#[tokio::test(start_paused = true)]
async fn every_transcript_passes_byte_by_byte() {
    all_pass(false, |options| options.split = true).await;
}
