//! Wills and a broker that starts again: what it finds of them in the log and in a checkpoint, so that each
//! is published once or not at all, as `docs/will-delay.md` has it (T-68).

use std::time::Duration;

use whinchat_codec::{Connect, Disconnect, DisconnectReason, Packet, QoS, SubscriptionOptions};
use whinchat_transport::Stream;

use crate::{
    peer::{V5, connect_durable, subscribe, will},
    stepped::Scene,
};

/// The kinds of records that these tests read: see `core::records`.
const MESSAGE: u8 = 1;
const WILL: u8 = 14;
const WILL_END: u8 = 15;

/// The Will Delay Interval.
const DELAY: Duration = Duration::from_secs(10);

/// A broker that commits at once, with a session that will get the Will: so the message is recorded.
fn begun() -> Scene {
    let mut scene = Scene::new(1);
    scene.log.release();
    let filters = [("gone", SubscriptionOptions::new(QoS::AtLeastOnce))];
    let mut keeper = scene.connect(connect_durable(V5, "keeper"));
    scene.send(&mut keeper, Packet::Subscribe(subscribe(1, &filters)));
    scene.cut(keeper);
    scene
}

impl Scene {
    fn connect(&mut self, connect: Connect) -> Stream {
        let mut stream = self.broker.connect_in_memory();
        self.send(&mut stream, Packet::Connect(Box::new(connect)));
        stream
    }

    fn cut(&mut self, stream: Stream) {
        drop(stream);
        self.settle();
    }

    fn advance(&mut self, by: Duration) {
        self.hand.advance(by);
        self.settle();
    }

    /// How many Wills were recorded (again, where a start writes the session anew), how many of them are over, and how many were published.
    fn counts(&self) -> (usize, usize, usize) {
        let count = |kind| self.log.records(kind).len();
        (count(WILL), count(WILL_END), count(MESSAGE))
    }

    /// Whether the client with the Will had a session when it came, and is away again.
    fn had_session(&mut self) -> bool {
        let mut stream = self.connect(connect_durable(V5, "c"));
        let had = match &self.received(&mut stream)[..] {
            [Some(Packet::ConnAck(connack))] => connack.session_present,
            other => panic!("expected CONNACK, got {other:?}"),
        };
        self.cut(stream);
        had
    }

    /// What the session gets that waits for Wills.
    fn delivered(&mut self) -> usize {
        let mut keeper = self.connect(connect_durable(V5, "keeper"));
        let received = self.received(&mut keeper);
        self.cut(keeper);
        let is_will = |packet: &&Option<Packet>| matches!(packet, Some(Packet::Publish(publish)) if publish.payload == "will");
        received.iter().filter(is_will).count()
    }
}

/// A CONNECT with a Will that waits for [`DELAY`], of a session that expires after `expiry` seconds.
fn delayed(expiry: u32) -> Connect {
    let mut connect = connect_durable(V5, "c");
    connect.properties.set_session_expiry_interval(expiry);
    let mut will = will("gone", "will");
    will.qos = QoS::AtLeastOnce;
    let seconds = u32::try_from(DELAY.as_secs()).unwrap();
    will.properties.set_will_delay_interval(seconds);
    connect.will = Some(will);
    connect
}

// ---- a start with the state of before ----

/// Case W-10.
/// T-68
#[test]
fn v5_mqtt_3_1_2_8_a_delay_goes_on_over_a_restart() {
    for pause in [Duration::ZERO, DELAY / 5] {
        let mut scene = begun();
        let peer = scene.connect(delayed(3600));
        scene.cut(peer);
        scene.advance(DELAY / 2);
        scene.restart_after(pause, 3);
        scene.advance(DELAY / 2 - pause - Duration::from_secs(1));
        assert_eq!(scene.counts(), (1, 0, 0), "its delay is not over");
        scene.advance(Duration::from_secs(2));
        assert_eq!(scene.counts(), (1, 1, 1));
        scene.restart_after(2 * DELAY, 2);
        assert_eq!(scene.counts(), (1, 1, 1), "not again");
        assert_eq!(scene.delivered(), 1);
    }
}

/// Case W-10.
/// T-68
#[test]
fn v5_mqtt_3_1_2_8_a_delay_that_ended_meanwhile_ends_at_the_start() {
    let mut scene = begun();
    let peer = scene.connect(delayed(3600));
    scene.cut(peer);
    scene.restart_after(2 * DELAY, 1);
    assert_eq!(scene.counts(), (1, 1, 1));
    assert!(scene.had_session());
    assert_eq!(scene.delivered(), 1);
}

/// Case W-10, and then W-1.
/// T-68
#[test]
fn v5_mqtt_3_1_3_9_a_client_that_is_back_in_time_takes_its_will_away_after_a_restart_too() {
    let mut scene = begun();
    let peer = scene.connect(delayed(3600));
    scene.cut(peer);
    scene.restart_after(DELAY / 2, 2);
    assert!(scene.had_session());
    scene.advance(2 * DELAY);
    assert_eq!(scene.counts(), (1, 1, 0));
    assert_eq!(scene.delivered(), 0);
}

