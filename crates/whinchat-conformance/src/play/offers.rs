//! What a broker offers: asked once, with a CONNECT in each version.

use std::{io, time::Duration};

use whinchat_codec::{ConnAck, Packet, PacketType, ProtocolVersion, QoS};

use super::connection::{Connection, Incoming, deadline};
use super::player::run_prefix;
use super::{Options, Setup, Target, Verdict};
use crate::needs::Need;
use crate::notation::{Ids, Names, Speaker, Template, format};
use crate::scene::Scene;

/// What a broker offers, as it said itself.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Offers {
    refused: Vec<(ProtocolVersion, String)>,
    /// What its CONNACK of 5.0 says; 3.x says nothing.
    abilities: Option<Abilities>,
    setup: Setup,
    /// Whether clients connect without a user name.
    is_anonymous: bool,
}

#[derive(Clone, Debug)]
struct Abilities {
    connack: ConnAck,
    assigns_client_ids: bool,
}

/// Why a run cannot begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The broker cannot be reached.
    #[error("no connection: {0}")]
    Unreachable(#[from] io::Error),
    /// The broker does not let us in; what it answered.
    #[error("MQTT {version} is answered with {answer}")]
    Refused {
        /// The version of the CONNECT.
        version: ProtocolVersion,
        /// The packet that came.
        answer: String,
    },
    /// No version of MQTT is taken; says why for each.
    #[error("no version of MQTT is taken: {0}")]
    NoVersion(String),
}

/// What comes of a first CONNECT.
enum Answer {
    Accepted(ConnAck),
    /// The version is not taken.
    Refused(String),
}

impl Offers {
    /// Asks a broker.
    ///
    /// # Errors
    /// If it cannot be reached or lets nobody in.
    pub async fn learn<T: Target>(target: &T, options: &Options) -> Result<Self, RunError> {
        let mut refused = Vec::new();
        let mut abilities = None;
        for version in ProtocolVersion::ALL {
            let connect = "CONNECT probe clean keep=65535 expiry=60";
            match ask(target, options, version, connect).await? {
                Answer::Refused(why) => refused.push((version, why)),
                Answer::Accepted(connack) if version.is_v5() => {
                    let unnamed = ask(target, options, version, "CONNECT - clean keep=600").await;
                    let assigns_client_ids = match unnamed {
                        Ok(Answer::Accepted(connack)) => {
                            connack.properties.assigned_client_identifier().is_some()
                        }
                        Ok(Answer::Refused(_)) | Err(_) => false,
                    };
                    abilities = Some(Abilities {
                        connack,
                        assigns_client_ids,
                    });
                }
                Answer::Accepted(_) => {}
            }
        }
        if refused.len() == ProtocolVersion::ALL.len() {
            let reasons: Vec<String> = refused.into_iter().map(|(_, why)| why).collect();
            return Err(RunError::NoVersion(reasons.join("; ")));
        }
        Ok(Self {
            refused,
            abilities,
            setup: target.setup(),
            is_anonymous: options.user_name.is_none() && options.password.is_none(),
        })
    }

    /// Whether the scene can be played in this version; if not, what is said instead.
    pub fn verdict_without_playing(
        &self,
        scene: &Scene,
        version: ProtocolVersion,
    ) -> Option<Verdict> {
        let others = scene.other_versions();
        let refused = |(refused, _): &&(ProtocolVersion, String)| {
            *refused == version || others.contains(refused)
        };
        if let Some((_, why)) = self.refused.iter().find(refused) {
            return Some(Verdict::NotOffered(why.clone()));
        }
        let lacking = scene.needs.iter().find_map(|need| self.lacks(*need));
        lacking.or_else(|| self.lacks_patience(scene))
    }

    /// A server that replaces our Keep Alive may end connections on which a scene is silent for longer.
    fn lacks_patience(&self, scene: &Scene) -> Option<Verdict> {
        let properties = &self.abilities.as_ref()?.connack.properties;
        let keep_alive = properties.server_keep_alive()?;
        let is_longer = scene.waits() > Duration::from_secs(u64::from(keep_alive));
        (is_longer && !scene.needs.contains(&Need::ServerKeepAlive)).then(|| {
            let why = format!("a Server Keep Alive of {keep_alive} s ends it before");
            Verdict::NotTested(why)
        })
    }

