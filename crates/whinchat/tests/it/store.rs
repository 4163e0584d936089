//! `whinchat store`: the data directory that a broker left, whole and damaged.

use std::{
    fs,
    os::unix::fs::{FileExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use crate::broker::{Broker, result, whinchat};

/// Runs `whinchat store ACTION DIR`.
fn store(action: &[&str], data: &Path) -> (i32, String, String) {
    let mut command = whinchat(&["store"]);
    result(&command.args(action).arg(data).output().unwrap())
}

/// Ends with the code and these words on stderr, and nothing on stdout.
#[track_caller]
fn refused(action: &[&str], data: &Path, code: i32, words: &str) {
    let (ended, stdout, stderr) = store(action, data);
    assert_eq!((ended, stdout.as_str()), (code, ""), "{stderr}");
    assert!(stderr.contains(words), "{stderr}");
}

/// Three retained messages and a session with a message in its queue, left by a broker that was killed.
fn left_behind(data: &Path) {
    let broker = Broker::start_in(data);
    broker.succeed(&["sub", "-c", "-i", "keeper", "-q", "1", "-t", "plain", "-E"]);
    for number in ["1", "2", "3"] {
        let (topic, payload) = (format!("kept/{number}"), format!("contents of {number}"));
        broker.succeed(&["pub", "-q", "1", "-r", "-t", &topic, "-m", &payload]);
    }
    broker.succeed(&["pub", "-q", "1", "-t", "plain", "-m", "for the keeper"]);
}

/// The one segment; the other files were made in advance.
fn segment(data: &Path) -> PathBuf {
    let is_used = |path: &PathBuf| {
        let mut magic = [0; 7];
        let file = fs::File::open(path).unwrap();
        file.read_at(&mut magic, 0).unwrap() > 0 && magic == *b"WHINLOG"
    };
    let mut files = fs::read_dir(data).unwrap();
    files
        .find_map(|entry| Some(entry.unwrap().path()).filter(is_used))
        .unwrap()
}

/// Changes one byte of this payload where it stands on the disk.
fn damage(data: &Path, payload: &[u8]) {
    let path = segment(data);
    let mut bytes = vec![0; 64 << 10];
    let file = fs::File::open(&path).unwrap();
    file.read_exact_at(&mut bytes, 0).unwrap();
    let found = bytes.windows(payload.len()).position(|at| at == payload);
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(b"?", found.unwrap() as u64).unwrap();
}

fn backups(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().contains("data.backup-"))
        .collect()
}

#[test]
fn verify_says_what_a_killed_broker_left() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    refused(&["verify"], &data, 3, "No such file or directory");
    left_behind(&data);
    let before = fs::read(segment(&data)).unwrap();
    let (code, stdout, stderr) = store(&["verify"], &data);
    assert_eq!((code, stderr.as_str()), (0, ""), "{stdout}");
    assert!(stdout.starts_with("segments: 1 ("), "{stdout}");
    assert!(
        stdout.contains("\ngroups: ") && stdout.ends_with("\nwhole\n"),
        "{stdout}"
    );
    for (name, count) in [
        ("MESSAGE", 4),
        ("ROUTE", 1),
        ("RETAIN", 3),
        ("SUBSCRIBED", 1),
    ] {
        let line = stdout
            .lines()
            .find(|line| line.split_whitespace().next() == Some(name));
        assert!(
            line.is_some_and(|line| line.ends_with(&format!(" {count}"))),
            "{name}: {stdout}"
        );
    }
    assert!(fs::read(segment(&data)).unwrap() == before);

    let broker = Broker::start_in(&data);
    refused(&["verify"], &data, 3, "in use by another process");
    refused(&["repair"], &data, 3, "in use by another process");
    drop(broker);
    assert_eq!(store(&["verify"], &data).0, 0);
}

