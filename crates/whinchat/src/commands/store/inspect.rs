//! `whinchat store inspect`: what is kept, as text or as JSON lines. Payloads are never shown.

use std::{sync::Arc, time::SystemTime};

use serde::Serialize;
use whinchat_broker::{Clock, Kept, KeptMessage, KeptSession, KeptWill, Store};
use whinchat_codec::{QoS, RetainHandling, SubscriptionOptions};
use whinchat_store::{DurableLogOptions, disk::DataDirectory};

use super::{Directory, advice, is_damage};
use crate::exit::{Exit, print};

pub(super) fn run(directory: &Directory, json: bool) -> Exit {
    let data = match DataDirectory::read(&directory.path) {
        Ok(data) => data,
        Err(error) => return Exit::Data.with_error(error),
    };
    let clock = Clock::system();
    let (bar, moves) = directory.progress("reading");
    let read = Store::new(Arc::new(data.disk()), DurableLogOptions::default())
        .on_progress(moves)
        .read(&clock);
    bar.finish_and_clear();
    match read {
        Ok(checkpoint) => {
            let kept = checkpoint.kept(&clock);
            print(&if json { lines(&kept) } else { text(&kept) })
        }
        Err(error) if is_damage(&error) => {
            Exit::Data.with_error(format_args!("{error}\n{}", advice(&directory.path)))
        }
        Err(error) => Exit::Data.with_error(error),
    }
}

/// Names are quoted, so that none of them can look like something else on a terminal.
fn text(kept: &Kept) -> String {
    let mut text = format!("sessions: {}\n", kept.sessions.len());
    for session in &kept.sessions {
        text += &format!("  {:?}\n    {}\n", session.client_id, duration(session));
        text += &format!(
            "    {} queued, {} in flight, {} QoS 2 packet ids held\n",
            session.queued, session.in_flight, session.held_ids
        );
        for (filter, options) in &session.subscriptions {
            text += &format!(
                "    subscribed to {filter:?} at QoS {}\n",
                options.qos as u8
            );
        }
        if let Some(will) = &session.will {
            text += &format!("    Will: {}\n", will_text(will));
        }
    }
    text += &format!("retained messages: {}\n", kept.retained.len());
    for message in &kept.retained {
        let expiry = message.expires_at.map_or_else(
            || "never expires".to_owned(),
            |at| format!("expires {}", time(at)),
        );
        text += &format!(
            "  {:?}: {} bytes, QoS {}, {expiry}\n",
            message.topic, message.payload_bytes, message.qos as u8
        );
    }
    text += &format!(
        "Wills of sessions that ended with their connection: {}\n",
        kept.wills.len()
    );
    for (client_id, will) in &kept.wills {
        text += &format!("  {client_id:?}: {}\n", will_text(will));
    }
    text
}

fn duration(session: &KeptSession) -> String {
    match (session.was_connected, session.ends_at) {
        (_, Some(at)) => format!("ends {}", time(at)),
        (_, None) if session.expiry_interval == u32::MAX => "never ends".to_owned(),
        (_, None) => format!(
            "was connected, ends {} s after its connection",
            session.expiry_interval
        ),
    }
}

fn will_text(will: &KeptWill) -> String {
    let retained = if will.retain { ", retained" } else { "" };
    format!(
        "{:?}: {} bytes, QoS {}{retained}, delay {} s",
        will.topic, will.payload_bytes, will.qos as u8, will.delay_interval
    )
}

/// Universal time, to the second.
fn time(at: SystemTime) -> String {
    jiff::Timestamp::try_from(at).map_or_else(
        |_| "in a far future".to_owned(),
        |at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    )
}

/// One line of `--json`.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Line<'a> {
    Session {
        client_id: &'a str,
        expiry_interval: u32,
        was_connected: bool,
        ends_at: Option<String>,
        queued: usize,
        in_flight: usize,
        held_ids: usize,
        subscriptions: Vec<Subscription<'a>>,
        will: Option<WillFields<'a>>,
    },
    Retained {
        topic: &'a str,
        payload_bytes: usize,
        qos: u8,
        expires_at: Option<String>,
    },
    Will {
        client_id: &'a str,
        #[serde(flatten)]
        will: WillFields<'a>,
    },
}

#[derive(Serialize)]
struct Subscription<'a> {
    filter: &'a str,
    qos: u8,
    no_local: bool,
    retain_as_published: bool,
    retain_handling: u8,
}

#[derive(Serialize)]
struct WillFields<'a> {
    topic: &'a str,
    payload_bytes: usize,
    qos: u8,
    retain: bool,
    delay_interval: u32,
}

fn lines(kept: &Kept) -> String {
    let sessions = kept.sessions.iter().map(session_line);
    let retained = kept.retained.iter().map(retained_line);
    let wills = kept.wills.iter().map(|(client_id, will)| Line::Will {
        client_id,
        will: WillFields::of(will),
    });
    let mut text = String::new();
    for line in sessions.chain(retained).chain(wills) {
        // Strings and numbers have always a form in JSON.
        text += &serde_json::to_string(&line).unwrap_or_default();
        text.push('\n');
    }
    text
}

fn session_line(session: &KeptSession) -> Line<'_> {
    Line::Session {
        client_id: &session.client_id,
        expiry_interval: session.expiry_interval,
        was_connected: session.was_connected,
        ends_at: session.ends_at.map(time),
        queued: session.queued,
        in_flight: session.in_flight,
        held_ids: session.held_ids,
        subscriptions: session
            .subscriptions
            .iter()
            .map(|(filter, options)| Subscription::of(filter, options))
            .collect(),
        will: session.will.as_ref().map(WillFields::of),
    }
}

fn retained_line(message: &KeptMessage) -> Line<'_> {
    Line::Retained {
        topic: &message.topic,
        payload_bytes: message.payload_bytes,
        qos: number(message.qos),
        expires_at: message.expires_at.map(time),
    }
}

fn number(qos: QoS) -> u8 {
    qos as u8
}

impl<'a> Subscription<'a> {
    fn of(filter: &'a str, options: &SubscriptionOptions) -> Self {
        Self {
            filter,
            qos: number(options.qos),
            no_local: options.no_local,
            retain_as_published: options.retain_as_published,
            retain_handling: match options.retain_handling {
                RetainHandling::SendAtSubscribe => 0,
                RetainHandling::SendIfNew => 1,
                RetainHandling::DoNotSend => 2,
            },
        }
    }
}

impl<'a> WillFields<'a> {
    fn of(will: &'a KeptWill) -> Self {
        Self {
            topic: &will.topic,
            payload_bytes: will.payload_bytes,
            qos: number(will.qos),
            retain: will.retain,
            delay_interval: will.delay_interval,
        }
    }
}
