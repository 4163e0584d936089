//! T-18 to T-33: who connects, in which order, and how it ends.

use whinchat_broker::Broker;
use whinchat_codec::{
    Auth, AuthProperties, AuthReason, ConnAckReason, Connect, Disconnect, DisconnectReason, Packet,
    QoS, SubscriptionOptions,
};

use super::{Answer, Raw, Witnesses, encoded};
use crate::peer::{Peer, Refine, V5, V31, V311, connect, puback, publish, subscribe, text, will};

/// T-19
#[tokio::test]
async fn a_second_connect_ends_the_connection_and_the_will_is_published() {
    let broker = Broker::builder().threads(2).start().unwrap();
    let witnesses = Witnesses::of(&broker).await;
    let mut watcher = Peer::connected(&broker, V5, "watcher").await;
    watcher.subscribe("gone", QoS::AtMostOnce).await;
    for version in [V31, V311, V5] {
        let hello = Connect {
            will: Some(will("gone", "twice")),
            ..connect(version, "c")
        };
        let (mut peer, _) = Peer::connected_with(&broker, hello).await;
        peer.send(Packet::Connect(Box::new(connect(version, "c"))))
            .await;
        peer.receive_disconnect(DisconnectReason::ProtocolError)
            .await;
        assert_eq!(watcher.receive_publish().await.payload, "twice");
    }
    watcher.disconnect().await;
    witnesses.are_alone_again().await;
}

/// T-23
#[tokio::test]
async fn what_comes_with_a_connect_that_is_refused_is_not_handled() {
    let broker = Broker::builder().threads(2).start().unwrap();
    let mut witnesses = Witnesses::of(&broker).await;
    let mut watcher = Peer::connected(&broker, V5, "watcher").await;
    watcher.subscribe("#", QoS::AtMostOnce).await;
    for version in [V311, V5] {
        let mut hello = connect(version, &"i".repeat(2_000));
        let packets = |hello: &Connect| {
            encoded(
                version,
                [
                    Packet::Connect(Box::new(hello.clone())),
                    Packet::Subscribe(subscribe(
                        1,
                        &[("x", SubscriptionOptions::new(QoS::AtMostOnce))],
                    )),
                    Packet::Publish(publish("x", "early")),
                    Packet::PingReq,
                ],
            )
        };
        let mut refused = Raw::silent(&broker, version);
        refused.send(&packets(&hello)).await;
        let Ok(Answer(answer)) = refused.until_closed().await else {
            panic!("the connection stays open");
        };
        let [Packet::ConnAck(connack)] = &answer[..] else {
            panic!("{answer:?}");
        };
        assert_eq!(connack.reason, ConnAckReason::ClientIdentifierNotValid);
        watcher.receive_nothing().await;

        hello.client_id = text("short");
        let mut taken = Raw::silent(&broker, version);
        taken.send(&packets(&hello)).await;
        assert_eq!(watcher.receive_publish().await.payload, "early");
    }
    witnesses.notice_nothing().await;
}

/// T-24
#[tokio::test]
async fn what_comes_before_disconnect_counts_and_what_comes_behind_it_does_not() {
    let broker = Broker::builder().threads(2).start().unwrap();
    let mut watcher = Peer::connected(&broker, V5, "watcher").await;
    watcher.subscribe("#", QoS::AtMostOnce).await;
    for version in [V31, V311, V5] {
        let hello = Connect {
            will: Some(will("gone", "")),
            ..connect(version, "c")
        };
        let mut peer = Raw::silent(&broker, version);
        let goodbye = Disconnect::new(DisconnectReason::NormalDisconnection);
        let bytes = encoded(
            version,
            [
                Packet::Connect(Box::new(hello)),
                Packet::Publish(publish("last", "")),
                Packet::Disconnect(goodbye),
                Packet::Publish(publish("too/late", "")),
                Packet::Connect(Box::new(connect(version, "d"))),
            ],
        );
        peer.send(&bytes).await;
        drop(peer);
        assert_eq!(&*watcher.receive_publish().await.topic, "last");
        watcher.receive_nothing().await;
    }
    assert_eq!(broker.metrics().shared().panics.value(), 0);
}

