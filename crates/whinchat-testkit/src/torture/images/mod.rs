//! Every image of the disk that a loss of power may leave, while a broker serves its clients; on each of them a broker starts, and everything comes to its end.
//!
//! ```text
//!  seed ─► course of events ─► operations of the disk:  w w s │ w s │ c w s w s │ ...
//!                    └ what was said before each commit:       ▲     ▲           ▲
//!  for each moment between two operations: nothing, everything, or some sectors of what was not synced
//!       ─► broker on that image ─► the clients come back with what they had been told ─► the book is closed
//! ```
//!
//! Read first: `world`, the clients and what they hold against the broker; then `life` and `course`.

mod client;
mod course;
mod life;
mod world;

use std::fmt;

use whinchat_store::disk::Crash;

use self::course::Course;
use super::{
    finding::Findings,
    report::{Progress, Row},
};

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
    let mut courses = 0;
    while row.cycles < count && found.is_none() {
        let course = Course::play(seed.wrapping_add(courses));
        let acknowledged = row.acknowledged + course.accepted();
        row.acknowledged = acknowledged;
        found = course.look_at_images(|| {
            row.cycles += 1;
            progress.show(row.cycles.min(count), acknowledged, &row.findings);
        });
        courses += 1;
    }
    row.note = format!("{courses} courses");
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
            None => writeln!(f, "seed {}, no image", self.seed)?,
        }
        self.findings.fmt(f)
    }
}

/// A crash of a course.
#[derive(Clone, Copy, Debug)]
struct Image {
    /// Which life of the broker, from 1 on.
    life: usize,
    operations: usize,
    crash: Crash,
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            life,
            operations,
            crash,
        } = self;
        write!(
            f,
            "life {life}, after {operations} operations of the disk, of what was not synced: {crash:?}"
        )
    }
}
