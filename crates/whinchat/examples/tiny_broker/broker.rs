//! What packets mean to the tiny broker. It reads no clock and no socket: `main.rs` does.

use std::{collections::HashMap, rc::Rc};

use tokio::sync::Notify;
use whinchat::codec::*;
use whinchat::session::*;
use whinchat::topic::{FilterId, FilterIndex, Subscribed, TopicFilter, TopicName};

use super::note::{Note, Outbox};

/// Subscriptions, and clients by the number of their connection.
#[derive(Default)]
pub(crate) struct Broker {
    filters: FilterIndex<u64, QoS>,
    clients: HashMap<u64, Client>,
}

pub(crate) struct Client {
    pub(crate) connection: Connection,
    session: SessionState<Note>,
    pub(crate) out: Outbox,
    has_output: Rc<Notify>,
    filters: Vec<FilterId>,
}

impl Broker {
    /// A connection has come. The answer tells when other clients have given it output.
    pub(crate) fn connect(&mut self, number: u64, now: Instant) -> Rc<Notify> {
        let limits = SessionLimits::default()
            .with_retain_available(false)
            .with_topic_alias_maximum_in(0)
            .with_topic_alias_maximum_out(0);
        let has_output = Rc::new(Notify::new());
        let client = Client {
            connection: Connection::server(now, &limits),
            session: SessionState::new(),
            out: Outbox::default(),
            has_output: Rc::clone(&has_output),
            filters: Vec::new(),
        };
        self.clients.insert(number, client);
        has_output
    }

    /// A connection is gone, and its session with it.
    pub(crate) fn disconnect(&mut self, number: u64) {
        for filter in self
            .clients
            .remove(&number)
            .into_iter()
            .flat_map(|c| c.filters)
        {
            self.filters.remove_at(filter, &number);
        }
    }

    /// The client of a connection; panics after `disconnect`.
    pub(crate) fn client(&mut self, number: u64) -> &mut Client {
        let client = self.clients.get_mut(&number);
        client.expect("a client stays until its task disconnects it")
    }

    /// Handles one packet. Answers belong to a packet that has just come, so that none is refused, except one that is longer
    /// than the client takes.
    #[expect(clippy::wildcard_enum_match_arm, reason = "all else is nothing to do")]
    pub(crate) fn handle(
        &mut self,
        number: u64,
        now: Instant,
        packet: PacketRef<'_>,
    ) -> Result<(), Violation> {
        const NOW: Ticket = Ticket::NONE;
        let client = self.clients.get_mut(&number).expect("as above");
        let Client {
            connection,
            session,
            out,
            filters,
            ..
        } = client;
        match connection.handle(now, packet, session, out)? {
            Event::Connect(_) => {
                let abilities = ConnAckProperties::new()
                    .with_shared_subscription_available(false)
                    .with_subscription_identifier_available(false);
                let options = ConnAckOptions::new().with_properties(abilities);
                connection.accept(now, session, options, out);
            }
            Event::Publish(IncomingPublish { publish, .. }) => {
                let success = PubAckReason::Success;
                if let Some(id) = publish.guarantee.packet_id() {
                    connection
                        .acknowledge(now, session, id, success, NOW, out)
                        .ok();
                }
                self.publish(now, &Note::from(&publish), publish.guarantee.qos());
            }
            Event::Subscribe(subscribe) => {
                let grant = |wanted: SubscriptionRef<'_>| {
                    let Ok(Subscribed::Plain(filter)) = Subscribed::parse(wanted.filter) else {
                        return SubAckReason::TopicFilterInvalid;
                    };
                    filters.push(self.filters.insert_at(filter, number, wanted.options.qos).0);
                    SubAckReason::granted(wanted.options.qos)
                };
                let id = subscribe.packet_id;
                let reasons: Vec<_> = subscribe.subscriptions.into_iter().map(grant).collect();
                connection
                    .suback(now, id, &reasons, SubAckProperties::new(), NOW, out)
                    .ok();
            }
            Event::Unsubscribe(unsubscribe) => {
                let end = |filter| match TopicFilter::new(filter) {
                    Ok(filter) if self.filters.remove(filter, &number).is_some() => {
                        UnsubAckReason::Success
                    }
                    Ok(_) | Err(_) => UnsubAckReason::NoSubscriptionExisted,
                };
                let id = unsubscribe.packet_id;
                let reasons: Vec<_> = unsubscribe.filters.into_iter().map(end).collect();
                connection
                    .unsuback(now, id, &reasons, UnsubAckProperties::new(), NOW, out)
                    .ok();
            }
            _ => {}
        }
        Ok(())
    }

    /// Gives a message to each client with a filter that matches: several copies to one with several.
    fn publish(&mut self, now: Instant, note: &Note, published: QoS) {
        let name = TopicName::new(&note.topic).expect("the codec lets no other topic through");
        self.filters.for_each_match(name, |number, granted| {
            let client = self
                .clients
                .get_mut(number)
                .expect("filters go with their client");
            let (session, out) = (&mut client.session, &mut client.out);
            let options = DeliveryOptions::new(published.min(*granted));
            client
                .connection
                .deliver(now, session, note, &options, None, out);
            client.has_output.notify_one();
        });
    }
}
