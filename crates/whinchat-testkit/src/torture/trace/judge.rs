//! Whether each answer left after the sync that covers its record, from system calls alone.
//!
//! Every message, filter and client has a [mark] in it, a text that stands nowhere else. An answer to a request with a mark may leave when a
//! write that holds the mark has ended, then a sync of that file has begun and ended well. PUBREL and PUBREC of a client hold no mark: some
//! write that began after they were read must have been synced.

use std::collections::{BTreeMap, HashMap};

use bytes::BytesMut;
use whinchat_codec::{DecodeLimits, PacketRef, ProtocolVersion, decode};

use super::{
    call::Call,
    mark::{mark_in, marks_in},
};
use crate::torture::finding::{Findings, Kind};

/// The first byte that a client sends.
const CONNECT: u8 = 0x10;

/// A write that is not synced.
struct Written {
    begin: u64,
    end: u64,
    marks: Vec<u64>,
}

/// A write that is synced: when it began, and since when it is safe.
#[derive(Clone, Copy)]
struct Safe {
    begin: u64,
    since: u64,
}

/// What is answered: the packet that asks, and its packet id.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Asked {
    Connect,
    Publish(u16),
    PubRel(u16),
    PubRec(u16),
    Filters(u16),
}

/// What an answer waits for: a write that began after `after`, with this mark if there is one.
#[derive(Clone, Copy)]
struct Request {
    mark: Option<u64>,
    after: u64,
}

#[derive(Default)]
struct Connection {
    name: String,
    version: Option<ProtocolVersion>,
    is_kept: bool,
    from_client: BytesMut,
    to_client: BytesMut,
    asked: HashMap<Asked, Request>,
}

/// Reads calls in the order in which they returned.
#[derive(Default)]
pub(super) struct Judge {
    pub(super) findings: Findings,
    /// How many answers there were, by name.
    pub(super) answers: BTreeMap<&'static str, u64>,
    /// Syncs that covered something.
    pub(super) syncs: u64,
    unsynced: HashMap<String, Vec<Written>>,
    marks: HashMap<u64, Vec<Safe>>,
    /// Of any write; both of its numbers only grow.
    newest: Vec<Safe>,
    connections: HashMap<String, Connection>,
}

impl Judge {
    /// How many answers were judged.
    pub(super) fn judged(&self) -> u64 {
        self.answers.values().sum()
    }

    pub(super) fn take(&mut self, call: &Call) {
        let name = call.name.as_str();
        let is_socket = call.file.starts_with("socket:");
        let reads = name.starts_with("read") || name.starts_with("recv");
        if matches!(name, "fsync" | "fdatasync") {
            if call.result == 0 {
                self.synced(call);
            }
        } else if is_socket && reads {
            self.read(call);
        } else if is_socket {
            self.answered(call);
        } else if !reads && call.file.starts_with('/') && call.result > 0 {
            let written = self.unsynced.entry(call.file.clone()).or_default();
            written.push(Written {
                begin: call.begin,
                end: call.end,
                marks: marks_in(&call.data).collect(),
            });
        }
    }

    fn synced(&mut self, sync: &Call) {
        let Some(unsynced) = self.unsynced.get_mut(&sync.file) else {
            return;
        };
        let mut newest = self.newest.last().map_or(0, |safe| safe.begin);
        let mut covers = false;
        for written in unsynced.extract_if(.., |written| written.end < sync.begin) {
            covers = true;
            newest = newest.max(written.begin);
            for mark in written.marks {
                self.marks.entry(mark).or_default().push(Safe {
                    begin: written.begin,
                    since: sync.end,
                });
            }
        }
        self.syncs += u64::from(covers);
        self.newest.push(Safe {
            begin: newest,
            since: sync.end,
        });
    }

