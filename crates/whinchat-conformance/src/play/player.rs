//! Plays one scene: its clients, step by step.

use std::collections::BTreeMap;

use bytes::Bytes;
use tokio::time::{Instant, timeout_at};
use whinchat_codec::{DecodeLimits, Packet, ProtocolVersion};

use super::client::{Client, Open, Sessions, own_packet};
use super::connection::{Connection, Incoming, deadline, written_bytes};
use super::expectation::{Bindings, Expectation, Progress, Settled};
use super::leftovers::Leftovers;
use super::record::Record;
use super::{Failure, Options, Target, Verdict};
use crate::notation::{Ids, Names, NotationError, Speaker, Template, format};
use crate::scene::Scene;
use crate::step::{Action, Alternative, Each, Maxima, Piece, Step};

/// More packets than this are not taken in one step that names none of them: while the answer to a PINGREQ is
/// waited for, or of other scenes.
const COLLECTED_MAX: usize = 10_000;

/// And no more bytes than these.
const COLLECTED_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Of a CONNECT that has none written, in seconds: longer than any scene, and not 0, which some brokers refuse.
const KEEP_ALIVE: u16 = 600;

/// What is common to all topics and client ids of a run.
pub(super) fn run_prefix(options: &Options) -> String {
    format!("c{}", base36(options.seed, 4))
}

/// A number in digits and small letters, of a fixed width; higher digits are cut.
fn base36(mut number: u64, width: usize) -> String {
    let mut digits = vec![b'0'; width];
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdefghijklmnopqrstuvwxyz"[(number % 36) as usize];
        number /= 36;
    }
    digits.into_iter().map(char::from).collect()
}

/// A scene that is being played.
pub(super) struct Player<'a, T: Target> {
    target: &'a T,
    options: &'a Options,
    version: ProtocolVersion,
    names: Names,
    clients: BTreeMap<String, Client<T::Stream>>,
    sessions: Sessions,
    record: Record,
    leftovers: Leftovers,
}

/// A step did not go as it is written: what was expected and what came.
struct Wrong {
    expected: String,
    received: String,
    /// Whether what came is the other side's good right.
    is_its_choice: bool,
}

impl Wrong {
    fn new(expected: impl Into<String>, received: impl Into<String>) -> Self {
        Self {
            expected: expected.into(),
            received: received.into(),
            is_its_choice: false,
        }
    }

    /// The other side chose to have less than was asked for; says what.
    fn less(what: String) -> Self {
        Self {
            is_its_choice: true,
            ..Self::new("", what)
        }
    }
}

impl<'a, T: Target> Player<'a, T> {
    /// A scene with the topics and client ids of this number.
    pub(super) fn new(
        target: &'a T,
        options: &'a Options,
        version: ProtocolVersion,
        number: usize,
    ) -> Self {
        Self {
            target,
            options,
            version,
            names: Names::with_prefix(&run_prefix(options), &base36(number as u64, 3)),
            clients: BTreeMap::new(),
            sessions: Sessions::new(),
            record: Record::default(),
            leftovers: Leftovers::default(),
        }
    }

    /// Plays all steps, and looks that nothing is left over.
    pub(super) async fn play(&mut self, scene: &Scene) -> Verdict {
        for step in &scene.steps {
            match self.perform(&step.action).await {
                Ok(()) => {}
                Err(wrong) if wrong.is_its_choice => return Verdict::NotOffered(wrong.received),
                Err(wrong) => return Verdict::Failed(self.failure(step, wrong)),
            }
        }
        if let Err((client, wrong)) = self.finish().await {
            let step = Step {
                line: scene.steps.last().map_or(scene.line, |step| step.line),
                text: format!("{client}! silent (at the end of the scene)"),
                action: Action::Silent(client),
            };
            return Verdict::Failed(self.failure(&step, wrong));
        }
        Verdict::Passed
    }

    /// Says goodbye where it can be said, so that no will is left, and takes away what outlives the connections.
    pub(super) async fn clean_up(self) {
        let deadline = self.deadline();
        for client in self.clients.into_values() {
            if let Some(mut open) = client.connection.filter(Open::can_be_asked) {
                let goodbye = own_packet("DISCONNECT", open.connection.version());
                let _ = open.connection.send(&goodbye, false, deadline).await;
            }
        }
        let client_id = self.names.own_client_id("cleaner");
        self.leftovers
            .clear(&client_id, self.target, self.options, deadline)
            .await;
    }

