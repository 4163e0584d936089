//! One attack on one broker, and what came of it.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io,
    path::PathBuf,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use serde_json::Value;

use super::{
    attack::Attack,
    gauge::{family, metrics, resident_peak},
};
use crate::torture::{
    Recipe,
    process::{Process, free_port},
};

/// Pairs of those who behave, and what each publishes: a thousand messages a second at QoS 1.
const PAIRS: &str = "100";
const RATE: &str = "10";

/// I-9: the 99th percentile may be twice what it is when all is quiet, or so much more.
const SLOWER_MAX_US: f64 = 10_000.0;

/// The process may be larger than the bound, at which it begins to refuse, by so much.
const OVER_BOUND_PERCENT: u64 = 110;

/// What an attack is run with.
#[derive(Clone, Debug)]
pub struct Scene {
    /// The program `whinchat`, which is the broker and those who behave.
    pub program: PathBuf,
    /// Where the broker keeps its data.
    pub folder: PathBuf,
    /// How long the attack goes on.
    pub seconds: u64,
    /// Connections that read nothing.
    pub readers: usize,
    /// `limits.memory_size`, in MiB.
    pub memory_mib: u64,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    attack: Attack,
    quiet: Watch,
    beside: Watch,
    /// In bytes.
    resident_peak: u64,
    dropped: BTreeMap<String, u64>,
    closed: BTreeMap<String, u64>,
    limits: BTreeMap<String, u64>,
    /// What the broker owed and did not do.
    pub findings: Vec<String>,
}

/// What those who behave saw.
#[derive(Debug, Default)]
struct Watch {
    p99_us: f64,
    faults: Vec<String>,
}

impl Scene {
    /// Starts a broker and attacks it.
    ///
    /// # Errors
    /// If the broker does not start, or lets nobody in while all is quiet.
    pub fn run(&self, attack: Attack) -> io::Result<Outcome> {
        let admin = free_port()?;
        let mut recipe = Recipe::whinchat(&self.program);
        recipe.config = format!(
            "[admin]\nlisten = \"127.0.0.1:{admin}\"\n[sys]\ninterval = \"none\"\n[limits]\nmemory_size = \"{}MiB\"\nunsent_stall_timeout = \"2s\"\n",
            self.memory_mib
        );
        let mut broker = recipe.spawn(&self.folder.join(attack.name()))?;
        broker.wait_until_ready()?;
        let quiet = self.watch(broker.port, 2)?;
        let attackers = attack.connect(broker.port, self.readers)?;
        let is_over = AtomicBool::new(false);
        let beside = thread::scope(|scope| {
            for mut worker in attackers.workers {
                let is_over = &is_over;
                scope.spawn(move || {
                    // On Linux this is the priority of the thread; without it the attack is only fiercer.
                    let _ = rustix::process::nice(19);
                    // A broker may close the connections of those who take too much.
                    while !is_over.load(Ordering::Relaxed) && worker().is_ok() {}
                });
            }
            let beside = self.watch(broker.port, self.seconds);
            is_over.store(true, Ordering::Relaxed);
            beside.unwrap_or_else(Watch::nobody)
        });
        let said = metrics(admin);
        let outcome = Outcome {
            attack,
            quiet,
            beside,
            resident_peak: resident_peak(broker.id()).unwrap_or(0),
            dropped: counted(&said, "whinchat_messages_dropped_total"),
            closed: counted(&said, "whinchat_connections_closed_total"),
            limits: counted(&said, "whinchat_limit_hits_total"),
            findings: Vec::new(),
        };
        drop(attackers.held);
        Ok(outcome.judged(self, &mut broker, said.err()))
    }

    /// Those who behave, for so many seconds.
    fn watch(&self, port: u16, seconds: u64) -> io::Result<Watch> {
        let output = Command::new(&self.program)
            .args(["bench", "p2p", "-q", "1", "-V", "5.0", "--json"])
            .args(["--pairs", PAIRS, "--rate", RATE])
            .args(["--duration", &format!("{seconds}s")])
            .arg(format!("mqtt://127.0.0.1:{port}"))
            .stdin(Stdio::null())
            .output()?;
        let told = String::from_utf8_lossy(&output.stdout);
        let told: Value = serde_json::from_str(&told).map_err(|_| {
            let said = String::from_utf8_lossy(&output.stderr);
            io::Error::other(format!("those who behave: {}", said.trim()))
        })?;
        Ok(Watch::of(&told))
    }
}

/// Nothing if the broker did not answer, which is a finding of its own.
fn counted(metrics: &io::Result<BTreeMap<String, u64>>, name: &str) -> BTreeMap<String, u64> {
    metrics
        .as_ref()
        .map(|metrics| family(metrics, name))
        .unwrap_or_default()
}