/// Case W-11.
/// T-68
#[test]
fn v5_mqtt_3_1_2_8_a_session_that_expired_meanwhile_publishes_its_will_at_the_start() {
    let mut scene = begun();
    let peer = scene.connect(delayed(5));
    scene.cut(peer);
    scene.restart_after(Duration::from_secs(6), 3);
    assert_eq!(scene.counts(), (1, 1, 1));
    assert!(!scene.had_session());
    scene.advance(2 * DELAY);
    assert_eq!(scene.delivered(), 1);
}

/// Case W-12.
/// T-68
#[test]
fn v5_mqtt_3_1_2_8_a_restart_is_the_end_of_every_connection() {
    let mut scene = begun();
    let _connected = scene.connect(delayed(3600));
    scene.advance(2 * DELAY);
    scene.restart_after(2 * DELAY, 2);
    scene.advance(DELAY * 9 / 10);
    assert_eq!(scene.counts(), (2, 0, 0), "its delay began with the start");
    scene.advance(DELAY / 5);
    assert_eq!(scene.counts(), (2, 1, 1));
    assert_eq!(scene.delivered(), 1);
}

/// Case W-12, and then W-8.
/// T-68
#[test]
fn v5_mqtt_3_1_2_8_the_session_of_a_connection_that_a_restart_ended_may_end_first() {
    let mut scene = begun();
    let _connected = scene.connect(delayed(5));
    scene.restart_after(DELAY, 2);
    assert_eq!(scene.counts(), (2, 0, 0));
    scene.advance(Duration::from_secs(6));
    assert_eq!(scene.counts(), (2, 1, 1));
    assert!(!scene.had_session());
}

// ---- what the log says ----

/// T-68
#[test]
fn v5_mqtt_3_1_2_7_a_will_is_recorded_before_its_connack() {
    let mut scene = begun();
    scene.log.hold();
    let mut peer = scene.connect(delayed(3600));
    assert_eq!(scene.counts(), (1, 0, 0));
    let will = scene.log.records(WILL).remove(0);
    let qos_and_delay = will.windows(2).any(|bytes| bytes == [1, 10]);
    assert!(qos_and_delay, "behind the session and its owner");
    assert!(will.ends_with(b"will"), "the payload");
    assert_eq!(scene.received(&mut peer), []);
    scene.commit();
    assert_eq!(scene.received(&mut peer).len(), 1);
}

/// T-68
#[test]
fn v5_mqtt_3_1_2_8_a_will_and_the_message_that_it_becomes_change_places_in_one_step() {
    let mut scene = begun();
    let peer = scene.connect(delayed(3600));
    scene.cut(peer);
    scene.advance(2 * DELAY);
    assert_eq!(scene.counts(), (1, 1, 1));
    let groups = scene.log.kinds();
    let published = groups.iter().find(|group| group.contains(&WILL_END));
    assert!(published.is_some_and(|group| group.contains(&MESSAGE)));
}

/// T-68
#[test]
fn v5_mqtt_3_1_3_9_a_will_that_a_client_takes_away_is_over_in_the_log_too() {
    let mut scene = begun();
    let peer = scene.connect(delayed(3600));
    scene.cut(peer);
    scene.advance(DELAY / 2);
    let _back = scene.connect(delayed(3600));
    assert_eq!(scene.counts(), (2, 1, 0), "back in time");
    let mut next = scene.connect(delayed(3600));
    assert_eq!(scene.counts(), (3, 2, 0), "taken over");
    scene.send(
        &mut next,
        Packet::Disconnect(Disconnect::new(DisconnectReason::NormalDisconnection)),
    );
    scene.advance(2 * DELAY);
    assert_eq!(scene.counts(), (3, 3, 0), "said DISCONNECT");
}

/// T-68
#[test]
fn v5_mqtt_3_1_2_8_a_session_that_ends_ends_its_will_in_the_log() {
    let mut scene = begun();
    let peer = scene.connect(delayed(5));
    scene.cut(peer);
    scene.advance(Duration::from_secs(6));
    assert_eq!(scene.counts(), (1, 1, 1), "expired first");
    let peer = scene.connect(delayed(3600));
    scene.cut(peer);
    let mut anew = delayed(3600);
    anew.clean_start = true;
    let mut peer = scene.connect(anew);
    assert_eq!(scene.counts(), (3, 2, 2), "began anew");
    let mut last = Disconnect::new(DisconnectReason::DisconnectWithWill);
    last.properties.set_session_expiry_interval(0);
    scene.send(&mut peer, Packet::Disconnect(last));
    assert_eq!(scene.counts(), (3, 3, 3), "said that it ends");
    let mut peer = scene.connect(delayed(3600));
    let mut last = Disconnect::new(DisconnectReason::NormalDisconnection);
    last.properties.set_session_expiry_interval(0);
    scene.send(&mut peer, Packet::Disconnect(last));
    assert_eq!(scene.counts(), (4, 4, 3), "said so without the Will");
}
