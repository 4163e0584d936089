//! Two engines and a link that splits, delays and cuts at every byte: nothing is lost, QoS 2 is
//! never doubled, and the order stays.

use whinchat_codec::{ProtocolVersion, QoS};
use whinchat_session::SessionLimits;
use whinchat_testkit::{Endpoint, Pair, Received};

/// Messages of each QoS and direction.
const MESSAGES: usize = 4;

fn pair(version: ProtocolVersion, seed: u64, durable: bool) -> Pair {
    // A small window, so that some messages have to wait in the queue.
    let limits = SessionLimits::default()
        .with_in_flight_max(3)
        .with_in_flight_max_v3(3)
        .with_topic_alias_maximum_out(2);
    Pair::new(version, seed, limits, durable)
}

fn publish_all(pair: &mut Pair) {
    for number in 0..MESSAGES {
        for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce, QoS::AtMostOnce] {
            let payload = format!("{}-{number}", qos as u8);
            let Pair {
                clock,
                client,
                server,
                ..
            } = &mut *pair;
            client.publish(clock, qos, "from/client", &payload);
            server.publish(clock, qos, "from/server", &payload);
        }
    }
}

fn payloads(received: &[Received], qos: QoS) -> Vec<String> {
    received
        .iter()
        .filter(|message| message.qos == qos)
        .map(|message| String::from_utf8_lossy(&message.payload).into_owned())
        .collect()
}

fn expected(qos: QoS) -> Vec<String> {
    (0..MESSAGES)
        .map(|number| format!("{}-{number}", qos as u8))
        .collect()
}

#[track_caller]
fn check_end(end: &Endpoint, context: &str) {
    // Exactly once, in order.
    assert_eq!(
        payloads(&end.received, QoS::ExactlyOnce),
        expected(QoS::ExactlyOnce),
        "QoS 2, {context}"
    );
    // At least once; the first copies are in order, and each further copy has DUP.
    let mut firsts = Vec::new();
    for message in end.received.iter().filter(|m| m.qos == QoS::AtLeastOnce) {
        let payload = String::from_utf8_lossy(&message.payload).into_owned();
        if firsts.contains(&payload) {
            assert!(message.dup, "{payload} came twice without DUP, {context}");
        } else {
            firsts.push(payload);
        }
    }
    assert_eq!(firsts, expected(QoS::AtLeastOnce), "QoS 1, {context}");
    // At most once, in order.
    let mut all = expected(QoS::AtMostOnce).into_iter();
    for payload in payloads(&end.received, QoS::AtMostOnce) {
        assert!(
            all.any(|next| next == payload),
            "QoS 0 {payload}, {context}"
        );
    }
    assert!(end.session.is_empty(), "{:?}, {context}", end.session);
    assert_eq!(end.acked.len(), 2 * MESSAGES, "{context}");
    assert!(end.out.dropped.is_empty(), "{context}");
}

#[track_caller]
fn check(pair: &Pair, context: &str) {
    check_end(&pair.client, &format!("at the client, {context}"));
    check_end(&pair.server, &format!("at the server, {context}"));
}

/// Bytes of the whole exchange when nothing cuts it.
fn bytes_of_exchange(version: ProtocolVersion, seed: u64, durable: bool) -> usize {
    let mut pair = pair(version, seed, durable);
    pair.connect();
    publish_all(&mut pair);
    assert!(!pair.drive());
    check(&pair, "uncut");
    pair.bytes_arrived
}

fn cut_at_every_byte(version: ProtocolVersion, seed: u64, durable: bool) {
    let bytes = bytes_of_exchange(version, seed, durable);
    assert!(bytes > 300, "the exchange has only {bytes} bytes");
    for cut in 1..bytes {
        let context = format!("{version}, seed {seed}, durable {durable}, cut at byte {cut}");
        let mut pair = pair(version, seed, durable);
        pair.connect();
        publish_all(&mut pair);
        pair.cut_after(cut);
        assert!(pair.drive(), "was not cut, {context}");
        pair.connect();
        assert!(!pair.drive(), "was cut again, {context}");
        check(&pair, &context);
    }
}

/// T-51
#[test]
fn an_exchange_survives_a_cut_at_every_byte() {
    for version in ProtocolVersion::ALL {
        for seed in 0..3 {
            cut_at_every_byte(version, seed, false);
        }
    }
}

/// T-51
#[test]
fn it_survives_with_commits_at_random_turns() {
    for version in ProtocolVersion::ALL {
        for seed in 0..3 {
            cut_at_every_byte(version, seed, true);
        }
    }
}

/// T-51
#[test]
fn it_survives_cut_after_cut() {
    for seed in 0..300_u64 {
        let version = ProtocolVersion::ALL[(seed % 3) as usize];
        let context = format!("{version}, seed {seed}");
        let mut pair = pair(version, seed, seed % 2 == 0);
        publish_all(&mut pair);
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..6 {
            pair.connect();
            pair.cut_after(pair.bytes_arrived + random.usize(1..250));
            if !pair.drive() {
                break;
            }
        }
        pair.cut();
        pair.connect();
        assert!(!pair.drive(), "{context}");
        check(&pair, &context);
    }
}

#[test]
fn it_survives_an_export_and_a_restore_at_every_cut() {
    let seed = 7;
    for version in ProtocolVersion::ALL {
        for cut in (1..bytes_of_exchange(version, seed, false)).step_by(7) {
            let mut pair = pair(version, seed, false);
            pair.connect();
            publish_all(&mut pair);
            pair.cut_after(cut);
            pair.drive();
            for end in [&mut pair.client, &mut pair.server] {
                let snapshot = end.session.export(whinchat_testkit::write_message);
                end.session = whinchat_session::SessionState::restore(
                    &snapshot,
                    whinchat_testkit::read_message,
                )
                .expect("what was exported");
            }
            pair.connect();
            assert!(!pair.drive());
            check(&pair, &format!("{version}, restored at byte {cut}"));
        }
    }
}