impl Watch {
    /// Those who behave were not let in.
    fn nobody(error: io::Error) -> Self {
        Self {
            p99_us: f64::INFINITY,
            faults: vec![error.to_string()],
        }
    }

    fn of(told: &Value) -> Self {
        let mut faults = Vec::new();
        for name in ["unsent", "lost", "duplicates", "reordered", "foreign"] {
            match told[name].as_u64() {
                Some(0) => {}
                number => faults.push(format!("{name} {}", number.unwrap_or(u64::MAX))),
            }
        }
        let failures = told["failures"].as_array().map_or(&[][..], Vec::as_slice);
        if let Some(first) = failures.first() {
            faults.push(format!("{} failures, {first} the first", failures.len()));
        }
        Self {
            p99_us: told["latency_us"]["p99"].as_f64().unwrap_or(f64::INFINITY),
            faults,
        }
    }
}

impl Outcome {
    /// Holds it against what a broker owes, and ends the broker.
    fn judged(mut self, scene: &Scene, broker: &mut Process, unheard: Option<io::Error>) -> Self {
        for (when, watch) in [("quiet", &self.quiet), ("attacked", &self.beside)] {
            for fault in &watch.faults {
                self.findings
                    .push(format!("I-9: those who behave, {when}: {fault}"));
            }
        }
        // Whose messages did not arrive is told above.
        let p99_max = (2.0 * self.quiet.p99_us).max(self.quiet.p99_us + SLOWER_MAX_US);
        if self.beside.p99_us > p99_max && self.beside.p99_us.is_finite() {
            self.findings.push(format!(
                "I-9: p99 {:.1} ms, at most {:.1}",
                self.beside.p99_us / 1e3,
                p99_max / 1e3
            ));
        }
        let resident_max = (scene.memory_mib << 20) / 100 * OVER_BOUND_PERCENT;
        if self.resident_peak > resident_max {
            self.findings.push(format!(
                "memory: {} MiB at most, {OVER_BOUND_PERCENT} % of memory_size are {}",
                self.resident_peak >> 20,
                resident_max >> 20
            ));
        }
        if self.attack.exceeds() && self.dropped.is_empty() && self.limits.is_empty() {
            self.findings
                .push("nothing was counted as dropped or refused".to_owned());
        }
        if let Some(error) = unheard {
            self.findings.push(format!("/metrics: {error}"));
        }
        match broker.end() {
            Ok(status) if status.success() => {}
            Ok(status) => {
                let said = broker.last_words();
                self.findings
                    .push(format!("the broker ended with {status}: {said}"));
            }
            Err(error) => self.findings.push(format!("the broker: {error}")),
        }
        self
    }
}

/// One line for each, and what was found below it.
#[must_use]
pub fn table(outcomes: &[Outcome]) -> String {
    let mut text = format!(
        "{:<13} {:>12} {:>9} {:>9}  what was counted\n",
        "attack", "p99 quiet ms", "p99 ms", "peak MiB"
    );
    for outcome in outcomes {
        let counted = [
            ("dropped", &outcome.dropped),
            ("limits met", &outcome.limits),
            ("closed", &outcome.closed),
        ];
        let counted = counted.map(|(what, members)| {
            let members = members
                .iter()
                .map(|(name, number)| format!("{name} {number}"));
            format!("{what}: {}", members.collect::<Vec<_>>().join(", "))
        });
        writeln!(
            text,
            "{:<13} {:>12.1} {:>9.1} {:>9}  {}",
            outcome.attack.name(),
            outcome.quiet.p99_us / 1e3,
            outcome.beside.p99_us / 1e3,
            outcome.resident_peak >> 20,
            counted.join("; ")
        )
        .expect("a string takes all");
        for finding in &outcome.findings {
            writeln!(text, "  FINDING {finding}").expect("a string takes all");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Watch;

    #[test]
    fn those_who_behave_lose_nothing_or_it_is_a_fault() {
        let told = |lost: u64, failures: &[&str]| {
            json!({"unsent": 0, "lost": lost, "duplicates": 0, "reordered": 0, "foreign": 0,
                "latency_us": {"p99": 900.5}, "failures": failures})
        };
        let well = Watch::of(&told(0, &[]));
        assert!(well.faults.is_empty() && well.p99_us == 900.5);
        let badly = Watch::of(&told(3, &["closed"]));
        assert_eq!(badly.faults, ["lost 3", "1 failures, \"closed\" the first"]);
        assert_eq!(Watch::of(&json!({})).faults.len(), 5);
    }
}
