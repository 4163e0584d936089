//! The state of the reference server, what a client's bytes do to it, and its clock.

use std::collections::BTreeMap;
use std::mem;
use std::task::Waker;
use std::time::Duration;

use whinchat_codec::{
    Connect, DecodeLimits, DisconnectReason, PacketRef, SubscriptionOptions, Will, decode,
};
use whinchat_session::{Connection, Event, Instant, SessionState};
use whinchat_topic::TopicFilterBuf;

use super::ending::Ending;
use super::message::{Group, Outbox, Published, Routed};
use super::offered::Offered;

/// Said in acknowledgements, so that it is seen to be left out where it is not wanted or has no room.
pub(super) const IN_WORDS: &str = "as the reference server sees it";

/// The number of a connection.
pub(super) type Number = u64;

/// Bytes of the longest packet before CONNACK, where nothing is announced yet.
const CONNECT_SIZE_MAX: u32 = 65_536;

#[derive(Debug)]
pub(super) struct Server {
    pub(super) now: Instant,
    pub(super) offered: Offered,
    pub(super) clients: BTreeMap<Number, Client>,
    /// By client id.
    pub(super) sessions: BTreeMap<String, Session>,
    /// By topic name.
    pub(super) retained: BTreeMap<String, Published>,
    /// Messages that each group has got.
    pub(super) turns: BTreeMap<Group, usize>,
    opened: Number,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) engine: Connection,
    pub(super) outbox: Outbox,
    input: Vec<u8>,
    /// Whoever waits for output.
    pub(super) reader: Option<Waker>,
    /// The CONNECT, while its authentication goes on.
    pub(super) connect: Option<Connect>,
    /// The client id, once it is connected.
    pub(super) session: Option<String>,
    /// What the engine is lent until then.
    lobby: SessionState<Routed>,
    /// Nothing is read any more, and what is still to be written is the last.
    pub(super) is_over: bool,
}

/// What outlives a connection.
#[derive(Debug, Default)]
pub(super) struct Session {
    pub(super) state: SessionState<Routed>,
    pub(super) connection: Option<Number>,
    pub(super) subscriptions: Vec<Subscription>,
    /// Seconds that it outlives its connection.
    pub(super) expiry_interval: u32,
    /// When it ends, while it has no connection.
    pub(super) ends_at: Option<Instant>,
    pub(super) will: Option<Will>,
    /// When its will is published, while it has no connection.
    pub(super) will_at: Option<Instant>,
}

#[derive(Clone, Debug)]
pub(super) struct Subscription {
    /// As the client wrote it.
    pub(super) text: String,
    pub(super) filter: TopicFilterBuf,
    /// The name of the group, of a shared one.
    pub(super) group: Option<String>,
    pub(super) options: SubscriptionOptions,
    pub(super) id: Option<u32>,
}

impl Server {
    pub(super) fn new(offered: Offered) -> Self {
        Self {
            now: Instant::from_millis(0),
            offered,
            clients: BTreeMap::new(),
            sessions: BTreeMap::new(),
            retained: BTreeMap::new(),
            turns: BTreeMap::new(),
            opened: 0,
        }
    }

    /// A connection has come.
    pub(super) fn open(&mut self) -> Number {
        self.opened += 1;
        let client = Client {
            engine: Connection::server(self.now, &self.offered.limits),
            outbox: Outbox::default(),
            input: Vec::new(),
            reader: None,
            connect: None,
            session: None,
            lobby: SessionState::new(),
            is_over: false,
        };
        self.clients.insert(self.opened, client);
        self.opened
    }

    /// The transport is gone.
    pub(super) fn cut(&mut self, number: Number) {
        self.end_connection(number, Ending::Lost);
        self.wake_readers();
    }

    /// Nobody reads what is left.
    pub(super) fn forget(&mut self, number: Number) {
        self.clients.remove(&number);
    }

    pub(super) fn client(&mut self, number: Number) -> &mut Client {
        let client = self.clients.get_mut(&number);
        client.expect("a connection stays until its stream is dropped")
    }

    /// The engine of a connection with all that it is lent.
    pub(super) fn engine(
        &mut self,
        number: Number,
    ) -> (&mut Connection, &mut SessionState<Routed>, &mut Outbox) {
        let client = self.clients.get_mut(&number);
        let client = client.expect("a connection stays until its stream is dropped");
        let session = client
            .session
            .as_ref()
            .and_then(|id| self.sessions.get_mut(id));
        let state = session.map_or(&mut client.lobby, |session| &mut session.state);
        (&mut client.engine, state, &mut client.outbox)
    }

