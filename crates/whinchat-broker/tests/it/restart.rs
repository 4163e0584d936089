//! What a broker finds again after a restart: everything that it acknowledged, whatever the moment at which it stopped.

use std::{sync::Arc, time::Duration};

use whinchat_broker::{Broker, BrokerHandle, Clock, ClockHand, Store, config::Config};
use whinchat_codec::{Guarantee, Packet, QoS};
use whinchat_store::{
    DurableLogOptions,
    disk::{Crash, SimulatedDisk},
};

use crate::peer::{
    Peer, Refine, V5, V311, connect, connect_durable, puback, pubcomp, publish, pubrec, pubrel,
    will,
};

/// A broker on a disk in memory, and time that stands still.
pub(crate) struct Lives {
    pub(crate) disk: SimulatedDisk,
    clock: Clock,
    pub(crate) hand: ClockHand,
    pub(crate) config: Config,
}

/// The size of a segment of the log.
pub(crate) const SEGMENT_BYTES: u64 = 64 << 10;

impl Lives {
    fn new() -> Self {
        let (clock, hand) = Clock::manual();
        Self {
            disk: SimulatedDisk::new(),
            clock,
            hand,
            config: Config::embedded(),
        }
    }

    pub(crate) fn start(&self) -> BrokerHandle {
        let mut options = DurableLogOptions::default();
        options.segment_bytes = SEGMENT_BYTES;
        Broker::builder()
            .config(self.config.clone())
            .threads(2)
            .clock(self.clock.clone())
            .store(Store::new(Arc::new(self.disk.clone()), options))
            .start()
            .expect("what was stored can be read")
    }

    /// The power goes: what was not synced is lost.
    async fn cut_power(&mut self, broker: BrokerHandle) -> BrokerHandle {
        let done = self.disk.operations();
        let mut left = None;
        self.disk.crashes(|operations, crash| {
            if operations == done {
                left = Some(crash(Crash::Nothing));
            }
        });
        self.disk = left.expect("the last moment");
        tokio::task::spawn_blocking(move || drop(broker))
            .await
            .expect("it ends");
        self.start()
    }
}

/// Plays a scene that begins with a new broker.
pub(crate) async fn on_a_store(scene: impl AsyncFn(Lives, BrokerHandle)) {
    on_a_store_with(Config::embedded(), scene).await;
}

