//! Scenes with one engine, written as text and run one step at a time.
//!
//! A scene is a header (version, statement ids, a sentence), a start, and steps:
//!
//! ```text
//! v5 MQTT-4.3.3-10   a repeated QoS 2 PUBLISH is acknowledged, not delivered again
//! = server connected
//! > PUBLISH q2 id7 a/b 'x'      < PUBREC id7      ! message a/b 'x'
//! > PUBLISH q2 id7 dup a/b 'x'  < PUBREC id7      ! repeated id7
//! ```
//!
//! `>` is a packet to the engine, `*` a command of the application or of time, `<` a packet from
//! the engine, `!` an event. A step has exactly the packets and events that stand behind it. Packets
//! are written as `whinchat-conformance` has them, and so are the words of a command that makes one.
//! The start names the role, then options:
//!
//! - `connected`: the handshake is over; further words are those of its CONNECT, and of its
//!   CONNACK where they begin with `server.`;
//! - `manual`: the application decides by command; otherwise it accepts every message and grants
//!   every subscription at once;
//! - `durable`: effects wait for `* commit`; `effects`: they are events;
//! - `receive_maximum=`, `window=`, `alias_in=`, `alias_out=`, `max_in=`, `max_qos=`,
//!   `no_retain`, `queue=`, `drop_oldest`, `ping=`, `rounds=`: the limits.

use core::time::Duration;

use bytes::{Buf, Bytes};
use whinchat_codec::{
    DecodeLimits, Packet, PacketRef, ProtocolVersion, PubAckReason, QoS, SubAckProperties,
    SubAckReason, UnsubAckProperties, UnsubAckReason, decode,
};
use whinchat_conformance::notation::{Ids, Names, Reading, Speaker, Template, format};
use whinchat_session::{
    ConnAckOptions, Connection, Delivery, DeliveryOptions, Event, QueueLimits, QueuePolicy, Role,
    SessionLimits, SessionState, Ticket, Violation,
};

use crate::arguments::{self, Arguments};
use crate::{Clock, TestMessage, TestOutput};

/// Runs all scenes of one file. `name` is for the report.
///
/// # Panics
/// If a scene does not go as it is written, with every such step.
#[track_caller]
pub fn check(name: &str, text: &str) {
    let scenes = scenes(text);
    assert!(!scenes.is_empty(), "{name} has no scenes");
    let failures: Vec<String> = scenes.iter().filter_map(|scene| run(name, scene)).collect();
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

/// How many scenes a file has.
pub fn count(text: &str) -> usize {
    scenes(text).len()
}

struct Scene<'a> {
    version: ProtocolVersion,
    title: &'a str,
    start: &'a str,
    steps: Vec<Step<'a>>,
}

struct Step<'a> {
    line: usize,
    text: &'a str,
    action: String,
    packets: Vec<String>,
    events: Vec<String>,
}

fn scenes(text: &str) -> Vec<Scene<'_>> {
    let mut scenes: Vec<Scene<'_>> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        let version = match line.split(' ').next() {
            Some("v31") => Some(ProtocolVersion::V31),
            Some("v311") => Some(ProtocolVersion::V311),
            Some("v5") => Some(ProtocolVersion::V5),
            _ => None,
        };
        if let Some(version) = version {
            scenes.push(Scene {
                version,
                title: line,
                start: "server connected",
                steps: Vec::new(),
            });
        } else if let Some(start) = line.strip_prefix("= ") {
            scenes.last_mut().expect("a start follows a header").start = start;
        } else if !line.is_empty() && !line.starts_with('#') {
            let scene = scenes.last_mut().expect("a step follows a header");
            read_steps(&mut scene.steps, index + 1, line);
        }
    }
    scenes
}

