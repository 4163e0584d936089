//! What a message costs a client library: ours and others, each in a process of its own, with a peer that does nothing
//! but answer. Prints JSON for the page of performance.
//!
//! ```text
//! client PYTHON              runs all, in turn
//! client run LIBRARY CASE PORT COUNT   is one of the processes: prints seconds and CPU seconds
//! ```

mod peer;
mod rumqttc_client;
mod whinchat;

use std::process::{Command, Stdio};

/// Runs of each, of which the median counts.
const ROUNDS: usize = 5;
const PAYLOAD: &[u8] = &[b'x'; 16];
const TOPIC: &str = "sensors/temperature/lab1";
/// Messages that may wait for their ack.
const WINDOW: u16 = 1_000;

const CASES: [&str; 4] = [
    "publish-qos0",
    "publish-qos1",
    "receive-qos0",
    "receive-qos1",
];

/// A library, and how many messages it is given: enough for a second or so.
const LIBRARIES: [(&str, u32); 3] = [
    ("whinchat-client", 1_000_000),
    ("rumqttc", 500_000),
    ("paho-mqtt (Python)", 30_000),
];

type Error = Box<dyn std::error::Error>;

fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [run, library, case, port, count] if run == "run" => {
            one(library, case, port.parse()?, count.parse()?)
        }
        [python] => all(python),
        _ => Err("usage: client PYTHON, or client run LIBRARY CASE PORT COUNT".into()),
    }
}

fn one(library: &str, case: &str, port: u16, count: u32) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let meter = Meter::start();
    match library {
        "whinchat-client" => runtime.block_on(whinchat::run(case, port, count))?,
        "rumqttc" => runtime.block_on(rumqttc_client::run(case, port, count))?,
        _ => return Err(format!("no library is called {library}").into()),
    }
    meter.print();
    Ok(())
}

/// Processor time and time on the wall.
struct Meter {
    wall: std::time::Instant,
    cpu: f64,
}

impl Meter {
    fn start() -> Self {
        Self {
            wall: std::time::Instant::now(),
            cpu: cpu_seconds(),
        }
    }

    fn print(&self) {
        println!(
            "{} {}",
            self.wall.elapsed().as_secs_f64(),
            cpu_seconds() - self.cpu
        );
    }
}

fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn all(python: &str) -> Result<(), Error> {
    let mut lines = Vec::new();
    for case in CASES {
        let mut results = vec![(Vec::new(), Vec::new()); LIBRARIES.len()];
        for _ in 0..ROUNDS {
            for ((library, count), (wall, cpu)) in LIBRARIES.iter().zip(&mut results) {
                let port = peer::start(case, *count)?;
                let (port, number) = (port.to_string(), count.to_string());
                let mut command = if library.starts_with("paho") {
                    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/paho_client.py");
                    let mut command = Command::new(python);
                    command.args([script, case, &port, &number]);
                    command
                } else {
                    let mut command = Command::new(std::env::current_exe()?);
                    command.args(["run", library, case, &port, &number]);
                    command
                };
                let output = command.stderr(Stdio::inherit()).output()?;
                let text = String::from_utf8(output.stdout)?;
                let (seconds, cpu_seconds) = text
                    .trim()
                    .split_once(' ')
                    .ok_or(format!("{library}, {case}: {}, {text:?}", output.status))?;
                wall.push(f64::from(*count) / seconds.parse::<f64>()?);
                cpu.push(cpu_seconds.parse::<f64>()? * 1e6 / f64::from(*count));
            }
        }
        for ((library, _), (rate, cpu)) in LIBRARIES.iter().zip(&mut results) {
            lines.push(format!(
                "  {{\"case\": {case:?}, \"library\": {library:?}, \"messages_per_second\": {:.0}, \"cpu_us\": {:.3}}}",
                median(rate),
                median(cpu)
            ));
        }
    }
    println!("[\n{}\n]", lines.join(",\n"));
    Ok(())
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
