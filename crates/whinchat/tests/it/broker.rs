//! A broker and the tools that talk to it: what the tests of `pub`, `sub`, `rr` and `bench` start from.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    path::Path,
    process::{Child, ChildStderr, ChildStdout, Command, Output, Stdio},
};

use tempfile::TempDir;

/// The program with these arguments, cut off from the terminal and from the caller's environment.
pub(crate) fn whinchat(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_whinchat"));
    command
        .args(arguments)
        .env_remove("WHINCHAT_PASSWORD")
        .stdin(Stdio::null());
    command
}

/// The exit code and what was written to stdout and stderr.
pub(crate) fn result(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code().unwrap(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

/// Our broker on a port of its own, with a data directory of its own. Ends with the test.
pub(crate) struct Broker {
    child: Child,
    port: String,
    /// Removed behind it, if it is its own.
    data: Option<TempDir>,
}

impl Broker {
    pub(crate) fn start() -> Self {
        Self::start_with(tempfile::tempdir().unwrap(), &[])
    }

    /// Listens here as well.
    pub(crate) fn start_on(url: &str) -> Self {
        Self::start_with(tempfile::tempdir().unwrap(), &["--listen", url])
    }

    /// Kills this one and starts another on the same port, with what it left.
    pub(crate) fn restart(mut self) -> Self {
        let (port, data) = (self.port.clone(), self.data.take().unwrap());
        drop(self);
        let mut next = Self::start_with(data, &["--listen", &format!("127.0.0.1:{port}")]);
        next.port = port;
        next
    }

    /// Keeps what must survive in this folder.
    pub(crate) fn start_in(data: &Path) -> Self {
        Self::spawn(whinchat(&["serve", "--data-dir"]).arg(data))
    }

    fn start_with(data: TempDir, arguments: &[&str]) -> Self {
        let mut serve = whinchat(&["serve", "--data-dir"]);
        let mut broker = Self::spawn(serve.arg(data.path()).args(arguments));
        broker.data = Some(data);
        broker
    }

    fn spawn(serve: &mut Command) -> Self {
        let mut child = serve
            .args(["--listen", "127.0.0.1:0"])
            .env("WHINCHAT__ADMIN__LISTEN", "127.0.0.1:0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = loop {
            let line = lines.next().unwrap().unwrap();
            if let Some(address) = line.strip_prefix("listening on mqtt://127.0.0.1:") {
                break address.to_owned();
            }
        };
        // The rest of the banner must not find a closed pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            child,
            port,
            data: None,
        }
    }

    pub(crate) fn port(&self) -> &str {
        &self.port
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A tool that talks to this broker.
    pub(crate) fn tool(&self, arguments: &[&str]) -> Command {
        let mut command = whinchat(&arguments[..1]);
        command.args(["-p", &self.port]).args(&arguments[1..]);
        command
    }

    /// Runs a tool to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        result(&self.tool(arguments).output().unwrap())
    }

    /// Runs a tool that must succeed and say nothing on stderr, and gives its stdout.
    #[track_caller]
    pub(crate) fn succeed(&self, arguments: &[&str]) -> String {
        let (code, stdout, stderr) = self.run(arguments);
        assert_eq!((code, stderr.as_str()), (0, ""), "{arguments:?}");
        stdout
    }

    /// As [`succeed`](Self::succeed), with this on stdin.
    #[track_caller]
    pub(crate) fn feed(&self, arguments: &[&str], input: &[u8]) {
        let mut child = self
            .tool(arguments)
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let (code, _, stderr) = result(&child.wait_with_output().unwrap());
        assert_eq!((code, stderr.as_str()), (0, ""), "{arguments:?}");
    }

    /// Starts `sub` with these arguments and waits until the broker has granted its filters.
    #[track_caller]
    pub(crate) fn subscribe(&self, arguments: &[&str]) -> Subscriber {
        let mut child = self
            .tool(&[&["sub", "-d"], arguments].concat())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut notes = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        let filters = arguments
            .iter()
            .filter(|argument| **argument == "-t")
            .count();
        while said.matches("\nsubscribed ").count() < filters {
            assert_ne!(notes.read_line(&mut said).unwrap(), 0, "{said}");
        }
        Subscriber {
            stdout: Some(BufReader::new(child.stdout.take().unwrap())),
            child,
            notes,
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A running `sub`. Ends with the test.
pub(crate) struct Subscriber {
    child: Child,
    stdout: Option<BufReader<ChildStdout>>,
    notes: BufReader<ChildStderr>,
}

impl Subscriber {
    /// The next line of its output.
    #[track_caller]
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.as_mut().unwrap().read_line(&mut line).unwrap();
        line.trim_end_matches('\n').to_owned()
    }

    /// The next line for people.
    #[track_caller]
    pub(crate) fn note(&mut self) -> String {
        let mut line = String::new();
        self.notes.read_line(&mut line).unwrap();
        line
    }

    /// Reads nothing more of its output, as `head` does.
    pub(crate) fn close_stdout(&mut self) {
        self.stdout = None;
    }

    /// Sends it INT, as the terminal does for Control-C.
    pub(crate) fn interrupt(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    }

    /// Ends it without a chance to say goodbye.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end: exit code, the rest of stdout, the rest of stderr.
    pub(crate) fn wait(mut self) -> (i32, String, String) {
        let mut stdout = String::new();
        if let Some(pipe) = &mut self.stdout {
            pipe.read_to_string(&mut stdout).unwrap();
        }
        let mut stderr = String::new();
        self.notes.read_to_string(&mut stderr).unwrap();
        (self.child.wait().unwrap().code().unwrap(), stdout, stderr)
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
