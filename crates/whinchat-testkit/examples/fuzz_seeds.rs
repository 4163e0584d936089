//! Writes the seeds of the fuzz targets: `cargo run -p whinchat-testkit --example fuzz_seeds`.
//!
//! They go to `fuzz/seeds/TARGET/`, which is not kept in the repository: the golden vectors are.

use std::collections::BTreeMap;
use std::path::Path;
use std::{fs, io};

use whinchat_testkit::fuzzing::{TARGETS, seeds};

fn main() -> io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let directory = root.join("fuzz/seeds");
    if directory.exists() {
        fs::remove_dir_all(&directory)?;
    }
    for target in TARGETS {
        fs::create_dir_all(directory.join(target.name))?;
    }
    let mut counts: BTreeMap<_, u32> = BTreeMap::new();
    for seed in seeds(&root.join("crates/whinchat-codec/testdata"))? {
        let count = counts.entry(seed.target).or_default();
        fs::write(
            directory.join(seed.target).join(format!("{count:04}")),
            &seed.input,
        )?;
        *count += 1;
    }
    for (target, count) in counts {
        eprintln!("{count} seeds for {target}");
    }
    Ok(())
}
