//! A disk that is full: the data directory is on a small file system in memory, filled with messages for sessions that are away.
//!
//! Publishers of 5.0 must be told 0x97, those of 3.x are not answered, QoS 0 and deliveries go on, and all is well again when there is room. Nothing that
//! was acknowledged is lost, also if the broker is killed while there is no room.

use std::{
    fs, io,
    path::Path,
    time::{Duration, Instant},
};

use whinchat_codec::{ProtocolVersion, QoS};

use super::{
    client::{Client, Event, Outbound, ready},
    finding::{Findings, Kind},
    ledger::{Ledger, SUBSCRIBERS},
    mount::Mount,
    process::{Process, Recipe},
    report::{Progress, Row},
    world::{number_in, payload},
};

/// The file system, and what lies in it until there shall be room: three segments fit beside it, less than a broker's share of the volume.
const VOLUME_BYTES: u64 = 400 << 20;
const BALLAST_BYTES: u64 = 200 << 20;

const PAYLOAD_BYTES: usize = 32 << 10;
const WINDOW: usize = 8;

/// A broker that has taken so many messages has more room than there is.
const MESSAGES_MAX: u64 = (VOLUME_BYTES - BALLAST_BYTES) / PAYLOAD_BYTES as u64;

/// A broker that says nothing for so long says nothing more.
const SILENCE: Duration = Duration::from_secs(5);

/// Messages of QoS 0 that must go through while the disk is full, and deliveries.
const GOES_ON: u64 = 20;

// Behind the keepers, who are subscribers of the ledger.
const PUBLISHER_V5: usize = SUBSCRIBERS;
const PUBLISHER_V3: usize = SUBSCRIBERS + 1;
const TALKER: usize = SUBSCRIBERS + 2;
const LISTENER: usize = SUBSCRIBERS + 3;

/// What happens when the disk is full.
#[derive(Clone, Copy)]
enum Then {
    Room,
    KillRoomStart,
    KillStartRoom,
}

/// Fills the disk of a broker in `folder` so often, in three ways by turns.
#[must_use]
pub fn full(recipe: &Recipe, folder: &Path, rounds: u64) -> Row {
    let mut scene = Scene::default();
    let progress = Progress::new("full", rounds);
    let mut done = 0;
    while done < rounds {
        let volume = match Mount::tmpfs(folder, VOLUME_BYTES) {
            Ok(volume) => volume,
            Err(error) => return Row::not_run("full", error),
        };
        let then = [Then::Room, Then::KillRoomStart, Then::KillStartRoom];
        let then = then[usize::try_from(done % 3).unwrap_or(0)];
        scene.ledger.cycle = u32::try_from(done).unwrap_or(u32::MAX);
        if let Err(error) = scene.round(recipe, &volume, then) {
            let what = format!("in round {done}: {error}");
            scene.findings.add(Kind::Ended, what);
            break;
        }
        done += 1;
        progress.show(done, scene.ledger.accepted, &scene.findings);
    }
    let Scene {
        findings,
        ledger,
        declined,
        went_on,
        ..
    } = scene;
    Row {
        method: "full",
        cycles: done,
        acknowledged: ledger.accepted,
        findings,
        note: format!(
            "{declined} refused with an error; while the disk was full {went_on} messages of QoS 0 and deliveries"
        ),
        not_run: None,
    }
}

#[derive(Default)]
struct Scene {
    findings: Findings,
    ledger: Ledger,
    clients: Vec<Client>,
    declined: u64,
    went_on: u64,
    /// What came to the listener, and SUBACKs.
    heard: u64,
    subscribed: u64,
    published: usize,
}

impl Scene {
    fn round(&mut self, recipe: &Recipe, volume: &Mount, then: Then) -> io::Result<()> {
        let ballast = volume.at.join("ballast");
        fs::write(
            &ballast,
            vec![1; usize::try_from(BALLAST_BYTES).unwrap_or(0)],
        )?;
        let dir = volume.data();
        let start = || -> io::Result<Process> {
            let mut process = recipe.spawn(&dir)?;
            process.wait_until_ready()?;
            Ok(process)
        };
        let mut process = start()?;
        self.begin(process.port)?;
        self.fill()?;
        self.while_full(process.port, "full")?;
        match then {
            Then::Room => fs::remove_file(&ballast)?,
            Then::KillRoomStart => {
                self.kill(&mut process)?;
                fs::remove_file(&ballast)?;
                process = start()?;
                self.connect(process.port, &[PUBLISHER_V5, PUBLISHER_V3])?;
            }
            Then::KillStartRoom => {
                self.kill(&mut process)?;
                process = start()?;
                self.connect(process.port, &[TALKER, LISTENER])?;
                self.subscribe(LISTENER, "z", QoS::AtMostOnce)?;
                self.talk("full, and started anew")?;
                fs::remove_file(&ballast)?;
                self.connect(process.port, &[PUBLISHER_V5, PUBLISHER_V3])?;
            }
        }
        self.heal()?;
        self.kill(&mut process)?;
        process = start()?;
        let all: Vec<_> = (0..SUBSCRIBERS)
            .chain([PUBLISHER_V5, PUBLISHER_V3])
            .collect();
        self.connect(process.port, &all)?;
        self.pump_until(|scene| scene.ledger.is_settled());
        self.ledger.settle(&mut self.findings);
        process.kill()?;
        Ok(())
    }

