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
    /// Filters of connections that hear nothing, [`FILTERS_EACH`] on each.
    pub(super) filters: u32,
}

/// How many filters a connection has that hears nothing.
pub(super) const FILTERS_EACH: u32 = 1_000;

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
    /// Each publisher has subscribers of its own, as many as `each`: one, or it is no pair.
    Pairs { pairs: u32, each: u32 },
    /// Each subscriber hears all publishers.
    All { publishers: u32, subscribers: u32 },
    /// The subscribers are one group: each message goes to one of them.
    Shared { publishers: u32, subscribers: u32 },
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
    /// One of a group that hears the publishers of these numbers.
    Member {
        filter: String,
        publishers: Range<u32>,
    },
    /// Has filters that nothing is published to.
    Bystander {
        filters: Vec<String>,
    },
}

impl Topology {
    pub(super) fn publishers(self) -> u32 {
        match self {
            Self::Pairs { pairs, .. } => pairs,
            Self::All { publishers, .. } | Self::Shared { publishers, .. } => publishers,
            Self::Idle { .. } => 0,
        }
    }

    pub(super) fn subscribers(self) -> u32 {
        match self {
            Self::Pairs { pairs, each } => pairs * each,
            Self::All { subscribers, .. } | Self::Shared { subscribers, .. } => subscribers,
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
            Self::Pairs { pairs, each } => pairs * (1 + each),
            Self::All {
                publishers,
                subscribers,
            }
            | Self::Shared {
                publishers,
                subscribers,
            } => publishers + subscribers,
            Self::Idle { connections, .. } => connections,
        }
    }

    /// Deliveries that each message makes.
    pub(super) fn copies(self) -> u32 {
        match self {
            Self::Pairs { each, .. } => each,
            Self::All { subscribers, .. } => subscribers,
            Self::Shared { .. } => 1,
            Self::Idle { .. } => 0,
        }
    }

    /// Publishers that one subscriber hears.
    pub(super) fn heard(self) -> u32 {
        match self {
            Self::Pairs { .. } => 1,
            Self::All { publishers, .. } | Self::Shared { publishers, .. } => publishers,
            Self::Idle { .. } => 0,
        }
    }
}

impl Load {
    /// Those of the topology, and those that hear nothing.
    pub(super) fn connections(&self) -> u32 {
        self.topology.connections() + self.filters.div_ceil(FILTERS_EACH)
    }

    /// The connections of each thread. The parties of a pair share a thread, and so do the members of a group, which have
    /// one book.
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
            Topology::Pairs { pairs, each } => {
                for number in 0..pairs {
                    for copy in 0..each {
                        let filter = Some(self.topic(number));
                        add(
                            number,
                            &format!("s{copy}-"),
                            Part::Subscriber {
                                filter,
                                publishers: number..number + 1,
                            },
                        );
                    }
                }
            }
            Topology::Shared {
                publishers,
                subscribers,
            } => {
                for member in 0..subscribers {
                    let filter = format!("$share/bench/{}/+", self.run_id);
                    add(
                        0,
                        &format!("m{member}-"),
                        Part::Member {
                            filter,
                            publishers: 0..publishers,
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
        for number in 0..self.filters.div_ceil(FILTERS_EACH) {
            let all = number * FILTERS_EACH..self.filters.min((number + 1) * FILTERS_EACH);
            let filters = all
                .map(|device| format!("{}/site-{number}/device-{device}/+", self.run_id))
                .collect();
            add(number, "b", Part::Bystander { filters });
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
            filters: 0,
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
        let threads = load(Topology::Pairs { pairs: 3, each: 1 }, 2).by_thread();
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
    fn a_group_is_one_filter_on_one_thread() {
        let topology = Topology::Shared {
            publishers: 1,
            subscribers: 2,
        };
        let member = Part::Member {
            filter: "$share/bench/run/+".into(),
            publishers: 0..1,
        };
        let threads = load(topology, 2).by_thread();
        assert_eq!(
            parts(&threads[0]),
            [publisher(0, "run/0"), member.clone(), member]
        );
        assert_eq!((topology.copies(), topology.heard()), (1, 1));
    }

    #[test]
    fn filters_are_spread_over_connections_that_hear_nothing() {
        let mut load = load(Topology::Pairs { pairs: 1, each: 3 }, 1);
        load.filters = 2_001;
        assert_eq!(load.connections(), 4 + 3);
        let counts: Vec<_> = parts(&load.by_thread()[0])
            .into_iter()
            .filter_map(|part| match part {
                Part::Bystander { filters } => Some(filters.len()),
                Part::Publisher { .. } | Part::Subscriber { .. } | Part::Member { .. } => None,
            })
            .collect();
        assert_eq!(counts, [1_000, 1_000, 1]);
    }

    #[test]
    fn no_two_connections_have_one_client_id() {
        for topology in [
            Topology::Pairs { pairs: 20, each: 1 },
            Topology::Pairs { pairs: 10, each: 3 },
            Topology::Shared {
                publishers: 30,
                subscribers: 10,
            },
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
