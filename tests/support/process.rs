//! The quickstart, or another example, as a process of its own, driven from outside: for the tests.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::{
    env,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::{Child, Command},
    sync::watch,
    time::timeout,
};

/// Far longer than anything here takes, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running quickstart; killed when dropped.
pub(crate) struct Quickstart {
    child: Child,
    /// Closed when both stdout and stderr are.
    output: watch::Receiver<String>,
    address: String,
}

/// What a process said, on stdout and stderr together, and how it ended.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) output: String,
    /// From the signal to the end.
    pub(crate) took: Duration,
}

impl Quickstart {
    /// Starts one on a free port of loopback, and returns when it serves.
    pub(crate) async fn serving(environment: &[(&str, &str)]) -> Self {
        Self::example("quickstart", environment).await
    }

    /// The same with another example.
    pub(crate) async fn example(name: &str, environment: &[(&str, &str)]) -> Self {
        let mut this = Self::spawn(name, &[], &[&[("BIND", "127.0.0.1:0")], environment].concat());
        let said = timeout(PATIENCE, this.output.wait_for(|output| address(output).is_some())).await;
        let served = said.ok().and_then(|open| address(&open.ok()?));
        this.address = served.unwrap_or_else(|| panic!("it does not serve: {}", *this.output.borrow()));
        this
    }

    /// Runs one to its end.
    pub(crate) async fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Ended {
        Self::spawn("quickstart", arguments, environment).ended(Instant::now()).await
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// `HOST:PORT`
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Sends a signal and waits for the end.
    pub(crate) async fn stop(self, signal: &str) -> Ended {
        let since = Instant::now();
        // Not yet waited for, so the id cannot be another process's by now.
        let id = self.child.id().expect("it was not waited for");
        let sent = Command::new("sh").args(["-c", r#"kill -s "$0" "$1""#, signal, &id.to_string()]).status().await;
        assert!(sent.is_ok_and(|status| status.success()), "cannot send {signal}");
        self.ended(since).await
    }

    fn spawn(name: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(binary(name));
        // What the tests are run with must not matter; PATH, for finding Postgres and `sh`.
        command.env_clear().envs(env::var_os("PATH").map(|path| ("PATH", path))).envs(environment.iter().copied());
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("it starts");
        let (keeper, output) = watch::channel(String::new());
        tokio::spawn(keep(child.stdout.take().expect("piped"), keeper.clone()));
        tokio::spawn(keep(child.stderr.take().expect("piped"), keeper));
        Self { child, output, address: String::new() }
    }

    async fn ended(mut self, since: Instant) -> Ended {
        let status = timeout(PATIENCE, self.child.wait()).await;
        let status = status.unwrap_or_else(|_| panic!("it does not end: {}", *self.output.borrow()));
        let took = since.elapsed();
        let closed = timeout(PATIENCE, self.output.wait_for(|_| false)).await.is_ok();
        assert!(closed, "somebody else holds its stdout or stderr open");
        let output = self.output.borrow().clone();
        Ended { status: status.expect("a child of ours"), output, took }
    }
}

fn address(output: &str) -> Option<String> {
    output.lines().find_map(|line| line.strip_prefix("listening on http://").map(str::to_owned))
}

/// `target/debug/examples/quickstart`, beside the `deps` in which the test itself is. `cargo test` builds examples;
/// `cargo test --test NAME` does not.
fn binary(name: &str) -> PathBuf {
    let test = env::current_exe().expect("the test's own path");
    let deps = test.parent().expect("a directory");
    let binary = deps.parent().expect("a directory").join("examples").join(name);
    assert!(binary.is_file(), "{} is missing: run `cargo build --example {name}` first", binary.display());
    binary
}

async fn keep(from: impl AsyncRead + Unpin, output: watch::Sender<String>) {
    let mut lines = BufReader::new(from).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        output.send_modify(|output| {
            output.push_str(&line);
            output.push('\n');
        });
    }
}
