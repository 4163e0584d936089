//! Plays one scene: we are the server, and the client does as it likes.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::time::{Instant, timeout_at};
use whinchat_codec::{DecodeLimits, Packet, PacketType, ProtocolVersion};

use super::answers::{Reaction, reaction, refusal_of_version};
use super::requests::Requests;
use super::watch::{Broken, Watch, check_connect};
use super::{Client, Clients};
use crate::notation::{Id, Ids, Names, Reading, Speaker, Template, format, has_code, packet_id};
use crate::play::client::own_packet;
use crate::play::connection::{Connection, Incoming, deadline, written_bytes};
use crate::play::record::Record;
use crate::play::{Failure, Options, Verdict};
use crate::scene::Scene;
use crate::step::{Action, Alternative, Maxima, Piece, Step};

/// More packets than these are not kept for later steps.
const KEPT_MAX: usize = 1000;

/// A scene that is being played.
pub(super) struct Player<'a, S> {
    options: &'a Options,
    version: ProtocolVersion,
    names: Names,
    open: Option<Open<S>>,
    /// Whether the client has said goodbye, and nothing is wrong with that.
    is_gone: bool,
    watch: Option<Watch>,
    /// What the client said that it takes.
    maxima: Maxima,
    ids: Ids,
    requests: Requests,
    /// Packets that may be asked for by a later step.
    kept: VecDeque<Packet>,
    record: Record,
    sent: String,
}

struct Open<S> {
    connection: Connection<S>,
    has_disconnected: bool,
    heard: Instant,
}

/// Why a scene ends before its last step.
enum Stop {
    Wrong { expected: String, received: String },
    NotOffered(String),
}

/// Why there is no connection as a step expects it.
enum Unaccepted {
    /// None came.
    None(String),
    /// It began with something else than a CONNECT, or with one that may not be.
    Broken(String),
    /// Its CONNECT is another one.
    Wrong(String),
}

impl Stop {
    fn wrong(expected: impl Into<String>, received: impl Into<String>) -> Self {
        Self::Wrong {
            expected: expected.into(),
            received: received.into(),
        }
    }
}

impl<'a, S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin> Player<'a, S> {
    pub(super) fn new(options: &'a Options, version: ProtocolVersion) -> Self {
        Self {
            options,
            version,
            names: Names::plain(),
            open: None,
            is_gone: false,
            watch: None,
            maxima: Maxima::UNTOLD,
            ids: Ids::default(),
            requests: Requests::default(),
            kept: VecDeque::new(),
            record: Record::default(),
            sent: String::new(),
        }
    }

    /// Sets a client going and plays all steps.
    pub(super) async fn play<C>(mut self, clients: &C, scene: &Scene) -> Verdict
    where
        C: Clients<Client: Client<Stream = S>>,
    {
        let mut client = match clients.begin(self.version).await {
            Ok(client) => client,
            Err(error) => return Verdict::NotTested(format!("the client does not start: {error}")),
        };
        for step in &scene.steps {
            if let Err(stop) = self.perform(&mut client, &step.action).await {
                return self.verdict(step, stop);
            }
        }
        let last = Step {
            line: scene.steps.last().map_or(scene.line, |step| step.line),
            text: "settle (at the end of the scene)".to_owned(),
            action: Action::Settle,
        };
        match self.listen(&mut client, self.options.settle).await {
            Ok(()) => Verdict::Passed,
            Err(stop) => self.verdict(&last, stop),
        }
    }

    fn verdict(&self, step: &Step, stop: Stop) -> Verdict {
        let (expected, received) = match stop {
            Stop::NotOffered(why) => return Verdict::NotOffered(why),
            Stop::Wrong { expected, received } => (expected, received),
        };
        let expected = if expected.is_empty() {
            step.text.split_once(' ').unwrap_or_default().1.to_owned()
        } else {
            expected
        };
        Verdict::Failed(Box::new(Failure {
            line: step.line,
            step: step.text.clone(),
            sent: self.sent.clone(),
            expected,
            received,
            conversation: self.record.lines(),
        }))
    }

