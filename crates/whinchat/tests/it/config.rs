//! `whinchat config`.

use std::process::{Command, Output};

fn whinchat(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_whinchat"))
        .args(arguments)
        .output()
        .unwrap()
}

#[track_caller]
fn check(text: &str) -> (i32, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("whinchat.toml");
    std::fs::write(&file, text).unwrap();
    let output = whinchat(&["config", "check", file.to_str().unwrap()]);
    let text =
        |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(&file.display().to_string(), "FILE");
    (
        output.status.code().unwrap(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[test]
fn the_printed_default_passes_its_own_check() {
    let printed = whinchat(&["config", "default"]);
    assert!(printed.status.success());
    let (code, stdout, stderr) = check(&String::from_utf8(printed.stdout).unwrap());
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert!(
        stdout.starts_with("FILE: ok\nwould listen on mqtt://127.0.0.1:1883\n"),
        "{stdout}"
    );
}

#[test]
fn a_wrong_file_ends_with_2_and_says_where() {
    let (code, stdout, stderr) = check("[limits]\npacket_sise = \"1MiB\"\n");
    assert_eq!((code, stdout.as_str()), (2, ""));
    assert_eq!(
        stderr,
        "error: FILE:2: unknown key limits.packet_sise; perhaps packet_size is meant\n"
    );
}

#[test]
fn an_open_listener_is_told_the_line_to_add() {
    let (code, _, stderr) = check("[[listener]]\nurl = \"0.0.0.0:1883\"\n");
    assert_eq!(code, 2);
    assert!(
        stderr.contains("\n[[listener]]\nurl = \"mqtt://0.0.0.0:1883\"\nanonymous = true\n"),
        "{stderr}"
    );
}

#[test]
fn the_reference_is_printed() {
    for (page, title) in [
        ("configuration", "# Configuration"),
        ("limits", "# Limits"),
        ("metrics", "# Metrics"),
    ] {
        let output = whinchat(&["config", "reference", page]);
        assert!(output.status.success());
        assert!(
            String::from_utf8(output.stdout)
                .unwrap()
                .lines()
                .any(|line| line == title)
        );
    }
}

#[test]
fn wrong_usage_ends_with_2() {
    for arguments in [
        &["config"][..],
        &["config", "chek", "x"],
        &["sevre"],
        &[],
        &["--unknown"],
    ] {
        assert_eq!(whinchat(arguments).status.code(), Some(2), "{arguments:?}");
    }
    assert_eq!(whinchat(&["--version"]).status.code(), Some(0));
}