    fn failure(&self, step: &Step, wrong: Wrong) -> Box<Failure> {
        let client = match &step.action {
            Action::Send(client, _)
            | Action::SendEach(client, _)
            | Action::Expect(client, _)
            | Action::ExpectEach(client, _)
            | Action::Maybe(client, _)
            | Action::Silent(client)
            | Action::Cut(client)
            | Action::Open(client) => self.clients.get(client),
            Action::Wait(_) | Action::Settle => None,
        };
        let expected = match wrong.expected {
            written if written.is_empty() => {
                let (_, written) = step.text.split_once(' ').unwrap_or_default();
                written.to_owned()
            }
            other => other,
        };
        Box::new(Failure {
            line: step.line,
            step: step.text.clone(),
            sent: client.map_or_else(String::new, |client| client.sent.clone()),
            expected,
            received: wrong.received,
            conversation: self.record.lines(),
        })
    }

    async fn perform(&mut self, action: &Action) -> Result<(), Wrong> {
        match action {
            Action::Send(client, pieces) => self.send(client, pieces).await,
            Action::SendEach(client, each) => self.send_each(client, each).await,
            Action::Expect(client, alternatives) => self.expect(client, alternatives).await,
            Action::ExpectEach(client, each) => self.expect_each(client, each).await,
            Action::Maybe(_, packet) => {
                let packet = packet.packet_type();
                Err(Wrong::new(
                    "a scene that judges a broker",
                    format!("{packet} of a client"),
                ))
            }
            Action::Silent(client) => {
                self.settle().await;
                self.silent(client).await
            }
            Action::Cut(client) => {
                self.record.push(format!("{client}! cut"));
                self.client(client).connection = None;
                Ok(())
            }
            Action::Open(client) => self.open(client).await,
            Action::Wait(time) => {
                self.record.push(format!("wait {}ms", time.as_millis()));
                self.settle().await;
                self.target.pass(*time).await;
                Ok(())
            }
            Action::Settle => {
                self.settle().await;
                Ok(())
            }
        }
    }

    async fn settle(&self) {
        self.target.settle(self.options.settle).await;
    }

    fn client(&mut self, name: &str) -> &mut Client<T::Stream> {
        self.clients
            .entry(name.to_owned())
            .or_insert_with(|| Client::new(name))
    }

    fn deadline(&self) -> Instant {
        deadline(self.options.patience)
    }