#[test]
fn repair_keeps_all_but_what_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    left_behind(&data);
    damage(&data, b"contents of 2");
    let damaged = fs::read(segment(&data)).unwrap();

    let (code, _, stderr) = result(
        &whinchat(&["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(&data)
            .output()
            .unwrap(),
    );
    let advice = format!("`whinchat store repair {}`", data.display());
    assert_eq!(code, 3);
    assert!(
        stderr.contains(" is damaged at byte") && stderr.contains(&advice),
        "{stderr}"
    );
    refused(&["verify"], &data, 3, &advice);

    let (code, stdout, stderr) = store(&["repair"], &data);
    assert_eq!((code, stderr.as_str()), (0, ""), "{stdout}");
    assert!(
        stdout.starts_with("found: ")
            && stdout.contains("\ndropped: ")
            && stdout.contains(" is not valid\n"),
        "{stdout}"
    );
    let copies = backups(folder.path());
    let [copy] = &copies[..] else {
        panic!("{copies:?}");
    };
    assert!(
        stdout.ends_with(&format!("as it was: {}\n", copy.display())),
        "{stdout}"
    );
    assert!(fs::read(segment(copy)).unwrap() == damaged);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(copy), mode(&segment(copy))), (0o700, 0o600));

    assert_eq!(store(&["verify"], &data).0, 0);
    let (code, stdout, _) = store(&["repair"], &data);
    assert_eq!(code, 0);
    assert!(
        stdout.ends_with(": whole, nothing was changed\n"),
        "{stdout}"
    );
    assert_eq!(backups(folder.path()).len(), 1);

    let broker = Broker::start_in(&data);
    let kept = broker.succeed(&["sub", "-t", "kept/#", "-C", "2", "-v"]);
    let mut kept: Vec<&str> = kept.lines().collect();
    kept.sort_unstable();
    assert_eq!(kept, ["kept/1 contents of 1", "kept/3 contents of 3"]);
    let queued = broker.succeed(&[
        "sub", "-c", "-i", "keeper", "-q", "1", "-t", "plain", "-C", "1",
    ]);
    assert_eq!(queued, "for the keeper\n");
}

#[test]
fn a_log_of_a_later_release_is_refused_by_every_command_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    left_behind(&data);
    let segment = segment(&data);
    let file = fs::OpenOptions::new().write(true).open(&segment).unwrap();
    file.write_all_at(&[9], 8).unwrap();
    let files = || {
        let mut files: Vec<_> = fs::read_dir(&data)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| (fs::read(&path).unwrap(), path))
            .collect();
        files.sort_by(|(_, a), (_, b)| a.cmp(b));
        files
    };
    let before = files();
    let words = "has format 9 of the log, this release reads up to format 1";
    for action in ["verify", "repair", "inspect", "export"] {
        refused(&[action], &data, 3, words);
    }
    let elsewhere = folder.path().join("elsewhere");
    for action in ["backup", "restore"] {
        let mut command = whinchat(&["store", action]);
        let (code, stdout, stderr) = result(&command.arg(&data).arg(&elsewhere).output().unwrap());
        assert_eq!((code, stdout.as_str()), (3, ""), "{action}: {stderr}");
        assert!(stderr.contains(words), "{action}: {stderr}");
    }
    refused(&["import", "-"], &data, 3, words);
    let mut serve = whinchat(&["serve", "--data-dir"]);
    let (code, stdout, stderr) = result(&serve.arg(&data).output().unwrap());
    assert_eq!((code, stdout.as_str()), (3, ""), "{stderr}");
    assert!(stderr.contains(words), "{stderr}");
    assert!(files() == before);
    assert!(backups(folder.path()).is_empty());
}

#[test]
fn what_is_exported_is_imported_and_served() {
    let folder = tempfile::tempdir().unwrap();
    let (data, new) = (folder.path().join("data"), folder.path().join("new"));
    left_behind(&data);
    let (code, lines, stderr) = store(&["export"], &data);
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert_eq!(lines.lines().count(), 6, "{lines}");
    let kept = folder.path().join("kept.jsonl");
    fs::write(&kept, &lines).unwrap();
    let import = ["import", kept.to_str().unwrap()];
    let (code, stdout, stderr) = store(&import, &new);
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert_eq!(
        stdout,
        "imported: 1 sessions, 4 messages (3 retained), 0 Wills\n"
    );
    refused(
        &import,
        &new,
        3,
        "the log is not empty: import into a new directory",
    );
    let broker = Broker::start_in(&new);
    let queued = broker.succeed(&[
        "sub", "-c", "-i", "keeper", "-q", "1", "-t", "plain", "-C", "1",
    ]);
    assert_eq!(queued, "for the keeper\n");
}

