//! chromedriver: started, and asked.

use std::{
    env,
    ffi::OsStr,
    fs,
    io::ErrorKind,
    path::PathBuf,
    process::Stdio,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use reqwest::RequestBuilder;
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

use super::PATIENCE;

pub(super) async fn answer(request: RequestBuilder) -> Value {
    answered(request).await.unwrap_or_else(|problem| panic!("{problem}"))
}

pub(super) async fn answered(request: RequestBuilder) -> Result<Value, Value> {
    let answer = request.send().await.expect("the driver answers");
    let (status, mut body) = (answer.status(), answer.json::<Value>().await.expect("JSON"));
    let value = body["value"].take();
    if status.is_success() { Ok(value) } else { Err(value) }
}

/// One that runs, and is killed when dropped.
pub(super) struct Driver {
    pub(super) port: u16,
    // In this order: what is left behind is removed after who may still write it.
    _child: Child,
    _scratch: Scratch,
}

pub(super) async fn driver() -> Driver {
    let scratch = Scratch::new();
    let mut command = Command::new(installed(&["chromedriver"]));
    command.arg("--port=0").env("TMPDIR", &scratch.0).stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let says = "ChromeDriver was started successfully on port";
    let started = timeout(PATIENCE, async {
        while let Some(line) = lines.next_line().await.expect("it can be read") {
            if line.starts_with(says) {
                return line.rsplit(' ').next().and_then(|port| port.trim_end_matches('.').parse().ok());
            }
        }
        None
    });
    let port = started.await.ok().flatten().expect("chromedriver does not serve");
    // It may say more, and must not find its stdout closed.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    Driver { port, _child: child, _scratch: scratch }
}

/// The directory for the browser's profile and whatever else it puts down: one that is killed removes none of it.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        // Short, since a socket's path has to be.
        let name = format!("ads-web-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let path = env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a directory");
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // The browser goes soon after its driver, and may write until then.
        let until = Instant::now() + Duration::from_secs(5);
        while fs::remove_dir_all(&self.0).is_err_and(|e| e.kind() != ErrorKind::NotFound) && Instant::now() < until {
            thread::sleep(Duration::from_millis(10));
        }
    }
}

pub(super) fn installed(names: &[&str]) -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = |name: &&str| env::split_paths(&path).map(|dir| dir.join(OsStr::new(name))).find(|file| file.is_file());
    names.iter().find_map(found).unwrap_or_else(|| {
        panic!(
            "this test needs Chromium and its driver: apt-get install chromium chromium-driver ({names:?} not on PATH)"
        )
    })
}