/// A line holds one step or more, each with what is expected of it.
fn read_steps<'a>(steps: &mut Vec<Step<'a>>, line: usize, text: &'a str) {
    let mut marker = String::new();
    let mut segment: Vec<String> = Vec::new();
    let mut words = arguments::words(text);
    words.push("end".into());
    for word in words {
        let is_marker = matches!(word.as_str(), ">" | "<" | "!" | "*" | "end");
        if !is_marker {
            segment.push(word);
            continue;
        }
        let content = segment.join(" ");
        match (marker.as_str(), steps.last_mut()) {
            (">" | "*", _) => steps.push(Step {
                line,
                text,
                action: format!("{marker} {content}"),
                packets: Vec::new(),
                events: Vec::new(),
            }),
            ("<", Some(step)) => step.packets.push(content),
            ("!", Some(_)) if content == "nothing" => {}
            ("!", Some(step)) => step.events.push(content),
            ("", _) => assert!(segment.is_empty(), "line {line} begins without a marker"),
            _ => panic!("line {line} expects something before the first step"),
        }
        segment.clear();
        marker = word;
    }
}

/// What went otherwise than written.
fn run(name: &str, scene: &Scene<'_>) -> Option<String> {
    let mut world = World::new(scene.version, scene.start);
    for step in &scene.steps {
        world.act(&step.action);
        let packets = world.sent();
        let events = core::mem::take(&mut world.events);
        if !world.are_as_written(&step.packets, &packets) || step.events != events {
            let version = world.connection.version();
            let packets: Vec<String> = packets
                .iter()
                .map(|packet| format(packet, version, &Names::plain()))
                .collect();
            return Some(format!(
                "{name}:{}: {}\n    {}\n    expected < {:?} ! {:?}\n    got      < {:?} ! {:?}",
                step.line, scene.title, step.text, step.packets, step.events, packets, events
            ));
        }
    }
    None
}

/// One engine with its session and its application.
struct World {
    version: ProtocolVersion,
    role: Role,
    limits: SessionLimits,
    clock: Clock,
    connection: Connection,
    session: SessionState<TestMessage>,
    out: TestOutput,
    manual: bool,
    shows_effects: bool,
    events: Vec<String>,
}

impl World {
    /// The start of a scene, as the module describes it.
    fn new(version: ProtocolVersion, start: &str) -> Self {
        let words = arguments::words(start);
        let mut arguments = Arguments::new(start, &words);
        let a = &mut arguments;
        let role = match a.next().as_deref() {
            Some("server") => Role::Server,
            Some("client") => Role::Client,
            other => panic!("{other:?} is no role: {start}"),
        };
        let connected = a.flag("connected");
        let manual = a.flag("manual");
        let durable = a.flag("durable");
        let shows_effects = a.flag("effects");
        let mut limits = SessionLimits::default()
            .with_receive_maximum(a.number("receive_maximum").unwrap_or(u16::MAX))
            .with_topic_alias_maximum_in(a.number("alias_in").unwrap_or(0))
            .with_topic_alias_maximum_out(a.number("alias_out").unwrap_or(0))
            .with_packet_size_max(a.number("max_in").unwrap_or(u32::MAX))
            .with_retain_available(!a.flag("no_retain"));
        if let Some(window) = a.number("window") {
            limits = limits
                .with_in_flight_max(window)
                .with_in_flight_max_v3(window);
        }
        if let Some(qos) = a.number::<u8>("max_qos") {
            limits = limits.with_maximum_qos(QoS::try_from(qos).expect("a QoS"));
        }
        if let Some(messages) = a.number("queue") {
            limits = limits.with_queue(QueueLimits {
                messages,
                policy: if a.flag("drop_oldest") {
                    QueuePolicy::DropOldest
                } else {
                    QueuePolicy::RefuseNew
                },
                ..QueueLimits::default()
            });
        }
        if let Some(seconds) = a.number("ping") {
            limits = limits.with_ping_timeout(Some(Duration::from_secs(seconds)));
        }
        if let Some(rounds) = a.number("rounds") {
            limits = limits.with_authentication_rounds_max(rounds);
        }
        let clock = Clock::new();
        let mut world = Self {
            version,
            role,
            limits,
            clock,
            connection: Connection::server(clock.now(), &limits),
            session: SessionState::new(),
            out: TestOutput::new(durable),
            manual,
            shows_effects,
            events: Vec::new(),
        };
        let rest: Vec<String> = core::iter::from_fn(|| a.next()).collect();
        if connected {
            match role {
                Role::Server => {
                    world.act(&format!("> CONNECT c1 {}", rest.join(" ")));
                    world.act("* accept");
                }
                Role::Client => {
                    let (connack, connect): (Vec<String>, Vec<String>) = rest
                        .into_iter()
                        .partition(|word| word.starts_with("server."));
                    world.act(&format!("* connect c1 {}", connect.join(" ")));
                    let connack: Vec<&str> = connack
                        .iter()
                        .map(|word| word.trim_start_matches("server."))
                        .collect();
                    world.act(&format!("> CONNACK {}", connack.join(" ")));
                }
            }
            world.out.buffer.clear();
            world.events.clear();
            world.out.effects.clear();
        } else {
            assert!(rest.is_empty(), "{rest:?} is not understood in: {start}");
        }
        world
    }

