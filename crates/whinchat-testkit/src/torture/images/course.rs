//! A course of events and the images of its disk.

use fastrand::Rng;
use whinchat_store::disk::{Crash, Moment, SimulatedDisk};

use super::{
    Found, Image,
    life::{Life, Setup},
    world::World,
};
use crate::torture::finding::{Findings, Kind};

/// Steps of a course.
const STEPS: usize = 400;

/// Mixtures of what was not synced that are tried in each moment.
const MIXTURES: u64 = 2;

/// A course of events: up to three lives of a broker, each on what the crash of the one before has left.
pub(super) struct Course {
    seed: u64,
    setup: Setup,
    pub(super) lives: Vec<Life>,
}

impl Course {
    pub(super) fn play(seed: u64) -> Self {
        let mut random = Rng::with_seed(seed);
        let setup = Setup {
            shards: random.u16(1..4),
            queue_in_memory: if random.bool() { 0 } else { 1_000 },
            is_only_written: random.u8(..4) == 0,
        };
        let mut lives: Vec<Life> = Vec::new();
        let (mut disk, mut world) = (SimulatedDisk::new(), World::new());
        let mut lines = vec![format!("{setup:?}")];
        let number = random.usize(1..4);
        for _ in 0..number {
            let mut life = match Life::start(disk, setup, world, random.fork()) {
                Ok(life) => life,
                Err(error) => {
                    let last = lives.last_mut().expect("it starts on an empty disk");
                    last.world.findings = does_not_start(&error);
                    break;
                }
            };
            life.lines = Some(lines);
            for _ in 0..STEPS / number {
                step(&mut life, &mut random);
            }
            (disk, world, lines) = left_by(&mut life, setup, &mut random);
            lives.push(life);
        }
        Self { seed, setup, lives }
    }

    /// Messages that the broker has acknowledged.
    pub(super) fn accepted(&self) -> u64 {
        let last = self.lives.last();
        last.map_or(0, |life| life.world.ledger.accepted)
    }
    /// The crashes that are tried in this moment.
    fn crashes(&self, moment: &Moment<'_>) -> Vec<Crash> {
        if self.setup.is_only_written {
            return vec![Crash::Everything];
        }
        if moment.is_certain() {
            return vec![Crash::Nothing];
        }
        let mixture = |number| Crash::Mixture(self.seed.wrapping_mul(31).wrapping_add(number));
        let mut all = vec![Crash::Nothing, Crash::Everything];
        all.extend((0..MIXTURES).map(mixture));
        all
    }

    /// Looks at every image of it; what is wrong with the first that is not clean.
    pub(super) fn look_at_images(&self, mut seen: impl FnMut()) -> Option<Found> {
        for number in 0..self.lives.len() {
            let found = self.look_at_images_of(number, &mut seen);
            if found.is_some() {
                return found;
            }
        }
        None
    }

    fn look_at_images_of(&self, number: usize, seen: &mut impl FnMut()) -> Option<Found> {
        let life = &self.lives[number];
        if life.world.findings.count() > 0 {
            return Some(Found {
                seed: self.seed,
                image: None,
                findings: life.world.findings.clone(),
                course: life.lines.clone().unwrap_or_default(),
            });
        }
        let mut found = None;
        life.disk.moments(|moment| {
            for crash in self.crashes(moment) {
                if found.is_some() {
                    return;
                }
                seen();
                let (findings, _) = self.look_at(life, moment, crash, false);
                if findings.count() > 0 {
                    found = Some(self.explain(number, moment, crash));
                }
            }
        });
        found
    }

    /// The same again, in words.
    fn explain(&self, number: usize, moment: &Moment<'_>, crash: Crash) -> Found {
        let life = &self.lives[number];
        let (findings, after) = self.look_at(life, moment, crash, true);
        let mut course = life.lines.clone().unwrap_or_default();
        course.truncate(life.said_at(moment.operations()).1);
        course.push("=== power is lost".to_owned());
        course.extend(after);
        Found {
            seed: self.seed,
            image: Some(Image {
                life: number + 1,
                operations: moment.operations(),
                crash,
            }),
            findings,
            course,
        }
    }

    /// A broker starts on what a crash leaves, and everything comes to its end.
    fn look_at(
        &self,
        life: &Life,
        moment: &Moment<'_>,
        crash: Crash,
        tells: bool,
    ) -> (Findings, Vec<String>) {
        let seed = match crash {
            Crash::Nothing => 0,
            Crash::Everything => 1,
            Crash::Mixture(seed) => seed,
        };
        let mut random = Rng::with_seed(seed ^ (moment.operations() as u64) << 32);
        let downtime = if random.u8(..4) == 0 { 40_000 } else { 0 };
        let mut world = life.said_at(moment.operations()).0.clone();
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
                    let at = random.usize(..=life.disk.operations());
                    disk = after(&life.disk, at, setup.any_crash(&mut random));
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

/// One thing that a client does, or time, and a few turns.
fn step(life: &mut Life, random: &mut Rng) {
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

fn does_not_start(error: &str) -> Findings {
    let mut findings = Findings::default();
    findings.add(Kind::Ended, format!("it does not start: {error}"));
    findings
}

/// What a life leaves, and the world that it leaves it to.
fn left_by(life: &mut Life, setup: Setup, random: &mut Rng) -> (SimulatedDisk, World, Vec<String>) {
    if random.bool() {
        life.rest();
    }
    life.listen();
    let mut world = life.world.clone();
    world.crash(0, random);
    let disk = after(&life.disk, life.disk.operations(), setup.any_crash(random));
    let mut lines = life.lines.clone().unwrap_or_default();
    lines.push("=== power is lost".to_owned());
    (disk, world, lines)
}

/// What a crash leaves of a disk when it has done so many operations.
fn after(disk: &SimulatedDisk, operations: usize, crash: Crash) -> SimulatedDisk {
    let mut left = None;
    disk.moments(|moment| {
        if moment.operations() == operations {
            left = Some(moment.after(crash));
        }
    });
    left.expect("one of its moments")
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
        let last = course.lives.last().expect("there is one");
        let findings = &last.world.findings;
        assert_eq!(findings.count(), 0, "{findings}");
        let again = Course::play(1);
        assert_eq!(last.lines, again.lives.last().expect("as before").lines);
        let disk = Arc::new(last.disk.copy());
        let options = DurableLogOptions::default();
        let opened = DurableLog::open_stepped(disk, options, |_| Ok(()));
        let (log, _) = opened.expect("what a broker wrote");
        assert!(log.oldest_segment() > 4, "{}", log.oldest_segment());
        assert!(course.accepted() > 40);
    }
}
