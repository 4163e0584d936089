//! One scene against one server.

use super::*;
use crate::step::Step;

/// Plays steps against servers with these scripts.
async fn verdict(
    version: ProtocolVersion,
    options: &Options,
    steps: &str,
    scripts: &[&str],
) -> Verdict {
    let scenes = Scene::parse_file("x", &format!("scene s\nv31\nv311\nv5\n{steps}")).unwrap();
    let target = Scripted::new(version, scripts);
    let mut player = Player::new(&target, options, version, 0);
    player.play(&scenes[0]).await
}

/// The same for a client that is connected.
async fn connected(options: &Options, steps: &str, script: &str) -> Verdict {
    let steps = format!("A> CONNECT clean  A< CONNACK 00\n{steps}");
    let script = format!("read; CONNACK 00; {script}");
    verdict(V5, options, &steps, &[&script]).await
}

fn passes(verdict: Verdict, about: &str) {
    assert!(matches!(verdict, Verdict::Passed), "{about}: {verdict:?}");
}

/// The last step fails, or the end of the scene, because this was received.
fn fails(verdict: Verdict, steps: &str, received: &str) {
    let Verdict::Failed(failure) = verdict else {
        panic!("{steps} should fail with {received}: {verdict:?}");
    };
    match received.strip_prefix("at the end: ") {
        Some(received) => {
            assert_eq!(
                failure.step, "A! silent (at the end of the scene)",
                "{failure}"
            );
            assert!(
                failure.received.starts_with(received),
                "{failure}\nnot {received}"
            );
        }
        None => {
            let last = steps.lines().last().unwrap();
            let last = Step::parse_line(1, last).unwrap().pop().unwrap();
            assert_eq!(failure.step, last.text, "{failure}");
            assert!(
                failure.received.starts_with(received),
                "{failure}\nnot {received}"
            );
        }
    }
}

/// The columns of a table, row by row.
fn rows<const COLUMNS: usize>(table: &str) -> impl Iterator<Item = [&str; COLUMNS]> {
    let rows = table
        .lines()
        .filter(|row| !row.is_empty() && !row.starts_with('#'));
    rows.map(|row| {
        let columns: Vec<&str> = row.split('|').map(str::trim).collect();
        columns.try_into().unwrap()
    })
}

#[tokio::test]
async fn a_server_may_grant_a_lower_qos() {
    let steps = "A> SUBSCRIBE id1 a:2 b:1  A< SUBACK id1 02 01";
    match connected(&options(), steps, "read; SUBACK id1 01 01").await {
        Verdict::NotOffered(why) => assert_eq!(why, "QoS 2 is asked for, and QoS 1 is granted"),
        other => panic!("{other:?}"),
    }
    for script in [
        "read; SUBACK id1 80 01",
        "read; SUBACK id2 01 01",
        "read; SUBACK id1 01",
    ] {
        fails(connected(&options(), steps, script).await, steps, "SUBACK");
    }
    let strict = Options {
        strict: true,
        ..options()
    };
    let verdict = connected(&strict, steps, "read; SUBACK id1 01 01").await;
    fails(verdict, steps, "SUBACK id1 01 01");
}

#[tokio::test(start_paused = true)]
async fn what_goes_as_it_is_written_passes() {
    let table = "
A! silent |
A> SUBSCRIBE id1 a/b:1  A< SUBACK id1 01 | read; SUBACK id1 01 reason=fine
A< PUBLISH q1 id:m a/b 'x'  A> PUBACK id:m | PUBLISH q1 id9 a/b 'x'; read
A< PUBLISH a 'x' ~ PUBLISH b 'y' | PUBLISH b 'y'; PUBLISH a 'x'
A< PUBLISH a * ~ PUBLISH * 'x' | PUBLISH a 'x'; PUBLISH a 'y'
A< PUBLISH a 'x' or PUBLISH a 'y' | PUBLISH a 'y'
A< PUBLISH a 'x' or nothing |
A< PUBLISH a 'x' or nothing  A< PUBLISH a 'y' | PUBLISH a 'x'; PUBLISH a 'y'
A< nothing or closed 81 | DISCONNECT 81; close
A> bytes 30 ff ff ff ff 01  A< closed 81/82 | DISCONNECT 82; close
A> bytes 30 ff ff ff ff 01  A< closed 81/82 | close
A< closed 8e no-expiry reason=* | DISCONNECT 8e reason=why prop=a:b; close
A< closed * | DISCONNECT 8e; close
A> 1..3 PUBLISH q1 id$n a '$n'  A< 1..3 PUBACK id$n | PUBACK id1; PUBACK id2; PUBACK id3
A< 1..2 PUBLISH q1 id:m$n a '$n'  A> PUBACK id:m2 | PUBLISH q1 id4 a '1'; PUBLISH q1 id5 a '2'
A> part 3 PUBLISH a 'x' |
A> DISCONNECT | read; close
A< PUBLISH a 'x' expiry=5..9 prop=a:b sub=2 sub=1 | PUBLISH a 'x' prop=a:b sub=1 expiry=7 sub=2
";
    for [steps, script] in rows(table) {
        passes(connected(&options(), steps, script).await, steps);
    }
    let table = "
A> CONNECT clean  A< refused 84/01 | read; CONNACK 84; close
A> CONNECT clean  A< refused 84/01 | read; bytes 20 02 00 01; close
A> CONNECT clean  A< refused 84/01 | read; close
A! open  A> bytes 00  A< closed | close
A! open |
";
    for [steps, script] in rows(table) {
        passes(verdict(V5, &options(), steps, &[script]).await, steps);
    }
}