    /// One step.
    fn act(&mut self, action: &str) {
        match action.split_at(2) {
            ("> ", packet) => self.receive(packet),
            ("* ", command) => self.command(command),
            _ => panic!("no step: {action}"),
        }
        if self.shows_effects {
            let effects = core::mem::take(&mut self.out.effects);
            self.events
                .extend(effects.into_iter().map(|effect| format!("record {effect}")));
        }
        for (message, reason) in core::mem::take(&mut self.out.dropped) {
            self.events
                .push(format!("dropped '{}' {reason:?}", payload(&message)));
        }
    }

    /// The packets that the engine has sent since the last step.
    fn sent(&mut self) -> Vec<Packet> {
        let mut rest = self.out.buffer.split().freeze();
        let mut packets = Vec::new();
        while !rest.is_empty() {
            let limits = DecodeLimits::default();
            match Packet::decode(&rest, self.connection.version(), &limits) {
                Ok(Some((packet, len))) => {
                    packets.push(packet);
                    rest.advance(len);
                }
                other => panic!("the engine sent no packet: {other:?} in {rest:?}"),
            }
        }
        packets
    }

    /// Whether the packets are those that are written, and nothing is in them that is not.
    fn are_as_written(&self, written: &[String], sent: &[Packet]) -> bool {
        let reading = Reading {
            names: &Names::plain(),
            version: self.connection.version(),
            strict: true,
            exact: true,
            partial: false,
        };
        let is_as_written = |(written, packet): (&String, &Packet)| {
            let template = Template::parse(written).unwrap_or_else(|error| panic!("{error}"));
            template.matches(packet, &reading).is_ok()
        };
        written.len() == sent.len() && written.iter().zip(sent).all(is_as_written)
    }

    fn receive(&mut self, text: &str) {
        let bytes = match text.strip_prefix("bytes ") {
            Some(hex) => hex
                .split(' ')
                .map(|byte| u8::from_str_radix(byte, 16).expect("a hexadecimal byte"))
                .collect(),
            None => bytes(text, self.version),
        };
        self.receive_bytes(bytes);
    }

    fn receive_bytes(&mut self, bytes: Bytes) {
        let limits = DecodeLimits::default();
        match decode(&bytes, self.connection.version(), &limits) {
            Ok(Some((packet, len))) => {
                assert_eq!(len, bytes.len(), "one packet at a time");
                self.handle(packet);
            }
            Ok(None) => panic!("an incomplete packet"),
            Err(error) => {
                self.events
                    .push(format!("malformed {:02x}", error.reason().code()));
                self.connection.close_on_malformed(&error, &mut self.out);
            }
        }
    }

    fn handle(&mut self, packet: PacketRef<'_>) {
        let now = self.clock.now();
        let handled = self
            .connection
            .handle(now, packet, &mut self.session, &mut self.out);
        match handled {
            Ok(event) => self.on_event(event),
            Err(violation) => self.on_violation(violation),
        }
    }

    fn on_violation(&mut self, violation: Violation) {
        let statement = violation.statement(self.version).unwrap_or("-");
        self.events.push(format!(
            "violation {:02x} {statement}",
            violation.reason().code()
        ));
        self.connection.close_on_violation(violation, &mut self.out);
    }

