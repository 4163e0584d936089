//! What a run does to a broker: its settings, and which connections there are.

use std::ops::Range;
use std::time::Duration;

use whinchat_codec::{ProtocolVersion, QoS};
use whinchat_transport::Url;

/// Everything that a run needs to know.
#[derive(Clone, Debug)]
pub(super) struct Load {
    pub(super) url: Url,
    pub(super) version: ProtocolVersion,
    pub(super) qos: QoS,
    /// At least [`STAMP_BYTES`](super::stamp::STAMP_BYTES).
    pub(super) payload_bytes: usize,
    pub(super) pace: Pace,
    /// Messages of QoS 1 and 2 that a publisher has under way, 1 to 65,535.
    pub(super) in_flight: u16,
    pub(super) stop: Stop,
    /// Whether subscribers have sessions that outlive their connections.
    pub(super) persistent: bool,
    /// Seconds; 0 is none.
    pub(super) keep_alive: u16,
    pub(super) threads: usize,
    /// How long to wait for messages after the last one that came.
    pub(super) drain: Duration,
    /// Of the broker.
    pub(super) pid: Option<u32>,
    /// Starts all topics and client ids of this run.
    pub(super) run_id: String,
    pub(super) topology: Topology,
}

/// When a publisher sends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Pace {
    /// As fast as deliveries come back: at most so many messages are under way.
    Window(u64),
    /// As fast as the broker reads.
    Flood,
    /// So many messages per second, whatever comes back.
    Rate(f64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// Each publisher after so many messages.
    Messages(u32),
    After(Duration),
}

/// Who talks to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Topology {
    /// Each publisher has one subscriber of its own.
    Pairs(u32),
    /// Each subscriber hears all publishers.
    All { publishers: u32, subscribers: u32 },
    /// Nobody says anything.
    Idle { connections: u32, subscribe: bool },
}

/// One connection to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ConnectionPlan {
    pub(super) client_id: String,
    pub(super) part: Part,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Publisher {
        number: u32,
        topic: String,
    },
    /// Hears the publishers of these numbers: none, if it is idle.
    Subscriber {
        filter: Option<String>,
        publishers: Range<u32>,
    },
}

impl Topology {
    pub(super) fn publishers(self) -> u32 {
        match self {
            Self::Pairs(pairs) => pairs,
            Self::All { publishers, .. } => publishers,
            Self::Idle { .. } => 0,
        }
    }

    pub(super) fn subscribers(self) -> u32 {
        match self {
            Self::Pairs(pairs) => pairs,
            Self::All { subscribers, .. } => subscribers,
            Self::Idle {
                connections,
                subscribe,
            } => {
                if subscribe {
                    connections
                } else {
                    0
                }
            }
        }
    }

    pub(super) fn connections(self) -> u32 {
        match self {
            Self::Pairs(pairs) => 2 * pairs,
            Self::All {
                publishers,
                subscribers,
            } => publishers + subscribers,
            Self::Idle { connections, .. } => connections,
        }
    }

    /// Deliveries that each message makes.
    pub(super) fn copies(self) -> u32 {
        match self {
            Self::Pairs(_) => 1,
            Self::All { subscribers, .. } => subscribers,
            Self::Idle { .. } => 0,
        }
    }

    /// Publishers that one subscriber hears.
    pub(super) fn heard(self) -> u32 {
        match self {
            Self::Pairs(_) => 1,
            Self::All { publishers, .. } => publishers,
            Self::Idle { .. } => 0,
        }
    }
}

