//! System calls that fail: `strace` injects errors and delays into the calls of the real program.
//!
//! After a write or a sync that failed nothing may be acknowledged any more, and the broker ends with the exit code that it documents. A call that was
//! interrupted is repeated, and a slow disk is no error. In all cases a broker that starts on the directory without faults has what was acknowledged.

use std::{
    io,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use fastrand::Rng;

use super::{
    finding::Kind,
    kills::{running, settle},
    process::Recipe,
    report::{Progress, Row},
    world::World,
};

/// What is done to which call, and whether the broker has to end.
const FAULTS: [(&str, &str, bool); 4] = [
    ("fdatasync", "error=EIO", true),
    ("pwrite64", "error=EIO", true),
    ("fdatasync", "delay_exit=200000", false),
    ("pwrite64", "error=EINTR", false),
];

/// A broker that does not end so long after its disk has failed does not end.
const END_MAX: Duration = Duration::from_secs(20);

/// How long a broker has to go on with a fault that is none.
const LOAD: Duration = Duration::from_secs(1);

const SLICE: Duration = Duration::from_millis(20);

/// Most messages of each publisher in a slice.
const MESSAGES: u32 = 4;

/// Lets system calls of a broker on `dir` fail, so many times; the four faults by turns.
#[must_use]
pub fn faults(recipe: &Recipe, dir: &Path, count: u64, seed: u64) -> Row {
    if let Err(error) = Command::new("strace").arg("-V").output() {
        return Row::not_run("faults", format!("strace: {error}"));
    }
    let mut rng = Rng::with_seed(seed);
    let mut world = World::new(rng.u64(..));
    let progress = Progress::new("faults", count);
    let mut done = 0;
    while done < count {
        world.ledger.cycle = u32::try_from(done).unwrap_or(u32::MAX);
        let fault = FAULTS[usize::try_from(done).unwrap_or(0) % FAULTS.len()];
        if let Err(error) = cycle(recipe, dir, fault, &mut rng, &mut world) {
            let (call, what, _) = fault;
            let what = format!("in cycle {done}, {call} {what}: {error}");
            world.findings.add(Kind::Ended, what);
            break;
        }
        done += 1;
        progress.show(done, world.ledger.accepted, &world.findings);
    }
    Row {
        method: "faults",
        cycles: done,
        acknowledged: world.ledger.accepted,
        findings: world.findings,
        note: "EIO of a sync, EIO of a write, slow syncs, EINTR of writes, by turns; short writes not run: strace cannot shorten what is done".to_owned(),
        not_run: None,
    }
}

fn cycle(
    recipe: &Recipe,
    dir: &Path,
    (call, fault, ends): (&str, &str, bool),
    rng: &mut Rng,
    world: &mut World,
) -> io::Result<()> {
    // Counted for each thread; the first ones are those of the start.
    let when = rng.u32(10..150);
    let when = if ends {
        format!("{when}+")
    } else {
        "10+7".to_owned()
    };
    let options = format!(
        "--seccomp-bpf -o /dev/null -e signal=none -e trace={call} -e inject={call}:{fault}:when={when}"
    );
    let mut process = running(&recipe.traced(&options), dir, world)?;
    let start = Instant::now();
    // It may be gone while someone connects, or looks.
    let mut went = world.look();
    let status = loop {
        if let Some(status) = process.ended()? {
            break Some(status);
        }
        if start.elapsed() > if ends { END_MAX } else { LOAD } {
            went?;
            break None;
        }
        match went {
            Ok(()) => went = world.load(SLICE, MESSAGES),
            Err(_) => thread::sleep(Duration::from_millis(1)),
        }
    };
    let said = process.last_words();
    match (status, ends) {
        (None, true) => return Err(io::Error::other(format!("it has not ended: {said}"))),
        (Some(status), false) => {
            return Err(io::Error::other(format!("it ended with {status}: {said}")));
        }
        (Some(status), true) => {
            let is_right = recipe
                .disk_failed
                .is_none_or(|code| status.code() == Some(code));
            if !is_right || said.is_empty() {
                let what = format!(
                    "in cycle {}, {call} {fault}: it ended with {status} and said: {said}",
                    world.ledger.cycle
                );
                world.findings.add(Kind::Ended, what);
            }
        }
        (None, false) => {}
    }
    process.kill()?;
    world.lose_connections();
    settle(recipe, dir, world)
}
