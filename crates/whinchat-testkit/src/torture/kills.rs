//! `kill -9` at random moments under load, on the same directory again and again.

use std::{path::Path, thread, time::Duration};

use fastrand::Rng;

use super::{
    finding::Kind,
    process::{Process, Recipe},
    report::{Progress, Row},
    world::World,
};

/// The book is closed after so many lives, so that what is lost is found near the end that lost it.
pub(super) const SETTLE_EVERY: u64 = 25;

/// Most messages of each publisher in one life of the broker.
pub(super) const MESSAGES: u32 = 60;

/// Kills a broker on `dir` so often.
#[must_use]
pub fn kills(recipe: &Recipe, dir: &Path, count: u64, seed: u64) -> Row {
    let mut rng = Rng::with_seed(seed);
    let mut world = World::new(rng.u64(..));
    let progress = Progress::new("kills", count);
    let mut done = 0;
    while done < count {
        world.ledger.cycle = u32::try_from(done).unwrap_or(u32::MAX);
        if let Err(error) = cycle(recipe, dir, &mut rng, &mut world) {
            let what = format!("in cycle {done}: {error}");
            world.findings.add(Kind::Ended, what);
            break;
        }
        done += 1;
        if (done == count || done.is_multiple_of(SETTLE_EVERY))
            && let Err(error) = settle(recipe, dir, &mut world)
        {
            let what = format!("after cycle {done}: {error}");
            world.findings.add(Kind::Ended, what);
            break;
        }
        progress.show(done, world.ledger.accepted, &world.findings);
    }
    Row {
        method: "kills",
        cycles: done,
        acknowledged: world.ledger.accepted,
        findings: world.findings,
        note: String::new(),
        not_run: None,
    }
}

fn cycle(recipe: &Recipe, dir: &Path, rng: &mut Rng, world: &mut World) -> std::io::Result<()> {
    if rng.u8(..10) == 0 {
        // Killed while it starts.
        let mut process = recipe.spawn(dir)?;
        thread::sleep(Duration::from_millis(rng.u64(..60)));
        process.kill()?;
    }
    let mut process = started(recipe, dir, world)?;
    let time = Duration::from_micros(rng.u64(2_000..300_000));
    world.load(time, MESSAGES)?;
    if let Some(status) = process.ended()? {
        let said = process.last_words();
        return Err(std::io::Error::other(format!(
            "it ended by itself with {status}: {said}"
        )));
    }
    process.kill()?;
    world.lose_connections();
    Ok(())
}

/// A broker that runs and was looked at.
pub(super) fn started(recipe: &Recipe, dir: &Path, world: &mut World) -> std::io::Result<Process> {
    let process = running(recipe, dir, world)?;
    world.look()?;
    Ok(process)
}

/// A broker that runs, and where the clients are to connect now.
pub(super) fn running(recipe: &Recipe, dir: &Path, world: &mut World) -> std::io::Result<Process> {
    let mut process = recipe.spawn(dir)?;
    process.wait_until_ready()?;
    world.moved_to(process.port);
    Ok(process)
}

/// Lets everything come to its end.
pub(super) fn settle(recipe: &Recipe, dir: &Path, world: &mut World) -> std::io::Result<()> {
    let mut process = started(recipe, dir, world)?;
    world.drain()?;
    process.kill()?;
    world.lose_connections();
    Ok(())
}
