//! The player of clients against a client that does what a script tells it to: right, or wrong in each way.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::mpsc;
use whinchat_codec::{DecodeLimits, frame_len};

use super::*;
use crate::notation::{Ids, Names, Speaker, Template};
use crate::play::{Verdict, plays};
use crate::scene::Scene;

/// A client with one script, which it begins from the start for each scene. Its lines are `read` (a packet of ours),
/// a packet to send, `wait`, `cut`, which opens a new connection, and `close`. Behind its last line it is silent.
struct Scripted(&'static str);

struct Connections(mpsc::UnboundedReceiver<DuplexStream>);

impl Clients for Scripted {
    type Client = Connections;

    async fn begin(&self, version: ProtocolVersion) -> io::Result<Connections> {
        let (sender, receiver) = mpsc::unbounded_channel();
        tokio::spawn(act(self.0, version, sender));
        Ok(Connections(receiver))
    }
}

impl Client for Connections {
    type Stream = DuplexStream;

    async fn accept(&mut self) -> io::Result<DuplexStream> {
        let ended = io::ErrorKind::UnexpectedEof;
        self.0.recv().await.ok_or_else(|| ended.into())
    }
}

async fn act(
    script: &str,
    version: ProtocolVersion,
    connections: mpsc::UnboundedSender<DuplexStream>,
) {
    let connect = || {
        let (ours, theirs) = duplex(4096);
        connections.send(theirs).map(|()| ours)
    };
    let Ok(mut stream) = connect() else { return };
    let mut unread = BytesMut::new();
    for line in script.split(';').map(str::trim) {
        let bytes = match line {
            "read" => {
                read(&mut stream, &mut unread).await;
                continue;
            }
            "wait" => {
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
            "cut" => {
                let Ok(other) = connect() else { return };
                stream = other;
                unread.clear();
                continue;
            }
            "close" => return,
            line => packet(line, version),
        };
        if stream.write_all(&bytes).await.is_err() {
            return;
        }
    }
    std::future::pending().await
}

async fn read(stream: &mut DuplexStream, unread: &mut BytesMut) {
    let limits = DecodeLimits::default();
    loop {
        match frame_len(unread, &limits) {
            Ok(Some(len)) if len <= unread.len() => {
                let _ = unread.split_to(len);
                return;
            }
            _ => {}
        }
        if !matches!(stream.read_buf(unread).await, Ok(1..)) {
            return;
        }
    }
}

fn packet(text: &str, version: ProtocolVersion) -> Bytes {
    let speaker = Speaker {
        names: &Names::plain(),
        version,
        client_id: "c",
        ids: &Ids::default(),
        user_name: None,
        password: None,
        assigned: None,
    };
    Template::parse(text).unwrap().encode(&speaker).unwrap()
}

/// Plays steps in 5.0 with a client that is connected.
async fn verdict(steps: &str, script: &'static str) -> Verdict {
    verdict_with(steps, script, &Options::default()).await
}

async fn verdict_with(steps: &str, script: &'static str, options: &Options) -> Verdict {
    let text = format!("scene s\nv5\n{steps}");
    let scenes = Scene::parse_file("x", &text).unwrap();
    let played = run_clients(&plays(&scenes), &Scripted(script), options, |_| {}).await;
    played.unwrap().pop().unwrap().verdict
}

async fn passes(steps: &str, script: &'static str) {
    let verdict = verdict(steps, script).await;
    assert!(matches!(verdict, Verdict::Passed), "{steps}: {verdict:?}");
}

async fn fails(steps: &str, script: &'static str, received: &str) {
    let verdict = verdict(steps, script).await;
    let Verdict::Failed(failure) = verdict else {
        panic!("{steps} should fail with {received}: {verdict:?}");
    };
    assert!(
        failure.received.contains(received),
        "{failure}\nnot {received}"
    );
}

async fn not_offered(steps: &str, script: &'static str, why: &str) {
    match verdict(steps, script).await {
        Verdict::NotOffered(found) => assert!(found.contains(why), "{found}, not {why}"),
        other => panic!("{steps} should not be offered for {why}: {other:?}"),
    }
}

const CONNECTED: &str = "C< CONNECT C> CONNACK 00";

#[tokio::test(start_paused = true)]
async fn what_no_step_asks_for_is_answered_as_a_server_would() {
    passes(
        &format!("{CONNECTED}\nC> PUBLISH q1 id7 $t 'x'  C< PUBACK id7"),
        "CONNECT; read; PINGREQ; read; PUBLISH q2 id1 a 'x'; read; PUBREL id1; read; \
         PUBLISH q1 id2 b 'x'; read; UNSUBSCRIBE id4 z; read; SUBSCRIBE id3 x/+:1; read; read; PUBACK id7",
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_own_topic_of_a_client_is_one_that_it_has_subscribed_to_with_the_qos() {
    let steps = format!("{CONNECTED}\nC> PUBLISH q2 id7 $t 'x'  C< PUBREC id7");
    let subscribed = "CONNECT; read; SUBSCRIBE id1 a:1 b/#:2; read; read; PUBREC id7";
    passes(&steps, subscribed).await;
    let lower = "CONNECT; read; SUBSCRIBE id1 a:1; read";
    not_offered(&steps, lower, "no subscription with QoS 2").await;
    // What is not granted is no subscription.
    let steps = format!(
        "{CONNECTED}\nC? SUBSCRIBE id:s  C> SUBACK id:s 80\nC> PUBLISH q1 id7 $t 'x'  C< PUBACK id7"
    );
    not_offered(&steps, subscribed, "no subscription with QoS 1").await;
}

#[tokio::test(start_paused = true)]
async fn what_a_client_never_does_is_not_offered() {
    let steps = format!("{CONNECTED}\nC? PUBLISH q1 id:m * *  C> PUBACK id:m");
    passes(
        &steps,
        "CONNECT; read; PUBLISH a 'x'; wait; PUBLISH q1 id1 a 'x'; read",
    )
    .await;
    not_offered(&steps, "CONNECT; read; PUBLISH a 'x'", "no such PUBLISH").await;
    not_offered(
        &steps,
        "CONNECT; read; DISCONNECT; close",
        "no such PUBLISH",
    )
    .await;
    let again = format!("{CONNECTED}\nC! cut\nC? CONNECT");
    passes(&again, "CONNECT; read; cut; CONNECT").await;
    not_offered(&again, "CONNECT; read; close", "no connection").await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_has_to_be_the_one_that_is_expected() {
    let steps = format!("{CONNECTED}\nC> PUBLISH q1 id7 ^a 'x'  C< PUBACK id7 00");
    passes(&steps, "CONNECT; read; read; PUBACK id7").await;
    fails(&steps, "CONNECT; read; read; PUBACK id8", "PUBACK id8").await;
    fails(
        &steps,
        "CONNECT; read; read; PUBACK id7 97",
        "code 97 instead of 00",
    )
    .await;
    fails(&steps, "CONNECT; read; read", "nothing within 5s").await;
    fails(&steps, "CONNECT; read; read; close", "the end").await;
    // Who says goodbye first has done nothing wrong.
    let goodbye = "CONNECT; read; read; DISCONNECT; close";
    not_offered(&steps, goodbye, "the client disconnects before").await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_ends_when_it_has_to() {
    let steps = format!("{CONNECTED}\nC> bytes 30 00  C< closed 81 or nothing");
    for script in [
        "CONNECT; read; read; DISCONNECT 81; close",
        "CONNECT; read; read; close",
        "CONNECT; read; read",
    ] {
        passes(&steps, script).await;
    }
    fails(
        &steps,
        "CONNECT; read; read; DISCONNECT 82; close",
        "DISCONNECT 82",
    )
    .await;
    let strict = Options {
        strict: true,
        ..Options::default()
    };
    for (script, received) in [
        ("CONNECT; read; read; close", "the end without DISCONNECT"),
        ("CONNECT; read; read", "nothing within 5s"),
    ] {
        match verdict_with(&steps, script, &strict).await {
            Verdict::Failed(failure) => assert_eq!(failure.received, received),
            other => panic!("{script}: {other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn needs_are_those_of_the_client() {
    for (need, has, lacks) in [
        ("session", "CONNECT expiry=60", "CONNECT"),
        ("no-session", "CONNECT", "CONNECT expiry=60"),
        ("will", "CONNECT will=a will-payload='x'", "CONNECT"),
        ("no-will", "CONNECT", "CONNECT will=a will-payload='x'"),
        ("login", "CONNECT user=u", "CONNECT"),
        ("no-login", "CONNECT", "CONNECT password=p"),
        ("method", "CONNECT method=echo", "CONNECT method=other"),
        ("no-method", "CONNECT", "CONNECT method=echo"),
        ("aliases", "CONNECT tam=1", "CONNECT"),
        ("keep<=3", "CONNECT keep=3", "CONNECT keep=4"),
        ("rm<=10", "CONNECT rm=10", "CONNECT"),
        ("max<=100", "CONNECT max=100", "CONNECT"),
    ] {
        let steps = format!("needs {need}\nC< CONNECT");
        passes(&steps, has).await;
        not_offered(&steps, lacks, "").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_version_that_the_client_does_not_speak_is_not_offered() {
    let scenes = Scene::parse_file("x", "scene s\nv5\nv311\nC< CONNECT").unwrap();
    let client = Scripted("CONNECT v311 clean; read; cut; CONNECT v311 clean");
    let played = run_clients(&plays(&scenes), &client, &Options::default(), |_| {}).await;
    let verdicts: Vec<Verdict> = played.unwrap().into_iter().map(|one| one.verdict).collect();
    assert!(
        matches!(&verdicts[0], Verdict::NotOffered(why) if why == "the client does not speak MQTT 5.0"),
        "{verdicts:?}"
    );
    assert!(matches!(verdicts[1], Verdict::Passed), "{verdicts:?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_refused_may_come_again_in_the_version_of_the_scene() {
    let scenes = Scene::parse_file("x", "scene s\nv311\nC< CONNECT C> CONNACK 00").unwrap();
    let client = Scripted("CONNECT v5; read; cut; CONNECT v311 clean; read");
    let played = run_clients(&plays(&scenes), &client, &Options::default(), |_| {}).await;
    assert!(matches!(played.unwrap()[0].verdict, Verdict::Passed));
}

#[tokio::test(start_paused = true)]
async fn who_does_not_connect_or_speaks_something_else_cannot_be_judged() {
    let scenes = Scene::parse_file("x", "scene s\nv5\nC< CONNECT").unwrap();
    for (script, says) in [
        ("close", "no client of MQTT connects: the end"),
        ("wait; wait; wait; wait; wait; wait", "nothing"),
        ("PINGREQ", "PINGREQ"),
    ] {
        let (plays, client, options) = (plays(&scenes), Scripted(script), Options::default());
        let played = run_clients(&plays, &client, &options, |_| {}).await;
        let error = played.unwrap_err().to_string();
        assert!(error.contains(says), "{script}: {error}");
    }
}

/// Packets without end neither hold a scene up nor fill the memory.
#[tokio::test(start_paused = true)]
async fn a_client_that_never_stops_is_not_waited_for() {
    struct Flood;

    impl Clients for Flood {
        type Client = Connections;

        async fn begin(&self, version: ProtocolVersion) -> io::Result<Connections> {
            let (sender, receiver) = mpsc::unbounded_channel();
            tokio::spawn(async move {
                while let Ok(mut stream) = {
                    let (ours, theirs) = duplex(64);
                    sender.send(theirs).map(|()| ours)
                } {
                    let connect = packet("CONNECT", version);
                    let mut is_open = stream.write_all(&connect).await.is_ok();
                    let ping = packet("PINGREQ", version);
                    let mut answers = [0; 64];
                    while is_open {
                        is_open = stream.write_all(&ping).await.is_ok()
                            && matches!(stream.read(&mut answers).await, Ok(1..));
                        // Time passes, as it does while bytes travel.
                        tokio::time::advance(Duration::from_millis(1)).await;
                    }
                }
            });
            Ok(Connections(receiver))
        }
    }

    let steps = format!("scene s\nv5\n{CONNECTED}\nwait 1s\nC? PUBLISH * *");
    let scenes = Scene::parse_file("x", &steps).unwrap();
    let played = run_clients(&plays(&scenes), &Flood, &Options::default(), |_| {}).await;
    let verdict = played.unwrap().pop().unwrap().verdict;
    assert!(
        matches!(&verdict, Verdict::NotOffered(why) if why.contains("no such PUBLISH")),
        "{verdict:?}"
    );
}

/// What a client may never do fails whatever scene is played.
#[tokio::test(start_paused = true)]
async fn the_watch_sees_each_rule_that_is_broken() {
    let resumed = "C< CONNECT C> CONNACK 00\nC? PUBLISH q1 id:a * *\nC? PUBLISH q1 id:b * *\nC! cut\n\
                   C? CONNECT C> CONNACK 00 present\nwait 1s";
    let released = "C< CONNECT C> CONNACK 00\nC? PUBLISH q2 id:a * * C> PUBREC id:a\nC< PUBREL id:a\nC! cut\n\
                    C? CONNECT C> CONNACK 00 present\nwait 1s";
    for (steps, script, id) in [
        (
            "C> CONNACK 00\nwait 1s",
            "CONNECT; read; CONNECT",
            "MQTT-3.1.0-2",
        ),
        (
            "C> CONNACK 00\nwait 1s",
            "CONNECT; read; DISCONNECT; PINGREQ",
            "MQTT-3.14.4-1",
        ),
        (
            "C> CONNACK 00\nwait 1s",
            "CONNECT; read; DISCONNECT 8b",
            "MQTT-3.14.2-1",
        ),
        (
            "C> CONNACK 00\nwait 1s",
            "CONNECT; read; PINGRESP",
            "by servers only",
        ),
        (
            "C> CONNACK 00\nwait 1s",
            "CONNECT; read; AUTH 18 method=m",
            "MQTT-4.12.0-7",
        ),
        ("wait 1s", "CONNECT method=m; PINGREQ", "MQTT-3.1.2-30"),
        (
            "C> AUTH 18 method=m\nwait 1s",
            "CONNECT method=m; read; AUTH 18 method=n",
            "MQTT-4.12.0-5",
        ),
        (
            "C> AUTH 18 method=m\nwait 1s",
            "CONNECT method=m; read; AUTH 19 method=m",
            "MQTT-4.12.0-3",
        ),
        (
            "C> CONNACK 00\nwait 1s",
            "CONNECT method=m; read; AUTH 18 method=m",
            "MQTT-4.12.1-1",
        ),
        (
            "C> CONNACK 00\nwait 4s",
            "CONNECT keep=2; read",
            "MQTT-3.1.2-20",
        ),
        (
            "C> CONNACK 00 keep=1\nwait 2s",
            "CONNECT keep=9; read",
            "MQTT-3.1.2-20",
        ),
        (
            "C> CONNACK 00 qos=0\nwait 1s",
            "CONNECT; read; PUBLISH q1 id1 a 'x'",
            "MQTT-3.2.2-11",
        ),
        (
            "C> CONNACK 00 retain=0\nwait 1s",
            "CONNECT; read; PUBLISH retain a 'x'",
            "MQTT-3.2.2-14",
        ),
        (
            "C> CONNACK 00 max=9\nwait 1s",
            "CONNECT; read; PUBLISH a 'abcde'",
            "MQTT-3.2.2-15",
        ),
        (
            "C> CONNACK 00 tam=1\nwait 1s",
            "CONNECT; read; PUBLISH a 'x' alias=2",
            "MQTT-3.3.2-9",
        ),
        (
            "C> CONNACK 00\nwait 1s",
            "CONNECT; read; PUBLISH a 'x' alias=1",
            "MQTT-3.2.2-18",
        ),
        (
            "C> CONNACK 00 tam=1\nwait 1s",
            "CONNECT; read; PUBLISH - 'x' alias=1",
            "MQTT-3.3.2-7",
        ),
        (
            "C> CONNACK 00\nwait 1s",
            "CONNECT; read; PUBLISH a 'x' sub=1",
            "MQTT-3.3.4-6",
        ),
        (
            "C> CONNACK 00\nwait 1s",
            "CONNECT; read; SUBSCRIBE id1 a/#/b",
            "MQTT-4.7.1-1",
        ),
        (
            "C> CONNACK 00\nwait 1s",
            "CONNECT; read; SUBSCRIBE id1 a/b+",
            "MQTT-4.7.1-2",
        ),
        (
            "C> CONNACK 00\nwait 1s",
            "CONNECT; read; SUBSCRIBE id1 $share//a",
            "MQTT-4.8.2-1",
        ),
        (
            "C> CONNACK 00\nwait 1s",
            "CONNECT; read; SUBSCRIBE id1 $share/g+/a",
            "MQTT-4.8.2-2",
        ),
        (
            "C> CONNACK 00\nwait 1s",
            "CONNECT; read; SUBSCRIBE id1 $share/g",
            "MQTT-4.8.2-2",
        ),
        (
            "C? SUBSCRIBE id:s\nwait 1s",
            "CONNECT; SUBSCRIBE id1 a; PUBLISH q1 id1 a 'x'",
            "MQTT-2.2.1-3",
        ),
        (
            "C> CONNACK 00\nC? PUBLISH q1 id:m * *\nwait 1s",
            "CONNECT; read; PUBLISH q1 id1 a 'x'; UNSUBSCRIBE id1 a",
            "MQTT-2.2.1-3",
        ),
        (
            "C> CONNACK 00\nC? PUBLISH q1 id:m * *\nwait 1s",
            "CONNECT; read; PUBLISH q1 id1 a 'x'; PUBLISH q1 id1 b 'x'",
            "MQTT-2.2.1-3",
        ),
        (
            "C> CONNACK 00\nC? PUBLISH q1 id:m * *\nwait 1s",
            "CONNECT; read; PUBLISH q1 id1 a 'x'; PUBLISH q1 id1 dup a 'x'",
            "MQTT-4.4.0-1",
        ),
        (
            "C> CONNACK 00\nwait 1s",
            "CONNECT; read; PUBLISH q1 id1 dup a 'x'",
            "MQTT-4.3.2-2",
        ),
        (
            "C> CONNACK 00\nwait 1s",
            "CONNECT; read; PUBLISH q2 id1 dup a 'x'",
            "MQTT-4.3.3-2",
        ),
        (
            "C> CONNACK 00 rm=1\nC? PUBLISH q1 id:m * *\nwait 1s",
            "CONNECT; read; PUBLISH q1 id1 a 'x'; PUBLISH q2 id2 a 'x'",
            "MQTT-3.3.4-7",
        ),
        (
            "C> CONNACK 00\nwait 1s",
            "CONNECT; read; PUBACK id1",
            "MQTT-2.2.1-5",
        ),
        (
            "C> CONNACK 00\nwait 1s",
            "CONNECT; read; PUBREL id1",
            "MQTT-2.2.1-5",
        ),
        (
            "C> CONNACK 00\nC? PUBLISH q2 id:m * *\nwait 1s",
            "CONNECT; read; PUBLISH q2 id1 a 'x'; PUBREL id1",
            "MQTT-4.3.3-4",
        ),
        (
            "C> CONNACK 00\nC> PUBLISH q1 id1 ^a 'x' + PUBLISH q1 id2 ^a 'x'\nwait 1s",
            "CONNECT; read; read; read; PUBACK id2",
            "MQTT-4.6.0-2",
        ),
        (
            "C> CONNACK 00\nC> PUBLISH q2 id1 ^a 'x' + PUBLISH q2 id2 ^a 'x'\nwait 1s",
            "CONNECT; read; read; read; PUBREC id2",
            "MQTT-4.6.0-3",
        ),
        (
            "C> CONNACK 00\nC? PUBLISH q2 id:a * * C? PUBLISH q2 id:b * *\nC> PUBREC id:a + PUBREC id:b\nwait 1s",
            "CONNECT; read; PUBLISH q2 id1 a 'x'; PUBLISH q2 id2 a 'x'; read; read; PUBREL id2",
            "MQTT-4.6.0-4",
        ),
        (
            resumed,
            "CONNECT; read; PUBLISH q1 id1 a 'x'; PUBLISH q1 id2 a 'x'; read; cut; CONNECT; read; PUBLISH q1 id1 a 'x'",
            "MQTT-3.3.1-1",
        ),
        (
            resumed,
            "CONNECT; read; PUBLISH q1 id1 a 'x'; PUBLISH q1 id2 a 'x'; read; cut; CONNECT; read; \
             PUBLISH q1 id2 dup a 'x'; PUBLISH q1 id1 dup a 'x'",
            "MQTT-4.6.0-1",
        ),
        (
            released,
            "CONNECT; read; PUBLISH q2 id1 a 'x'; read; PUBREL id1; read; cut; CONNECT; read; PUBLISH q2 id1 dup a 'x'",
            "MQTT-4.3.3-6",
        ),
    ] {
        let steps = match steps.starts_with("C< CONNECT") {
            true => steps.to_owned(),
            false => format!("C< CONNECT\n{steps}"),
        };
        fails(&steps, script, id).await;
    }
}

/// What looks like it and is allowed.
#[tokio::test(start_paused = true)]
async fn the_watch_lets_pass_what_a_lost_answer_explains() {
    // The PUBACK was lost with the connection, and so is nothing that is known of the id.
    passes(
        "C< CONNECT C> CONNACK 00\nC? PUBLISH q1 id:a * * C> PUBACK id:a\nC! cut\n\
         C? CONNECT C> CONNACK 00 present\nwait 1s",
        "CONNECT; read; PUBLISH q1 id1 a 'x'; cut; CONNECT; read; PUBLISH q1 id1 dup a 'x'; read; \
         PUBLISH q1 id1 b 'x'; read",
    )
    .await;
    // A PUBREC that belongs to nothing need not be answered, and is before no other.
    passes(
        "C< CONNECT C> CONNACK 00\nC? PUBLISH q2 id:a * *\nC> PUBREC id9 + PUBREC id:a\nC< PUBREL id:a\nwait 1s",
        "CONNECT; read; PUBLISH q2 id1 a 'x'; read; read; PUBREL id1; PUBREL id9",
    )
    .await;
    // A new message is no repeated one, wherever it stands.
    passes(
        "C< CONNECT C> CONNACK 00\nC? PUBLISH q1 id:a * *\nC! cut\n\
         C? CONNECT C> CONNACK 00 present\nwait 1s",
        "CONNECT; read; PUBLISH q1 id1 a 'x'; read; cut; CONNECT; read; PUBLISH q1 id2 b 'x'; \
         PUBLISH q1 id1 dup a 'x'",
    )
    .await;
    passes(
        "C< CONNECT C> CONNACK 00\nC> PUBLISH q1 id7 ^a 'x'\nC! cut\nC? CONNECT C> CONNACK 00 present\nwait 1s",
        "CONNECT; read; read; read; cut; CONNECT; read; PUBACK id7",
    )
    .await;
}