    fn read(&mut self, call: &Call) {
        let connection = self.connections.entry(call.file.clone()).or_default();
        connection.from_client.extend_from_slice(&call.data);
        if connection.version.is_none() && connection.from_client.first() != Some(&CONNECT) {
            // A broker has other sockets, too, such as one that a signal wakes it with.
            connection.from_client.clear();
            return;
        }
        let mut bytes = connection.from_client.split().freeze();
        loop {
            let version = connection.version.unwrap_or(ProtocolVersion::V5);
            let (packet, len) = match decode(&bytes, version, &DecodeLimits::default()) {
                Ok(Some(found)) => found,
                Ok(None) => break,
                Err(error) => {
                    let who = format!("from {}: {error}", connection.name);
                    self.findings.add(Kind::Nonsense, who);
                    return;
                }
            };
            let of_packet = mark_in(&bytes[..len]);
            let (asked, mark, after) = match &packet {
                PacketRef::Connect(connect) => {
                    connection.name = connect.client_id.to_owned();
                    connection.version = Some(connect.version);
                    connection.is_kept = if connect.version.is_v5() {
                        let expiry = connect.properties.session_expiry_interval();
                        expiry.is_some_and(|seconds| seconds > 0)
                    } else {
                        !connect.clean_start
                    };
                    (Asked::Connect, of_packet, call.end)
                }
                // Its mark is in no other message: it may have been written when it came the first time.
                PacketRef::Publish(publish) => match publish.guarantee.packet_id() {
                    Some(id) => (Asked::Publish(id.get()), mark_in(publish.payload), 0),
                    None => {
                        bytes = bytes.slice(len..);
                        continue;
                    }
                },
                PacketRef::PubRel(ack) => (Asked::PubRel(ack.packet_id.get()), None, call.end),
                PacketRef::PubRec(ack) => (Asked::PubRec(ack.packet_id.get()), None, call.end),
                PacketRef::Subscribe(packet) => {
                    (Asked::Filters(packet.packet_id.get()), of_packet, call.end)
                }
                PacketRef::Unsubscribe(packet) => {
                    (Asked::Filters(packet.packet_id.get()), of_packet, call.end)
                }
                PacketRef::ConnAck(_)
                | PacketRef::PubAck(_)
                | PacketRef::PubComp(_)
                | PacketRef::SubAck(_)
                | PacketRef::UnsubAck(_)
                | PacketRef::PingReq
                | PacketRef::PingResp
                | PacketRef::Disconnect(_)
                | PacketRef::Auth(_) => {
                    bytes = bytes.slice(len..);
                    continue;
                }
            };
            connection.asked.insert(asked, Request { mark, after });
            bytes = bytes.slice(len..);
        }
        connection.from_client = BytesMut::from(&bytes[..]);
    }

    fn answered(&mut self, call: &Call) {
        let Some(connection) = self.connections.get_mut(&call.file) else {
            return;
        };
        let Some(version) = connection.version else {
            return;
        };
        connection.to_client.extend_from_slice(&call.data);
        let bytes = connection.to_client.split().freeze();
        let mut at = 0;
        loop {
            let (packet, len) = match decode(&bytes[at..], version, &DecodeLimits::default()) {
                Ok(Some(found)) => found,
                Ok(None) => break,
                Err(error) => {
                    let who = format!("to {}: {error}", connection.name);
                    self.findings.add(Kind::Nonsense, who);
                    return;
                }
            };
            at += len;
            let (name, asked, is_owed) = match &packet {
                PacketRef::ConnAck(ack) => (
                    "CONNACK",
                    Asked::Connect,
                    connection.is_kept && !ack.session_present && !ack.reason.is_error(),
                ),
                PacketRef::PubAck(ack) => (
                    "PUBACK",
                    Asked::Publish(ack.packet_id.get()),
                    !ack.reason.is_error(),
                ),
                PacketRef::PubRec(ack) => (
                    "PUBREC",
                    Asked::Publish(ack.packet_id.get()),
                    !ack.reason.is_error(),
                ),
                PacketRef::PubComp(ack) => ("PUBCOMP", Asked::PubRel(ack.packet_id.get()), true),
                PacketRef::PubRel(ack) => (
                    "PUBREL",
                    Asked::PubRec(ack.packet_id.get()),
                    connection.is_kept,
                ),
                PacketRef::SubAck(ack) => (
                    "SUBACK",
                    Asked::Filters(ack.packet_id.get()),
                    connection.is_kept && ack.reasons.iter().all(|reason| !reason.is_error()),
                ),
                PacketRef::UnsubAck(ack) => (
                    "UNSUBACK",
                    Asked::Filters(ack.packet_id.get()),
                    connection.is_kept,
                ),
                PacketRef::Connect(_)
                | PacketRef::Publish(_)
                | PacketRef::Subscribe(_)
                | PacketRef::Unsubscribe(_)
                | PacketRef::PingReq
                | PacketRef::PingResp
                | PacketRef::Disconnect(_)
                | PacketRef::Auth(_) => continue,
            };
            let who = |what: &str| {
                let id = match asked {
                    Asked::Connect => String::new(),
                    Asked::Publish(id)
                    | Asked::PubRel(id)
                    | Asked::PubRec(id)
                    | Asked::Filters(id) => format!(" {id}"),
                };
                format!("{name}{id} to {}: {what}", connection.name)
            };
            let Some(request) = connection.asked.remove(&asked) else {
                self.findings
                    .add(Kind::Nonsense, who("it answers nothing that was read"));
                continue;
            };
            if !is_owed {
                continue;
            }
            *self.answers.entry(name).or_default() += 1;
            let is_after_its_sync =
                |safe: &Safe| safe.begin > request.after && safe.since < call.begin;
            let is_safe = match request.mark {
                Some(mark) => self
                    .marks
                    .get(&mark)
                    .is_some_and(|all| all.iter().any(is_after_its_sync)),
                None => {
                    let end = self.newest.partition_point(|safe| safe.since < call.begin);
                    self.newest[..end].last().is_some_and(is_after_its_sync)
                }
            };
            if !is_safe {
                let what = match request.mark {
                    Some(mark) => {
                        format!("it left before a sync of the record with mark {mark:016x}")
                    }
                    None => "nothing was written and synced between the request and it".to_owned(),
                };
                self.findings.add(Kind::Early, who(&what));
            }
        }
        connection.to_client = BytesMut::from(&bytes[at..]);
    }
}
