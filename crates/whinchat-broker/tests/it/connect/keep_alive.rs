//! Silence, and how long it may last.

use super::*;

#[tokio::test]
async fn v5_mqtt_3_1_2_22_without_a_keep_alive_silence_has_no_end() {
    on_every_broker(async |broker| {
        let mut peer = Peer::connected(broker, V5, "c").await;
        broker.advance(1_000_000 * SECOND).await;
        peer.receive_nothing().await;
    })
    .await;
}

#[tokio::test]
async fn v5_mqtt_3_1_2_21_a_longer_keep_alive_is_replaced_by_the_server_s() {
    let minute = limited(|limits| {
        limits.keep_alive_max = Some(Seconds::new(60));
    });
    on_every_broker_with(minute, async |broker| {
        for asked in [0, 61, u16::MAX] {
            let mut long = connect(V5, "c");
            long.keep_alive = asked;
            let (mut peer, connack) = Peer::connected_with(broker, long).await;
            assert_eq!(connack.properties.server_keep_alive(), Some(60));
            broker.advance(89 * SECOND).await;
            peer.receive_nothing().await;
            broker.advance(91 * SECOND).await;
            peer.receive_disconnect(DisconnectReason::KeepAliveTimeout)
                .await;
        }
        let mut short = connect(V5, "c");
        short.keep_alive = 60;
        let (_peer, connack) = Peer::connected_with(broker, short).await;
        assert_eq!(connack.properties.server_keep_alive(), None); // v5 [MQTT-3.2.2-22]
    })
    .await;
}

#[tokio::test]
async fn v311_a_longer_keep_alive_is_held_to_the_limit() {
    let minute = limited(|limits| {
        limits.keep_alive_max = Some(Seconds::new(60));
    });
    on_every_broker_with(minute, async |broker| {
        for version in [V31, V311] {
            let mut peer = Peer::connected(broker, version, "c").await;
            broker.advance(89 * SECOND).await;
            peer.receive_nothing().await;
            broker.advance(91 * SECOND).await;
            peer.receive_end().await;
        }
    })
    .await;
}

/// Holds its shard up where it is told to.
struct Holding(std::sync::Mutex<std::sync::mpsc::Receiver<()>>);

impl Authorize for Holding {
    fn authorize(&self, access: &Access<'_>) -> Result<Decision, HookError> {
        if access.topic == "hold" {
            let go_on = self.0.lock().unwrap();
            go_on
                .recv()
                .map_err(|_| HookError::new("nobody is there any more"))?;
        }
        Ok(Decision::Allow)
    }
}

#[tokio::test]
async fn after_a_pause_of_the_process_what_has_come_is_read_before_anybody_is_cut() {
    let (let_go, held) = std::sync::mpsc::channel();
    let (clock, hand) = whinchat_broker::Clock::manual();
    let broker = Broker::builder()
        .threads(1)
        .clock(clock)
        .authorize(Holding(std::sync::Mutex::new(held)))
        .start()
        .unwrap();
    let mut living = connect(V5, "living");
    living.keep_alive = 10;
    let (mut peer, _) = Peer::connected_with(&broker, living).await;
    let mut other = Peer::connected(&broker, V5, "other").await;
    other.send(publish("hold", "x")).await;
    // The shard stands still; meanwhile the packet comes, and time passes.
    peer.send(Packet::PingReq).await;
    hand.advance(60 * SECOND);
    let_go.send(()).unwrap();
    assert_eq!(peer.receive().await, Packet::PingResp);
    peer.receive_nothing().await;
}
