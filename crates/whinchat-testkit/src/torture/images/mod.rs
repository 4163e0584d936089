//! Every image of the disk that a loss of power may leave, while a broker serves its clients; on each of them a broker starts, and everything comes to its end.
//!
//! ```text
//!  seed ─► course of events ─► operations of the disk:  w w s │ w s │ c w s w s │ ...
//!                    └ what was said before each commit:       ▲     ▲           ▲
//!  for each moment between two operations: nothing, everything, or some sectors of what was not synced
//!       ─► broker on that image ─► the clients come back with what they had been told ─► the book is closed
//! ```
//!
//! Read first: `world`, the clients and what they hold against the broker; then `life`.

mod client;
mod life;
mod world;

use std::fmt;

use fastrand::Rng;
use whinchat_store::disk::{Crash, Moment, SimulatedDisk};

use self::{
    life::{Life, Said, Setup},
    world::World,
};
use super::{
    finding::{Findings, Kind},
    report::{Progress, Row},
};

/// Steps of a course.
const STEPS: usize = 400;

/// Mixtures of what was not synced that are tried in each moment.
const MIXTURES: u64 = 2;

/// Plays courses from this seed on until so many images were looked at, or something is found: how it came to that. A course is finished once it was begun.
#[must_use]
pub fn images(count: u64, seed: u64) -> (Row, Option<Found>) {
    let progress = Progress::new("images", count);
    let mut found = None;
    let mut row = Row {
        method: "images",
        cycles: 0,
        acknowledged: 0,
        findings: Findings::default(),
        note: String::new(),
        not_run: None,
    };
    let mut seed = seed;
    while row.cycles < count && found.is_none() {
        let course = Course::play(seed);
        let acknowledged = row.acknowledged + course.life.world.ledger.accepted;
        row.acknowledged = acknowledged;
        found = course.look_at_images(|| {
            row.cycles += 1;
            progress.show(row.cycles.min(count), acknowledged, &row.findings);
        });
        seed = seed.wrapping_add(1);
    }
    if let Some(found) = &found {
        row.findings = found.findings.clone();
    }
    (row, found)
}

/// What was found on an image, and how it came to that.
#[derive(Debug)]
pub struct Found {
    seed: u64,
    image: Option<Image>,
    findings: Findings,
    course: Vec<String>,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.course {
            writeln!(f, "  {line}")?;
        }
        match self.image {
            Some(image) => writeln!(f, "seed {}, {image}", self.seed)?,
            None => writeln!(f, "seed {}, before any crash", self.seed)?,
        }
        self.findings.fmt(f)
    }
}

/// A crash of a course.
#[derive(Clone, Copy, Debug)]
struct Image {
    operations: usize,
    crash: Crash,
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operations, crash } = self;
        write!(
            f,
            "after {operations} operations of the disk, of what was not synced: {crash:?}"
        )
    }
}

/// A course of events.
struct Course {
    seed: u64,
    setup: Setup,
    life: Life,
}

impl Course {
    fn play(seed: u64) -> Self {
        let mut random = Rng::with_seed(seed);
        let setup = Setup {
            shards: random.u16(1..4),
            queue_in_memory: if random.bool() { 0 } else { 1_000 },
        };
        let own = Rng::with_seed(random.u64(..));
        let life = Life::start(SimulatedDisk::new(), setup, World::new(), own);
        let mut course = Self {
            seed,
            setup,
            life: life.expect("a broker starts on an empty disk"),
        };
        course.life.lines = Some(vec![format!("{setup:?}")]);
        for _ in 0..STEPS {
            course.step(&mut random);
        }
        course.life.rest();
        course.life.listen();
        course
    }

    fn step(&mut self, random: &mut Rng) {
        let life = &mut self.life;
        let place = random.usize(World::places());
        if place == World::auditor() {
            if random.u8(..3) == 0 {
                let seconds = random.u64(1..25);
                // What happened before happened before.
                while life.turn() {}
                life.hear_all();
                life.tell(|| format!("{seconds} s pass"));
                life.pass(seconds);
            }
        } else if life.world.clients[place].is_away() {
            if !World::likes_to_be_away(place) || random.u8(..3) == 0 {
                life.connect(place);
                let name = life.name(place);
                life.tell(|| format!("{name} connects"));
            }
        } else if random.u8(..if World::likes_to_be_away(place) {
            4
        } else {
            12
        }) == 0
        {
            let name = life.name(place);
            life.cut(place);
            life.tell(|| format!("{name} is cut"));
        } else {
            life.world.clients[place].is_deaf = random.u8(..10) == 0;
            life.world.clients[place].answer(random.usize(..5));
            let was_connected = life.world.clients[place].is_connected();
            let told = life.world.act(place, random);
            if was_connected && !life.world.clients[place].is_connected() {
                life.dial(place);
            }
            life.flush(place);
            if let Some(told) = told {
                let name = life.name(place);
                life.tell(|| format!("{name} {told}"));
            }
        }
        for _ in 0..random.usize(..6) {
            life.turn();
        }
        life.listen();
        if random.u8(..3) == 0 {
            life.commit();
        }
    }

    /// Looks at every image of it; what is wrong with the first that is not clean.
    fn look_at_images(&self, mut seen: impl FnMut()) -> Option<Found> {
        if self.life.world.findings.count() > 0 {
            return Some(Found {
                seed: self.seed,
                image: None,
                findings: self.life.world.findings.clone(),
                course: self.life.lines.clone().unwrap_or_default(),
            });
        }
        let mut found = None;
        self.life.disk.moments(|moment| {
            for crash in crashes(moment, self.seed) {
                if found.is_some() {
                    return;
                }
                seen();
                let (findings, _) = self.look_at(moment, crash, false);
                if findings.count() > 0 {
                    found = Some(self.explain(moment, crash));
                }
            }
        });
        found
    }

