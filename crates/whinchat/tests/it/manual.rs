//! The manual of the tools and the tutorial hold: every option is listed, and every example does what it shows.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use crate::broker::{Broker, result, whinchat};

fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    fs::read_to_string(path.join(name)).unwrap()
}

#[test]
fn every_option_is_listed() {
    let manual = page("tools.md");
    for tool in ["pub", "sub", "rr", "bench", "conformance"] {
        let (_, help, _) = result(&whinchat(&[tool, "--help"]).output().unwrap());
        let mut count = 0;
        for line in help.lines() {
            let line = line.trim_start();
            if !line.starts_with('-') || line.starts_with("- ") {
                continue;
            }
            let names = line.split([' ', ',']).filter(|word| word.starts_with('-'));
            for name in names {
                // `-h` and `--help` of these two are clap's own.
                if matches!(tool, "bench" | "conformance") && matches!(name, "-h" | "--help") {
                    continue;
                }
                let listed = [format!("`{name}`"), format!("`{name} ")];
                assert!(
                    listed.iter().any(|form| manual.contains(form)),
                    "{tool} {name}"
                );
                count += 1;
            }
        }
        assert!(count > 20, "{tool}: {count} options");
    }
}

#[test]
fn every_example_of_the_manual_does_what_it_shows() {
    check_examples("tools.md");
}

#[test]
fn every_example_of_the_tutorial_does_what_it_shows() {
    check_examples("tutorial.md");
}

fn check_examples(name: &str) {
    let page = page(name);
    let blocks: Vec<_> = page
        .split("```console\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    assert!(blocks.len() > 4);
    for block in blocks {
        // A broker of its own for each, for one must not rest on what another left behind.
        let broker = Broker::start();
        let (commands, expected): (Vec<_>, Vec<_>) =
            block.lines().partition(|line| line.starts_with("$ "));
        let script: String = commands
            .iter()
            .map(|line| format!("{}\n", &line[2..]))
            .collect();
        let printed = run(&broker, &script);
        let printed: Vec<_> = printed.lines().collect();
        assert_eq!(printed.len(), expected.len(), "{script}\n{printed:#?}");
        for (printed, expected) in printed.iter().zip(expected) {
            assert!(
                matches(printed, expected),
                "{printed:?} is not {expected:?}, in\n{script}"
            );
        }
    }
}

/// Runs a script as a reader would type it, with `whinchat` being this build and its broker this one.
fn run(broker: &Broker, script: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let program = env!("CARGO_BIN_EXE_whinchat");
    // A program and not a function of the shell, so that `$!` is its process.
    let wrapper = format!(
        r#"#!/bin/sh
            tool=$1; shift
            case $tool in
                bench) scenario=$1; shift; exec '{program}' bench "$scenario" "127.0.0.1:$PORT" "$@" ;;
                conformance)
                    case $1 in mqtt://*) shift; set -- "127.0.0.1:$PORT" "$@" ;; esac
                    exec '{program}' conformance "$@" ;;
                # Who has a URL needs no port.
                *) case $1 in -L) ;; *) set -- -p "$PORT" "$@" ;; esac; exec '{program}' "$tool" "$@" ;;
            esac
        "#
    );
    let path = folder.path().join("bin/whinchat");
    fs::create_dir(folder.path().join("bin")).unwrap();
    fs::write(&path, wrapper).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let output = Command::new("sh")
        .args(["-c", &format!("PATH=$PWD/bin:$PATH\n{script}")])
        .env("PORT", broker.port())
        .env("TZ", "UTC")
        .current_dir(folder.path())
        .output()
        .unwrap();
    let (_, stdout, stderr) = result(&output);
    assert_eq!(stderr, "", "{script}");
    stdout
}

/// Whether `text` is `pattern`, in which `...` stands for anything.
fn matches(text: &str, pattern: &str) -> bool {
    let mut parts = pattern.split("...");
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let mut is_open = false;
    for part in parts {
        is_open = part.is_empty();
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    rest.is_empty() || is_open
}

#[test]
fn three_dots_stand_for_anything() {
    assert!(matches("a 1 b 22 c", "a ... b ... c"));
    assert!(matches("a 1", "a ..."));
    assert!(!matches("a 1 b", "a ... c"));
    assert!(!matches("ab", "a"));
}
