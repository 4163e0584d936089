//! What a client does by itself: asked once, with a connection in each version.

use std::io;

use whinchat_codec::{Connect, Packet, ProtocolVersion};

use super::answers::refusal_of_version;
use super::{Client as _, ClientError, Clients};
use crate::needs::Need;
use crate::play::connection::{Connection, Incoming, deadline};
use crate::play::{Options, Verdict};
use crate::scene::Scene;

/// The CONNECT of each version that the client speaks.
#[derive(Clone, Debug, Default)]
pub(super) struct Habits {
    connects: Vec<Connect>,
}

impl Habits {
    /// Lets a client connect in each version.
    pub(super) async fn learn<C: Clients>(
        clients: &C,
        options: &Options,
    ) -> Result<Self, ClientError> {
        let mut habits = Self::default();
        let mut last_error = None;
        for version in ProtocolVersion::ALL.into_iter().rev() {
            if habits.connect(version).is_some() {
                continue;
            }
            match first_connect(clients, options, version).await {
                Ok(connects) => {
                    for connect in connects {
                        if habits.connect(connect.version).is_none() {
                            habits.connects.push(connect);
                        }
                    }
                }
                // A client that has no 3.1, for instance, ends at once when it is told to speak it.
                Err(error) => last_error = Some(error),
            }
        }
        match last_error {
            Some(error) if habits.connects.is_empty() => Err(error),
            _ => Ok(habits),
        }
    }

    fn connect(&self, version: ProtocolVersion) -> Option<&Connect> {
        self.connects
            .iter()
            .find(|connect| connect.version == version)
    }

    /// Whether the scene can be played in this version; if not, what is said instead.
    pub(super) fn verdict_without_playing(
        &self,
        scene: &Scene,
        version: ProtocolVersion,
    ) -> Option<Verdict> {
        let Some(connect) = self.connect(version) else {
            return Some(Verdict::NotOffered(format!(
                "the client does not speak MQTT {version}"
            )));
        };
        scene
            .needs
            .iter()
            .find_map(|need| lacks(connect, *need))
            .map(Verdict::NotOffered)
    }
}

/// The CONNECTs that come when a client is to speak `version`: one in another version is refused, so that it may
/// try this one.
async fn first_connect<C: Clients>(
    clients: &C,
    options: &Options,
    version: ProtocolVersion,
) -> Result<Vec<Connect>, ClientError> {
    let mut client = clients.begin(version).await?;
    let deadline = deadline(options.patience);
    let mut connects: Vec<Connect> = Vec::new();
    loop {
        let stream = match tokio::time::timeout_at(deadline, client.accept()).await {
            Ok(Ok(stream)) => stream,
            _ if !connects.is_empty() => return Ok(connects),
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => return Err(io::Error::from(io::ErrorKind::TimedOut).into()),
        };
        let mut connection = Connection::new(stream, version);
        match connection.next(deadline).await {
            Incoming::Packet(Packet::Connect(connect)) => {
                let is_known = connects
                    .iter()
                    .any(|known| known.version == connect.version);
                let is_wanted = connect.version == version;
                if !is_wanted {
                    let refusal = refusal_of_version(connect.version);
                    let _ = connection.send(&refusal, false, deadline).await;
                }
                if !is_known {
                    connects.push(*connect);
                }
                if is_wanted || is_known {
                    return Ok(connects);
                }
            }
            Incoming::Packet(packet) => {
                return Err(ClientError::NoMqtt(packet.packet_type().to_string()));
            }
            Incoming::Undecodable(bytes) => return Err(ClientError::NoMqtt(bytes)),
            Incoming::End | Incoming::Nothing if !connects.is_empty() => return Ok(connects),
            Incoming::End => return Err(ClientError::NoMqtt("the end".to_owned())),
            Incoming::Nothing => return Err(ClientError::NoMqtt("nothing".to_owned())),
        }
    }
}

/// What a client with this CONNECT lacks for the need.
fn lacks(connect: &Connect, need: Need) -> Option<String> {
    let properties = &connect.properties;
    let keeps_session = match connect.version {
        ProtocolVersion::V5 => properties.session_expiry_interval().unwrap_or(0) > 0,
        ProtocolVersion::V31 | ProtocolVersion::V311 => !connect.clean_start,
    };
    let has_login = connect.user_name.is_some() || connect.password.is_some();
    let method = properties.authentication_method();
    let rm = properties.receive_maximum().unwrap_or(u16::MAX);
    let size = properties.maximum_packet_size().unwrap_or(u32::MAX);
    let aliases = properties.topic_alias_maximum().unwrap_or(0);
    let what = match need {
        Need::Session if !keeps_session => "the session ends with the connection",
        Need::NoSession if keeps_session => "the session is kept",
        Need::Will if connect.will.is_none() => "no will",
        Need::NoWill if connect.will.is_some() => "a will",
        Need::Login if !has_login => "no user name",
        Need::NoLogin if has_login => "a user name",
        Need::Method if method != Some("echo") => "no authentication method `echo`",
        Need::NoMethod if method.is_some() => "an authentication method",
        Need::Aliases if aliases == 0 => "no topic aliases are taken",
        Need::KeepAlive(max) if connect.keep_alive == 0 || connect.keep_alive > max => {
            return Some(format!("a keep alive of {} s", connect.keep_alive));
        }
        Need::ReceiveMaximum(max) if rm > max => return Some(format!("a Receive Maximum of {rm}")),
        Need::MaximumPacketSize(max) if size > max => {
            return Some(format!("packets of {size} bytes are taken"));
        }
        _ => return None,
    };
    Some(what.to_owned())
}
