//! A real browser with scripts switched off, driven by chromedriver over plain HTTP (W3C WebDriver), which takes no library.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use reqwest::Client;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

use super::support::eventually;

/// Chromium, without a window and without scripts; killed with its driver when dropped.
pub(crate) struct Browser {
    http: Client,
    session: String,
    _driver: Child,
}

impl Browser {
    pub(crate) async fn open() -> Self {
        let driver = installed(&["chromedriver"]);
        let (_driver, line) =
            serving(&driver, &["--port=0"], &[], "ChromeDriver was started successfully on port").await;
        let port: u16 = line.rsplit(' ').next().unwrap().trim_end_matches('.').parse().unwrap();
        // A proxy of the environment is none of this test's business.
        let http = Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        let driver = format!("http://127.0.0.1:{port}/session");
        let options = json!({
            "binary": installed(&["chromium", "chromium-browser", "google-chrome"]),
            // Root, as in a container, has no sandbox, and a container little shared memory. By the pipe it notices when its
            // driver is gone.
            "args": ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--blink-settings=scriptEnabled=false", "--remote-debugging-pipe"],
        });
        let wanted = json!({ "capabilities": { "alwaysMatch": { "goog:chromeOptions": options } } });
        let opened = answer(http.post(&driver).json(&wanted)).await;
        let session = format!("{driver}/{}", opened["sessionId"].as_str().unwrap());
        let browser = Self { http, session, _driver };
        let page = "data:text/html,<p>off</p><script>document.querySelector('p').textContent = 'on'</script>";
        browser.go_to(page).await;
        assert_eq!(browser.text_of("p").await, "off", "scripts run here, so this test would show nothing");
        browser
    }

    pub(crate) async fn go_to(&self, url: &str) {
        self.post("url", json!({ "url": url })).await;
    }

    /// A click does not always wait for the page that it leads to.
    pub(crate) async fn arrives_at(&self, url: &str) {
        eventually(url, || async { self.get("url").await == url }).await;
    }

    pub(crate) async fn click(&self, selector: &str) {
        let element = self.element(selector).await;
        self.post(&format!("{element}/click"), json!({})).await;
    }

    pub(crate) async fn fill_in(&self, selector: &str, text: &str) {
        let element = self.element(selector).await;
        self.post(&format!("{element}/value"), json!({ "text": text })).await;
    }

    pub(crate) async fn text_of(&self, selector: &str) -> String {
        let element = self.element(selector).await;
        self.get(&format!("{element}/text")).await.as_str().unwrap().to_owned()
    }

    pub(crate) async fn count(&self, selector: &str) -> usize {
        self.post("elements", css(selector)).await.as_array().unwrap().len()
    }

    /// Null where there is none.
    pub(crate) async fn cookie(&self, name: &str) -> Value {
        let cookies = self.get("cookie").await;
        cookies.as_array().unwrap().iter().find(|cookie| cookie["name"] == name).cloned().unwrap_or_default()
    }

    async fn element(&self, selector: &str) -> String {
        let found = self.post("element", css(selector)).await;
        format!("element/{}", found.as_object().unwrap().values().next().unwrap().as_str().unwrap())
    }

    async fn get(&self, what: &str) -> Value {
        answer(self.http.get(format!("{}/{what}", self.session))).await
    }

    async fn post(&self, what: &str, body: Value) -> Value {
        answer(self.http.post(format!("{}/{what}", self.session)).json(&body)).await
    }

    pub(crate) async fn close(self) {
        answer(self.http.delete(&self.session)).await;
    }
}

fn css(selector: &str) -> Value {
    json!({ "using": "css selector", "value": selector })
}

async fn answer(request: reqwest::RequestBuilder) -> Value {
    let answer = request.send().await.unwrap();
    let (status, mut body) = (answer.status(), answer.json::<Value>().await.unwrap());
    assert!(status.is_success(), "{body}");
    body["value"].take()
}

/// Starts a program, and returns the line with which it says that it serves.
pub(crate) async fn serving(
    program: &Path,
    arguments: &[&str],
    environment: &[(&str, &str)],
    says: &str,
) -> (Child, String) {
    let mut command = Command::new(program);
    // Nobody's database: the example keeps sessions in memory.
    command.args(arguments).env_remove("DATABASE_URL").env_remove("SIGNING_SECRET").envs(environment.iter().copied());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = timeout(PATIENCE, async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.starts_with(says) {
                return line;
            }
        }
        panic!("{} does not serve", program.display())
    });
    let line = line.await.unwrap_or_else(|_| panic!("{} does not serve in time", program.display()));
    // It may say more, and must not find its stdout closed.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    (child, line)
}

fn installed(names: &[&str]) -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = |name: &&str| env::split_paths(&path).map(|dir| dir.join(OsStr::new(name))).find(|file| file.is_file());
    names.iter().find_map(found).unwrap_or_else(|| {
        panic!(
            "this test needs Chromium and its driver: apt-get install chromium chromium-driver ({names:?} not on PATH)"
        )
    })
}

/// Far longer than anything here takes, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);
