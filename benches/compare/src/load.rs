//! A server process of one variant, and the load that wrk puts on it.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use crate::peers::{Variant, client};

/// Ticks a second of the times in `/proc`; the same on all Linuxes that Rust runs on.
const TICKS: f64 = 100.0;

#[derive(Debug)]
pub struct Server {
    name: &'static str,
    child: Child,
    address: String,
    /// The header lines of its clients.
    file: PathBuf,
}

/// What came of one run.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub per_second: f64,
    pub p50_micros: f64,
    pub p99_micros: f64,
    /// Of the server, a request; where there is `/proc`.
    pub cpu_micros: Option<f64>,
}

impl Server {
    pub fn start(variant: &'static Variant, database: &str) -> Self {
        let program = std::env::current_exe().expect("it runs").with_file_name("serve");
        assert!(program.is_file(), "build it first: cargo build --release --bin serve");
        let file = std::env::temp_dir().join(format!("compare-{}-{}", std::process::id(), variant.id));
        let mut command = on_cpu(0, program.to_str().expect("a path in UTF-8"));
        command.arg(variant.id).arg(&file).env("DATABASE_URL", database);
        // It ends when this pipe does, even where `Drop` is not run.
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let child = command.spawn().expect("it can be run");
        Self { name: variant.name, child, address: String::new(), file }
    }

    /// Until it can be asked.
    ///
    /// # Panics
    ///
    /// Where it could not be set up; it has told why itself.
    pub fn wait(&mut self) {
        let output = self.child.stdout.take().expect("nobody has waited before");
        BufReader::new(output).read_line(&mut self.address).expect("it is text");
        self.address.truncate(self.address.trim_end().len());
        assert!(!self.address.is_empty(), "the server of {} did not start", self.name);
    }

    /// # Panics
    ///
    /// Where any request is not answered as it should be.
    pub fn load(&self, seconds: u32) -> Load {
        let mut command = on_cpu(1, "wrk");
        command.args(["-t1", "-c32", "--latency", &format!("-d{seconds}s"), "-s", SCRIPT]);
        command
            .arg(format!("http://{}/", self.address))
            .arg("--")
            .arg(&self.file)
            .args([client::AGENT, client::ACCEPTED]);
        let before = self.cpu_seconds();
        let output = command.output().expect("wrk can be run");
        let after = self.cpu_seconds();
        let text = String::from_utf8_lossy(&output.stdout);
        let result = text.lines().find_map(|line| line.strip_prefix("RESULT "));
        let result = result.unwrap_or_else(|| panic!("wrk: {text}{}", String::from_utf8_lossy(&output.stderr)));
        let result: Vec<f64> = result.split(' ').map(|part| part.parse().expect("a number")).collect();
        let [requests, micros, p50_micros, p99_micros, lost, refused] = result[..] else { panic!("wrk: {text}") };
        assert!(requests > 0.0 && lost + refused == 0.0, "{}: {lost} lost, {refused} refused: {text}", self.name);
        let cpu_micros = before.zip(after).map(|(before, after)| (after - before) * 1e6 / requests);
        Load { per_second: requests * 1e6 / micros, p50_micros, p99_micros, cpu_micros }
    }

    /// Of its threads together, in user and in system mode.
    fn cpu_seconds(&self) -> Option<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).ok()?;
        // The name of the program, in brackets, may have spaces in it; fields are counted from behind it.
        let (_, fields) = stat.rsplit_once(')')?;
        let mut times = fields.split_whitespace().skip(11).map(|field| field.parse::<f64>().ok());
        Some((times.next()?? + times.next()??) / TICKS)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.file);
    }
}

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/http.lua");

pub fn require_wrk() {
    let wrk = Command::new("wrk").arg("-v").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if wrk.is_err() {
        eprintln!("install wrk");
        std::process::exit(1);
    }
}

/// In words, where servers and wrk run.
pub fn pinning() -> &'static str {
    if can_pin() {
        "The server has one thread, on the first CPU; wrk is on the second."
    } else {
        "The server has one thread. Neither it nor wrk is bound to a CPU."
    }
}

fn on_cpu(cpu: usize, program: &str) -> Command {
    if !can_pin() {
        return Command::new(program);
    }
    let mut command = Command::new("taskset");
    command.args(["-c", &cpu.to_string(), program]);
    command
}

fn can_pin() -> bool {
    let taskset = |cpu| Command::new("taskset").args(["-c", cpu, "true"]).stderr(Stdio::null()).status();
    ["0", "1"].iter().all(|cpu| taskset(cpu).is_ok_and(|status| status.success()))
}
