//! chromedriver: started, and asked.

use std::{env, ffi::OsStr, path::PathBuf, process::Stdio};

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

/// And the port that it listens on.
pub(super) async fn driver() -> (Child, u16) {
    let mut command = Command::new(installed(&["chromedriver"]));
    command.arg("--port=0").stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
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
    (child, port)
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
