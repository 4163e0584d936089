//! The table of scenarios, and the figures that each is about.

use serde_json::Value;

use super::load::Processors;

/// What is done to each broker.
#[derive(Debug)]
pub(super) struct Scenario {
    pub(super) title: &'static str,
    /// Of `whinchat bench`.
    arguments: &'static str,
    /// Whether the run has a length of its own, and so no `--duration`.
    is_bounded: bool,
    pub(super) processors: Processors,
    who: Who,
    /// Whether the chart shows it.
    pub(super) is_drawn: bool,
    pub(super) figures: &'static [Figure],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    /// Mosquitto in each round, all others once.
    All,
    Mosquitto,
}

/// A number of a report.
#[derive(Debug, Clone, Copy)]
pub(super) struct Figure {
    pub(super) label: &'static str,
    value: &'static str,
    divisor: Option<&'static str>,
    scale: f64,
    is_less_better: bool,
    /// The ratio to Mosquitto that is to be reached.
    pub(super) mark: Option<f64>,
}

impl Figure {
    /// Less is better.
    pub(super) const fn lower(label: &'static str, value: &'static str) -> Self {
        Self {
            label,
            value,
            divisor: None,
            scale: 1.0,
            is_less_better: true,
            mark: None,
        }
    }

    /// More is better.
    const fn higher(label: &'static str, value: &'static str) -> Self {
        Self {
            is_less_better: false,
            ..Self::lower(label, value)
        }
    }

    const fn per(self, divisor: &'static str) -> Self {
        Self {
            divisor: Some(divisor),
            ..self
        }
    }

    pub(super) const fn scaled(self, scale: f64) -> Self {
        Self { scale, ..self }
    }

    const fn mark(self, mark: f64) -> Self {
        Self {
            mark: Some(mark),
            ..self
        }
    }

    pub(super) fn of(&self, report: &Value) -> Option<f64> {
        let value = report.pointer(self.value)?.as_f64()?;
        let divisor = match self.divisor {
            Some(divisor) => report.pointer(divisor)?.as_f64()?,
            None => 1.0,
        };
        Some(value / divisor * self.scale)
    }

    pub(super) fn verdict(&self, ratio: f64, mark: f64) -> String {
        let missed = if self.is_less_better {
            ratio / mark - 1.0
        } else {
            mark / ratio - 1.0
        };
        if missed <= 0.0 {
            "met".to_owned()
        } else {
            format!("missed by {:.0} %", missed * 100.0)
        }
    }
}

impl Scenario {
    const fn new(title: &'static str, arguments: &'static str, figures: &'static [Figure]) -> Self {
        Self {
            title,
            arguments,
            is_bounded: false,
            processors: Processors::Pinned,
            who: Who::Mosquitto,
            is_drawn: false,
            figures,
        }
    }

    const fn bounded(self) -> Self {
        Self {
            is_bounded: true,
            ..self
        }
    }

    const fn free(self) -> Self {
        Self {
            processors: Processors::Free,
            ..self
        }
    }

    /// With all other brokers, and in the chart.
    const fn with_all(self) -> Self {
        Self {
            who: Who::All,
            is_drawn: true,
            ..self
        }
    }

    pub(super) fn is_for(&self, broker: &str, round: usize) -> bool {
        match broker {
            "whinchat" | "mosquitto" => true,
            _ => self.who == Who::All && round == 0,
        }
    }

    pub(super) fn arguments(&self, seconds: u32) -> Vec<String> {
        let mut arguments: Vec<String> = self
            .arguments
            .split_ascii_whitespace()
            .map(str::to_owned)
            .collect();
        // As clients do; some brokers let nobody in without.
        arguments.extend(["--keep-alive", "60"].map(str::to_owned));
        if !self.is_bounded {
            arguments.extend(["--duration".to_owned(), format!("{seconds}s")]);
        }
        arguments
    }
}