impl Load {
    /// The connections of each thread. The two of a pair share a thread.
    pub(super) fn by_thread(&self) -> Vec<Vec<ConnectionPlan>> {
        let mut threads = vec![Vec::new(); self.threads];
        let count = self.threads;
        let mut add = |number: u32, kind: &str, part| {
            if let Some(thread) = threads.get_mut(number as usize % count) {
                thread.push(ConnectionPlan {
                    client_id: format!("{}-{kind}{number}", self.run_id),
                    part,
                });
            }
        };
        for number in 0..self.topology.publishers() {
            add(
                number,
                "p",
                Part::Publisher {
                    number,
                    topic: self.topic(number),
                },
            );
        }
        match self.topology {
            Topology::Pairs(pairs) => {
                for number in 0..pairs {
                    let filter = Some(self.topic(number));
                    add(
                        number,
                        "s",
                        Part::Subscriber {
                            filter,
                            publishers: number..number + 1,
                        },
                    );
                }
            }
            Topology::All {
                publishers,
                subscribers,
            } => {
                let filter = if publishers == 1 {
                    self.topic(0)
                } else {
                    format!("{}/+", self.run_id)
                };
                for number in 0..subscribers {
                    let filter = Some(filter.clone());
                    add(
                        number,
                        "s",
                        Part::Subscriber {
                            filter,
                            publishers: 0..publishers,
                        },
                    );
                }
            }
            Topology::Idle {
                connections,
                subscribe,
            } => {
                // As devices have it: a level of its own, and below it everything that is meant for it.
                for number in 0..connections {
                    let filter = subscribe.then(|| format!("{}/command/#", self.topic(number)));
                    add(
                        number,
                        "i",
                        Part::Subscriber {
                            filter,
                            publishers: 0..0,
                        },
                    );
                }
            }
        }
        threads
    }

    fn topic(&self, number: u32) -> String {
        format!("{}/{number}", self.run_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(topology: Topology, threads: usize) -> Load {
        Load {
            url: "127.0.0.1:1883".parse().unwrap(),
            version: ProtocolVersion::V311,
            qos: QoS::AtMostOnce,
            payload_bytes: 16,
            pace: Pace::Flood,
            in_flight: 1,
            stop: Stop::Messages(1),
            persistent: false,
            keep_alive: 0,
            threads,
            drain: Duration::ZERO,
            pid: None,
            run_id: "run".into(),
            topology,
        }
    }

    fn publisher(number: u32, topic: &str) -> Part {
        Part::Publisher {
            number,
            topic: topic.into(),
        }
    }

    fn subscriber(filter: &str, publishers: Range<u32>) -> Part {
        Part::Subscriber {
            filter: Some(filter.into()),
            publishers,
        }
    }

    fn parts(thread: &[ConnectionPlan]) -> Vec<Part> {
        thread
            .iter()
            .map(|connection| connection.part.clone())
            .collect()
    }

    #[test]
    fn a_pair_shares_a_topic_and_a_thread() {
        let threads = load(Topology::Pairs(3), 2).by_thread();
        assert_eq!(
            parts(&threads[0]),
            [
                publisher(0, "run/0"),
                publisher(2, "run/2"),
                subscriber("run/0", 0..1),
                subscriber("run/2", 2..3)
            ]
        );
        assert_eq!(
            parts(&threads[1]),
            [publisher(1, "run/1"), subscriber("run/1", 1..2)]
        );
    }

    #[test]
    fn fan_in_hears_all_with_a_wildcard_and_fan_out_needs_none() {
        let fan_in = load(
            Topology::All {
                publishers: 2,
                subscribers: 1,
            },
            1,
        )
        .by_thread();
        assert_eq!(parts(&fan_in[0])[2], subscriber("run/+", 0..2));
        let fan_out = load(
            Topology::All {
                publishers: 1,
                subscribers: 2,
            },
            1,
        )
        .by_thread();
        assert_eq!(parts(&fan_out[0])[1], subscriber("run/0", 0..1));
    }

    #[test]
    fn no_two_connections_have_one_client_id() {
        for topology in [
            Topology::Pairs(20),
            Topology::All {
                publishers: 20,
                subscribers: 20,
            },
            Topology::Idle {
                connections: 40,
                subscribe: true,
            },
        ] {
            let mut ids: Vec<_> = load(topology, 3)
                .by_thread()
                .into_iter()
                .flatten()
                .map(|connection| connection.client_id)
                .collect();
            ids.sort();
            ids.dedup();
            assert_eq!(ids.len(), 40);
            assert_eq!(topology.connections(), 40);
        }
    }
}
