//! `whinchat bench`: every message is accounted for.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::broker::{Broker, result, whinchat};

/// Runs `bench` with these arguments against `broker` and gives its report.
#[track_caller]
fn bench(broker: &Broker, scenario: &str, arguments: &[&str]) -> Value {
    let url = format!("127.0.0.1:{}", broker.port());
    let pid = broker.pid().to_string();
    let mut command = whinchat(&["bench", scenario, &url, "--pid", &pid, "--json", "--quiet"]);
    let (code, stdout, stderr) = result(&command.args(arguments).output().unwrap());
    assert_eq!(
        (code, stderr.as_str()),
        (0, ""),
        "{scenario} {arguments:?}: {stdout}"
    );
    let report: Value = serde_json::from_str(&stdout).unwrap();
    for fault in ["lost", "duplicates", "reordered", "foreign"] {
        assert_eq!(report[fault], 0, "{scenario} {arguments:?}: {fault}");
    }
    report
}

#[test]
fn each_message_of_each_scenario_arrives_once_and_in_order() {
    let broker = Broker::start();
    for version in ["3.1", "3.1.1", "5.0"] {
        for qos in ["0", "1", "2"] {
            let load = ["-V", version, "-q", qos, "-m", "2000", "--threads", "2"];
            let p2p = bench(&broker, "p2p", &[&load[..], &["--pairs", "10"]].concat());
            assert_eq!(
                (&p2p["sent"], &p2p["received"]),
                (&2000.into(), &2000.into())
            );
            let fan_in = bench(
                &broker,
                "fan-in",
                &[&load[..], &["--publishers", "8"]].concat(),
            );
            assert_eq!(
                (&fan_in["sent"], &fan_in["received"]),
                (&2000.into(), &2000.into())
            );
            let fan_out = bench(
                &broker,
                "fan-out",
                &[&load[..], &["--subscribers", "20"]].concat(),
            );
            assert_eq!(
                (&fan_out["sent"], &fan_out["received"]),
                (&2000.into(), &40_000.into())
            );
            assert!(fan_out["latency_us"]["p50"].as_f64().unwrap() > 0.0);
        }
    }
}

#[test]
fn a_fixed_rate_sends_as_many_messages_as_it_says() {
    let broker = Broker::start();
    let report = bench(
        &broker,
        "p2p",
        &["--pairs", "4", "--rate", "500", "-d", "200ms", "-q", "1"],
    );
    assert_eq!(
        report["sent"].as_u64().unwrap() + report["unsent"].as_u64().unwrap(),
        400
    );
    assert_eq!(report["received"], report["sent"]);
    assert_eq!(report["rate_per_publisher"], 500.0);
}

#[test]
fn large_messages_and_durable_sessions_are_counted_as_well() {
    let broker = Broker::start();
    let large = bench(
        &broker,
        "p2p",
        &["--pairs", "2", "-s", "300KiB", "-m", "40", "-q", "1"],
    );
    assert_eq!(large["received"], 40);
    for version in ["3.1.1", "5.0"] {
        let durable = bench(
            &broker,
            "p2p",
            &[
                "--pairs",
                "5",
                "-m",
                "500",
                "-q",
                "1",
                "--persistent",
                "-V",
                version,
            ],
        );
        assert_eq!(durable["received"], 500);
    }
}

#[test]
fn idle_connections_are_weighed() {
    let broker = Broker::start();
    let report = bench(&broker, "idle", &["--connections", "200", "-d", "10ms"]);
    assert_eq!(report["connections"], 200);
    assert_eq!(report["subscribers"], 200);
    assert!(report["broker"]["memory_bytes_before"].as_u64().unwrap() > 0);
    assert!(report["connects_per_second"].as_f64().unwrap() > 0.0);
    let bare = bench(
        &broker,
        "idle",
        &["--connections", "20", "-d", "10ms", "--no-subscription"],
    );
    assert_eq!(bare["subscribers"], 0);
}