    /// Bytes of a client: handles the packets that are whole.
    pub(super) fn receive(&mut self, number: Number, bytes: &[u8]) {
        let mut input = mem::take(&mut self.client(number).input);
        input.extend_from_slice(bytes);
        let mut handled = 0;
        while !self.client(number).is_over {
            let engine = &self.client(number).engine;
            let size_max = match engine.is_connected() {
                true => engine.maximum_packet_size_in(),
                false => CONNECT_SIZE_MAX,
            };
            let limits = DecodeLimits::default().with_packet_size(size_max);
            match decode(&input[handled..], engine.version(), &limits) {
                Ok(None) => break,
                Ok(Some((packet, len))) => {
                    self.handle(number, packet);
                    handled += len;
                }
                Err(error) => {
                    let (engine, _, outbox) = self.engine(number);
                    engine.close_on_malformed(&error, outbox);
                    self.end_connection(number, Ending::Lost);
                }
            }
        }
        input.drain(..handled);
        self.client(number).input = input;
        self.wake_readers();
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "all else is answered by the engine"
    )]
    fn handle(&mut self, number: Number, packet: PacketRef<'_>) {
        let now = self.now;
        let (engine, state, outbox) = self.engine(number);
        match engine.handle(now, packet, state, outbox) {
            Ok(Event::Connect(connect)) => self.on_connect(number, connect.to_owned()),
            Ok(Event::Auth(auth)) => self.on_auth(number, auth),
            Ok(Event::Publish(incoming)) => self.on_publish(number, &incoming),
            Ok(Event::Subscribe(subscribe)) => self.on_subscribe(number, &subscribe),
            Ok(Event::Unsubscribe(unsubscribe)) => self.on_unsubscribe(number, &unsubscribe),
            Ok(Event::Disconnect(disconnect)) => {
                let ending = match disconnect.reason {
                    DisconnectReason::NormalDisconnection => Ending::Left,
                    _ => Ending::Lost,
                };
                self.end_connection(number, ending);
            }
            Ok(_) => {}
            Err(violation) => {
                engine.close_on_violation(violation, outbox);
                self.end_connection(number, Ending::Lost);
            }
        }
    }

    /// Pushes the clock on, from one moment at which something is due to the next.
    pub(super) fn advance(&mut self, by: Duration) {
        let until = self.now.saturating_add(by);
        while let Some(due) = self.next_due().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.act_on_due();
        }
        self.now = until;
        self.wake_readers();
    }

    /// In so many seconds.
    pub(super) fn after(&self, seconds: u32) -> Instant {
        self.now.saturating_add_millis(u64::from(seconds) * 1_000)
    }

    fn next_due(&self) -> Option<Instant> {
        let of_clients = self
            .clients
            .values()
            .filter_map(|client| client.engine.poll_timeout());
        let of_sessions = self
            .sessions
            .values()
            .flat_map(|session| [session.will_at, session.ends_at]);
        of_clients.chain(of_sessions.flatten()).min()
    }

    fn act_on_due(&mut self) {
        let now = self.now;
        let numbers: Vec<Number> = self.clients.keys().copied().collect();
        for number in numbers {
            let (engine, _, outbox) = self.engine(number);
            if let Err(violation) = engine.handle_timeout(now, outbox) {
                engine.close_on_violation(violation, outbox);
                self.end_connection(number, Ending::Lost);
            }
        }
        let ids: Vec<String> = self.sessions.keys().cloned().collect();
        for id in ids {
            let Some(session) = self.sessions.get(&id) else {
                continue;
            };
            let (will_at, ends_at) = (session.will_at, session.ends_at);
            if will_at.is_some_and(|due| due <= now) {
                self.publish_will(&id);
            }
            if ends_at.is_some_and(|due| due <= now) {
                self.end_session(&id);
            }
        }
    }

    /// Whoever may have got something looks.
    fn wake_readers(&mut self) {
        for client in self.clients.values_mut() {
            if (client.is_over || !client.outbox.0.is_empty())
                && let Some(reader) = client.reader.take()
            {
                reader.wake();
            }
        }
    }
}
