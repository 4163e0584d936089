//! Many scenes.

use std::time::Duration;

use super::*;

/// The three questions of a run are each a connection: 3.1, 3.1.1, 5.0, and 5.0 without a client id.
#[tokio::test(start_paused = true)]
async fn what_is_not_offered_is_not_played() {
    let text = "scene three\nv31\nv311\nv5\nneeds qos1\nA> CONNECT clean A< CONNACK 00
                scene two\nv5\nneeds qos2\nsettle\nscene keep\nv5\nneeds keep\nwait 3s
                scene wait\nv5\nwait 3s\nscene rm\nv5\nneeds rm<=9\nsettle\nscene login\nv5\nneeds login\nsettle";
    let scenes = Scene::parse_file("x", text).unwrap();
    let scripts = [
        "read; bytes 20 02 00 01; close",
        "read; bytes 20 02 00 00",
        "read; CONNACK 00 qos=1 rm=10 keep=2",
        "read; CONNACK 00 assigned=x",
        "read; bytes 20 02 00 00",
        "read; CONNACK 00",
    ];
    let plays = plays(&scenes);
    let target = Scripted::new(V5, &scripts);
    let mut told = 0;
    let options = Options {
        jobs: 1,
        ..options()
    };
    let played = run(&plays, &target, &options, |_| told += 1).await.unwrap();
    let verdicts: Vec<String> = played
        .iter()
        .map(|played| format!("{:?}", played.verdict))
        .collect();
    assert_eq!(
        verdicts,
        [
            "NotOffered(\"MQTT 3.1 is refused\")",
            "Passed",
            "Passed",
            "NotOffered(\"no QoS 2\")",
            "Passed",
            "NotTested(\"a Server Keep Alive of 2 s ends it before\")",
            "NotOffered(\"a Receive Maximum of 10\")",
            "NotTested(\"no user `known` with the password `secret`\")",
        ]
    );
    assert_eq!(told, verdicts.len());
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_lets_nobody_in_is_no_verdict() {
    for (scripts, says) in [
        (
            &["read; CONNACK 05; close"][..],
            "MQTT 3.1 is answered with CONNACK 05",
        ),
        (
            &["read; close", "read; close", "read; close"],
            "no version of MQTT is taken: MQTT 3.1 is refused without a word; ",
        ),
        (
            &["deaf", "deaf", "deaf"],
            "no version of MQTT is taken: MQTT 3.1 is not answered; ",
        ),
        (&[], "no connection: connection refused"),
    ] {
        let target = Scripted::new(V311, scripts);
        let error = run(&[], &target, &options(), |_| {}).await.unwrap_err();
        assert!(error.to_string().starts_with(says), "{error}");
    }
}

/// Scenes that are played beside each other are as many as was asked for, and one that disturbs is alone.
#[tokio::test(start_paused = true)]
async fn scenes_are_played_beside_each_other() {
    struct Counting(Mutex<(usize, usize)>);

    impl Target for Counting {
        type Stream = DuplexStream;

        async fn connect(&self) -> io::Result<DuplexStream> {
            let (ours, theirs) = duplex(100);
            tokio::spawn(serve("read; bytes 20 02 00 00".to_owned(), V311, theirs));
            Ok(ours)
        }

        async fn pass(&self, time: Duration) {
            self.0.lock().unwrap().0 += 1;
            self.settle(time).await;
            let (now, most) = &mut *self.0.lock().unwrap();
            *most = (*most).max(*now);
            *now -= 1;
        }
    }

    let together: String = (0..10)
        .map(|n| format!("scene {n}\nv311\nwait 1s\n"))
        .collect();
    let alone: String = (10..13)
        .map(|n| format!("scene {n}\nv311\nneeds alone\nwait 1s\n"))
        .collect();
    for (text, jobs, most) in [
        (&together, 4, 4),
        (&together, 32, 10),
        (&together, 0, 1),
        (&alone, 32, 1),
    ] {
        let scenes = Scene::parse_file("x", text).unwrap();
        let target = Counting(Mutex::new((0, 0)));
        let options = Options { jobs, ..options() };
        let played = run(&plays(&scenes), &target, &options, |_| {})
            .await
            .unwrap();
        assert_eq!(target.0.lock().unwrap().1, most);
        let names: Vec<&str> = played.iter().map(|played| played.name.as_str()).collect();
        let titles: Vec<String> = scenes.iter().map(|scene| scene.name(V311)).collect();
        assert_eq!(names, titles, "results keep the order of the scenes");
    }
}
