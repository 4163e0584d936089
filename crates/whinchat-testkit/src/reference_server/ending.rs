//! How connections and sessions end, and what becomes of wills.
//!
//! Read first: MQTT 5.0 sections 3.1.2.5, 3.1.3.2.2, 3.14.4 and 4.1.

use std::mem;

use whinchat_codec::{EncodeError, PublishProperties, WillProperties};
use whinchat_session::UnackedMessage;

use super::message::{Published, Routed};
use super::server::{Number, Server};
use crate::TestMessage;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// By a DISCONNECT that takes the will away.
    Left,
    /// In any other way.
    Lost,
}

impl Server {
    pub(super) fn end_connection(&mut self, number: Number, ending: Ending) {
        let client = self.client(number);
        if mem::replace(&mut client.is_over, true) {
            return;
        }
        client.engine.handle_transport_closed();
        let seconds = client.engine.session_expiry_interval();
        let Some(id) = client.session.take() else {
            return;
        };
        let ends_at = (seconds != u32::MAX).then(|| self.after(seconds));
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        session.connection = None;
        if ending == Ending::Left {
            session.will = None; // v5 [MQTT-3.14.4-3], v311 [MQTT-3.1.2-10]
        }
        if seconds == 0 {
            return self.end_session(&id);
        }
        session.ends_at = ends_at;
        let delay = session
            .will
            .as_ref()
            .map(|will| will.properties.will_delay_interval().unwrap_or(0));
        match delay {
            None => {}
            Some(0) => self.publish_will(&id),
            Some(delay) => {
                let will_at = self.after(delay);
                self.sessions
                    .entry(id.clone())
                    .and_modify(|session| session.will_at = Some(will_at));
            }
        }
        self.hand_over(&id);
    }

    /// The session is over, and its will with it.
    pub(super) fn end_session(&mut self, id: &str) {
        self.publish_will(id); // v5 [MQTT-3.1.2-8]
        let Some(mut session) = self.sessions.remove(id) else {
            return;
        };
        let of_groups = session.state.take_unacked(|routed| routed.group.is_some());
        self.deliver_again(of_groups);
    }

    /// Messages of shared subscriptions that the client has not taken over go to a member that is connected. Those of
    /// QoS 2 that may have arrived stay. // v5 [MQTT-4.8.2-4]
    fn hand_over(&mut self, id: &str) {
        let Some(mut session) = self.sessions.remove(id) else {
            return;
        };
        let of_groups = session.state.take_unacked(|routed| {
            let group = routed.group.as_ref();
            group.is_some_and(|group| self.has_connected_member(group))
        });
        self.sessions.insert(id.to_owned(), session);
        self.deliver_again(of_groups);
    }

    fn deliver_again(&mut self, unacked: Vec<UnackedMessage<Routed>>) {
        for UnackedMessage { message, .. } in unacked {
            let Routed { published, group } = message;
            if let Some(group) = group {
                self.deliver_to_group(&group, &published);
            }
        }
    }

    pub(super) fn publish_will(&mut self, id: &str) {
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        session.will_at = None;
        let Some(will) = session.will.take() else {
            return;
        };
        let seconds = will.properties.message_expiry_interval();
        let message = TestMessage {
            payload: will.payload,
            properties: forwarded(&will.properties),
            expires_at: seconds.map(|seconds| self.after(seconds)),
            ..TestMessage::new(&will.topic, "")
        };
        let published = Published {
            message,
            qos: will.qos,
            retain: will.retain,
        };
        self.publish(id, &published);
    }
}

/// What of a will's properties its PUBLISH has: all but the delay, and the expiry, which counts from now on.
fn forwarded(will: &WillProperties) -> PublishProperties {
    let copy = || {
        let mut properties = PublishProperties::new();
        if let Some(is_text) = will.payload_format_indicator() {
            properties.set_payload_format_indicator(is_text);
        }
        if let Some(content_type) = will.content_type() {
            properties.set_content_type(content_type)?;
        }
        if let Some(topic) = will.response_topic() {
            properties.set_response_topic(topic)?;
        }
        if let Some(data) = will.correlation_data() {
            properties.set_correlation_data(data)?;
        }
        for (name, value) in will.user_properties() {
            properties.add_user_property(name, value)?; // v5 [MQTT-3.1.3-10]
        }
        Ok::<_, EncodeError>(properties)
    };
    copy().expect("what a will can have, a PUBLISH can have")
}