    fn on_event(&mut self, event: Event<'_, TestMessage>) {
        let now = self.clock.now();
        let seen = match event {
            Event::None => return,
            Event::Connect(connect) if connect.client_id.is_empty() => "connect -".into(),
            Event::Connect(connect) => format!("connect {}", connect.client_id),
            Event::ConnAck(connack) => format!(
                "connack {:02x}{}",
                connack.reason.code(),
                if connack.session_present {
                    " present"
                } else {
                    ""
                }
            ),
            Event::Publish(incoming) => {
                if let (false, Some(id)) = (self.manual, incoming.publish.guarantee.packet_id()) {
                    let ticket = self.out.next_ticket();
                    self.connection
                        .acknowledge(
                            now,
                            &mut self.session,
                            id,
                            PubAckReason::Success,
                            ticket,
                            &mut self.out,
                        )
                        .expect("the message waits");
                }
                format!(
                    "message {} '{}'",
                    incoming.topic.as_str(),
                    String::from_utf8_lossy(incoming.publish.payload)
                )
            }
            Event::Repeated(id) => format!("repeated id{id}"),
            Event::Subscribe(subscribe) => {
                if !self.manual {
                    let reasons: Vec<SubAckReason> = subscribe
                        .subscriptions
                        .iter()
                        .map(|subscription| SubAckReason::granted(subscription.options.qos))
                        .collect();
                    let (id, none) = (subscribe.packet_id, SubAckProperties::new());
                    self.connection
                        .suback(now, id, &reasons, none, Ticket::NONE, &mut self.out)
                        .expect("the SUBSCRIBE waits");
                }
                format!("subscribe id{}", subscribe.packet_id)
            }
            Event::Unsubscribe(unsubscribe) => {
                if !self.manual {
                    let reasons = vec![UnsubAckReason::Success; unsubscribe.filters.len()];
                    let (id, none) = (unsubscribe.packet_id, UnsubAckProperties::new());
                    self.connection
                        .unsuback(now, id, &reasons, none, Ticket::NONE, &mut self.out)
                        .expect("the UNSUBSCRIBE waits");
                }
                format!("unsubscribe id{}", unsubscribe.packet_id)
            }
            Event::SubAck(suback) => {
                let codes: Vec<String> = suback
                    .reasons
                    .iter()
                    .map(|reason| format!("{:02x}", reason.code()))
                    .collect();
                format!("suback id{} {}", suback.packet_id, codes.join(" "))
            }
            Event::UnsubAck(unsuback) => format!("unsuback id{}", unsuback.packet_id),
            Event::Acked(acked) => format!(
                "acked id{} {:02x} {}",
                acked.id,
                acked.answer.code(),
                acked
                    .message
                    .map_or("-".into(), |message| format!("'{}'", payload(&message)))
            ),
            Event::Auth(auth) => format!("auth {:02x}", auth.reason.code()),
            Event::Disconnect(disconnect) => {
                format!("disconnect {:02x}", disconnect.reason.code())
            }
            Event::Stray { packet, id } => format!("stray {packet} id{id}"),
            other => panic!("no words for {other:?}"),
        };
        self.events.push(seen);
    }

    fn command(&mut self, text: &str) {
        let words = arguments::words(text);
        let (name, rest) = words.split_first().expect("a command has a name");
        let mut arguments = Arguments::new(text, rest);
        self.run_command(name, &mut arguments, text);
        arguments.finish();
    }

