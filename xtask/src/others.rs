//! The brokers that others wrote: how each one is started on loopback, without a login and with nothing kept from before.
//!
//! Each is started by a script, which ends the one before: a broker that a scene has killed is started again with the
//! same command.

use std::error::Error;
use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::process::{find_program, read};

const START_MAX: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(100);

/// A broker that may be installed.
pub(crate) struct Other {
    pub(crate) name: &'static str,
    /// What it is run with, for the page.
    pub(crate) how: &'static str,
    program: &'static str,
    /// Where it lies if it is not on the `PATH`.
    folders: &'static [&'static str],
    pub(crate) version: fn(&Path) -> Result<String, Box<dyn Error>>,
    /// For each port of MQTT the options of the run.
    listeners: &'static [&'static [&'static str]],
    /// Writes what it reads at its start, and gives the command that a shell runs in its folder.
    configure: fn(&Place<'_>) -> Result<String, Box<dyn Error>>,
    /// Further lines of its configuration with which it carries a load as fast as it can.
    pub(crate) load_lines: &'static str,
    /// What is left over when it is killed.
    clean_up: fn(&Place<'_>) -> String,
}

/// Where a broker runs.
pub(crate) struct Place<'a> {
    program: &'a Path,
    folder: &'a Path,
    /// Lines of its configuration or, for ours, options.
    more_lines: &'a str,
    /// One for each listener, and three more.
    ports: Vec<u16>,
}

pub(crate) const OTHERS: &[Other] = &[
    Other {
        name: "mosquitto",
        how: "`allow_anonymous true`, `persistence false`",
        program: "mosquitto",
        folders: &[],
        version: |program| first_line(program, &["-h"], "version "),
        listeners: &[&[]],
        configure: |place| {
            place.write(
                "mosquitto.conf",
                &format!(
                    "listener {} 127.0.0.1\nallow_anonymous true\npersistence false\n{}",
                    place.ports[0], place.more_lines
                ),
            )?;
            Ok(format!("{} -c mosquitto.conf", place.program()))
        },
        load_lines: "max_inflight_messages 0\nmax_queued_messages 0\nset_tcp_nodelay true\nlog_dest none\n",
        clean_up: |_| String::new(),
    },
    Other {
        name: "nats-server",
        how: "JetStream, which its MQTT needs, and `mqtt`",
        program: "nats-server",
        folders: &[],
        version: |program| first_line(program, &["--version"], ": v"),
        listeners: &[&[]],
        configure: |place| {
            place.write(
                "nats.conf",
                &format!(
                    "server_name: conformance\nlisten: \"127.0.0.1:{}\"\njetstream {{ store_dir: \"store\" }}\nmqtt {{ listen: \"127.0.0.1:{}\" }}\n",
                    place.ports[1], place.ports[0]
                ),
            )?;
            Ok(format!("{} -c nats.conf", place.program()))
        },
        load_lines: "",
        clean_up: |_| "rm -rf store".to_owned(),
    },
    Other {
        name: "rabbitmq-server",
        how: "the plugin `rabbitmq_mqtt`, with `mqtt.allow_anonymous`",
        program: "rabbitmq-server",
        // Debian's /usr/sbin has a script that changes the user.
        folders: &["/usr/lib/rabbitmq/bin"],
        version: |program| first_line(&program.with_file_name("rabbitmqctl"), &["version"], ""),
        listeners: &[&[]],
        configure: |place| {
            place.write(
                "rabbitmq.conf",
                &format!(
                    "listeners.tcp = none\nmqtt.listeners.tcp.1 = 127.0.0.1:{}\nmqtt.allow_anonymous = true\nloopback_users = none\n",
                    place.ports[0]
                ),
            )?;
            place.write("enabled_plugins", "[rabbitmq_mqtt].\n")?;
            Ok(format!("{} {}", rabbit_variables(place), place.program()))
        },
        load_lines: "",
        clean_up: |place| format!("{} epmd -kill; rm -rf mnesia", rabbit_variables(place)),
    },
    Other {
        name: "rumqttd",
        how: "a listener for `v4` and one for `v5`",
        program: "rumqttd",
        folders: &[],
        version: |program| first_line(program, &["--version"], "rumqttd "),
        listeners: &[&["--mqtt", "3.1", "--mqtt", "3.1.1"], &["--mqtt", "5"]],
        configure: |place| {
            let listener = |kind: &str, port: u16| {
                format!(
                    "[{kind}.1]\nname = \"{kind}\"\nlisten = \"127.0.0.1:{port}\"\nnext_connection_delay_ms = 1\n\
                     [{kind}.1.connections]\nconnection_timeout_ms = 60000\nmax_payload_size = 268435455\n\
                     max_inflight_count = 100\ndynamic_filters = true\n"
                )
            };
            let router = "id = 0\n[router]\nid = 0\nmax_connections = 10010\nmax_outgoing_packet_count = 200\n\
                          max_segment_size = 104857600\nmax_segment_count = 10\n";
            place.write(
                "rumqttd.toml",
                &[
                    router.to_owned(),
                    listener("v4", place.ports[0]),
                    listener("v5", place.ports[1]),
                ]
                .concat(),
            )?;
            Ok(format!("{} --quiet --config rumqttd.toml", place.program()))
        },
        load_lines: "",
        clean_up: |_| String::new(),
    },
];

/// What RabbitMQ is told in its environment: all its files in one folder, all its ports of our choice.
fn rabbit_variables(place: &Place<'_>) -> String {
    let folder = place.folder.display();
    format!(
        "HOME='{folder}' RABBITMQ_NODENAME=conformance@localhost RABBITMQ_MNESIA_BASE='{folder}/mnesia' \
         RABBITMQ_LOG_BASE='{folder}/log' RABBITMQ_CONFIG_FILE='{folder}/rabbitmq.conf' \
         RABBITMQ_ENABLED_PLUGINS_FILE='{folder}/enabled_plugins' RABBITMQ_CONF_ENV_FILE=/dev/null \
         RABBITMQ_DIST_PORT={} ERL_EPMD_PORT={} ERL_EPMD_ADDRESS=127.0.0.1",
        place.ports[1], place.ports[2]
    )
}

/// What stands behind `prefix` in the first line that a program prints.
fn first_line(program: &Path, arguments: &[&str], prefix: &str) -> Result<String, Box<dyn Error>> {
    let output = Command::new(program).args(arguments).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let line = said.lines().next().unwrap_or_default();
    let version = line.split_once(prefix).map_or(line, |(_, version)| version);
    match version.trim() {
        "" => Err(format!("{} does not say its version", program.display()).into()),
        version => Ok(version.to_owned()),
    }
}

impl Place<'_> {
    fn write(&self, name: &str, text: &str) -> std::io::Result<()> {
        fs::write(self.folder.join(name), text)
    }

    fn program(&self) -> String {
        format!("'{}'", self.program.display())
    }
}

