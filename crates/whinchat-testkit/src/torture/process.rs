//! A broker as a process: started from a command line on a port and a directory, killed without warning.

use std::{
    fs, io,
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal};

/// A broker that is not ready after this does not start.
const READY_MAX: Duration = Duration::from_secs(30);

/// A broker that is told to end has this long.
const END_MAX: Duration = Duration::from_secs(15);

/// How a broker is started.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// Program and arguments. `{port}` is the port of MQTT on 127.0.0.1, `{dir}` the data directory, `{config}` a file with [`config`](Self::config).
    pub command: Vec<String>,
    /// What the file holds; the same words are replaced.
    pub config: String,
    /// The exit code that it documents for a disk that has failed.
    pub disk_failed: Option<i32>,
}

impl Recipe {
    /// The program `whinchat` at this path.
    #[must_use]
    pub fn whinchat(program: &Path) -> Self {
        let words =
            "serve --config {config} --data-dir {dir} --listen 127.0.0.1:{port} --log-level error";
        let mut command = vec![program.to_string_lossy().into_owned()];
        command.extend(words.split(' ').map(str::to_owned));
        Self {
            command,
            config: "[admin]\nlisten = \"none\"\n[sys]\ninterval = \"none\"\n".to_owned(),
            disk_failed: Some(4),
        }
    }

    /// Debian's mosquitto, told to keep its sessions.
    #[must_use]
    pub fn mosquitto() -> Self {
        Self {
            command: ["/usr/sbin/mosquitto", "-c", "{config}"]
                .map(str::to_owned)
                .to_vec(),
            config: "listener {port} 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location {dir}/\nmax_queued_messages 0\nlog_type error\nuser root\n".to_owned(),
            disk_failed: None,
        }
    }

    /// The same broker below `strace` with these options. The process is the broker, not strace, which ends when it does.
    #[must_use]
    pub fn traced(&self, options: &str) -> Self {
        let mut command = vec!["strace".to_owned(), "-D".to_owned(), "-f".to_owned()];
        command.extend(options.split_whitespace().map(str::to_owned));
        command.extend(self.command.iter().cloned());
        Self {
            command,
            config: self.config.clone(),
            disk_failed: self.disk_failed,
        }
    }

    /// A process of this broker on `dir`.
    ///
    /// # Errors
    /// If it does not start at all.
    pub fn spawn(&self, dir: &Path) -> io::Result<Process> {
        self.spawn_with(dir, Stdio::null())
    }

    /// The same, with something else than nothing for its stdout.
    ///
    /// # Errors
    /// If it does not start at all.
    pub fn spawn_with(&self, dir: &Path, stdout: Stdio) -> io::Result<Process> {
        let port = free_port()?;
        let config = dir.with_extension("conf");
        let filled = |text: &str| {
            text.replace("{port}", &port.to_string())
                .replace("{dir}", &dir.to_string_lossy())
                .replace("{config}", &config.to_string_lossy())
        };
        fs::write(&config, filled(&self.config))?;
        let stderr_path = dir.with_extension("stderr");
        let words: Vec<_> = self.command.iter().map(|word| filled(word)).collect();
        let (program, arguments) = words
            .split_first()
            .ok_or_else(|| io::Error::other("an empty command line"))?;
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(fs::File::create(&stderr_path)?)
            .spawn()?;
        Ok(Process {
            child,
            port,
            stderr_path,
        })
    }
}

/// A broker that runs; dropping it kills it.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// Where it listens.
    pub port: u16,
    stderr_path: PathBuf,
}

impl Process {
    /// Returns when it accepts connections.
    ///
    /// # Errors
    /// If it ends instead, or takes too long: with its last words.
    pub fn wait_until_ready(&mut self) -> io::Result<()> {
        let start = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            if let Some(status) = self.child.try_wait()? {
                return Err(io::Error::other(format!(
                    "it ended with {status}: {}",
                    self.last_words()
                )));
            }
            if start.elapsed() > READY_MAX {
                let said = self.last_words();
                return Err(io::Error::other(format!(
                    "it is not ready after {READY_MAX:?}: {said}"
                )));
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its stdout, if that was piped; once.
    pub fn stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// SIGKILL; returns when it is gone.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn kill(&mut self) -> io::Result<ExitStatus> {
        self.child.kill()?;
        self.child.wait()
    }

    /// SIGKILL, without waiting for it to be gone: a system call may have to return before.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn begin_kill(&mut self) -> io::Result<()> {
        self.child.kill()
    }

    /// SIGTERM, and SIGKILL if that does not end it in time; returns when it is gone.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn end(&mut self) -> io::Result<ExitStatus> {
        if self.child.try_wait()?.is_none() {
            rustix::process::kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        }
        let start = Instant::now();
        while start.elapsed() < END_MAX {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            thread::sleep(Duration::from_millis(5));
        }
        self.kill()
    }

    /// Its exit status if it has ended.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// What it wrote to stderr.
    #[must_use]
    pub fn last_words(&self) -> String {
        let said = fs::read_to_string(&self.stderr_path).unwrap_or_default();
        said.trim().to_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn free_port() -> io::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}