/// T-31
#[tokio::test]
async fn an_empty_client_id_is_given_one_or_refused() {
    let broker = Broker::builder().threads(2).start().unwrap();
    let mut given = Vec::new();
    for _ in 0..20 {
        let (_peer, connack) = Peer::connected_with(&broker, connect(V5, "")).await;
        let id = connack.properties.assigned_client_identifier().unwrap();
        given.push(id.to_owned());
    }
    given.sort_unstable();
    given.dedup();
    assert_eq!(given.len(), 20);
    // 24 letters of 5 bits behind the prefix.
    assert!(given.iter().all(|id| id.len() == "auto-".len() + 24));

    let kept = Connect {
        clean_start: false,
        ..connect(V311, "")
    };
    for hello in [kept, connect(V31, "")] {
        let mut peer = Peer::silent(&broker, hello.version);
        let connack = peer.log_in(hello).await;
        assert_eq!(connack.reason, ConnAckReason::ClientIdentifierNotValid);
        peer.receive_end().await;
    }
    Peer::connected(&broker, V311, "").await.disconnect().await;
}

/// T-32
#[tokio::test]
async fn a_client_id_is_an_opaque_text() {
    let broker = Broker::builder().threads(2).start().unwrap();
    let witnesses = Witnesses::of(&broker).await;
    let ids = [
        "+",
        "#",
        "/",
        "../../etc/passwd",
        "a\nb",
        "a\r\u{7f}\u{1}",
        "%s%n",
        "good-publisher ",
        "GOOD-PUBLISHER",
        "\u{202e}gnp.exe",
        "$SYS/broker",
        "'; DROP TABLE",
        "a/b",
        "a",
        "b",
    ];
    let mut peers = Vec::new();
    for id in ids {
        let mut peer = Peer::connected(&broker, V5, id).await;
        peer.subscribe("own", QoS::AtMostOnce).await;
        peers.push(peer);
    }
    for peer in &mut peers {
        peer.receive_nothing().await; // nobody was taken for another
    }
    for peer in peers {
        peer.disconnect().await;
    }
    witnesses.are_alone_again().await;
}

/// T-33
#[tokio::test]
async fn auth_where_no_method_was_agreed_on_is_an_error() {
    let broker = Broker::builder().threads(2).start().unwrap();
    let witnesses = Witnesses::of(&broker).await;
    let auth = |reason| {
        let mut properties = AuthProperties::default();
        properties.set_authentication_method("made-up").unwrap();
        Packet::Auth(Auth { reason, properties })
    };
    for reason in [
        AuthReason::Reauthenticate,
        AuthReason::ContinueAuthentication,
        AuthReason::Success,
    ] {
        let mut peer = Peer::connected(&broker, V5, "c").await;
        peer.send(auth(reason)).await;
        peer.receive_disconnect(DisconnectReason::ProtocolError)
            .await;
        let mut first = Peer::silent(&broker, V5);
        first.send(auth(reason)).await;
        first.receive_end().await;
    }
    let mut hello = connect(V5, "c");
    hello
        .properties
        .set_authentication_method("made-up")
        .unwrap();
    let mut peer = Peer::silent(&broker, V5);
    let connack = peer.log_in(hello).await;
    assert_eq!(connack.reason, ConnAckReason::BadAuthenticationMethod);
    peer.receive_end().await;
    witnesses.are_alone_again().await;
}

/// T-25: however fast, there is never more than one connection for one id.
#[tokio::test]
async fn many_takeovers_leave_one_connection() {
    let broker = Broker::builder().threads(2).start().unwrap();
    let mut witnesses = Witnesses::of(&broker).await;
    let mut last = None;
    for number in 0..30 {
        let version = [V31, V311, V5][number % 3];
        let mut peer = Peer::connected(&broker, version, "one").await;
        peer.subscribe("only", QoS::AtLeastOnce).await;
        if let Some(mut old) = last.replace(peer) {
            Peer::receive_disconnect(&mut old, DisconnectReason::SessionTakenOver).await;
        }
    }
    let mut publisher = Peer::connected(&broker, V5, "p").await;
    publisher.publish_acked("only", "once").await;
    let mut last = last.unwrap();
    let got = last.receive_publish().await;
    last.send(puback(got.guarantee.packet_id().unwrap().get()))
        .await;
    last.receive_nothing().await;
    witnesses.notice_nothing().await;
    let sent = publish("only", "twice").at_least_once(9);
    publisher.send(sent).await;
    assert_eq!(publisher.receive().await, puback(9));
    assert_eq!(last.receive_publish().await.payload, "twice");
    last.cut();
    publisher.disconnect().await;
    witnesses.are_alone_again().await;
}