impl Other {
    /// Where it is installed.
    pub(crate) fn find(&self) -> Option<PathBuf> {
        let folders: Vec<PathBuf> = self.folders.iter().map(PathBuf::from).collect();
        find_program(self.program, &folders)
    }

    /// Starts it, and waits until it listens.
    pub(crate) fn start(&self, program: &Path, folder: &Path) -> Result<Running, Box<dyn Error>> {
        self.start_for_load(program, folder, "", "")
    }

    /// Starts it for a load; `before` are the words before its command, such as `taskset -c 0`, and `more_lines` its
    /// [`load_lines`](Self::load_lines) or, for ours, further options.
    pub(crate) fn start_for_load(
        &self,
        program: &Path,
        folder: &Path,
        before: &str,
        more_lines: &str,
    ) -> Result<Running, Box<dyn Error>> {
        let _ = fs::remove_dir_all(folder);
        fs::create_dir_all(folder)?;
        let place = Place {
            program,
            folder,
            more_lines,
            ports: free_ports(self.listeners.len() + 3)?,
        };
        let command = (self.configure)(&place)?;
        let clean_up = (self.clean_up)(&place);
        // A zombie has ended, whether somebody asks for its end or not.
        let stop = format!(
            "cd '{}'\n\
             if [ -f pid ]; then\n\
             \x20 pid=$(cat pid)\n\
             \x20 kill -KILL -$pid\n\
             \x20 while [ -d /proc/$pid ] && ! grep -q 'State:.Z' /proc/$pid/status; do sleep 0.1; done\n\
             \x20 rm pid\n\
             fi 2> /dev/null\n\
             {clean_up}\n",
            folder.display()
        );
        // In a process group of its own, so that all it starts ends with it.
        let start = format!(
            "{stop}setsid {before} env {command} > output 2>&1 < /dev/null &\necho $! > pid\n"
        );
        place.write("stop.sh", &stop)?;
        place.write("start.sh", &start)?;
        let running = Running {
            listeners: self.listeners,
            ports: place.ports.clone(),
            folder: folder.to_owned(),
        };
        read(&mut running.script("start.sh"))?;
        for (port, _) in running.ports() {
            running.wait_for(port)?;
        }
        Ok(running)
    }
}

