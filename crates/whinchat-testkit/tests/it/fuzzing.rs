//! Every fuzz body takes every seed.

use std::collections::BTreeSet;
use std::path::Path;

use whinchat_testkit::fuzzing::{TARGETS, seeds};

#[test]
fn every_fuzz_body_takes_all_of_its_seeds() {
    let testdata = Path::new(env!("CARGO_MANIFEST_DIR")).join("../whinchat-codec/testdata");
    let seeds = seeds(&testdata).unwrap();
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
fn the_targets_are_those_of_the_fuzz_package() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/fuzz_targets");
    let files: BTreeSet<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| {
            entry
                .unwrap()
                .path()
                .file_stem()
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    let targets: BTreeSet<_> = TARGETS
        .iter()
        .map(|target| target.name.to_owned())
        .collect();
    assert_eq!(files, targets);
}