    fn run_command(&mut self, name: &str, a: &mut Arguments<'_>, text: &str) {
        let now = self.clock.now();
        let ticket = Ticket::new(a.number("ticket").unwrap_or(0));
        let Self {
            connection,
            session,
            out,
            ..
        } = self;
        let mut refused = None;
        match name {
            "connect" => {
                let Packet::Connect(connect) = packet("CONNECT", &a.rest(), self.version) else {
                    panic!("not a CONNECT: {text}");
                };
                self.role = Role::Client;
                *connection = Connection::client(now, &connect, &self.limits, out)
                    .expect("a CONNECT that can be written");
            }
            "accept" => {
                let Packet::ConnAck(connack) = packet("CONNACK 00", &a.rest(), V5) else {
                    panic!("not a CONNACK: {text}");
                };
                let options = ConnAckOptions::new()
                    .with_session_present(connack.session_present)
                    .with_properties(connack.properties);
                connection.accept(now, session, options, out);
            }
            "refuse" => {
                let Packet::ConnAck(connack) = packet("CONNACK", &a.rest(), V5) else {
                    panic!("not a CONNACK: {text}");
                };
                connection.refuse(connack.reason, connack.properties, out);
            }
            "ack" => {
                let Packet::PubAck(puback) = packet("PUBACK", &a.rest(), V5) else {
                    panic!("not a PUBACK: {text}");
                };
                let (id, reason) = (puback.packet_id, puback.reason);
                refused = connection
                    .acknowledge_with(now, session, id, reason, &puback.properties, ticket, out)
                    .err();
            }
            "suback" => {
                let Packet::SubAck(suback) = packet("SUBACK", &a.rest(), V5) else {
                    panic!("not a SUBACK: {text}");
                };
                let (id, reasons) = (suback.packet_id, &suback.reasons);
                refused = connection
                    .suback(now, id, reasons, suback.properties, ticket, out)
                    .err();
            }
            "unsuback" => {
                let Packet::UnsubAck(unsuback) = packet("UNSUBACK", &a.rest(), V5) else {
                    panic!("not an UNSUBACK: {text}");
                };
                let (id, reasons) = (unsuback.packet_id, &unsuback.reasons);
                refused = connection
                    .unsuback(now, id, reasons, unsuback.properties, ticket, out)
                    .err();
            }
            "deliver" | "publish" => {
                let Packet::Publish(publish) = packet("PUBLISH", &with_id(a.rest()), V5) else {
                    panic!("not a PUBLISH: {text}");
                };
                let ids: Vec<u32> = publish.properties.subscription_identifiers().collect();
                let lifetime = publish.properties.message_expiry_interval();
                let mut message = TestMessage::new(&publish.topic, publish.payload);
                message.expires_at = lifetime
                    .map(|seconds| now.saturating_add(Duration::from_secs(u64::from(seconds))));
                let options = DeliveryOptions::new(publish.guarantee.qos())
                    .with_retain(publish.retain)
                    .with_subscription_ids(&ids);
                let delivery = if name == "publish" {
                    connection.publish(now, session, &message, &options, out)
                } else {
                    Ok(connection.deliver(now, session, &message, &options, None, out))
                };
                match delivery {
                    Ok(Delivery::Sent(None)) => self.events.push("sent".into()),
                    Ok(Delivery::Sent(Some(id))) => self.events.push(format!("sent id{id}")),
                    Ok(Delivery::Queued) => self.events.push("queued".into()),
                    Ok(Delivery::Dropped(reason)) => {
                        self.events.push(format!("not taken {reason:?}"));
                    }
                    Err(error) => refused = Some(error),
                }
            }
            "subscribe" => {
                let Packet::Subscribe(mut subscribe) = packet("SUBSCRIBE id1", &a.rest(), V5)
                else {
                    panic!("not a SUBSCRIBE: {text}");
                };
                match connection.subscribe(now, session, &mut subscribe, out) {
                    Ok(id) => self.events.push(format!("sent id{id}")),
                    Err(error) => refused = Some(error),
                }
            }
            "unsubscribe" => {
                let Packet::Unsubscribe(mut unsubscribe) = packet("UNSUBSCRIBE id1", &a.rest(), V5)
                else {
                    panic!("not an UNSUBSCRIBE: {text}");
                };
                match connection.unsubscribe(now, session, &mut unsubscribe, out) {
                    Ok(id) => self.events.push(format!("sent id{id}")),
                    Err(error) => refused = Some(error),
                }
            }
            "auth" => {
                let Packet::Auth(auth) = packet("AUTH", &a.rest(), V5) else {
                    panic!("not an AUTH: {text}");
                };
                refused = connection
                    .send_auth(now, auth.reason, auth.properties, out)
                    .err();
            }
            "disconnect" => {
                let Packet::Disconnect(disconnect) = packet("DISCONNECT", &a.rest(), V5) else {
                    panic!("not a DISCONNECT: {text}");
                };
                refused = connection
                    .disconnect(disconnect.reason, disconnect.properties, out)
                    .err();
            }
            "commit" => {
                let up_to = match a.next().as_deref() {
                    Some("all") => out.last_ticket(),
                    Some(number) => Ticket::new(number.parse().expect("a ticket")),
                    None => panic!("up to which ticket: {text}"),
                };
                connection.handle_committed(now, up_to, session, out);
            }
            "wait" => {
                let time = a.next().expect("how long");
                let millis = match time.strip_suffix("ms") {
                    Some(millis) => millis.parse(),
                    None => time.trim_end_matches('s').parse().map(|s: u64| s * 1_000),
                };
                let until = now.saturating_add_millis(millis.expect("10s or 10ms"));
                self.wait(until);
            }
            "cut" => {
                connection.handle_transport_closed();
                out.buffer.clear();
                *connection = Connection::server(now, &self.limits);
            }
            "restore" => {
                let snapshot = session.export(crate::write_message);
                let bytes = snapshot.into_bytes();
                let snapshot = whinchat_session::SessionSnapshot::from_bytes(bytes)
                    .expect("what was exported");
                *session = SessionState::restore(&snapshot, crate::read_message)
                    .expect("what was exported");
            }
            "full" => out.full = true,
            "drained" => {
                out.full = false;
                connection.send_queued(now, session, out);
            }
            "window" => {
                let full = connection.is_receive_window_full();
                self.events.push(if full { "full" } else { "open" }.into());
            }
            "expiry" => {
                let seconds = connection.session_expiry_interval();
                self.events.push(format!("expiry {seconds}"));
            }
            other => panic!("no command is called {other}: {text}"),
        }
        if let Some(error) = refused {
            self.events.push(format!("refused {error}"));
        }
    }

