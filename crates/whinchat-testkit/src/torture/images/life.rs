//! One life of a broker on a disk, with the clients around it: turns, commits, and bytes that go back and forth.

use std::{
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Buf;
use fastrand::Rng;
use whinchat_broker::{
    Broker, Clock, ClockHand, SteppedBroker,
    config::{Ack, Auto, Config},
};
use whinchat_store::{
    Commit,
    disk::{Crash, SimulatedDisk},
};
use whinchat_transport::Stream;

use super::{client::Event, world::World};
use crate::{small_store::small_store, torture::finding::Kind};

/// What makes a broker differ from the next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setup {
    pub(super) shards: u16,
    /// How much of a queue stays in memory.
    pub(super) queue_in_memory: u32,
    /// Acks leave when their effect is handed to the operating system: that survives the end of the process, and no loss of power.
    pub(super) is_only_written: bool,
}

impl Setup {
    /// One that must not be noticed.
    pub(super) fn any_crash(&self, random: &mut Rng) -> Crash {
        if self.is_only_written {
            Crash::Everything
        } else {
            Crash::Mixture(random.u64(..))
        }
    }
}

/// The world in a moment.
pub(super) struct Said {
    /// How many operations the disk had done.
    pub(super) operations: usize,
    pub(super) world: World,
    /// Lines of the course so far.
    pub(super) lines: usize,
}

pub(super) struct Life {
    pub(super) disk: SimulatedDisk,
    pub(super) world: World,
    /// Before each commit.
    pub(super) said: Vec<Said>,
    /// The course in words, if somebody wants to read it.
    pub(super) lines: Option<Vec<String>>,
    broker: SteppedBroker,
    hand: ClockHand,
    streams: Vec<Option<Stream>>,
    random: Rng,
}

/// Turns, and rounds of packets, in which everything has to come to rest.
const TURNS_MAX: usize = 20_000;
const ROUNDS_MAX: usize = 2_000;

impl Life {
    /// Starts a broker on what `disk` holds.
    pub(super) fn start(
        disk: SimulatedDisk,
        setup: Setup,
        world: World,
        random: Rng,
    ) -> Result<Self, String> {
        let (clock, hand) = Clock::manual();
        hand.advance(Duration::from_millis(world.now));
        let mut config = Config::embedded();
        config.limits.takeovers = u32::MAX;
        config.limits.queue_in_memory = setup.queue_in_memory;
        if setup.is_only_written {
            config.general.ack = Auto::Set(Ack::Written);
        }
        let broker = Broker::builder()
            .config(config)
            .threads(setup.shards)
            .clock(clock)
            .store(small_store(&disk))
            .start_stepped()
            .map_err(|error| error.to_string())?;
        Ok(Self {
            disk,
            streams: World::places().map(|_| None).collect(),
            world,
            said: Vec::new(),
            lines: None,
            broker,
            hand,
            random,
        })
    }