    async fn perform<C: Client<Stream = S>>(
        &mut self,
        client: &mut C,
        action: &Action,
    ) -> Result<(), Stop> {
        match action {
            Action::Send(_, pieces) => self.send(pieces).await,
            Action::SendEach(_, each) => {
                for number in each.from.number(self.maxima)..=each.to.number(self.maxima) {
                    let packet = each
                        .template(number)
                        .map_err(|error| Stop::wrong("a packet", error.to_string()))?;
                    self.send(&[Piece::Packet(packet)]).await?;
                }
                Ok(())
            }
            Action::Expect(_, alternatives) => self.expect(client, alternatives).await,
            Action::Maybe(_, packet) if packet.is_connect() => {
                let accepted = self.accept(client, packet).await;
                accepted.map_err(|received| match received {
                    Unaccepted::None(why) => Stop::NotOffered(why),
                    Unaccepted::Wrong(_) => Stop::NotOffered(no_such(packet)),
                    Unaccepted::Broken(why) => Stop::wrong("a CONNECT", why),
                })
            }
            Action::Maybe(_, packet) => self.maybe(packet).await,
            Action::Cut(_) => {
                self.record.push("C! cut".to_owned());
                self.close();
                Ok(())
            }
            Action::Wait(time) => {
                self.record.push(format!("wait {}ms", time.as_millis()));
                self.listen(client, *time).await
            }
            Action::Settle => self.listen(client, self.options.settle).await,
            Action::ExpectEach(..) | Action::Silent(_) | Action::Open(_) => {
                Err(Stop::wrong("a step that is played with clients", "another"))
            }
        }
    }

    fn close(&mut self) {
        self.open = None;
        self.requests.disconnected();
        self.kept.clear();
    }

    /// The next connection of the client, with a CONNECT in the version of the scene; it says what came instead.
    async fn accept<C: Client<Stream = S>>(
        &mut self,
        client: &mut C,
        expected: &Template,
    ) -> Result<(), Unaccepted> {
        self.close();
        let none = |why: String| Err(Unaccepted::None(why));
        let broken = |why: String| Err(Unaccepted::Broken(why));
        let deadline = deadline(self.options.patience);
        let connect = loop {
            let stream = match timeout_at(deadline, client.accept()).await {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => return none(format!("no connection: {error}")),
                Err(_) => return none("no connection".to_owned()),
            };
            let mut connection = Connection::unwatched(stream, self.version);
            let connect = match connection.next(deadline).await {
                Incoming::Packet(Packet::Connect(connect)) => connect,
                Incoming::Packet(packet) => {
                    return broken(format!("{} in front of CONNECT", packet.packet_type()));
                }
                // A client that looks whether somebody listens.
                Incoming::End => continue,
                Incoming::Nothing => return none("a connection without CONNECT".to_owned()),
                Incoming::Undecodable(bytes) => return broken(bytes),
            };
            let written = format(
                &Packet::Connect(connect.clone()),
                connect.version,
                &self.names,
            );
            self.record.push(format!("C< {written}"));
            if connect.version == self.version {
                self.is_gone = false;
                self.open = Some(Open {
                    connection,
                    has_disconnected: false,
                    heard: Instant::now(),
                });
                break connect;
            }
            let refusal = refusal_of_version(connect.version);
            let _ = connection.send(&refusal, false, deadline).await;
        };
        if let Err(rule) = check_connect(&connect) {
            return broken(rule.to_string());
        }
        match &mut self.watch {
            Some(watch) => watch.reconnected(&connect),
            None => self.watch = Some(Watch::new(&connect)),
        }
        let properties = &connect.properties;
        self.maxima = Maxima {
            receive: properties.receive_maximum().unwrap_or(u16::MAX),
            topic_alias: properties.topic_alias_maximum().unwrap_or(0),
        };
        self.matches(expected, &Packet::Connect(connect))
            .map_err(Unaccepted::Wrong)
    }

    /// Whether it is what is expected; says why not, behind the packet.
    fn matches(&self, expected: &Template, packet: &Packet) -> Result<(), String> {
        let reading = Reading {
            names: &self.names,
            version: self.version,
            strict: self.options.strict,
            exact: false,
            partial: true,
        };
        let named = match (expected.id(), packet_id(packet)) {
            (Some(Id::Named(name)), Some(id)) => self.ids.check(name, id.get()),
            _ => Ok(()),
        };
        expected
            .matches(packet, &reading)
            .map_err(|mismatch| mismatch.to_string())
            .and(named)
            .map_err(|why| {
                let written = format(packet, self.version, &self.names);
                format!("{written}   ({why})")
            })
    }

    fn bind(&mut self, expected: &Template, packet: &Packet) {
        if let (Some(Id::Named(name)), Some(id)) = (expected.id(), packet_id(packet)) {
            self.ids.bind(name, id.get());
        }
    }