    /// A new connection in the place of the one that the client may have.
    async fn open(&mut self, client: &str) -> Result<(), Wrong> {
        let stream = match timeout_at(self.deadline(), self.target.connect()).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(Wrong::new("a connection", error.to_string())),
            Err(_) => return Err(Wrong::new("a connection", "nothing")),
        };
        let open = Open::new(Connection::new(stream, self.version));
        self.client(client).connection = Some(open);
        Ok(())
    }

    async fn send(&mut self, client: &str, pieces: &[Piece]) -> Result<(), Wrong> {
        self.prepare(client, pieces.first()).await?;
        let mut bytes = Vec::new();
        let mut written = Vec::new();
        for piece in pieces {
            match piece {
                Piece::Packet(packet) => {
                    let (packet_bytes, shown) = self.encode(client, packet)?;
                    written.push(self.written(client, &shown));
                    bytes.extend_from_slice(&packet_bytes);
                    let state = self.clients.get_mut(client);
                    if let Some(state) = state {
                        state.note_sent(packet, &mut self.sessions);
                    }
                }
                Piece::Bytes(raw) => {
                    written.push(written_bytes(raw.bytes()));
                    bytes.extend_from_slice(raw.bytes());
                }
                Piece::Part(len, packet) => {
                    let (packet_bytes, shown) = self.encode(client, packet)?;
                    written.push(written_bytes(&shown[..shown.len().min(*len)]));
                    bytes.extend_from_slice(&packet_bytes[..packet_bytes.len().min(*len)]);
                }
            }
        }
        let version = self.version_of(client);
        let bytes = Bytes::from(bytes);
        self.leftovers.note(bytes.clone(), version);
        self.write(client, written.join(" + "), &bytes).await
    }

    async fn send_each(&mut self, client: &str, each: &Each) -> Result<(), Wrong> {
        for number in self.numbers(client, each) {
            let packet = template(each, number)?;
            self.send(client, &[Piece::Packet(packet)]).await?;
        }
        Ok(())
    }

    fn numbers(&mut self, client: &str, each: &Each) -> std::ops::RangeInclusive<u32> {
        let open = self.client(client).connection.as_ref();
        let maxima = open.map_or(Maxima::UNTOLD, |open| open.maxima);
        each.from.number(maxima)..=each.to.number(maxima)
    }

    /// A connection to send on. A CONNECT behind a DISCONNECT begins a new one.
    async fn prepare(&mut self, client: &str, first: Option<&Piece>) -> Result<(), Wrong> {
        let connect = match first {
            Some(Piece::Packet(packet) | Piece::Part(_, packet)) if packet.is_connect() => {
                Some(packet)
            }
            _ => None,
        };
        let open = self.client(client).connection.as_ref();
        if connect.is_some() && open.is_some_and(|open| open.has_said_goodbye) {
            // What was said before is to be handled before the new connection.
            self.settle().await;
            self.client(client).connection = None;
        }
        if self.client(client).connection.is_none() {
            self.open(client).await?;
        }
        let version = connect.and_then(Template::connect_version);
        if let (Some(version), Some(open)) = (version, &mut self.client(client).connection) {
            open.connection.set_version(version);
        }
        Ok(())
    }

    /// A packet's bytes, and the same without the login of the run, which no report shows.
    fn encode(&mut self, client: &str, packet: &Template) -> Result<(Bytes, Bytes), Wrong> {
        let version = self.version_of(client);
        let no_ids = Ids::default();
        let state = self.client(client);
        let (session, assigned) = (state.session.clone(), state.assigned.clone());
        let anonymous = Speaker {
            names: &self.names,
            version,
            client_id: &client.to_ascii_lowercase(),
            assigned: assigned.as_deref(),
            ids: self.sessions.get(&session).unwrap_or(&no_ids),
            user_name: None,
            password: None,
        };
        let speaker = Speaker {
            user_name: self.options.user_name.as_deref(),
            password: self.options.password.as_deref(),
            ..anonymous
        };
        let wrong =
            |error: NotationError| Wrong::new("a packet that can be sent", error.to_string());
        let packet = packet.clone().with_keep_alive(KEEP_ALIVE);
        let bytes = packet.encode(&speaker).map_err(wrong)?;
        Ok((bytes, packet.encode(&anonymous).map_err(wrong)?))
    }

    /// What was sent, as the codec reads it; or its bytes.
    fn written(&self, client: &str, bytes: &Bytes) -> String {
        let version = self.version_of(client);
        match Packet::decode(bytes, version, &DecodeLimits::default()) {
            Ok(Some((packet, _))) => format(&packet, version, &self.names),
            _ => written_bytes(bytes),
        }
    }

    async fn write(&mut self, client: &str, written: String, bytes: &[u8]) -> Result<(), Wrong> {
        self.record.push(format!("{client}> {written}"));
        let (deadline, split) = (self.deadline(), self.options.split);
        let state = self.client(client);
        state.sent = written;
        let Some(open) = &mut state.connection else {
            return Err(Wrong::new("an open connection", "none"));
        };
        open.connection
            .send(bytes, split, deadline)
            .await
            .map_err(|()| Wrong::new("that what is sent is read", "nothing is read"))
    }

    /// The next thing that comes, but for what belongs to other scenes.
    async fn next(&mut self, client: &str, deadline: Instant) -> Result<Incoming, Wrong> {
        for _ in 0..COLLECTED_MAX {
            let (names, split) = (&self.names, self.options.split);
            let Some(state) = self.clients.get_mut(client) else {
                return Err(Wrong::new("an open connection", "none"));
            };
            let Some(open) = &mut state.connection else {
                return Err(Wrong::new("an open connection", "none"));
            };
            if let Some(packet) = open.waiting.pop_front() {
                return Ok(Incoming::Packet(packet));
            }
            let incoming = open.connection.next(deadline).await;
            let packet = match incoming {
                Incoming::Packet(packet) => packet,
                Incoming::End => {
                    self.record.push(format!("{client}< closed"));
                    return Ok(Incoming::End);
                }
                other => return Ok(other),
            };
            let version = open.connection.version();
            if let Some(answer) = open.belongs_to_another(&packet, names) {
                if let Some(answer) = answer {
                    let answer = own_packet(&answer, version);
                    let _ = open.connection.send(&answer, split, deadline).await;
                }
                continue;
            }
            let written = format(&packet, version, names);
            self.record.push(format!("{client}< {written}"));
            state.note_received(&packet, &mut self.sessions);
            return Ok(match self.assigned_twice() {
                Some(why) => Incoming::Undecodable(why),
                None => Incoming::Packet(packet),
            });
        }
        let received = format!("{COLLECTED_MAX} messages of other scenes");
        Err(Wrong::new("a packet", received))
    }

    /// A client id that was given to two clients.
    fn assigned_twice(&self) -> Option<String> {
        let mut assigned: Vec<&str> = self
            .clients
            .values()
            .filter_map(|client| client.assigned.as_deref())
            .collect();
        assigned.sort_unstable();
        let twice = assigned.windows(2).find(|pair| pair[0] == pair[1]);
        twice.map(|pair| format!("client id {} for two clients", pair[0])) // v5 [MQTT-3.2.2-16]
    }

    async fn expect_each(&mut self, client: &str, each: &Each) -> Result<(), Wrong> {
        for number in self.numbers(client, each) {
            let packet = template(each, number)?;
            self.expect(client, &[Alternative::Packets(vec![packet])])
                .await?;
        }
        Ok(())
    }

    async fn expect(&mut self, client: &str, alternatives: &[Alternative]) -> Result<(), Wrong> {
        let considered = if self.options.strict {
            1
        } else {
            alternatives.len()
        };
        let may_be_nothing = alternatives
            .iter()
            .take(considered)
            .any(|alternative| matches!(alternative, Alternative::Nothing));
        if may_be_nothing {
            return self
                .expect_or_nothing(client, &alternatives[..considered])
                .await;
        }
        let deadline = self.deadline();
        let mut got = Vec::new();
        let mut has_ended = false;
        loop {
            match self
                .expectation(client, alternatives)
                .progress(&got, has_ended)
            {
                Progress::Complete(names) => {
                    self.accept(client, names, has_ended);
                    return Ok(());
                }
                Progress::Wrong(received) => {
                    let lesser = got.last().and_then(|got| lesser_grant(alternatives, got));
                    return Err(match lesser.filter(|_| !self.options.strict) {
                        Some(lesser) => Wrong::less(lesser),
                        None => Wrong::new("", received),
                    });
                }
                Progress::Open => {}
            }
            match self.next(client, deadline).await? {
                Incoming::Packet(packet) => got.push(packet),
                Incoming::End => has_ended = true,
                Incoming::Nothing => return Err(Wrong::new("", self.nothing(client, &got))),
                Incoming::Undecodable(bytes) => return Err(Wrong::new("", bytes)),
            }
        }
    }

    fn nothing(&self, client: &str, got: &[Packet]) -> String {
        let patience = self.options.patience;
        match got.last() {
            Some(packet) => {
                let version = self.version_of(client);
                let packet = format(packet, version, &self.names);
                format!("nothing within {patience:?} behind {packet}")
            }
            None => format!("nothing within {patience:?}"),
        }
    }

    fn received_bytes(&self, client: &str) -> u64 {
        let client = self.clients.get(client);
        let open = client.and_then(|client| client.connection.as_ref());
        open.map_or(0, |open| open.connection.received_bytes())
    }

    fn version_of(&self, client: &str) -> ProtocolVersion {
        let open = self
            .clients
            .get(client)
            .and_then(|client| client.connection.as_ref());
        open.map_or(self.version, |open| open.connection.version())
    }

    fn expectation<'e>(
        &'e mut self,
        client: &str,
        alternatives: &'e [Alternative],
    ) -> Expectation<'e> {
        let version = self.version_of(client);
        let session = self.client(client).session.clone();
        Expectation {
            alternatives,
            ids: self.sessions.entry(session).or_default(),
            names: &self.names,
            version,
            strict: self.options.strict,
        }
    }

    fn accept(&mut self, client: &str, names: Bindings, has_ended: bool) {
        let session = self.client(client).session.clone();
        let ids = self.sessions.entry(session).or_default();
        for (name, id) in names {
            ids.bind(&name, id);
        }
        if has_ended {
            self.client(client).connection = None;
        }
    }

    /// One of the alternatives, or nothing, which is known when a PINGREQ is answered.
    async fn expect_or_nothing(
        &mut self,
        client: &str,
        alternatives: &[Alternative],
    ) -> Result<(), Wrong> {
        self.settle().await;
        let (got, has_ended) = self.collect(client).await?;
        let settled = self
            .expectation(client, alternatives)
            .settled(&got, has_ended);
        let Some(Settled { len, is_end, names }) = settled else {
            let received = match got.first() {
                Some(packet) => {
                    let version = self.version_of(client);
                    format(packet, version, &self.names)
                }
                None => "the end".to_owned(),
            };
            return Err(Wrong::new("", received));
        };
        self.accept(client, names, has_ended && is_end);
        if let Some(open) = &mut self.client(client).connection {
            open.waiting.extend(got.into_iter().skip(len));
        }
        Ok(())
    }

    /// All that comes before the answer to a PINGREQ, or before the end. Who cannot be asked is taken at what
    /// is there.
    async fn collect(&mut self, client: &str) -> Result<(Vec<Packet>, bool), Wrong> {
        let can_be_asked = match &self.client(client).connection {
            Some(open) => open.can_be_asked(),
            None => return Err(Wrong::new("an open connection", "none")),
        };
        let mut deadline = Instant::now();
        if can_be_asked {
            let ping = own_packet("PINGREQ", self.version);
            deadline = self.deadline();
            let (split, open) = (self.options.split, &mut self.client(client).connection);
            if let Some(open) = open {
                let sent = open.connection.send(&ping, split, deadline).await;
                sent.map_err(|()| Wrong::new("PINGRESP", "nothing is read"))?;
            }
        }
        let mut got = Vec::new();
        let before = self.received_bytes(client);
        while got.len() < COLLECTED_MAX
            && self.received_bytes(client) - before < COLLECTED_BYTES_MAX
        {
            match self.next(client, deadline).await? {
                Incoming::Packet(Packet::PingResp) if can_be_asked => return Ok((got, false)),
                Incoming::Packet(packet) => got.push(packet),
                Incoming::End => return Ok((got, true)),
                Incoming::Nothing if can_be_asked => {
                    let nothing = self.nothing(client, &got);
                    return Err(Wrong::new("an answer to PINGREQ", nothing));
                }
                Incoming::Nothing => return Ok((got, false)),
                Incoming::Undecodable(bytes) => return Err(Wrong::new("a packet", bytes)),
            }
        }
        let received = format!("{} packets without one", got.len());
        Err(Wrong::new("an answer to PINGREQ", received))
    }

    async fn silent(&mut self, client: &str) -> Result<(), Wrong> {
        let (got, has_ended) = self.collect(client).await?;
        let version = self.version_of(client);
        match got.first() {
            Some(packet) => {
                let received = format(packet, version, &self.names);
                Err(Wrong::new("nothing", received))
            }
            None if has_ended => Err(Wrong::new("nothing", "the end")),
            None => Ok(()),
        }
    }

    /// Every open connection is silent. One that was never let in, or that has said goodbye, may end.
    async fn finish(&mut self) -> Result<(), (String, Wrong)> {
        self.settle().await;
        let names: Vec<String> = self.clients.keys().cloned().collect();
        for name in names {
            let Some(open) = &self.client(&name).connection else {
                continue;
            };
            let may_end = !open.can_be_asked();
            let wrong = |wrong| (name.clone(), wrong);
            let (got, has_ended) = self.collect(&name).await.map_err(wrong)?;
            let version = self.version_of(&name);
            let received = match got.first() {
                Some(packet) => format(packet, version, &self.names),
                None if has_ended && !may_end => "the end".to_owned(),
                None => continue,
            };
            return Err((name, Wrong::new("nothing", received)));
        }
        Ok(())
    }
}

/// A server may grant a lower QoS than it was asked for: says so, if that is what it did.
fn lesser_grant(alternatives: &[Alternative], got: &Packet) -> Option<String> {
    let Packet::SubAck(suback) = got else {
        return None;
    };
    let templates = alternatives.iter().flat_map(|one| match one {
        Alternative::Packets(templates) => &templates[..],
        _ => &[],
    });
    let (asked, granted) = templates
        .filter_map(|template| template.granted_less(suback))
        .next()?;
    Some(format!(
        "QoS {asked} is asked for, and QoS {granted} is granted"
    ))
}

fn template(each: &Each, number: u32) -> Result<Template, Wrong> {
    each.template(number)
        .map_err(|error| Wrong::new("a packet for each number", error.to_string()))
}