    /// Puts down what happens.
    pub(super) fn tell(&mut self, what: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            lines.push(what());
        }
    }

    pub(super) fn name(&self, place: usize) -> &'static str {
        self.world.clients[place].name
    }

    /// The world when the disk had done so many operations, and how long the course was then.
    pub(super) fn said_at(&self, operations: usize) -> (&World, usize) {
        let before = |said: &Said| said.operations <= operations;
        let next = self.said.partition_point(before);
        let lines = self.lines.as_ref().map_or(0, Vec::len);
        if operations == self.disk.operations() {
            return (&self.world, lines);
        }
        let said = &self.said[next - 1];
        (&said.world, said.lines)
    }

    // ---- clients ----

    pub(super) fn connect(&mut self, place: usize) {
        self.world.lose(place);
        self.world.connect(place);
        self.dial(place);
    }

    /// The CONNECT that waits in this client gets a connection.
    pub(super) fn dial(&mut self, place: usize) {
        self.streams[place] = Some(self.broker.connect_in_memory());
        self.flush(place);
    }

    /// Closes the connection without a word.
    pub(super) fn cut(&mut self, place: usize) {
        self.streams[place] = None;
        self.world.lose(place);
    }

    /// Writes what this client has to say.
    pub(super) fn flush(&mut self, place: usize) {
        let client = &mut self.world.clients[place];
        let Some(stream) = &mut self.streams[place] else {
            client.outbox.clear();
            return;
        };
        let mut cx = Context::from_waker(Waker::noop());
        while !client.outbox.is_empty() {
            match stream.poll_write(&mut cx, &client.outbox) {
                Poll::Ready(Ok(count)) => client.outbox.advance(count),
                Poll::Ready(Err(_)) => client.outbox.clear(),
                Poll::Pending => return,
            }
        }
    }

    /// Takes everything that has left the broker.
    fn receive(&mut self, place: usize) {
        let Some(stream) = &mut self.streams[place] else {
            return;
        };
        let mut cx = Context::from_waker(Waker::noop());
        let mut piece = [0; 4096];
        let is_over = loop {
            match stream.poll_read(&mut cx, &mut piece) {
                Poll::Ready(Ok(0) | Err(_)) => break true,
                Poll::Ready(Ok(count)) => self.world.clients[place].arrive(&piece[..count]),
                Poll::Pending => break false,
            }
        };
        self.world.look(place);
        if is_over {
            self.streams[place] = None;
            // One that has said goodbye waits for that.
            if self.world.says_goodbye(place) {
                self.world.lose(place);
            } else {
                let (name, panics) = (self.name(place), self.panics());
                self.tell(|| format!("{name} is closed by the broker; {panics} panics"));
                self.world.handle(place, vec![Event::Closed]);
            }
        }
    }

    /// Everybody takes what has left the broker.
    pub(super) fn listen(&mut self) {
        for place in World::places() {
            self.receive(place);
            self.flush(place);
        }
    }

    /// The deaf as well.
    pub(super) fn hear_all(&mut self) {
        for client in &mut self.world.clients {
            client.is_deaf = false;
        }
        self.listen();
    }

    // ---- the broker ----

    /// One turn of one shard; false if none has anything to do.
    pub(super) fn turn(&mut self) -> bool {
        let ready = self.broker.ready_shards().count();
        if ready == 0 {
            return false;
        }
        let luck = self.random.usize(..ready);
        let next = self.broker.ready_shards().nth(luck);
        next.is_some_and(|next| self.broker.turn(next))
    }

    /// Commits; false if there was nothing to commit. Before that, all that has left the broker counts as said.
    pub(super) fn commit(&mut self) -> bool {
        self.listen();
        let knows_all = self.broker.ready_shards().next().is_none();
        let operations = self.disk.operations();
        let said = Said {
            operations,
            world: self.world.clone(),
            lines: self.lines.as_ref().map_or(0, Vec::len),
        };
        let commit = self.broker.commit_store();
        if self.disk.operations() > operations {
            self.said.push(said);
            let to = self.disk.operations();
            self.tell(|| format!("--- operations {operations} to {to} of the disk"));
        }
        if knows_all {
            self.world.note_commit();
        }
        match commit {
            Some(Commit::Done(_)) => true,
            Some(Commit::Nothing) | None => false,
            Some(Commit::Full | Commit::Failed) => {
                self.world.findings.add(Kind::Ended, "the log has failed");
                false
            }
        }
    }

    /// Turns and commits until the broker has nothing to do; false if that never comes.
    pub(super) fn rest(&mut self) -> bool {
        for _ in 0..TURNS_MAX {
            if !self.turn() && !self.commit() {
                return true;
            }
        }
        false
    }

    /// Turns, commits and answers until nobody has anything to do; false if that never comes.
    pub(super) fn drain(&mut self) -> bool {
        for _ in 0..ROUNDS_MAX {
            if !self.rest() {
                return false;
            }
            self.listen();
            for place in World::places() {
                self.world.clients[place].answer(usize::MAX);
                self.flush(place);
            }
            if self.broker.ready_shards().next().is_none() {
                return true;
            }
        }
        false
    }

    pub(super) fn pass(&mut self, seconds: u64) {
        self.hand.advance(Duration::from_secs(seconds));
        self.world.pass(seconds * 1_000);
    }

    pub(super) fn random(&mut self) -> &mut Rng {
        &mut self.random
    }

    /// Panics that ended a connection.
    pub(super) fn panics(&self) -> u64 {
        self.broker.metrics().shared().panics.value()
    }
}
