//! A private, throw-away Postgres from the machine's own binaries: for the quickstart and for the tests.
//!
//! Nothing outlives the process that started it. `Drop` stops the server and removes its directory; where `Drop`
//! does not run (a `static`, an abort, SIGKILL) a watchdog does the same: a shell that waits on a pipe only we
//! hold open.

#![allow(dead_code, reason = "the quickstart and each test binary use a part of it")]

use std::env;
use std::fs::{self, DirBuilder, File};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{DirBuilderExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Runs as `sh -c LAUNCH dir program args..`: leaves the process id before the program can start anything.
const LAUNCH: &str = r#"echo $$ >"$0/pid" && exec "$@""#;

/// Runs as `sh -c WATCHDOG dir`, as the server's user. Renaming the directory first means that a program launched in
/// the instant we died either has left its process id already, or finds no directory and does not start. The group
/// is the server alone (its children are sessions of their own, and follow it) or initdb with its children. The lock
/// file tells that a server has ended even where nobody reaps it, as in a container.
const WATCHDOG: &str = r#"
trap '' HUP INT TERM
read -r _
mv "$0" "$0.gone" && cd "$0.gone" || exit
if read -r pid <pid; then
    kill -s QUIT -- "-$pid"
    tries=100
    while kill -s 0 -- "-$pid" && [ -e data/postmaster.pid ] && [ $((tries -= 1)) -gt 0 ]; do sleep 0.1; done
    kill -s KILL -- "-$pid"
fi
cd / && rm -rf "$0.gone"
"#;

/// A running (or stopped) Postgres of our own, on loopback only.
#[derive(Debug)]
pub(crate) struct LocalPostgres {
    bin: PathBuf,
    dir: PathBuf,
    run_as: Option<(u32, u32)>,
    settings: Vec<String>,
    port: u16,
    server: Mutex<Option<Child>>,
    watchdog: Child,
}

impl LocalPostgres {
    /// The directory that holds `initdb`, `postgres` and `pg_ctl`: the first on PATH, else the newest that is
    /// installed in one of the usual places.
    pub(crate) fn find() -> Option<PathBuf> {
        let complete = |bin: &PathBuf| ["initdb", "postgres", "pg_ctl"].iter().all(|name| bin.join(name).is_file());
        let path = env::var_os("PATH").unwrap_or_default();
        env::split_paths(&path).find(complete).or_else(|| {
            [
                ("/usr/lib/postgresql", ""),
                ("/usr", "pgsql-"),
                ("/opt/homebrew/opt", "postgresql@"),
                ("/usr/local/opt", "postgresql@"),
                ("/Applications/Postgres.app/Contents/Versions", ""),
            ]
            .iter()
            .flat_map(|(parent, prefix)| installed(Path::new(parent), prefix))
            .filter(|(_, bin)| complete(bin))
            .max()
            .map(|(_, bin)| bin)
        })
    }

    /// Creates a cluster in a new temporary directory and starts it; returns once it accepts connections.
    pub(crate) fn start(settings: &[(&str, &str)]) -> Result<Self, String> {
        let bin = Self::find().ok_or(
            "no Postgres server programs (initdb, postgres, pg_ctl) on PATH or in the usual places; install them: \
             `apt-get install postgresql`, `dnf install postgresql-server` or `brew install postgresql@17`",
        )?;
        let dir = env::temp_dir().join(format!("ads-pg-{}-{:016x}", std::process::id(), random()));
        let run_as = server_user()?;
        // The watchdog comes before what it is to watch.
        let mut watchdog = shell(WATCHDOG, &dir, run_as);
        watchdog.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let watchdog = watchdog.spawn().map_err(|e| format!("cannot run sh: {e}"))?;
        // Nobody misses the data after a crash; the caller's own settings come last and win.
        let settings = [("fsync", "off")].iter().chain(settings).map(|(k, v)| format!("{k}={v}")).collect();
        // From here on `Drop` cleans up, also where a step below fails.
        let mut this = Self { bin, dir, run_as, settings, port: 0, server: Mutex::new(None), watchdog };
        this.init()?;
        // Whatever made it fail, another port is worth a try: between picking one and using it anybody may take it.
        let mut tries = 5;
        loop {
            this.port = free_port()?;
            tries -= 1;
            match this.launch() {
                Err(_) if tries > 0 => {}
                result => return result.map(|()| this),
            }
        }
    }

    /// Starts a stopped (or killed) server again, on the same port and data.
    pub(crate) fn start_again(&self) -> Result<(), String> {
        // The children of a killed server need a moment to notice, and keep its shared memory until then.
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            match self.launch() {
                Err(_) if Instant::now() < deadline => sleep(Duration::from_millis(100)),
                result => return result,
            }
        }
    }

    /// Stops as a crash would: no checkpoint, recovery at the next start.
    pub(crate) fn stop_immediate(&self) {
        self.stop("QUIT");
    }

    /// Stops in order: open connections are closed, everything is written.
    pub(crate) fn stop_fast(&self) {
        self.stop("INT");
    }

    /// Where clients connect to.
    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// The port, the same for the whole life of this value.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The cluster's data directory.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// What initdb and the server wrote so far.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.dir.join("log")).unwrap_or_default()).into_owned()
    }

    /// The postmaster's process id, unless it is stopped.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.server().as_ref().map(Child::id)
    }

    fn server(&self) -> MutexGuard<'_, Option<Child>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn init(&self) -> Result<(), String> {
        let dir = &self.dir;
        let made = DirBuilder::new().mode(0o700).create(dir);
        let made = made.and_then(|()| self.run_as.map_or(Ok(()), |(uid, gid)| chown(dir, Some(uid), Some(gid))));
        made.map_err(|e| format!("cannot make {}: {e}", dir.display()))?;
        let status = self
            .command("initdb")?
            .args(["--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C", "--username=postgres", "--pgdata"])
            .arg(self.data_dir())
            .status();
        if !status.is_ok_and(|status| status.success()) {
            return Err(format!("initdb failed:\n{}", self.log()));
        }
        // Its closing advice would only confuse whoever reads why the server did not start.
        let _ = fs::remove_file(dir.join("log"));
        // Overwritten, not replaced: the file keeps its owner.
        fs::write(self.data_dir().join("pg_hba.conf"), "host all all 127.0.0.1/32 trust\n")
            .map_err(|e| format!("cannot write pg_hba.conf: {e}"))
    }

    fn launch(&self) -> Result<(), String> {
        let mut server = self.server();
        if let Some(child) = server.as_mut() {
            // A killed server is still in here, and a zombie to Postgres' eyes a running one, until it is waited for.
            child.try_wait().ok().flatten().ok_or("the server is still running")?;
        }
        *server = None;
        let mut command = self.command("postgres")?;
        command.arg("-D").arg(self.data_dir());
        for setting in &self.settings {
            command.args(["-c", setting]);
        }
        command.args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]);
        command.args(["-c", &format!("port={}", self.port)]);
        let child = server.insert(command.spawn().map_err(|e| format!("cannot run sh: {e}"))?);
        let deadline = Instant::now() + Duration::from_secs(60);
        while child.try_wait().ok().flatten().is_none() {
            // The lock file, not a connection: that could be to somebody else's server on the same port.
            let lock = fs::read_to_string(self.data_dir().join("postmaster.pid")).unwrap_or_default();
            let mut lines = lock.lines();
            if lines.next() == Some(&child.id().to_string()) && lines.nth(6).is_some_and(|s| s.trim() == "ready") {
                return Ok(());
            }
            if Instant::now() > deadline {
                drop(server);
                self.stop_immediate();
                return Err(format!("postgres was not ready after a minute:\n{}", self.log()));
            }
            sleep(Duration::from_millis(5));
        }
        *server = None;
        Err(format!("postgres did not start:\n{}", self.log()))
    }

    fn stop(&self, signal: &str) {
        let Some(mut child) = self.server().take() else { return };
        // Not yet waited for, so the id cannot be another process's by now.
        let _ = Command::new("sh").args(["-c", r#"kill -s "$0" "$1""#, signal, &child.id().to_string()]).status();
        let deadline = Instant::now() + Duration::from_secs(30);
        while child.try_wait().ok().flatten().is_none() {
            if Instant::now() > deadline {
                let _ = child.kill();
            }
            sleep(Duration::from_millis(2));
        }
        let _ = fs::remove_file(self.dir.join("pid"));
    }

    /// In a process group of its own: Ctrl-C in a terminal is for us, who still need the server to finish our work.
    fn command(&self, program: &str) -> Result<Command, String> {
        let log = File::options().create(true).append(true).open(self.dir.join("log"));
        let log = log.and_then(|file| Ok((file.try_clone()?, file)));
        let (out, err) = log.map_err(|e| format!("cannot write to {}: {e}", self.dir.display()))?;
        let mut command = shell(LAUNCH, &self.dir, self.run_as);
        command.arg(self.bin.join(program)).stdin(Stdio::null()).stdout(out).stderr(err);
        Ok(command)
    }
}

impl Drop for LocalPostgres {
    fn drop(&mut self) {
        self.stop_immediate();
        drop(self.watchdog.stdin.take());
        let _ = self.watchdog.wait();
        // The watchdog did it, unless it was killed.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// The user and group to run as where we are root, which Postgres refuses to be.
fn server_user() -> Result<Option<(u32, u32)>, String> {
    if id(&["-u"]) != Some(0) {
        return Ok(None);
    }
    ["postgres", "_postgres", "nobody"]
        .iter()
        .find_map(|name| Some(Some((id(&["-u", name])?, id(&["-g", name])?))))
        .ok_or_else(|| "Postgres does not run as root, and there is no user `postgres` or `nobody`".to_owned())
}

/// `sh -c script dir`, in a process group of its own. The locale is fixed: messages and sorting are the same
/// everywhere, and macOS' own would make the server multi-threaded, which it refuses.
fn shell(script: &str, dir: &Path, run_as: Option<(u32, u32)>) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c").arg(script).arg(dir).current_dir("/").env("LC_ALL", "C").process_group(0);
    if let Some((uid, gid)) = run_as {
        command.uid(uid).gid(gid);
    }
    command
}

fn id(args: &[&str]) -> Option<u32> {
    let output = Command::new("id").args(args).stderr(Stdio::null()).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

/// `parent/prefix*/bin`, each with its version, so that the greatest is the newest.
fn installed(parent: &Path, prefix: &str) -> Vec<(Vec<u32>, PathBuf)> {
    let version = |name: &str| name.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect();
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok().filter(|name| name.starts_with(prefix)))
        .map(|name| (version(&name), parent.join(&name).join("bin")))
        .collect()
}

/// Below the range that outgoing connections take their ports from (Linux 32768, macOS 49152 and up): while the
/// server is stopped, no client's own port can be in its way, and a client that retries cannot connect to itself.
fn free_port() -> Result<u16, String> {
    (0..100)
        .filter_map(|_| u16::try_from(20_000 + random() % 12_000).ok())
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .ok_or_else(|| "no free port on 127.0.0.1".to_owned())
}

fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