#[tokio::test(start_paused = true)]
async fn each_wrong_answer_fails_where_it_comes() {
    let table = "
# Another packet, another field, another property.
A< PUBLISH a 'x' | PUBACK id1 | PUBACK id1
A< PUBLISH a 'x' | PUBLISH a 'y' | PUBLISH a 'y'   (payload 'y' instead of 'x')
A< PUBLISH a 'x' | PUBLISH b 'x' | PUBLISH b 'x'   (topic b instead of a)
A< PUBLISH a 'x' | PUBLISH ^a 'x' | PUBLISH ^a 'x'   (topic ^a instead of a)
A< PUBLISH a 'x' | PUBLISH retain a 'x' | PUBLISH retain a 'x'
A< PUBLISH q1 id:m a 'x' | PUBLISH q1 id1 dup a 'x' | PUBLISH q1 id1 dup
A< PUBLISH a 'x' | PUBLISH a 'x' expiry=1 | PUBLISH a 'x' expiry=1   (expiry is there)
A< PUBLISH a 'x' expiry=1 | PUBLISH a 'x' | PUBLISH a 'x'   (no expiry)
A< PUBLISH a 'x' expiry=1..2 | PUBLISH a 'x' expiry=3 | PUBLISH a 'x' expiry=3   (expiry 3 instead of 1..2)
A< PUBLISH a 'x' prop=a:1 prop=a:2 | PUBLISH a 'x' prop=a:2 prop=a:1 | PUBLISH
A< PUBLISH a 'x' sub=1 | PUBLISH a 'x' sub=1 sub=2 | PUBLISH
A> PINGREQ A< PUBACK id1 00/10 | read; PUBACK id1 87 | PUBACK id1 87   (code 87 instead of 00/10)
A< PUBACK id1 | PUBACK id2 | PUBACK id2   (packet id id2 instead of id1)
A> SUBSCRIBE id1 a b A< SUBACK id1 00 00 | SUBACK id1 00 | SUBACK
A< PUBLISH a 'x' ~ PUBLISH a 'y' | PUBLISH a 'x'; PUBLISH a 'x' | PUBLISH a 'x'
A< PUBLISH a 'x' or nothing | PUBLISH a 'y' | PUBLISH a 'y'
# Too much.
A< PUBLISH a 'x' | PUBLISH a 'x'; PUBLISH a 'x' | at the end: PUBLISH a 'x'
A! silent | PUBLISH a 'x' | PUBLISH a 'x'
A> DISCONNECT | read; PUBLISH a 'x' | at the end: PUBLISH a 'x'
A< closed | DISCONNECT 8e; close | DISCONNECT 8e
A< closed 8e no-expiry | DISCONNECT 8e expiry=1; close | DISCONNECT 8e expiry=1
A< closed 81 | DISCONNECT 81; PINGRESP; close | PINGRESP
# Too little, too late.
A< PUBLISH a 'x' |  | nothing within 5s
A< PUBLISH a 'x' ~ PUBLISH b 'x' | PUBLISH b 'x' | nothing within 5s behind PUBLISH b 'x'
A< closed 81 |  | nothing within 5s
A< closed 81 | DISCONNECT 81 | nothing within 5s behind DISCONNECT 81
A! silent | deaf | nothing within 5s
# The end, and what is no packet.
A< PUBLISH a 'x' | close | the end
A! silent | close | the end
settle | close | at the end: the end
A< nothing | close | the end
A< closed 81 | DISCONNECT 82; close | DISCONNECT 82
A< PUBLISH a 'x' | bytes 00 00 | packet type: packet type 0
A< PUBLISH a 'x' | bytes 30 ff ff ff ff 7f | remaining length
A< PUBLISH a 'x' | bytes 30 80 80 80 7f | remaining length: packet of
A< PUBLISH a 'x' | bytes 30 05 00 01 61; close | the beginning of a packet, then the end: 30 05
A! silent | bytes 62 00 | PUBREL
A! cut A< PUBLISH a 'x' |  | none
B> CONNECT |  | connection refused
# Packet ids that are in flight, and others than before.
A< PUBLISH q1 id:m a 'x' A< PUBLISH q1 id:n a 'y' | PUBLISH q1 id3 a 'x'; PUBLISH q1 id3 a 'y' | PUBLISH q1 id3 a 'y'   (id 3 is in flight already, as id:m)
A< PUBLISH q1 id:m a 'x' ~ PUBLISH q1 id:n a 'y' | PUBLISH q1 id3 a 'x'; PUBLISH q1 id3 a 'y' | PUBLISH q1 id3 a 'y'
A< PUBLISH q2 id:m a 'x' A> PUBREC id:m A< PUBREL id:m | PUBLISH q2 id3 a 'x'; PUBREL id4 | PUBREL id4   (id:m is 3, not 4)
A> PUBACK id:m |  | `id:m` has not come yet
";
    for [steps, script, received] in rows(table) {
        fails(connected(&options(), steps, script).await, steps, received);
    }
    let steps = "A> CONNECT A< CONNACK 00";
    let present = verdict(V5, &options(), steps, &["read; CONNACK 00 present"]).await;
    fails(present, steps, "CONNACK 00 present");
    let steps = "A> CONNECT A< refused 84";
    let accepted = verdict(V5, &options(), steps, &["read; CONNACK 00"]).await;
    fails(accepted, steps, "CONNACK 00");
}

