//! What a scene needs of who is judged.

use std::fmt;

/// What a broker or a client may choose not to offer, or to be set up with; see "What a scene needs" and "Clients" in the
/// README.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Need {
    /// `qos1`.
    Qos1,
    /// `qos2`.
    Qos2,
    /// `retain`: retained messages.
    Retain,
    /// `wildcards` in filters.
    Wildcards,
    /// `subids`: subscription identifiers.
    SubscriptionIdentifiers,
    /// `shared` subscriptions.
    Shared,
    /// `aliases`: a Topic Alias Maximum above 0.
    Aliases,
    /// `expiry`: a session of 60 s is granted as asked.
    Expiry,
    /// `assigned`: an empty client id is given one.
    Assigned,
    /// `rm<=1000`: a Receive Maximum of at most that.
    ReceiveMaximum(u16),
    /// `tam<=1000`: a Topic Alias Maximum of at most that.
    TopicAliasMaximum(u16),
    /// `no-aliases`.
    NoAliases,
    /// `no-retain`.
    NoRetain,
    /// `no-wildcards`.
    NoWildcards,
    /// `no-subids`.
    NoSubscriptionIdentifiers,
    /// `no-shared`.
    NoShared,
    /// `qos<=1`: a Maximum QoS of at most that.
    MaximumQos(u8),
    /// `max<=10000`: a Maximum Packet Size of at most that.
    MaximumPacketSize(u32),
    /// `max>=70000`: packets of that size are taken.
    PacketSize(u32),
    /// `keep`: a Server Keep Alive.
    ServerKeepAlive,
    /// `method`: the authentication method `echo`.
    Method,
    /// `login`: one user may connect, and no other.
    Login,
    /// `denied`: a topic that nobody may use.
    Denied,
    /// `anonymous`: a client may connect without a user name.
    Anonymous,
    /// `alone`: no other scene beside this one.
    Alone,
    /// `session`: of a client, it keeps its session when the connection ends.
    Session,
    /// `no-session`: of a client, its session ends with its connection.
    NoSession,
    /// `will`: of a client, it has one.
    Will,
    /// `no-will`.
    NoWill,
    /// `no-login`: of a client, it sends neither user name nor password.
    NoLogin,
    /// `no-method`: of a client, it sends no authentication method.
    NoMethod,
    /// `keep<=3`: of a client, it has a keep alive of at most that.
    KeepAlive(u16),
}

const WORDS: &[(&str, Need)] = &[
    ("qos1", Need::Qos1),
    ("qos2", Need::Qos2),
    ("retain", Need::Retain),
    ("wildcards", Need::Wildcards),
    ("subids", Need::SubscriptionIdentifiers),
    ("shared", Need::Shared),
    ("aliases", Need::Aliases),
    ("expiry", Need::Expiry),
    ("assigned", Need::Assigned),
    ("no-aliases", Need::NoAliases),
    ("no-retain", Need::NoRetain),
    ("no-wildcards", Need::NoWildcards),
    ("no-subids", Need::NoSubscriptionIdentifiers),
    ("no-shared", Need::NoShared),
    ("keep", Need::ServerKeepAlive),
    ("method", Need::Method),
    ("login", Need::Login),
    ("denied", Need::Denied),
    ("anonymous", Need::Anonymous),
    ("alone", Need::Alone),
    ("session", Need::Session),
    ("no-session", Need::NoSession),
    ("will", Need::Will),
    ("no-will", Need::NoWill),
    ("no-login", Need::NoLogin),
    ("no-method", Need::NoMethod),
];

impl Need {
    pub(crate) fn parse(word: &str) -> Option<Self> {
        if let Some(size) = word.strip_prefix("max>=") {
            return size.parse().ok().map(Self::PacketSize);
        }
        if let Some((what, limit)) = word.split_once("<=") {
            return match what {
                "rm" => limit.parse().ok().map(Self::ReceiveMaximum),
                "tam" => limit.parse().ok().map(Self::TopicAliasMaximum),
                "qos" => limit
                    .parse()
                    .ok()
                    .filter(|qos| *qos <= 1)
                    .map(Self::MaximumQos),
                "max" => limit.parse().ok().map(Self::MaximumPacketSize),
                "keep" => limit.parse().ok().map(Self::KeepAlive),
                _ => None,
            };
        }
        WORDS.iter().find(|row| row.0 == word).map(|row| row.1)
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReceiveMaximum(limit) => write!(f, "rm<={limit}"),
            Self::TopicAliasMaximum(limit) => write!(f, "tam<={limit}"),
            Self::MaximumQos(limit) => write!(f, "qos<={limit}"),
            Self::MaximumPacketSize(limit) => write!(f, "max<={limit}"),
            Self::PacketSize(size) => write!(f, "max>={size}"),
            Self::KeepAlive(limit) => write!(f, "keep<={limit}"),
            other => {
                let word = WORDS.iter().find(|row| row.1 == *other);
                f.write_str(word.map_or("", |row| row.0))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needs_are_read_as_they_are_shown() {
        let with_limits = [
            "rm<=1000",
            "tam<=1000",
            "qos<=1",
            "qos<=0",
            "max<=10000",
            "max>=70000",
            "keep<=3",
        ];
        for word in WORDS.iter().map(|row| row.0).chain(with_limits) {
            assert_eq!(Need::parse(word).expect(word).to_string(), word);
        }
        for word in ["qos3", "qos<=2", "rm<=", "rm<=x", "size<=1", ""] {
            assert_eq!(Need::parse(word), None, "{word}");
        }
    }
}
