//! Power cuts on a real file system: ext4 in an image, of which a copy is made at a random moment under load. What the kernel had not written
//! is not in it. The broker goes on on the copy.
//!
//! The copy is a state at one moment: the image lies in a second file system, which is frozen meanwhile, so that nothing is written to the image. To
//! freeze that one writes nothing of the first. There are two of them, since nothing can be copied into one that is frozen.
//!
//! ```text
//! a.img     outer file system, mounted at a         b.img     the same, at b
//! a/disk    image with ext4, mounted at disk-a      b/disk    a copy of it, mounted at disk-b, then the next one in a
//! ```

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use fastrand::Rng;

use super::{
    finding::Kind,
    kills::{MESSAGES, SETTLE_EVERY, settle, started},
    mount::{Mount, run},
    process::Recipe,
    report::{Progress, Row},
    world::World,
};

const DISK_BYTES: u64 = 1 << 30;
const OUTER_BYTES: u64 = 3 << 29;

/// How long the load goes on in one go while the outer file system is being frozen.
const SLICE: Duration = Duration::from_millis(2);

/// How long answers are listened to behind the cut: those that had left before.
const LAST_WORDS: Duration = Duration::from_millis(20);

/// Cuts the power of a broker so often, with files in `folder`.
#[must_use]
pub fn cuts(recipe: &Recipe, folder: &Path, count: u64, seed: u64) -> Row {
    let prepared = fs::create_dir_all(folder)
        .map_err(|error| io::Error::other(format!("{}: {error}", folder.display())))
        .and_then(|()| Ok([Outer::new(folder, "a")?, Outer::new(folder, "b")?]));
    let outers = match prepared {
        Ok(outers) => outers,
        Err(error) => return Row::not_run("cuts", error),
    };
    let mut disk = match outers[0].first_disk() {
        Ok(disk) => disk,
        Err(error) => return Row::not_run("cuts", error),
    };
    let mut rng = Rng::with_seed(seed);
    let mut world = World::new(rng.u64(..));
    let progress = Progress::new("cuts", count);
    let mut done = 0;
    let mut with_losses = 0;
    while done < count {
        world.ledger.cycle = u32::try_from(done).unwrap_or(u32::MAX);
        let [from, to] = [0, 1].map(|outer| &outers[usize::from((done + outer) % 2 == 1)]);
        match cycle(recipe, from, to, &disk, &mut rng, &mut world) {
            Ok((next, has_lost)) => {
                disk = next;
                with_losses += u64::from(has_lost);
            }
            Err(error) => {
                let what = format!("in cycle {done}: {error}");
                world.findings.add(Kind::Ended, what);
                break;
            }
        }
        done += 1;
        if (done == count || done.is_multiple_of(SETTLE_EVERY))
            && let Err(error) = settle(recipe, &disk.data(), &mut world)
        {
            let what = format!("after cycle {done}: {error}");
            world.findings.add(Kind::Ended, what);
            break;
        }
        progress.show(done, world.ledger.accepted, &world.findings);
    }
    Row {
        method: "cuts",
        cycles: done,
        acknowledged: world.ledger.accepted,
        findings: world.findings,
        note: format!(
            "in {with_losses} of them something was gone that had been written and not synced"
        ),
        not_run: None,
    }
}

/// One life of the broker; gives the disk after the cut, and whether something is missing there.
fn cycle(
    recipe: &Recipe,
    from: &Outer,
    to: &Outer,
    disk: &Mount,
    rng: &mut Rng,
    world: &mut World,
) -> io::Result<(Mount, bool)> {
    let mut process = started(recipe, &disk.data(), world)?;
    world.load(Duration::from_micros(rng.u64(2_000..300_000)), MESSAGES)?;
    let frozen = from.freeze(|| world.load(SLICE, MESSAGES / 16))?;
    if let Some(status) = process.ended()? {
        let said = process.last_words();
        return Err(io::Error::other(format!(
            "it ended by itself with {status}: {said}"
        )));
    }
    // What leaves now had been synced before: a sync that still has something to write waits.
    world.listen(LAST_WORDS);
    let written = disk.writes()?;
    to.copy(from)?;
    if disk.writes()? != written {
        return Err(io::Error::other(
            "something was written while the image was copied: it is not one moment",
        ));
    }
    // It must say nothing of what it may do after the cut.
    world.cut_all();
    process.begin_kill()?;
    drop(frozen);
    process.kill()?;
    let next = to.disk()?;
    let has_lost = differs(&disk.data(), &next.data())?;
    Ok((next, has_lost))
}

/// A file system that holds an image.
struct Outer {
    mount: Mount,
    /// Where its disk is mounted.
    disk: PathBuf,
}

impl Outer {
    fn new(folder: &Path, name: &str) -> io::Result<Self> {
        let image = folder.join(name).with_extension("img");
        make(&image, OUTER_BYTES, "^has_journal")?;
        let at = folder.join(name);
        let disk = folder.join(format!("disk-{name}"));
        fs::create_dir_all(&disk)?;
        let mount = Mount::image(&image, &at)?;
        // A machine that cannot do this cannot cut.
        let outer = Self { mount, disk };
        drop(outer.freeze(|| Ok(()))?);
        Ok(outer)
    }

    fn image(&self) -> PathBuf {
        self.mount.at.join("disk")
    }

    fn first_disk(&self) -> io::Result<Mount> {
        make(&self.image(), DISK_BYTES, "has_journal")?;
        self.disk()
    }

    fn disk(&self) -> io::Result<Mount> {
        Mount::image(&self.image(), &self.disk)
    }

    fn copy(&self, from: &Self) -> io::Result<()> {
        let [from, to] = [from, self].map(Self::image);
        run(Command::new("cp").arg("--sparse=always").args([from, to]))
    }

    /// Lets nothing more be written. `meanwhile` is called until that is so.
    fn freeze(&self, mut meanwhile: impl FnMut() -> io::Result<()>) -> io::Result<Frozen<'_>> {
        let mut freeze = Command::new("fsfreeze");
        let mut child = freeze.arg("-f").arg(&self.mount.at).spawn()?;
        let frozen = Frozen(&self.mount.at);
        loop {
            meanwhile()?;
            if let Some(status) = child.try_wait()? {
                return if status.success() {
                    Ok(frozen)
                } else {
                    Err(io::Error::other(format!("fsfreeze ended with {status}")))
                };
            }
        }
    }
}

/// Nothing is written there until this is dropped.
struct Frozen<'a>(&'a Path);

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        // If it was not frozen there is nothing to do.
        let _ = run(Command::new("fsfreeze").arg("-u").arg(self.0));
    }
}

/// A file of this size with an empty ext4, all of it written now rather than in the background.
fn make(image: &Path, bytes: u64, feature: &str) -> io::Result<()> {
    File::create(image)?.set_len(bytes)?;
    let options = [
        "-q",
        "-F",
        "-O",
        feature,
        "-E",
        "lazy_itable_init=0,lazy_journal_init=0",
    ];
    run(Command::new("mkfs.ext4").args(options).arg(image))
}

/// Whether the files of two folders are not the same.
fn differs(one: &Path, other: &Path) -> io::Result<bool> {
    let status = Command::new("diff")
        .arg("-rq")
        .args([one, other])
        .output()?
        .status;
    Ok(!status.success())
}