#[test]
fn the_table_names_what_was_measured() {
    let broker = Broker::start();
    let url = format!("mqtt://127.0.0.1:{}", broker.port());
    let arguments = [
        "bench",
        "fan-out",
        &url,
        "--subscribers",
        "3",
        "-m",
        "10",
        "-V",
        "5.0",
    ];
    let (code, stdout, _) = result(&whinchat(&arguments).output().unwrap());
    assert_eq!(code, 0);
    assert!(
        stdout.starts_with("fan-out 1 to 3, QoS 0, 16 B, MQTT 5.0\n"),
        "{stdout}"
    );
    assert!(
        stdout.contains("\n  sent        10\n  received    30 in "),
        "{stdout}"
    );
    assert!(
        stdout.contains("\n  faults      0 lost, 0 duplicated, 0 reordered, 0 foreign\n"),
        "{stdout}"
    );
}

#[test]
fn a_broker_that_dies_ends_the_run_with_1_and_what_was_lost() {
    let broker = Broker::start();
    let mut first = broker.subscribe(&["-t", "+/0", "-F", "%l", "-C", "1"]);
    let url = format!("127.0.0.1:{}", broker.port());
    let arguments = [
        "bench", "p2p", &url, "--pairs", "2", "-d", "1h", "--drain", "50ms", "--json",
    ];
    let running = whinchat(&arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    assert_eq!(first.line(), "16");
    drop(broker);
    let (code, stdout, stderr) = result(&running.wait_with_output().unwrap());
    assert_eq!((code, stderr.as_str()), (1, ""), "{stdout}");
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(report["failures"].as_array().unwrap().len(), 4, "{stdout}");
    let count = |name: &str| report[name].as_u64().unwrap();
    assert_eq!(count("sent"), count("received") + count("lost"));
}

#[test]
fn two_brokers_are_compared_in_one_run() {
    let is_installed = ["/usr/sbin/mosquitto", "mosquitto"]
        .iter()
        .any(|program| Command::new(program).arg("-h").output().is_ok());
    if !is_installed {
        eprintln!("not run: mosquitto is not installed");
        return;
    }
    let arguments = [
        "bench",
        "--compare",
        "mosquitto",
        "p2p",
        "--pairs",
        "3",
        "-m",
        "300",
        "-q",
        "1",
        "--rounds",
        "2",
    ];
    let (code, stdout, stderr) = result(
        &whinchat(&[&arguments[..], &["--json"]].concat())
            .output()
            .unwrap(),
    );
    assert_eq!((code, stderr.as_str()), (0, ""), "{stdout}");
    let comparison: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(comparison["peer"], "mosquitto");
    let runs = comparison["cells"][0]["runs"].as_array().unwrap();
    let brokers: Vec<_> = runs
        .iter()
        .map(|run| run["program"].as_str().unwrap())
        .collect();
    assert_eq!(brokers, ["whinchat", "mosquitto", "mosquitto", "whinchat"]);
    assert!(runs.iter().all(|run| run["received"] == 300));
}

#[test]
fn each_message_to_a_group_arrives_at_one_of_it() {
    let broker = Broker::start();
    for qos in ["0", "1", "2"] {
        let report = bench(
            &broker,
            "shared",
            &[
                "-q",
                qos,
                "-m",
                "2000",
                "--publishers",
                "20",
                "--threads",
                "2",
            ],
        );
        assert_eq!(
            (&report["sent"], &report["received"], &report["subscribers"]),
            (&2000.into(), &2000.into(), &5.into())
        );
    }
}

#[test]
fn each_publisher_may_have_several_subscribers_beside_filters_that_nothing_is_published_to() {
    let broker = Broker::start();
    let load = [
        "--pairs",
        "4",
        "--each",
        "3",
        "--filters",
        "2500",
        "-m",
        "400",
    ];
    let report = bench(&broker, "p2p", &load);
    assert_eq!(
        (&report["sent"], &report["received"]),
        (&400.into(), &1200.into())
    );
    assert_eq!(report["connections"], 4 * (1 + 3) + 3);
    assert!(report["broker"]["bytes_per_filter"].as_f64().unwrap() > 0.0);
}

#[test]
fn retained_messages_are_delivered_to_a_new_subscriber_and_cleared() {
    let broker = Broker::start();
    for qos in ["0", "1", "2"] {
        let report = bench(&broker, "retained", &["-q", qos, "-m", "3000", "-s", "64"]);
        assert_eq!(
            (&report["messages"], &report["received"]),
            (&3000.into(), &3000.into())
        );
        assert!(report["bytes_per_message"].is_number());
    }
}
