//! Every fuzz body takes every seed, and every input that was worth keeping.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use whinchat_testkit::fuzzing::{TARGETS, seeds};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// What `fuzz/kept` may have in all.
const KEPT_BYTES_MAX: u64 = 300 * 1024;

#[test]
fn every_fuzz_body_takes_all_of_its_seeds() {
    let seeds = seeds(&root().join("crates/whinchat-codec/testdata")).unwrap();
    for target in TARGETS {
        let inputs: Vec<_> = seeds
            .iter()
            .filter(|seed| seed.target == target.name)
            .collect();
        assert!(
            inputs.len() > 10,
            "{} has {} seeds",
            target.name,
            inputs.len()
        );
        for seed in inputs {
            (target.run)(&seed.input);
        }
    }
}

#[test]
fn every_fuzz_body_takes_what_was_kept_of_earlier_runs() {
    let mut bytes = 0;
    for folder in fs::read_dir(root().join("fuzz/kept")).unwrap() {
        let folder = folder.unwrap();
        let name = folder.file_name().into_string().unwrap();
        let target = TARGETS.iter().find(|target| target.name == name);
        let target = target.unwrap_or_else(|| panic!("fuzz/kept/{name} belongs to no target"));
        for file in fs::read_dir(folder.path()).unwrap() {
            let path = file.unwrap().path();
            let input = fs::read(&path).unwrap();
            bytes += u64::try_from(input.len()).unwrap();
            println!("{}", path.display());
            (target.run)(&input);
        }
    }
    assert!(bytes <= KEPT_BYTES_MAX, "fuzz/kept has {bytes} bytes");
}

#[test]
fn the_targets_are_those_of_the_fuzz_package() {
    let files: BTreeSet<_> = fs::read_dir(root().join("fuzz/fuzz_targets"))
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            path.file_stem().unwrap().to_str().unwrap().to_owned()
        })
        .collect();
    let targets: BTreeSet<_> = TARGETS
        .iter()
        .map(|target| target.name.to_owned())
        .collect();
    assert_eq!(files, targets);
}
