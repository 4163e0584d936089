//! A retained message is set, cleared or expires while somebody subscribes: in every order that turns can have.

use std::{collections::BTreeMap, time::Duration};

use whinchat_codec::{Packet, QoS, SubscriptionOptions};

use crate::{
    peer::{Refine, V5, connect, publish, subscribe},
    stepped::{Scene, write},
};

const SEEDS: u64 = 300;

/// What happens to the retained message `old`.
#[derive(Clone, Copy, Debug)]
enum Race {
    Set,
    Clear,
    Expire,
}

/// The payloads that a subscriber got that came at the same time, and those that a later one got.
fn play(race: Race, seed: u64) -> (Vec<String>, Vec<String>) {
    let mut scene = Scene::new(seed);
    scene.log.release();
    let mut random = fastrand::Rng::with_seed(seed);
    let mut client = |scene: &mut Scene, name: &str| {
        let mut stream = scene.broker.connect_in_memory();
        // Any shard may be its home.
        let id = format!("{name}{}", random.u8(..));
        scene.send(&mut stream, Packet::Connect(Box::new(connect(V5, &id))));
        scene.received(&mut stream);
        stream
    };
    let mut reader = client(&mut scene, "reader");
    let mut writer = client(&mut scene, "writer");
    let mut late = client(&mut scene, "late");
    let mut old = publish("t", "old").retained();
    old.properties.set_message_expiry_interval(10);
    scene.send(&mut writer, old);

    let filter = [("t", SubscriptionOptions::new(QoS::AtMostOnce))];
    let subscribes_first = fastrand::Rng::with_seed(seed).bool();
    for is_subscribing in [subscribes_first, !subscribes_first] {
        match race {
            _ if is_subscribing => write(&mut reader, Packet::Subscribe(subscribe(1, &filter))),
            Race::Set => write(&mut writer, publish("t", "new").retained()),
            Race::Clear => write(&mut writer, publish("t", "").retained()),
            Race::Expire => scene.hand.advance(Duration::from_secs(11)),
        }
        scene.some_turns();
    }
    scene.settle();
    let at_once = payloads(&mut scene, &mut reader);
    scene.send(&mut late, Packet::Subscribe(subscribe(1, &filter)));
    (at_once, payloads(&mut scene, &mut late))
}

fn payloads(scene: &mut Scene, stream: &mut whinchat_transport::Stream) -> Vec<String> {
    let packets = scene.received(stream).into_iter().flatten();
    let messages = packets.filter_map(|packet| match packet {
        Packet::Publish(message) => Some(message),
        _ => None,
    });
    messages
        .map(|message| String::from_utf8_lossy(&message.payload).into_owned())
        .collect()
}

/// Each outcome is one of these, and each of these is met.
#[track_caller]
fn outcomes_are(race: Race, allowed: &[&[&str]], later: &[&str]) {
    let mut met: BTreeMap<Vec<String>, u64> = BTreeMap::new();
    for seed in 0..SEEDS {
        let (at_once, late) = play(race, seed);
        assert!(
            allowed.contains(&&*at_once.iter().map(String::as_str).collect::<Vec<_>>()),
            "seed {seed}: {at_once:?}"
        );
        assert_eq!(late, later, "seed {seed}: {at_once:?} before");
        *met.entry(at_once).or_default() += 1;
    }
    assert_eq!(met.len(), allowed.len(), "{met:?}");
}

/// T-73
#[test]
fn a_subscriber_gets_the_old_message_and_the_new_one_or_the_new_one() {
    outcomes_are(Race::Set, &[&["old", "new"], &["new"]], &["new"]);
}

/// T-73
#[test]
fn a_subscriber_gets_the_old_message_and_hears_that_it_is_gone_or_gets_nothing() {
    outcomes_are(Race::Clear, &[&["old", ""], &[""], &[]], &[]);
}

/// T-73
#[test]
fn a_subscriber_gets_the_message_before_it_expires_or_nothing() {
    outcomes_are(Race::Expire, &[&["old"], &[]], &[]);
}