    /// The clients, and who keeps what: `f/0/+` to `f/7/+`. The keepers go away.
    fn begin(&mut self, port: u16) -> io::Result<()> {
        let version = |number: usize| match number {
            PUBLISHER_V3 | 0 | 3 | 6 => ProtocolVersion::V311,
            _ => ProtocolVersion::V5,
        };
        let names = (0..SUBSCRIBERS).map(|number| format!("k{number}"));
        let others = ["v5", "v3", "talker", "listener"].map(str::to_owned);
        self.clients = names
            .chain(others)
            .enumerate()
            .map(|(number, name)| Client::new(name, version(number)))
            .collect();
        let all: Vec<_> = (0..self.clients.len()).collect();
        self.connect(port, &all)?;
        for keeper in 0..SUBSCRIBERS {
            let qos = QoS::ALL[1 + keeper % 2];
            self.subscribe(keeper, &format!("f/{keeper}/+"), qos)?;
            self.clients[keeper].cut();
        }
        self.subscribe(LISTENER, "z", QoS::AtMostOnce)
    }

    fn connect(&mut self, port: u16, who: &[usize]) -> io::Result<()> {
        for &number in who {
            let is_clean = matches!(number, TALKER | LISTENER);
            self.clients[number].connect(port, is_clean, None)?;
        }
        let is_there = |scene: &Self| {
            let mut who = who.iter();
            who.all(|number| scene.clients[*number].is_connected())
        };
        self.must(is_there, "CONNACK")
    }

    fn subscribe(&mut self, who: usize, filter: &str, qos: QoS) -> io::Result<()> {
        let before = self.subscribed;
        self.clients[who].subscribe(&[filter.to_owned()], qos);
        self.must(|scene| scene.subscribed > before, "SUBACK")
    }

    fn publish(&mut self, publisher: usize) {
        self.published += 1;
        let keeper = self.published % SUBSCRIBERS;
        // A topic has one publisher, so that its order is known.
        let topic = format!("f/{keeper}/{publisher}");
        let number = self.ledger.publish(&topic, 1 << keeper, 0);
        let message = Outbound {
            number,
            topic,
            payload: payload(number, PAYLOAD_BYTES),
            qos: QoS::ALL[1 + publisher % 2],
            retain: false,
        };
        let mut events = Vec::new();
        self.clients[publisher].publish(message, &mut events);
        self.clients[publisher].flush(&mut events);
        self.handle(publisher, &mut events);
    }

    /// Publishes until the publisher of 5.0 is refused.
    fn fill(&mut self) -> io::Result<()> {
        let (declined, accepted) = (self.declined, self.ledger.accepted);
        while self.declined == declined {
            for publisher in [PUBLISHER_V5, PUBLISHER_V3] {
                while self.clients[publisher].in_flight() < WINDOW {
                    self.publish(publisher);
                }
            }
            if !self.pump(SILENCE) {
                return Err(io::Error::other("neither taken nor refused: silence"));
            }
            if self.ledger.accepted - accepted > MESSAGES_MAX {
                return Err(io::Error::other("it takes more than the disk has room for"));
            }
        }
        Ok(())
    }

    /// What must go on, and what must not.
    fn while_full(&mut self, port: u16, when: &str) -> io::Result<()> {
        self.talk(when)?;
        let declined = self.declined;
        self.pump_until(|scene| scene.clients[PUBLISHER_V5].in_flight() == 0);
        for _ in 0..WINDOW {
            self.publish(PUBLISHER_V5);
        }
        self.must(
            |scene| scene.declined > declined,
            "a refusal while the disk is full",
        )?;
        let before = self.ledger.deliveries;
        self.connect(port, &[1])?;
        self.must(
            |scene| scene.ledger.deliveries >= before + GOES_ON,
            "deliveries while the disk is full",
        )?;
        self.went_on += self.ledger.deliveries - before;
        self.clients[1].cut();
        Ok(())
    }