    fn lacks(&self, need: Need) -> Option<Verdict> {
        let not_offered = |what: &str| Some(Verdict::NotOffered(what.to_owned()));
        let not_tested = |why: &str| Some(Verdict::NotTested(why.to_owned()));
        match (need, self.setup) {
            (Need::Method, setup) if !setup.method => {
                return not_tested("no authentication method `echo`");
            }
            (Need::Login, setup) if !setup.login => {
                return not_tested("no user `known` with the password `secret`");
            }
            (Need::Denied, setup) if !setup.denied => {
                return not_tested("no topic that is denied");
            }
            (Need::Anonymous, setup) if setup.login || !self.is_anonymous => {
                return not_tested("who connects has to log in");
            }
            (Need::Anonymous | Need::Alone | Need::Method | Need::Login | Need::Denied, _) => {
                return None;
            }
            _ => {}
        }
        let Some(Abilities {
            connack,
            assigns_client_ids,
        }) = &self.abilities
        else {
            return self.lacks_without_5_0(need);
        };
        let properties = &connack.properties;
        let qos = properties.maximum_qos().unwrap_or(QoS::ExactlyOnce) as u8;
        let retain = properties.retain_available().unwrap_or(true);
        let wildcards = properties.wildcard_subscription_available().unwrap_or(true);
        let ids = properties
            .subscription_identifier_available()
            .unwrap_or(true);
        let shared = properties.shared_subscription_available().unwrap_or(true);
        let aliases = properties.topic_alias_maximum().unwrap_or(0);
        let rm = properties.receive_maximum().unwrap_or(u16::MAX);
        match need {
            Need::Qos1 if qos < 1 => not_offered("no QoS 1"),
            Need::Qos2 if qos < 2 => not_offered("no QoS 2"),
            Need::Retain if !retain => not_offered("no retained messages"),
            Need::Wildcards if !wildcards => not_offered("no wildcards in filters"),
            Need::SubscriptionIdentifiers if !ids => not_offered("no subscription identifiers"),
            Need::Shared if !shared => not_offered("no shared subscriptions"),
            Need::Aliases if aliases == 0 => not_offered("no topic aliases"),
            Need::Expiry if properties.session_expiry_interval().unwrap_or(60) != 60 => {
                not_offered("no sessions of 60 s")
            }
            Need::Assigned if !assigns_client_ids => not_offered("no assigned client ids"),
            Need::ReceiveMaximum(max) if rm > max => {
                not_offered(&format!("a Receive Maximum of {rm}"))
            }
            Need::PacketSize(size) => match properties.maximum_packet_size() {
                Some(max) if max < size => not_offered(&format!("packets of at most {max} bytes")),
                _ => None,
            },
            Need::TopicAliasMaximum(max) if aliases > max => {
                not_offered(&format!("a Topic Alias Maximum of {aliases}"))
            }
            Need::NoAliases if aliases > 0 => not_tested("topic aliases are offered"),
            Need::NoRetain if retain => not_tested("retained messages are offered"),
            Need::NoWildcards if wildcards => not_tested("wildcards in filters are offered"),
            Need::NoSubscriptionIdentifiers if ids => {
                not_tested("subscription identifiers are offered")
            }
            Need::NoShared if shared => not_tested("shared subscriptions are offered"),
            Need::MaximumQos(max) if qos > max => not_tested(&format!("QoS {qos} is offered")),
            Need::MaximumPacketSize(max) => match properties.maximum_packet_size() {
                Some(size) if size <= max => None,
                Some(size) => not_tested(&format!("packets of {size} bytes are taken")),
                None => not_tested("packets of any size are taken"),
            },
            Need::ServerKeepAlive if properties.server_keep_alive().is_none() => {
                not_tested("no Server Keep Alive")
            }
            _ => None,
        }
    }

    /// 3.x cannot say what it lacks: what a broker may leave out is taken to be there.
    fn lacks_without_5_0(&self, need: Need) -> Option<Verdict> {
        match need {
            Need::NoAliases
            | Need::NoRetain
            | Need::NoWildcards
            | Need::NoSubscriptionIdentifiers
            | Need::NoShared
            | Need::MaximumQos(_)
            | Need::MaximumPacketSize(_)
            | Need::ServerKeepAlive => Some(Verdict::NotTested(format!(
                "whether the broker is set up for `{need}` cannot be told without 5.0"
            ))),
            _ => None,
        }
    }
}

async fn ask<T: Target>(
    target: &T,
    options: &Options,
    version: ProtocolVersion,
    connect: &str,
) -> Result<Answer, RunError> {
    let names = Names::with_prefix(&run_prefix(options), "");
    let speaker = Speaker {
        names: &names,
        version,
        client_id: "",
        assigned: None,
        ids: &Ids::default(),
        user_name: options.user_name.as_deref(),
        password: options.password.as_deref(),
    };
    let bytes = |text| {
        let packet = Template::parse(text).and_then(|packet| packet.encode(&speaker));
        packet.expect("a packet of the player's own")
    };
    let mut connection = Connection::new(target.connect().await?, version);
    let sent = connection
        .send(&bytes(connect), options.split, deadline(options.patience))
        .await;
    let incoming = match sent {
        Ok(()) => connection.next(deadline(options.patience)).await,
        Err(()) => Incoming::Nothing,
    };
    let read_as = connection.version();
    Ok(match incoming {
        Incoming::Packet(Packet::ConnAck(connack)) if !connack.reason.is_error() => {
            if read_as == version {
                let goodbye = bytes("DISCONNECT 00 expiry=0");
                let _ = connection
                    .send(&goodbye, false, deadline(options.patience))
                    .await;
                connection.next(deadline(options.settle)).await;
                Answer::Accepted(connack)
            } else {
                Answer::Refused(format!("MQTT {version} is answered in {read_as}"))
            }
        }
        Incoming::Packet(packet) => {
            let code = match &packet {
                Packet::ConnAck(connack) if read_as.is_v5() => Some(connack.reason.code()),
                Packet::ConnAck(connack) => connack.reason.return_code(),
                _ => None,
            };
            let answer = format(&packet, read_as, &names);
            match (code, packet.packet_type()) {
                (Some(0x01 | 0x84), _) | (_, PacketType::Disconnect) => {
                    Answer::Refused(format!("MQTT {version} is refused"))
                }
                _ => return Err(RunError::Refused { version, answer }),
            }
        }
        Incoming::End => Answer::Refused(format!("MQTT {version} is refused without a word")),
        Incoming::Nothing => Answer::Refused(format!("MQTT {version} is not answered")),
        Incoming::Undecodable(bytes) => Answer::Refused(format!(
            "MQTT {version} is answered with no packet: {bytes}"
        )),
    })
}