/// Ours, with default settings: a store that syncs, limits and metrics on.
pub(crate) const WHINCHAT: Other = Other {
    name: "whinchat",
    how: "as it comes: `ack` is `synced`, limits and metrics on",
    program: "whinchat",
    folders: &[],
    version: |program| first_line(program, &["--version"], "whinchat "),
    listeners: &[&[]],
    configure: |place| {
        Ok(format!(
            "WHINCHAT__ADMIN__LISTEN=127.0.0.1:{} {} serve --listen 127.0.0.1:{} --data-dir data{}",
            place.ports[1],
            place.program(),
            place.ports[0],
            place.more_lines
        ))
    },
    load_lines: "",
    clean_up: |_| "rm -rf data".to_owned(),
};

/// Ports that were free a moment ago.
fn free_ports(count: usize) -> std::io::Result<Vec<u16>> {
    // All are held until the last is known, so that none comes twice.
    let held: Vec<TcpListener> = (0..count)
        .map(|_| TcpListener::bind("127.0.0.1:0"))
        .collect::<Result<_, _>>()?;
    held.iter()
        .map(|listener| Ok(listener.local_addr()?.port()))
        .collect()
}

/// A broker that runs; it is ended when this is dropped.
pub(crate) struct Running {
    listeners: &'static [&'static [&'static str]],
    ports: Vec<u16>,
    folder: PathBuf,
}

impl Running {
    /// Each port of MQTT, with the options of the run.
    pub(crate) fn ports(&self) -> impl Iterator<Item = (u16, &'static [&'static str])> {
        let listeners = self.listeners.iter().copied();
        self.ports.clone().into_iter().zip(listeners)
    }

    /// What starts it again.
    pub(crate) fn restart_command(&self) -> String {
        format!("sh '{}'", self.folder.join("start.sh").display())
    }

    fn script(&self, name: &str) -> Command {
        let mut command = Command::new("sh");
        command.arg(self.folder.join(name));
        // What it starts must not hold on to what we wait for.
        command.stdin(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn wait_for(&self, port: u16) -> Result<(), Box<dyn Error>> {
        let deadline = Instant::now() + START_MAX;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if Instant::now() > deadline {
                let log = fs::read_to_string(self.folder.join("output")).unwrap_or_default();
                let tail: Vec<&str> = log.lines().rev().take(5).collect();
                return Err(format!("nothing listens on {port}: {}", tail.join(" / ")).into());
            }
            thread::sleep(POLL);
        }
        Ok(())
    }

    /// The process of those it consists of that has most memory: of a broker that a script starts, the broker.
    pub(crate) fn main_process(&self) -> Result<u32, Box<dyn Error>> {
        let group = fs::read_to_string(self.folder.join("pid"))?
            .trim()
            .to_owned();
        let mut largest = (0, None);
        for entry in fs::read_dir("/proc")? {
            let name = entry?.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            // It may have ended since the folder was read.
            let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
                continue;
            };
            let fields: Vec<&str> = stat
                .rsplit_once(')')
                .map_or("", |(_, fields)| fields)
                .split_ascii_whitespace()
                .collect();
            // Fields 5 and 24 of the line: the process group, and resident pages.
            if let (Some(of_group), Some(pages)) = (fields.get(2), fields.get(21))
                && *of_group == group
            {
                let pages = pages.parse::<u64>()?;
                if pages > largest.0 {
                    largest = (pages, Some(pid));
                }
            }
        }
        largest
            .1
            .ok_or_else(|| format!("no process of group {group} is left").into())
    }

    pub(crate) fn stop(self) {}
}

impl Drop for Running {
    fn drop(&mut self) {
        // What has ended already need not be ended.
        let _ = self.script("stop.sh").stdout(Stdio::null()).status();
        let _ = File::create(self.folder.join("stopped"));
    }
}

#[cfg(test)]
mod tests {
    use super::{OTHERS, Other};

    #[test]
    fn every_broker_has_a_name_of_its_own_and_a_listener() {
        for (
            index,
            Other {
                name, listeners, ..
            },
        ) in OTHERS.iter().enumerate()
        {
            assert!(!listeners.is_empty(), "{name}");
            assert!(
                OTHERS[..index].iter().all(|other| other.name != *name),
                "{name}"
            );
        }
    }
}