/// The same, of a broker with this configuration.
pub(crate) async fn on_a_store_with(config: Config, scene: impl AsyncFn(Lives, BrokerHandle)) {
    let lives = Lives {
        config,
        ..Lives::new()
    };
    let broker = lives.start();
    scene(lives, broker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_messages_are_there_after_a_power_cut() {
    on_a_store(async |mut lives, broker| {
        for version in [V311, V5] {
            let name = format!("reader-{version:?}");
            let (mut reader, _) =
                Peer::connected_with(&broker, connect_durable(version, &name)).await;
            reader.subscribe("a/#", QoS::ExactlyOnce).await;
            reader.disconnect().await;
        }
        let mut writer = Peer::connected(&broker, V5, "writer").await;
        writer.publish_acked("a/b", "one").await;
        writer.publish_completed("a/b", "two").await;
        let broker = lives.cut_power(broker).await;
        for version in [V311, V5] {
            let name = format!("reader-{version:?}");
            let (mut reader, connack) =
                Peer::connected_with(&broker, connect_durable(version, &name)).await;
            assert!(connack.session_present);
            reader.take_payloads(&["one", "two"]).await;
            reader.disconnect().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exchanges_go_on_where_they_were() {
    on_a_store(async |mut lives, broker| {
        let (mut reader, _) = Peer::connected_with(&broker, connect_durable(V5, "reader")).await;
        reader.subscribe("a", QoS::ExactlyOnce).await;
        let mut writer = Peer::connected(&broker, V5, "writer").await;
        writer.publish_completed("a", "two").await;
        let received = reader.receive_publish().await;
        let id = received.guarantee.packet_id().expect("QoS 2").get();
        reader.send(pubrec(id)).await;
        assert_eq!(reader.receive().await, pubrel(id));
        // A QoS 1 message that was sent and not answered.
        writer.publish_acked("a", "one").await;
        let one = reader.receive_publish().await;
        let broker = lives.cut_power(broker).await;
        let (mut reader, _) = Peer::connected_with(&broker, connect_durable(V5, "reader")).await;
        let mut owed = Vec::new();
        for _ in 0..2 {
            owed.push(reader.receive().await);
        }
        assert!(owed.contains(&pubrel(id)), "{owed:?}");
        let again = owed.iter().find_map(|packet| match packet {
            Packet::Publish(publish) => Some(publish.clone()),
            _ => None,
        });
        let again = again.expect("the message of QoS 1");
        assert_eq!(again.payload, one.payload);
        assert!(again.guarantee.dup());
        assert_ne!(again.guarantee.packet_id().map(|id| id.get()), Some(id));
        reader.send(pubcomp(id)).await;
        let Guarantee::AtLeastOnce { id, .. } = again.guarantee else {
            panic!("{again:?}")
        };
        reader.send(puback(id.get())).await;
        reader.receive_nothing().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_qos_2_publish_is_known_after_a_power_cut() {
    on_a_store(async |mut lives, broker| {
        let (mut reader, _) = Peer::connected_with(&broker, connect_durable(V5, "reader")).await;
        reader.subscribe("a", QoS::ExactlyOnce).await;
        let (mut writer, _) = Peer::connected_with(&broker, connect_durable(V5, "writer")).await;
        writer.send(publish("a", "once").exactly_once(7)).await;
        assert_eq!(writer.receive().await, pubrec(7));
        let broker = lives.cut_power(broker).await;
        let (mut writer, connack) =
            Peer::connected_with(&broker, connect_durable(V5, "writer")).await;
        assert!(connack.session_present);
        writer
            .send(publish("a", "once").exactly_once(7).dup())
            .await;
        assert_eq!(writer.receive().await, pubrec(7));
        writer.send(pubrel(7)).await;
        assert_eq!(writer.receive().await, pubcomp(7));
        let (mut reader, _) = Peer::connected_with(&broker, connect_durable(V5, "reader")).await;
        reader.take_payloads(&["once"]).await;
        reader.receive_nothing().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retained_messages_come_back_and_cleared_ones_do_not() {
    on_a_store(async |mut lives, broker| {
        let mut writer = Peer::connected(&broker, V5, "writer").await;
        writer
            .send(publish("r/kept", "old").at_least_once(1).retained())
            .await;
        assert_eq!(writer.receive().await, puback(1));
        writer
            .send(publish("r/kept", "new").at_least_once(2).retained())
            .await;
        assert_eq!(writer.receive().await, puback(2));
        writer
            .send(publish("r/cleared", "x").at_least_once(3).retained())
            .await;
        assert_eq!(writer.receive().await, puback(3));
        writer
            .send(publish("r/cleared", "").at_least_once(4).retained())
            .await;
        assert_eq!(writer.receive().await, puback(4));
        let mut short = publish("r/short", "x").at_least_once(5).retained();
        short.properties.set_message_expiry_interval(10);
        writer.send(short).await;
        assert_eq!(writer.receive().await, puback(5));
        let broker = lives.cut_power(broker).await;
        lives.hand.advance(Duration::from_secs(11));
        let mut reader = Peer::connected(&broker, V5, "reader").await;
        reader.subscribe("r/#", QoS::AtLeastOnce).await;
        reader.take_payloads(&["new"]).await;
        reader.receive_nothing().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wills_of_durable_and_of_clean_sessions_are_published_after_a_crash() {
    on_a_store(async |mut lives, broker| {
        let (mut reader, _) = Peer::connected_with(&broker, connect_durable(V5, "reader")).await;
        reader.subscribe("will/#", QoS::AtLeastOnce).await;
        reader.disconnect().await;
        let mut clean = connect(V5, "clean");
        clean.will = Some(will("will/clean", "clean"));
        clean.will.as_mut().expect("set").qos = QoS::AtLeastOnce;
        let (_clean, _) = Peer::connected_with(&broker, clean).await;
        let mut durable = connect_durable(V5, "durable");
        durable.will = Some(will("will/durable", "durable"));
        let set = durable.will.as_mut().expect("set");
        set.qos = QoS::AtLeastOnce;
        set.properties.set_will_delay_interval(10);
        let (_durable, _) = Peer::connected_with(&broker, durable).await;
        let mut said = connect(V5, "said");
        said.will = Some(will("will/said", "said"));
        let (said, _) = Peer::connected_with(&broker, said).await;
        said.disconnect().await;
        // Something that is awaited, behind everything that is not.
        let mut writer = Peer::connected(&broker, V5, "writer").await;
        writer.publish_acked("will/first", "first").await;
        let broker = lives.cut_power(broker).await;
        let (mut reader, _) = Peer::connected_with(&broker, connect_durable(V5, "reader")).await;
        reader.take_payloads(&["first", "clean"]).await;
        reader.receive_nothing().await;
        lives.hand.advance(Duration::from_secs(11));
        reader.take_payloads(&["durable"]).await;
        reader.receive_nothing().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_end_while_the_broker_is_down_and_clean_starts_stay_clean() {
    on_a_store(async |mut lives, broker| {
        for name in ["short", "cleaned"] {
            let mut wish = connect_durable(V5, name);
            wish.properties.set_session_expiry_interval(60);
            let (mut peer, _) = Peer::connected_with(&broker, wish).await;
            peer.subscribe("a", QoS::AtLeastOnce).await;
            peer.disconnect().await;
        }
        let mut wish = connect_durable(V5, "cleaned");
        wish.clean_start = true;
        let (peer, connack) = Peer::connected_with(&broker, wish).await;
        assert!(!connack.session_present);
        peer.disconnect().await;
        let broker_end = lives.hand.clone();
        let broker = lives.cut_power(broker).await;
        let mut writer = Peer::connected(&broker, V5, "writer").await;
        writer.publish_acked("a", "x").await;
        let (mut cleaned, connack) =
            Peer::connected_with(&broker, connect_durable(V5, "cleaned")).await;
        assert!(connack.session_present);
        cleaned.receive_nothing().await;
        broker_end.advance(Duration::from_secs(61));
        let broker = lives.cut_power(broker).await;
        let (mut short, connack) =
            Peer::connected_with(&broker, connect_durable(V5, "short")).await;
        assert!(!connack.session_present);
        short.receive_nothing().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_keep_their_options_and_groups_their_members() {
    on_a_store(async |mut lives, broker| {
        let (mut member, _) = Peer::connected_with(&broker, connect_durable(V5, "member")).await;
        member.subscribe("$share/g/s/#", QoS::AtLeastOnce).await;
        member.subscribe("gone", QoS::AtLeastOnce).await;
        member.unsubscribe(&["gone"]).await;
        member.disconnect().await;
        let mut writer = Peer::connected(&broker, V5, "writer").await;
        writer.publish_acked("s/1", "before").await;
        let broker = lives.cut_power(broker).await;
        let mut writer = Peer::connected(&broker, V5, "writer").await;
        writer.publish_acked("s/2", "after").await;
        writer.publish_acked("gone", "never").await;
        let (mut member, _) = Peer::connected_with(&broker, connect_durable(V5, "member")).await;
        member.take_payloads(&["before", "after"]).await;
        member.receive_nothing().await;
    })
    .await;
}
