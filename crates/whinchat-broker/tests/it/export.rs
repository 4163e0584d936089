//! What is kept as lines, and a log of such lines.

use std::sync::Arc;

use whinchat_broker::{Broker, Checkpoint, Clock, ExportLine, Import, ImportError, Imported};
use whinchat_codec::{Packet, QoS};
use whinchat_store::{
    DurableLogOptions,
    disk::{Disk, SimulatedDisk},
};

use crate::{
    peer::{Peer, V5, connect_durable},
    replay::{live, store},
};

fn small_segments() -> DurableLogOptions {
    let mut options = DurableLogOptions::default();
    options.segment_bytes = 8 << 10;
    options
}

fn export(checkpoint: &Checkpoint, clock: &Clock) -> Vec<String> {
    let mut lines = Vec::new();
    checkpoint
        .export(clock, |line| {
            lines.push(serde_json::to_string(&line)?);
            Ok(())
        })
        .expect("what was read can be written");
    lines
}

fn import(
    lines: &[impl AsRef<str>],
    clock: &Clock,
) -> Result<(SimulatedDisk, Imported), ImportError> {
    let disk = SimulatedDisk::new();
    let mut import = Import::new(Arc::new(disk.clone()), small_segments(), clock)?;
    for line in lines {
        let line: ExportLine = serde_json::from_str(line.as_ref()).expect("a line of an export");
        import.line(line)?;
    }
    Ok((disk, import.finish()?))
}

#[test]
fn what_is_exported_and_imported_is_what_was_kept() {
    let (mut sessions, mut retained, mut queued) = (0, 0, 0);
    for seed in 0..8 {
        let run = live(seed, 300);
        let kept = store(&run.disk.copy()).read(&run.clock).expect("a log");
        let lines = export(&kept, &run.clock);
        let (disk, imported) = import(&lines, &run.clock).expect("lines that were exported");
        let again = store(&disk)
            .read(&run.clock)
            .expect("a log that was imported");
        assert_eq!(format!("{again:?}"), format!("{kept:?}"), "seed {seed}");
        assert_eq!(export(&again, &run.clock)[1..], lines[1..], "seed {seed}");
        assert_eq!(imported.sessions, kept.sessions() as u64);
        assert_eq!(imported.retained, kept.retained_messages() as u64);
        sessions += imported.sessions;
        retained += imported.retained;
        queued += imported.messages - imported.retained;
    }
    assert!(
        sessions > 8 && retained > 8 && queued > 8,
        "{sessions} {retained} {queued}"
    );
}

const HEADER: &str = r#"{"kind":"export","format":1,"whinchat":"0.1.0"}"#;
const SESSION: &str = r#"{"kind":"session","number":1,"client_id":"reader","identity":{"name":"anonymous","anonymous":true},"expiry_interval":4294967295,"subscriptions":[{"filter":"a/#","qos":1}],"queue":[{"message":7,"qos":1}]}"#;
const MESSAGE: &str =
    r#"{"kind":"message","id":7,"publisher":9,"topic":"a/b","qos":1,"payload":{"text":"by hand"}}"#;
const RETAINED: &str = r#"{"kind":"message","id":8,"publisher":9,"topic":"r","qos":1,"retain":true,"payload":{"base64":"/w=="},"retained":true}"#;

#[tokio::test(flavor = "multi_thread")]
async fn lines_written_by_hand_are_a_broker_to_begin_with() {
    let (clock, _hand) = Clock::manual();
    let (disk, imported) =
        import(&[HEADER, SESSION, MESSAGE, RETAINED], &clock).expect("good lines");
    assert_eq!(
        (imported.sessions, imported.messages, imported.retained),
        (1, 2, 1)
    );
    let broker = Broker::builder()
        .threads(2)
        .clock(clock)
        .store(store(&disk))
        .start()
        .expect("a log that was imported");
    let (mut reader, connack) = Peer::connected_with(&broker, connect_durable(V5, "reader")).await;
    assert!(connack.session_present);
    reader.take_payloads(&["by hand"]).await;
    reader.subscribe("r", QoS::AtMostOnce).await;
    let Packet::Publish(publish) = reader.receive().await else {
        panic!("no retained message");
    };
    assert!(publish.retain && publish.payload[..] == [0xFF]);
    let mut writer = Peer::connected(&broker, V5, "writer").await;
    writer.publish_acked("a/x", "later").await;
    reader.take_payloads(&["later"]).await;
}

#[test]
fn a_line_that_cannot_be_is_refused_with_what_is_wrong() {
    let with = |line: &str, from: &str, to: &str| line.replacen(from, to, 1);
    for (lines, error) in [
        (
            vec![SESSION.to_owned()],
            r#"an export begins with a line of the kind "export""#,
        ),
        (
            vec![HEADER.to_owned(), HEADER.to_owned()],
            r#"a second line of the kind "export""#,
        ),
        (
            vec![with(HEADER, "1", "2")],
            "the export has format 2, and this release reads 1",
        ),
        (
            vec![HEADER.to_owned(), SESSION.to_owned()],
            r#"the session of "reader" waits for message 7, which is not there"#,
        ),
        (
            vec![HEADER.to_owned(), MESSAGE.to_owned(), SESSION.to_owned()],
            r#"the session of "reader" comes after the first message: sessions come before"#,
        ),
        (
            vec![HEADER.to_owned(), MESSAGE.to_owned(), MESSAGE.to_owned()],
            "message 7 comes a second time",
        ),
        (
            vec![
                HEADER.to_owned(),
                SESSION.to_owned(),
                with(SESSION, "1", "2"),
            ],
            r#"the session of "reader" comes a second time"#,
        ),
        (
            vec![
                HEADER.to_owned(),
                SESSION.to_owned(),
                with(SESSION, "reader", "other"),
            ],
            "session number 1 comes a second time",
        ),
        (
            vec![HEADER.to_owned(), with(SESSION, "a/#", "a#")],
            "a start would refuse it: a record of kind 18: its filter cannot be read",
        ),
        (
            vec![HEADER.to_owned(), with(SESSION, r#""qos":1"#, r#""qos":3"#)],
            "qos cannot be 3",
        ),
        (
            vec![HEADER.to_owned(), with(MESSAGE, "a/b", "a/#")],
            "a start would refuse it: a record of kind 1: its message cannot be read",
        ),
        (
            vec![HEADER.to_owned(), with(MESSAGE, "9", "0")],
            "publisher cannot be 0",
        ),
        (
            vec![HEADER.to_owned(), with(RETAINED, "/w==", "/")],
            "base64 cannot be \"/\" (Invalid",
        ),
        (
            vec![
                HEADER.to_owned(),
                RETAINED.to_owned(),
                with(RETAINED, "8", "9"),
            ],
            r#"the retained message of "r" comes a second time"#,
        ),
    ] {
        let (clock, _hand) = Clock::manual();
        let refused = import(&lines, &clock)
            .err()
            .expect("a wrong line")
            .to_string();
        assert!(refused.starts_with(error), "{refused}");
    }
}

#[test]
fn a_disk_with_a_log_is_not_imported_into() {
    let (clock, _hand) = Clock::manual();
    let (disk, _) = import(&[HEADER, SESSION, MESSAGE], &clock).expect("good lines");
    let before = disk.list().expect("a disk in memory").len();
    let refused = Import::new(Arc::new(disk.clone()), small_segments(), &clock);
    assert!(matches!(refused, Err(ImportError::NotEmpty)));
    assert_eq!(disk.list().expect("a disk in memory").len(), before);
}