    /// Time passes, and each deadline is met when it comes.
    fn wait(&mut self, until: whinchat_session::Instant) {
        while let Some(deadline) = self
            .connection
            .poll_timeout()
            .filter(|deadline| *deadline <= until)
        {
            self.clock.advance_to(deadline);
            if let Err(violation) = self.connection.handle_timeout(deadline, &mut self.out) {
                self.on_violation(violation);
            }
        }
        self.clock.advance_to(until);
    }
}

/// What a command says is said in the words of 5.0, whatever the engine makes of it.
const V5: ProtocolVersion = ProtocolVersion::V5;

/// A packet that an application has in mind: a name, and the words of a command.
fn packet(name: &str, words: &str, version: ProtocolVersion) -> Packet {
    let bytes = bytes(&format!("{name} {words}"), version);
    match Packet::decode(&bytes, version, &DecodeLimits::default()) {
        Ok(Some((packet, _))) => packet,
        other => panic!("{name} {words} is no packet: {other:?}"),
    }
}

fn bytes(text: &str, version: ProtocolVersion) -> Bytes {
    let speaker = Speaker {
        names: &Names::plain(),
        version,
        client_id: "",
        assigned: None,
        ids: &Ids::default(),
        user_name: None,
        password: None,
    };
    let bytes = Template::parse(text).and_then(|packet| packet.encode(&speaker));
    bytes.unwrap_or_else(|error| panic!("{error} in: {text}"))
}

/// A message to send has no packet id yet; in its PUBLISH one has to stand.
fn with_id(words: String) -> String {
    match words.as_str() {
        acknowledged if acknowledged.starts_with("q1") || acknowledged.starts_with("q2") => {
            format!("id1 {acknowledged}")
        }
        _ => words,
    }
}

fn payload(message: &TestMessage) -> String {
    String::from_utf8_lossy(&message.payload).into_owned()
}
