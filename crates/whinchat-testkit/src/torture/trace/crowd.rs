//! The load below a trace: many publishers with much in flight, and everything that is asked has a mark.
//!
//! First one client after the other, with nothing else going on, so that what an answer waited for can only be its own record; then all at once.

use std::{
    io,
    time::{Duration, Instant},
};

use whinchat_codec::{ProtocolVersion, QoS};

use super::mark::mark;
use crate::torture::client::{Client, Event, Outbound, ready};

const PUBLISHERS: usize = 192;
const SUBSCRIBERS: usize = 8;

/// Most unanswered messages of a publisher; mosquitto takes 20.
const WINDOW: usize = 16;

/// So many messages go one by one.
const ALONE: u64 = 50;

/// Of so many messages one comes with a subscription that is made and ended.
const TOGGLE_EVERY: u64 = 200;

/// A broker that says nothing for so long says nothing more.
const SILENCE: Duration = Duration::from_secs(20);

#[derive(Default)]
pub(super) struct Crowd {
    pub(super) complaints: Vec<String>,
    subscribers: Vec<Client>,
    publishers: Vec<Client>,
    mark: u64,
    /// Of SUBSCRIBE and UNSUBSCRIBE, that came and that must come.
    answers: u64,
    asked: u64,
    connected: usize,
}

impl Crowd {
    /// Asks for so many answers or more, and waits for them.
    pub(super) fn run(&mut self, port: u16, answers: u64) -> io::Result<()> {
        for number in 0..SUBSCRIBERS {
            let client = self.connected(port, "s", number)?;
            self.subscribers.push(client);
            let filters = [mark(self.next_mark()), format!("t/{number}/+")];
            let qos = QoS::ALL[1 + number % 2];
            self.subscribers[number].subscribe(&filters, qos);
            self.asked += 1;
        }
        for number in 0..PUBLISHERS {
            let client = self.connected(port, "p", number)?;
            self.publishers.push(client);
        }
        self.pump_until("CONNACK and SUBACK", |crowd| {
            crowd.connected == SUBSCRIBERS + PUBLISHERS && crowd.answers == crowd.asked
        })?;
        // While nobody receives, nothing is written but what the one client asks for.
        self.subscribers[0].cut();
        for number in 0..ALONE {
            let publisher = usize::try_from(number).unwrap_or(0) % 2 * SUBSCRIBERS;
            self.publish(publisher, QoS::ALL[1 + publisher / SUBSCRIBERS]);
            self.pump_until("an answer", Self::is_answered)?;
            self.toggle(1);
            self.pump_until("SUBACK and UNSUBACK", Self::is_answered)?;
        }
        self.subscribers[0].connect(port, false, None)?;
        // PUBACK to some messages, PUBREC and PUBCOMP to others.
        let mut owed = 0;
        let mut sent = 0_u64;
        while owed < answers {
            for publisher in 0..PUBLISHERS {
                while self.publishers[publisher].in_flight() < WINDOW && owed < answers {
                    let qos = QoS::ALL[1 + publisher / SUBSCRIBERS % 2];
                    self.publish(publisher, qos);
                    owed += 1 + u64::from(qos == QoS::ExactlyOnce);
                    sent += 1;
                    if sent.is_multiple_of(TOGGLE_EVERY) {
                        self.toggle(publisher % SUBSCRIBERS);
                    }
                }
            }
            self.pump(SILENCE)?;
        }
        self.pump_until("the last answers", Self::is_answered)
    }

    fn next_mark(&mut self) -> u64 {
        self.mark += 1;
        self.mark
    }

    fn connected(&mut self, port: u16, prefix: &str, number: usize) -> io::Result<Client> {
        let version = if number.is_multiple_of(3) {
            ProtocolVersion::V311
        } else {
            ProtocolVersion::V5
        };
        let name = format!("{prefix}{number}{}", mark(self.next_mark()));
        let mut client = Client::new(name, version);
        client.connect(port, false, None)?;
        Ok(client)
    }

    fn publish(&mut self, publisher: usize, qos: QoS) {
        let number = self.next_mark();
        let message = Outbound {
            number,
            topic: format!("t/{}/{publisher}", publisher % SUBSCRIBERS),
            payload: mark(number).into(),
            qos,
            retain: false,
        };
        let mut events = Vec::new();
        self.publishers[publisher].publish(message, &mut events);
    }

    fn toggle(&mut self, subscriber: usize) {
        let filter = format!("x/{}", mark(self.next_mark()));
        let subscriber = &mut self.subscribers[subscriber];
        subscriber.subscribe(std::slice::from_ref(&filter), QoS::ExactlyOnce);
        subscriber.unsubscribe(&filter);
        self.asked += 2;
    }

    fn is_answered(&self) -> bool {
        self.answers == self.asked && self.publishers.iter().all(|client| client.in_flight() == 0)
    }

    fn pump_until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) -> io::Result<()> {
        while !is_so(self) {
            self.pump(SILENCE)
                .map_err(|error| io::Error::new(error.kind(), format!("{what}: {error}")))?;
        }
        Ok(())
    }

    /// Waits until something comes, and handles it.
    fn pump(&mut self, silence: Duration) -> io::Result<()> {
        let mut events = Vec::new();
        let start = Instant::now();
        let mut has_heard = false;
        let all = self.subscribers.iter_mut().chain(&mut self.publishers);
        for client in all {
            client.flush(&mut events);
        }
        while !has_heard {
            if start.elapsed() > silence {
                return Err(io::Error::other(format!("nothing came for {silence:?}")));
            }
            let all = self.subscribers.iter().chain(&self.publishers);
            for place in ready(all, Duration::from_millis(100)) {
                let client = match place.checked_sub(SUBSCRIBERS) {
                    Some(publisher) => &mut self.publishers[publisher],
                    None => &mut self.subscribers[place],
                };
                client.read(&mut events);
                client.flush(&mut events);
                has_heard = true;
                for event in events.drain(..) {
                    match event {
                        Event::Connected { .. } => self.connected += 1,
                        Event::Subscribed | Event::Unsubscribed => self.answers += 1,
                        Event::Ended => {
                            return Err(io::Error::other(format!(
                                "the connection of {} has ended",
                                client.name
                            )));
                        }
                        Event::SessionLost => self
                            .complaints
                            .push(format!("{}: its session is lost", client.name)),
                        Event::Nonsense(what) => {
                            self.complaints.push(format!("to {}: {what}", client.name));
                        }
                        Event::Sent(_)
                        | Event::Accepted(_)
                        | Event::Finished(_)
                        | Event::Declined(_)
                        | Event::Abandoned(_)
                        | Event::Delivered(_)
                        | Event::Pong => {}
                    }
                }
            }
        }
        Ok(())
    }
}
