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
fn a_log_of_a_later_release_is_not_repaired() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    left_behind(&data);
    let segment = segment(&data);
    let file = fs::OpenOptions::new().write(true).open(&segment).unwrap();
    file.write_all_at(&[9], 8).unwrap();
    let before = fs::read(&segment).unwrap();
    refused(&["verify"], &data, 3, "has format 9 of the log");
    refused(&["repair"], &data, 3, "has format 9 of the log");
    assert!(fs::read(&segment).unwrap() == before);
    assert!(backups(folder.path()).is_empty());
}