#[tokio::test(start_paused = true)]
async fn a_packet_id_is_free_again_when_its_exchange_is_over() {
    let steps = "A> CONNECT A< CONNACK 00
        A< PUBLISH q1 id:m a 'x'  A> PUBACK id:m
        A< PUBLISH q1 id:n a 'y'  A> PUBACK id:n
        A< PUBLISH q2 id:o a 'z'  A> PUBREC id:o  A< PUBREL id:o  A> PUBCOMP id:o
        A< PUBLISH q2 id:p a 'z'  A> PUBREC id:p 87
        A< PUBLISH q1 id:q a 'z'  A! cut
        A> CONNECT clean  A< CONNACK 00  A< PUBLISH q1 id:r a 'z'";
    let scripts = [
        "read; CONNACK 00; PUBLISH q1 id3 a 'x'; read; PUBLISH q1 id3 a 'y'; read; \
         PUBLISH q2 id3 a 'z'; read; PUBREL id3; read; PUBLISH q2 id3 a 'z'; read; \
         PUBLISH q1 id3 a 'z'",
        "read; CONNACK 00; PUBLISH q1 id3 a 'z'",
    ];
    passes(verdict(V5, &options(), steps, &scripts).await, steps);
    // A session that goes on keeps what is in flight.
    let steps = "A> CONNECT A< CONNACK 00 A< PUBLISH q1 id:m a 'x' A! cut
        A> CONNECT A< CONNACK 00 present A< PUBLISH q1 id:n a 'y'";
    let scripts = [
        "read; CONNACK 00; PUBLISH q1 id3 a 'x'",
        "read; CONNACK 00 present; PUBLISH q1 id3 a 'y'",
    ];
    let verdict = verdict(V5, &options(), steps, &scripts).await;
    fails(
        verdict,
        steps,
        "PUBLISH q1 id3 a 'y'   (id 3 is in flight already, as id:m)",
    );
}

#[tokio::test(start_paused = true)]
async fn a_strict_reading_asks_for_what_may_be_sent_and_for_the_first_of_several() {
    let strict = Options {
        strict: true,
        ..options()
    };
    let table = "
A< closed 81/82 | close | the end without DISCONNECT
A< closed 81/82 | DISCONNECT 82; close | DISCONNECT 82
A< PUBACK id1 10/00 | PUBACK id1 | PUBACK id1   (code 00 instead of 10/00)
A< PUBLISH a 'x' or PUBLISH a 'y' | PUBLISH a 'y' | PUBLISH a 'y'
A< nothing or PUBLISH a 'y' | PUBLISH a 'y' | PUBLISH a 'y'
A< PUBLISH a 'y' or nothing |  | nothing within 5s
";
    for [steps, script, received] in rows(table) {
        fails(connected(&strict, steps, script).await, steps, received);
    }
    let closed = "A< closed 81";
    passes(
        connected(&strict, closed, "DISCONNECT 81; close").await,
        closed,
    );
    let refused = "A> CONNECT clean  A< refused 84/01";
    passes(
        verdict(V5, &strict, refused, &["read; CONNACK 84; close"]).await,
        refused,
    );
    // 3.1.1 has no word at the end, and other codes.
    let table = "
A! open  A> bytes 00  A< closed 81 | close
A> CONNECT clean  A< refused 84/01 | read; CONNACK 01; close
A> CONNECT A< CONNACK 00 A> SUBSCRIBE id1 a  A< SUBACK id1 87/80 | read; CONNACK 00; read; SUBACK id1 80
";
    for [steps, script] in rows(table) {
        passes(verdict(V311, &strict, steps, &[script]).await, steps);
    }
    let silent = verdict(V311, &strict, refused, &["read; close"]).await;
    fails(silent, refused, "the end without CONNACK");
}