    async fn expect<C: Client<Stream = S>>(
        &mut self,
        client: &mut C,
        alternatives: &[Alternative],
    ) -> Result<(), Stop> {
        if let [Alternative::Packets(packets)] = alternatives
            && let [packet] = &packets[..]
            && packet.is_connect()
        {
            let accepted = self.accept(client, packet).await;
            return accepted.map_err(|received| match received {
                Unaccepted::None(why) | Unaccepted::Wrong(why) => Stop::wrong("", why),
                Unaccepted::Broken(why) => Stop::wrong("a CONNECT", why),
            });
        }
        // Of several alternatives our own client must choose the first.
        let considered = if self.options.strict {
            1
        } else {
            alternatives.len()
        };
        let mut expected = Vec::new();
        let mut closed = None;
        let mut may_be_nothing = false;
        for alternative in &alternatives[..considered] {
            match alternative {
                Alternative::Packets(packets) if packets.len() == 1 => expected.push(&packets[0]),
                Alternative::Closed(last_word) => closed = Some(last_word.as_ref()),
                Alternative::Nothing => may_be_nothing = true,
                Alternative::Packets(_) | Alternative::Refused(_) => {
                    return Err(Stop::wrong("what is asked of clients", "another step"));
                }
            }
        }
        let patience = self.options.patience;
        let deadline = deadline(patience);
        loop {
            match self.next(deadline, &expected).await? {
                Incoming::Packet(packet) => {
                    if self.take(&packet, &expected, closed)? {
                        return Ok(());
                    }
                    self.react(packet).await?;
                }
                Incoming::End => {
                    let has_disconnected = self.has_disconnected();
                    self.close();
                    self.is_gone |= closed.is_none() && client.has_ended_well().await;
                    return match closed {
                        None if self.is_gone => Err(self.not_open()),
                        None => Err(Stop::wrong("", "the end")),
                        Some(last_word) if !has_disconnected && self.has_to_speak(last_word) => {
                            Err(Stop::wrong("", "the end without DISCONNECT"))
                        }
                        Some(_) => Ok(()),
                    };
                }
                Incoming::Nothing if may_be_nothing => return Ok(()),
                Incoming::Nothing => {
                    return Err(Stop::wrong("", format!("nothing within {patience:?}")));
                }
                Incoming::Undecodable(bytes) => return Err(Stop::wrong("", bytes)),
            }
        }
    }

    /// Whether our own client must say this before it closes.
    fn has_to_speak(&self, last_word: Option<&Template>) -> bool {
        let is_known = |code| has_code(PacketType::Disconnect, self.version, code);
        let codes = last_word.and_then(Template::code);
        self.options.strict
            && self.version.is_v5()
            && codes.is_some_and(|codes| codes.have_known(is_known))
    }

    /// Whether the packet is one of those expected. Of the packets that a client sends on its own account others may
    /// come first; an answer has to be the one.
    fn take(
        &mut self,
        packet: &Packet,
        expected: &[&Template],
        closed: Option<Option<&Template>>,
    ) -> Result<bool, Stop> {
        let found = packet.packet_type();
        let mut mismatch = None;
        for template in expected {
            match self.matches(template, packet) {
                Ok(()) => {
                    self.bind(template, packet);
                    return Ok(true);
                }
                Err(why) if template.packet_type() == found => mismatch = mismatch.or(Some(why)),
                Err(_) => {}
            }
        }
        if let (PacketType::Disconnect, Some(last_word)) = (found, closed) {
            let is_right = last_word.map_or(Ok(()), |template| self.matches(template, packet));
            return match is_right {
                Ok(()) => Ok(false),
                // It has not looked at what we sent.
                Err(_) if self.is_gone => Err(self.not_open()),
                Err(why) => Err(Stop::wrong("", why)),
            };
        }
        let is_own = match found {
            PacketType::Publish
            | PacketType::Subscribe
            | PacketType::Unsubscribe
            | PacketType::PingReq => true,
            PacketType::PubRel => !packet_id(packet).is_some_and(|id| self.ids.has(id.get())),
            _ => false,
        };
        match mismatch {
            Some(why) if !is_own => Err(Stop::wrong("", why)),
            _ => Ok(false),
        }
    }