const CPU: Figure = Figure::lower("CPU, s/M", "/broker/cpu_seconds_per_million");
const CPU_EACH: Figure = Figure::lower("CPU per message, us", "/broker/cpu_seconds_per_million");
const RATE: Figure = Figure::higher("messages/s", "/received_per_second");
const P50: Figure = Figure::lower("p50, us", "/latency_us/p50");
const P99: Figure = Figure::lower("p99, us", "/latency_us/p99");
const BYTES_PER_CONNECTION: Figure = Figure::lower("bytes each", "/broker/bytes_per_connection");
const MEGABYTES: Figure = Figure::higher("MB/s", "/received_bytes_per_second").scaled(1e-6);
const MEMORY: Figure =
    Figure::lower("MiB at the end", "/broker/memory_bytes_after").scaled(1.0 / 1_048_576.0);

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::new("fan-in 50 to 1, QoS 0", "fan-in", &[CPU.mark(0.042)]).with_all(),
    Scenario::new("50 pairs, QoS 0", "p2p", &[CPU.mark(0.058)]).with_all(),
    Scenario::new("50 pairs, QoS 1", "p2p -q 1", &[CPU.mark(0.088)]).with_all(),
    Scenario::new("50 pairs, QoS 1, MQTT 5.0", "p2p -q 1 -V 5", &[CPU]),
    Scenario::new("50 pairs, QoS 2", "p2p -q 2", &[CPU.mark(0.07)]).with_all(),
    Scenario::new("fan-out 1 to 500, QoS 0", "fan-out", &[CPU.mark(0.046)]).with_all(),
    Scenario::new("fan-out 1 to 500, QoS 1", "fan-out -q 1", &[CPU.mark(0.09)]).with_all(),
    Scenario::new(
        "fan-out 1 to 500, QoS 0, free",
        "fan-out",
        &[CPU.mark(0.05), RATE],
    )
    .free(),
    Scenario::new(
        "10,000 messages/s, QoS 1",
        "p2p -q 1 --pairs 10 --rate 1000",
        &[P50.mark(0.95), P99.mark(0.9), CPU_EACH.mark(0.8)],
    ),
    Scenario::new(
        "17,900 idle connections",
        "idle --connections 17900 --no-subscription --duration 1s",
        &[
            Figure::lower("CPU per connect, us", "/broker/connect_cpu_us_each").mark(0.73),
            Figure::higher("connects/s", "/connects_per_second").mark(1.1),
            BYTES_PER_CONNECTION,
        ],
    )
    .bounded(),
    Scenario::new(
        "17,900 idle connections with a subscription",
        "idle --connections 17900 --duration 1s",
        &[BYTES_PER_CONNECTION.mark(0.95)],
    )
    .bounded(),
    Scenario::new(
        "1 million filters, 300 publishers to 3 each",
        "p2p --pairs 300 --each 3 --filters 1000000",
        &[
            Figure::lower("bytes per filter", "/broker/bytes_per_filter").mark(0.75),
            Figure::lower("CPU per publish, us", "/broker/cpu_seconds")
                .per("/sent")
                .scaled(1e6)
                .mark(0.13),
        ],
    ),
    Scenario::new(
        "100,000 retained of 64 B, QoS 0",
        "retained -s 64",
        &[
            Figure::lower("bytes each", "/bytes_per_message").mark(0.95),
            Figure::lower("all on #, s", "/delivery_seconds").mark(0.09),
        ],
    )
    .bounded(),
    Scenario::new(
        "100,000 retained of 64 B, QoS 1",
        "retained -s 64 -q 1",
        &[Figure::lower("all on #, s", "/delivery_seconds")],
    )
    .bounded(),
    Scenario::new(
        "1 MiB messages, 4 pairs, QoS 1",
        "p2p -q 1 --pairs 4 -s 1MiB",
        &[MEGABYTES.mark(1.33)],
    ),
    Scenario::new(
        "flood of 50 publishers without a pause, QoS 0",
        "fan-in --unbounded",
        &[RATE, MEMORY],
    ),
    Scenario::new(
        "50 pairs, QoS 1, durable sessions, 20 in flight",
        "p2p -q 1 --persistent",
        &[RATE.mark(1.0), CPU],
    ),
    Scenario::new(
        "50 pairs, QoS 1, durable sessions, 200 in flight",
        "p2p -q 1 --persistent --inflight 200",
        &[RATE.mark(1.0), CPU],
    ),
    Scenario::new(
        "1,000 pairs at 1/s, QoS 1",
        "p2p -q 1 --pairs 1000 --rate 1",
        &[P50, P99, CPU_EACH],
    ),
    Scenario::new(
        "8,900 pairs at 1/s, QoS 1",
        "p2p -q 1 --pairs 8900 --rate 1",
        &[P50, P99, CPU_EACH],
    ),
    Scenario::new(
        "fan-out 1 to 1,000, QoS 1",
        "fan-out -q 1 --subscribers 1000",
        &[CPU, RATE],
    ),
    Scenario::new(
        "fan-out 5 to 1,000, QoS 1",
        "fan-out -q 1 --publishers 5 --subscribers 1000",
        &[CPU, RATE],
    ),
    Scenario::new("shared 1,000 to 5, QoS 1", "shared -q 1", &[CPU, RATE]),
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Figure, SCENARIOS};

    #[test]
    fn a_verdict_says_by_how_much_a_mark_is_missed() {
        let less = Figure::lower("", "/a");
        assert_eq!(less.verdict(0.5, 0.5), "met");
        assert_eq!(less.verdict(0.55, 0.5), "missed by 10 %");
        let more = Figure::higher("", "/a");
        assert_eq!(more.verdict(1.4, 1.33), "met");
        assert_eq!(more.verdict(1.0, 1.33), "missed by 33 %");
    }

    #[test]
    fn a_figure_may_be_a_quotient() {
        let report = json!({"broker": {"cpu_seconds": 2.0}, "sent": 1_000});
        let each = Figure::lower("", "/broker/cpu_seconds")
            .per("/sent")
            .scaled(1e6);
        assert_eq!(each.of(&report), Some(2_000.0));
        assert_eq!(Figure::lower("", "/nothing").of(&report), None);
    }

    #[test]
    fn no_two_scenarios_have_one_title() {
        let mut titles: Vec<_> = SCENARIOS.iter().map(|scenario| scenario.title).collect();
        titles.sort_unstable();
        titles.dedup();
        assert_eq!(titles.len(), SCENARIOS.len());
    }
}