#[tokio::test(start_paused = true)]
async fn who_does_not_read_is_not_waited_for_without_end() {
    let steps = "A> PUBLISH a 'x'*1000";
    fails(
        connected(&options(), steps, "deaf").await,
        steps,
        "nothing is read",
    );
}

/// The pipe holds a hundred bytes: who only writes and who only reads would wait for each other.
#[tokio::test(start_paused = true)]
async fn we_read_while_we_write() {
    let steps = "A> PUBLISH a 'x'*1000  A< PUBLISH a 'y'*1000";
    passes(
        connected(&options(), steps, "PUBLISH a 'y'*1000; read").await,
        steps,
    );
}

#[tokio::test(start_paused = true)]
async fn bytes_that_are_sent_one_by_one_are_the_same() {
    let split = Options {
        split: true,
        ..options()
    };
    let steps = "A> PUBLISH q1 id1 a 'x'*50  A< PUBACK id1";
    passes(connected(&split, steps, "read; PUBACK id1").await, steps);
}

#[tokio::test(start_paused = true)]
async fn messages_of_other_scenes_are_passed_over_and_acknowledged() {
    let steps = "A> SUBSCRIBE id1 ^#:2 A< SUBACK id1 02  A< PUBLISH a 'x'";
    let script = "read; SUBACK id1 02; \
        PUBLISH q1 id1 ^c0000/001/a 'o'; PUBLISH q2 id2 ^c0000/002/a 'o'; \
        read; read; PUBREL id2; read; PUBLISH a 'x'";
    passes(connected(&options(), steps, script).await, steps);
    let script = "read; SUBACK id1 02; PUBLISH q1 id1 ^other/a 'o'";
    fails(
        connected(&options(), steps, script).await,
        steps,
        "PUBLISH q1 id1 ^other/a 'o'",
    );
}

#[tokio::test(start_paused = true)]
async fn a_failure_can_be_understood_by_who_reads_it() {
    let steps = "A> PUBLISH q1 id7 a/b 'x' expiry=9  A< PUBACK id7";
    let Verdict::Failed(failure) = connected(&options(), steps, "read; PUBACK id8 10").await else {
        panic!("a wrong id fails");
    };
    assert_eq!(failure.sent, "PUBLISH q1 id7 a/b 'x' expiry=9");
    assert_eq!(
        failure.to_string(),
        "line 6: A< PUBACK id7
    A> CONNECT a clean keep=600
    A< CONNACK 00
    A> PUBLISH q1 id7 a/b 'x' expiry=9
    A< PUBACK id8 10
  expected  PUBACK id7
  received  PUBACK id8 10   (packet id id8 instead of id7)"
    );
}

#[tokio::test(start_paused = true)]
async fn the_login_of_a_run_is_in_no_report() {
    let login = Options {
        user_name: Some("ann".to_owned()),
        password: Some(b"hidden".to_vec()),
        ..options()
    };
    for connect in ["CONNECT clean", "CONNECT rm=0", "part 30 CONNECT"] {
        let steps = format!("A> {connect} A< CONNACK 00");
        let verdict = verdict(V5, &login, &steps, &["read; close"]).await;
        let Verdict::Failed(failure) = verdict else {
            panic!("a close is no CONNACK");
        };
        let hidden = failure.conversation.join(" ") + &failure.sent;
        assert!(
            !hidden.contains("hidden") && !hidden.contains("68 69 64"),
            "{hidden}"
        );
    }
}

/// A server that talks without end ends the scene, whatever is waited for.
#[tokio::test(start_paused = true)]
async fn who_does_not_stop_talking_is_not_listened_to_without_end() {
    for (steps, packet, received) in [
        ("A! silent", "PUBLISH a 'x'", "10000 packets without one"),
        (
            "A< PUBLISH a 'x' or nothing",
            "PUBLISH a 'x'",
            "10000 packets without one",
        ),
        (
            "A< PUBLISH a 'x'",
            "PUBLISH ^c0000/001/a 'x'",
            "10000 messages of other scenes",
        ),
    ] {
        let script = vec![packet; 10_001].join(";");
        fails(connected(&options(), steps, &script).await, steps, received);
    }
}