#[test]
fn an_import_with_a_wrong_line_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (data, kept) = (folder.path().join("data"), folder.path().join("kept.jsonl"));
    let header = r#"{"kind":"export","format":1,"whinchat":"0.1.0"}"#;
    let message =
        r#"{"kind":"message","id":1,"publisher":1,"topic":"a","qos":1,"payload":{"text":"x"}}"#;
    for (line, words) in [
        ("{", "kept.jsonl:3: EOF while parsing an object"),
        (header, "kept.jsonl:3: a second line of the kind"),
        (message, "kept.jsonl:3: message 1 comes a second time"),
        (
            r#"{"kind":"will","session":1}"#,
            "kept.jsonl:3: missing field",
        ),
    ] {
        fs::write(&kept, format!("{header}\n{message}\n{line}\n")).unwrap();
        refused(&["import", kept.to_str().unwrap()], &data, 2, words);
        let left: Vec<_> = fs::read_dir(&data)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(left, ["lock"]);
    }
}

#[test]
fn inspect_lists_what_is_kept_and_no_payload() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    refused(&["inspect"], &data, 3, "No such file or directory");
    left_behind(&data);
    let (code, stdout, stderr) = store(&["inspect"], &data);
    assert_eq!((code, stderr.as_str()), (0, ""), "{stdout}");
    assert!(
        stdout.starts_with("sessions: 1\n  \"keeper\"\n")
            && stdout.contains("    1 queued, 0 in flight, 0 QoS 2 packet ids held\n"),
        "{stdout}"
    );
    assert!(
        stdout.contains("    subscribed to \"plain\" at QoS 1\n"),
        "{stdout}"
    );
    assert!(
        stdout.contains("retained messages: 3\n  \"kept/1\": 13 bytes, QoS 1, never expires\n"),
        "{stdout}"
    );

    let (code, json, _) = store(&["inspect", "--json"], &data);
    assert_eq!(code, 0);
    let lines: Vec<serde_json::Value> = json
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 4, "{json}");
    assert_eq!(lines[0]["kind"], "session");
    assert_eq!(lines[0]["client_id"], "keeper");
    assert_eq!(lines[0]["queued"], 1);
    assert_eq!(lines[0]["subscriptions"][0]["filter"], "plain");
    assert_eq!(lines[3]["kind"], "retained");
    assert_eq!(lines[3]["topic"], "kept/3");
    assert_eq!(lines[3]["payload_bytes"], 13);
    for text in [stdout, json] {
        assert!(
            !text.contains("contents of") && !text.contains("for the keeper"),
            "{text}"
        );
    }

    damage(&data, b"contents of 2");
    refused(&["inspect"], &data, 3, "whinchat store repair");
}

#[test]
fn a_backup_of_a_running_broker_is_restored() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    left_behind(&data);
    let broker = Broker::start_in(&data);
    broker.succeed(&[
        "pub",
        "-q",
        "1",
        "-r",
        "-t",
        "kept/4",
        "-m",
        "contents of 4",
    ]);
    let copy = folder.path().join("copy");
    let (code, stdout, stderr) = store(&["backup", &data.to_string_lossy()], &copy);
    assert_eq!((code, stderr.as_str()), (0, ""), "{stdout}");
    assert!(stdout.starts_with("copied: groups up to "), "{stdout}");
    broker.succeed(&["pub", "-q", "1", "-r", "-t", "kept/5", "-m", "too late"]);
    drop(broker);
    assert_eq!(store(&["verify"], &copy).0, 0);

    refused(
        &["restore", &copy.to_string_lossy()],
        &data,
        3,
        "is not empty",
    );
    fs::remove_dir_all(&data).unwrap();
    assert_eq!(store(&["restore", &copy.to_string_lossy()], &data).0, 0);
    let (_, stdout, _) = store(&["inspect"], &data);
    assert!(
        stdout.contains("retained messages: 4\n") && stdout.contains("1 queued"),
        "{stdout}"
    );
    let broker = Broker::start_in(&data);
    assert_eq!(
        broker.succeed(&["sub", "-t", "kept/4", "-C", "1"]),
        "contents of 4\n"
    );
    drop(broker);

    damage(&data, b"contents of 2");
    let target = folder.path().join("of damage");
    refused(
        &["backup", &data.to_string_lossy()],
        &target,
        3,
        "whinchat store repair",
    );
}