    /// What had been said when the disk had done so many operations.
    fn said(&self, operations: usize) -> (&World, usize) {
        let before = |said: &Said| said.operations <= operations;
        let next = self.life.said.partition_point(before);
        let lines = self.life.lines.as_ref().map_or(0, Vec::len);
        if operations == self.life.disk.operations() {
            return (&self.life.world, lines);
        }
        let said = &self.life.said[next - 1];
        (&said.world, said.lines)
    }

    /// The same again, in words.
    fn explain(&self, moment: &Moment<'_>, crash: Crash) -> Found {
        let (findings, after) = self.look_at(moment, crash, true);
        let (_, lines) = self.said(moment.operations());
        let mut course = self.life.lines.clone().unwrap_or_default();
        course.truncate(lines);
        course.push("=== power is lost".to_owned());
        course.extend(after);
        Found {
            seed: self.seed,
            image: Some(Image {
                operations: moment.operations(),
                crash,
            }),
            findings,
            course,
        }
    }

    /// A broker starts on what a crash leaves, and everything comes to its end.
    fn look_at(&self, moment: &Moment<'_>, crash: Crash, tells: bool) -> (Findings, Vec<String>) {
        let seed = match crash {
            Crash::Nothing => 0,
            Crash::Everything => 1,
            Crash::Mixture(seed) => seed,
        };
        let mut random = Rng::with_seed(seed ^ (moment.operations() as u64) << 32);
        let downtime = if random.u8(..4) == 0 { 40_000 } else { 0 };
        let mut world = self.said(moment.operations()).0.clone();
        world.crash(downtime, &mut random);
        let setup = Setup {
            shards: random.u16(1..4),
            ..self.setup
        };
        let mut disk = moment.after(crash);
        if random.u8(..8) == 0 {
            // It starts, and power is lost once more before anybody has connected.
            match Life::start(disk, setup, world.clone(), random.fork()) {
                Ok(mut life) => {
                    life.rest();
                    disk = any_crash(&life.disk, &mut random);
                }
                Err(error) => return (does_not_start(&error), Vec::new()),
            }
        }
        match Life::start(disk, setup, world, random.fork()) {
            Ok(mut life) => {
                life.lines = tells.then(Vec::new);
                afterlife(&mut life);
                (life.world.findings, life.lines.unwrap_or_default())
            }
            Err(error) => (does_not_start(&error), Vec::new()),
        }
    }
}

fn does_not_start(error: &str) -> Findings {
    let mut findings = Findings::default();
    findings.add(Kind::Ended, format!("it does not start: {error}"));
    findings
}

/// What is left of a disk if power is lost at any moment.
fn any_crash(disk: &SimulatedDisk, random: &mut Rng) -> SimulatedDisk {
    let at = random.usize(..=disk.operations());
    let mut left = None;
    disk.moments(|moment| {
        if moment.operations() == at {
            left = Some(moment.after(Crash::Mixture(random.u64(..))));
        }
    });
    left.expect("one of its moments")
}

/// The crashes that are tried in this moment.
fn crashes(moment: &Moment<'_>, seed: u64) -> Vec<Crash> {
    if moment.is_certain() {
        return vec![Crash::Nothing];
    }
    let mixture = |number| Crash::Mixture(seed.wrapping_mul(31).wrapping_add(number));
    let mut all = vec![Crash::Nothing, Crash::Everything];
    all.extend((0..MIXTURES).map(mixture));
    all
}

/// Everybody comes back, is sent what is owed, and publishes once more.
fn afterlife(life: &mut Life) {
    let auditor = World::auditor();
    life.connect(auditor);
    let mut ends = life.drain();
    life.world.close_audit();
    life.cut(auditor);
    for place in World::places().filter(|place| *place != auditor) {
        life.connect(place);
    }
    ends &= life.drain();
    let mut random = life.random().fork();
    life.world.publish_once_more(&mut random);
    ends &= life.drain();
    if !ends {
        life.world
            .findings
            .add(Kind::Unanswered, "it never comes to rest");
    }
    for place in World::places() {
        let client = &life.world.clients[place];
        if place != auditor && !client.is_connected() && !World::likes_to_be_away(place) {
            let who = client.name;
            life.world
                .findings
                .add(Kind::Unanswered, format!("the CONNECT of {who}"));
        }
    }
    life.world.settle(auditor);
    if life.panics() > 0 {
        life.world
            .findings
            .add(Kind::Ended, "a panic ended a connection");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use whinchat_store::{DurableLog, DurableLogOptions};

    use super::Course;

    #[test]
    fn a_course_is_the_same_for_the_same_seed_and_gives_up_old_segments() {
        let course = Course::play(1);
        let findings = &course.life.world.findings;
        assert_eq!(findings.count(), 0, "{findings}");
        assert_eq!(course.life.lines, Course::play(1).life.lines);
        let disk = Arc::new(course.life.disk.copy());
        let options = DurableLogOptions::default();
        let opened = DurableLog::open_stepped(disk, options, |_| Ok(()));
        let (log, _) = opened.expect("what a broker wrote");
        assert!(log.oldest_segment() > 4, "{}", log.oldest_segment());
        assert!(course.life.world.ledger.accepted > 40);
    }
}