    /// Waits for what the client may never do.
    async fn maybe(&mut self, expected: &Template) -> Result<(), Stop> {
        let deadline = deadline(self.options.patience);
        loop {
            match self.next(deadline, &[expected]).await? {
                Incoming::Packet(packet) => {
                    if self.matches(expected, &packet).is_ok() {
                        self.bind(expected, &packet);
                        return Ok(());
                    }
                    self.react(packet).await?;
                }
                Incoming::End | Incoming::Nothing => {
                    return Err(Stop::NotOffered(no_such(expected)));
                }
                Incoming::Undecodable(bytes) => return Err(Stop::wrong("a packet", bytes)),
            }
        }
    }

    /// Answers all that comes within this time.
    async fn listen<C: Client<Stream = S>>(
        &mut self,
        client: &mut C,
        time: Duration,
    ) -> Result<(), Stop> {
        let deadline = deadline(time);
        while self.open.is_some() {
            match self.next(deadline, &[]).await? {
                Incoming::Packet(packet) => self.react(packet).await?,
                Incoming::Nothing => return Ok(()),
                Incoming::End if self.is_gone || client.has_ended_well().await => self.close(),
                Incoming::End => return Err(Stop::wrong("that the connection lasts", "the end")),
                Incoming::Undecodable(bytes) => return Err(Stop::wrong("a packet", bytes)),
            }
        }
        tokio::time::sleep_until(deadline).await;
        Ok(())
    }