    /// QoS 0 goes through.
    fn talk(&mut self, when: &str) -> io::Result<()> {
        let before = self.heard;
        for number in 0..GOES_ON {
            let message = Outbound {
                number,
                topic: "z".to_owned(),
                payload: payload(number, 0),
                qos: QoS::AtMostOnce,
                retain: false,
            };
            self.clients[TALKER].publish(message, &mut Vec::new());
        }
        self.clients[TALKER].flush(&mut Vec::new());
        let what = format!("QoS 0 while the disk is {when}");
        self.must(|scene| scene.heard >= before + GOES_ON, &what)?;
        self.went_on += GOES_ON;
        Ok(())
    }

    /// There is room: everything is answered, and new messages are taken.
    fn heal(&mut self) -> io::Result<()> {
        let accepted = self.ledger.accepted;
        let end = Instant::now() + 2 * SILENCE;
        while self.ledger.accepted < accepted + GOES_ON {
            if self.clients[PUBLISHER_V5].in_flight() == 0 {
                self.publish(PUBLISHER_V5);
            }
            if Instant::now() > end {
                return Err(io::Error::other(
                    "there is room again, and nothing is taken",
                ));
            }
            self.pump(Duration::from_millis(20));
        }
        let is_answered = |scene: &Self| {
            let mut publishers = [PUBLISHER_V5, PUBLISHER_V3].into_iter();
            publishers.all(|number| scene.clients[number].in_flight() == 0)
        };
        self.must(is_answered, "answers when there is room again")
    }

    fn kill(&mut self, process: &mut Process) -> io::Result<()> {
        if let Some(status) = process.ended()? {
            let said = process.last_words();
            return Err(io::Error::other(format!(
                "it ended by itself with {status}: {said}"
            )));
        }
        process.kill()?;
        // What it had said is read.
        self.pump_until(|scene| scene.clients.iter().all(Client::is_away));
        Ok(())
    }

    fn must(&mut self, is_so: impl Fn(&Self) -> bool, what: &str) -> io::Result<()> {
        if self.pump_until(is_so) {
            return Ok(());
        }
        Err(io::Error::other(format!("no {what} within {SILENCE:?}")))
    }

    /// Pumps until it is so, or nothing more comes.
    fn pump_until(&mut self, is_so: impl Fn(&Self) -> bool) -> bool {
        while !is_so(self) {
            if !self.pump(SILENCE) {
                return false;
            }
        }
        true
    }

    /// Handles what comes within this time; false if nothing does.
    fn pump(&mut self, wait: Duration) -> bool {
        let mut events = Vec::new();
        for number in 0..self.clients.len() {
            self.clients[number].flush(&mut events);
            self.handle(number, &mut events);
        }
        let end = Instant::now() + wait;
        loop {
            let places = ready(self.clients.iter(), wait.min(Duration::from_millis(100)));
            for &number in &places {
                self.clients[number].read(&mut events);
                self.clients[number].flush(&mut events);
                self.handle(number, &mut events);
            }
            if !places.is_empty() {
                return true;
            }
            if Instant::now() >= end {
                return false;
            }
        }
    }

    fn handle(&mut self, who: usize, events: &mut Vec<Event>) {
        for event in events.drain(..) {
            match event {
                Event::Subscribed => self.subscribed += 1,
                Event::Sent(number) => self.ledger.sent(number),
                Event::Accepted(number) => self.ledger.accepted(number),
                Event::Finished(number) => self.ledger.finished(number),
                Event::Declined(number) => {
                    self.declined += 1;
                    self.ledger.abandoned(number);
                }
                Event::Abandoned(number) => self.ledger.abandoned(number),
                Event::Delivered(_) if who == LISTENER => self.heard += 1,
                Event::Delivered(delivery) => match number_in(&delivery.payload) {
                    Some(number) if who < SUBSCRIBERS => self.ledger.delivered(
                        who,
                        number,
                        &delivery.topic,
                        delivery.qos,
                        delivery.dup,
                        &mut self.findings,
                    ),
                    _ => self
                        .findings
                        .add(Kind::Nonsense, "a delivery to a publisher"),
                },
                Event::SessionLost => {
                    let name = &self.clients[who].name;
                    self.findings.add(Kind::SessionLost, name);
                }
                Event::Nonsense(what) => {
                    let name = &self.clients[who].name;
                    self.findings
                        .add(Kind::Nonsense, format!("to {name}: {what}"));
                }
                Event::Connected { .. } | Event::Unsubscribed | Event::Pong | Event::Ended => {}
            }
        }
    }
}