    fn has_disconnected(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.has_disconnected)
    }

    /// There is no connection where a step needs one.
    fn not_open(&self) -> Stop {
        match self.is_gone {
            true => Stop::NotOffered("the client disconnects before".to_owned()),
            false => Stop::wrong("an open connection", "none"),
        }
    }

    /// What was kept and may be what is expected, else what comes next.
    async fn next(&mut self, deadline: Instant, expected: &[&Template]) -> Result<Incoming, Stop> {
        let kept = self.kept.iter().position(|packet| {
            let found = packet.packet_type();
            expected
                .iter()
                .any(|template| template.packet_type() == found)
        });
        if let Some(packet) = kept.and_then(|at| self.kept.remove(at)) {
            return Ok(Incoming::Packet(packet));
        }
        // A client that never stops is not listened to for longer than one that says nothing.
        if Instant::now() > deadline {
            return Ok(Incoming::Nothing);
        }
        let (Some(open), Some(watch)) = (&mut self.open, &mut self.watch) else {
            return Err(self.not_open());
        };
        let bytes_before = open.connection.received_bytes();
        let incoming = open.connection.next(deadline).await;
        let broken = |broken: Broken, packet: Option<&Packet>| {
            let received = match packet {
                Some(packet) => {
                    let written = format(packet, self.version, &self.names);
                    format!("{written}   ({broken})")
                }
                None => broken.to_string(),
            };
            Stop::wrong("what a client may do", received)
        };
        match &incoming {
            Incoming::Packet(packet) => {
                let written = format(packet, self.version, &self.names);
                self.record.push(format!("C< {written}"));
                let silence = open.heard.elapsed();
                open.heard = Instant::now();
                watch.silent(silence).map_err(|error| broken(error, None))?;
                let bytes = open.connection.received_bytes() - bytes_before;
                watch
                    .received(packet, bytes)
                    .map_err(|error| broken(error, Some(packet)))?;
                match packet {
                    Packet::Subscribe(_) | Packet::Unsubscribe(_) => {
                        self.requests.note(packet);
                    }
                    Packet::Disconnect(disconnect) => {
                        open.has_disconnected = true;
                        self.is_gone = !disconnect.reason.is_error();
                    }
                    _ => {}
                }
            }
            Incoming::Nothing => {
                let silence = open.heard.elapsed();
                watch.silent(silence).map_err(|error| broken(error, None))?;
            }
            Incoming::End => self.record.push("C< closed".to_owned()),
            Incoming::Undecodable(_) => {}
        }
        Ok(incoming)
    }

    /// Does what a server does with a packet that no step asks for.
    async fn react(&mut self, packet: Packet) -> Result<(), Stop> {
        // What the scene has begun it ends.
        let is_of_scene = packet_id(&packet).is_some_and(|id| self.ids.has(id.get()));
        let is_request = matches!(packet, Packet::Subscribe(_) | Packet::Unsubscribe(_));
        if self.kept.len() > KEPT_MAX {
            let received = format!("more than {KEPT_MAX} others");
            return Err(Stop::wrong("packets that a scene asks for", received));
        }
        match reaction(&packet) {
            Reaction::Answer(_) if is_of_scene && !is_request => self.kept.push_back(packet),
            Reaction::Answer(answer) => {
                let bytes = own_packet(&answer, self.version);
                self.write(answer, bytes, &[]).await?;
            }
            Reaction::Nothing => {}
            Reaction::Unasked => self.kept.push_back(packet),
        }
        Ok(())
    }

    async fn send(&mut self, pieces: &[Piece]) -> Result<(), Stop> {
        let mut bytes = BytesMut::new();
        let mut written = Vec::new();
        let mut templates = Vec::new();
        for piece in pieces {
            match piece {
                Piece::Packet(packet) => {
                    if packet.is_to_own_topic() {
                        self.find_topic(packet.qos()).await?;
                    }
                    let id = packet.id().and_then(|id| self.number(id));
                    let packet = self.requests.with_codes(packet, id);
                    let one = self.encode(&packet)?;
                    written.push(self.written(&one));
                    bytes.extend_from_slice(&one);
                    templates.push(packet);
                }
                Piece::Bytes(raw) => {
                    written.push(written_bytes(raw.bytes()));
                    bytes.extend_from_slice(raw.bytes());
                }
                Piece::Part(len, packet) => {
                    let one = self.encode(packet)?;
                    let part = &one[..one.len().min(*len)];
                    written.push(written_bytes(part));
                    bytes.extend_from_slice(part);
                }
            }
        }
        self.sent = written.join(" + ");
        self.write(self.sent.clone(), bytes.freeze(), &templates)
            .await
    }

    fn number(&self, id: &Id) -> Option<u16> {
        match id {
            Id::Number(number) => Some(*number),
            Id::Named(name) => self.ids.of(name),
            Id::Any => None,
        }
    }

    /// Waits until the client has subscribed to a topic with at least this QoS, which `$t` then stands for.
    async fn find_topic(&mut self, qos: u8) -> Result<(), Stop> {
        let deadline = deadline(self.options.patience);
        loop {
            if let Some(topic) = self.requests.topic(qos) {
                self.names.set_own_topic(topic.as_bytes());
                return Ok(());
            }
            let none =
                || Stop::NotOffered(format!("the client has no subscription with QoS {qos}"));
            match self.next(deadline, &[]).await? {
                Incoming::Packet(packet) => self.react(packet).await?,
                Incoming::End | Incoming::Nothing => return Err(none()),
                Incoming::Undecodable(bytes) => return Err(Stop::wrong("a packet", bytes)),
            }
        }
    }

    fn encode(&self, packet: &Template) -> Result<Bytes, Stop> {
        let speaker = Speaker {
            names: &self.names,
            version: self.version,
            client_id: "",
            ids: &self.ids,
            user_name: None,
            password: None,
            assigned: None,
        };
        packet
            .encode(&speaker)
            .map_err(|error| Stop::wrong("a packet that can be sent", error.to_string()))
    }

    /// What is sent, as the codec reads it; or its bytes.
    fn written(&self, bytes: &Bytes) -> String {
        match Packet::decode(bytes, self.version, &DecodeLimits::default()) {
            Ok(Some((packet, _))) => format(&packet, self.version, &self.names),
            _ => written_bytes(bytes),
        }
    }

    /// Writes bytes that are packets, or not; `templates` end exchanges of the scene.
    async fn write(
        &mut self,
        written: String,
        bytes: Bytes,
        templates: &[Template],
    ) -> Result<(), Stop> {
        self.record.push(format!("C> {written}"));
        let (Some(open), Some(watch)) = (&mut self.open, &mut self.watch) else {
            return Err(self.not_open());
        };
        let deadline = deadline(self.options.patience);
        let sent = open.connection.send(&bytes, self.options.split, deadline);
        sent.await
            .map_err(|()| Stop::wrong("that what is sent is read", "nothing is read"))?;
        let mut rest = bytes;
        while let Ok(Some((packet, len))) =
            Packet::decode(&rest, self.version, &DecodeLimits::default())
        {
            watch.sent(&packet);
            rest = rest.split_off(len);
            self.requests.sent(&packet);
            if let Packet::ConnAck(connack) = &packet
                && !connack.session_present
                && self.version != ProtocolVersion::V31
            {
                self.ids.release_all();
                self.requests.session_ended();
            }
        }
        for template in templates.iter().filter(|template| template.ends_exchange()) {
            if let Some(id) = template.id().and_then(|id| self.number(id)) {
                self.ids.release(id);
            }
        }
        Ok(())
    }
}

fn no_such(expected: &Template) -> String {
    format!("the client sends no such {}", expected.packet_type())
}
