//! A real browser, driven by chromedriver over plain HTTP (W3C WebDriver), which takes no library.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

use super::support::eventually;

/// Far longer than anything here takes, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);

/// Chromium, without a window; killed with its driver when dropped.
pub(crate) struct Browser {
    http: Client,
    session: String,
    _driver: Child,
}

impl Browser {
    pub(crate) async fn open() -> Self {
        Self::with(&[]).await
    }

    /// In which no script runs.
    pub(crate) async fn without_scripts() -> Self {
        let browser = Self::with(&["--blink-settings=scriptEnabled=false"]).await;
        browser.go_to("data:text/html,<p>off</p><script>document.querySelector('p').textContent = 'on'</script>").await;
        assert_eq!(browser.text_of("p").await, "off", "scripts run here, so this test would show nothing");
        browser
    }

    /// With switches of Chromium's.
    pub(crate) async fn with(switches: &[&str]) -> Self {
        let (_driver, port) = driver().await;
        // A proxy of the environment is none of this test's business.
        let http = Client::builder().no_proxy().timeout(PATIENCE).build().expect("a client");
        let driver = format!("http://127.0.0.1:{port}/session");
        // Root, as in a container, has no sandbox, and a container little shared memory. By the pipe it notices when its
        // driver is gone.
        let own =
            ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--remote-debugging-pipe"];
        let (binary, switches) =
            (installed(&["chromium", "chromium-browser", "google-chrome"]), [&own, switches].concat());
        let options = json!({ "binary": binary, "args": switches });
        let wanted = json!({ "goog:chromeOptions": options, "goog:loggingPrefs": { "browser": "ALL" } });
        let wanted = json!({ "capabilities": { "alwaysMatch": wanted } });
        let opened = answer(http.post(&driver).json(&wanted)).await;
        let session = format!("{driver}/{}", opened["sessionId"].as_str().expect("a session"));
        Self { http, session, _driver }
    }

    /// Says that it is Chrome, or another one of its kin, on Windows 11. By itself it says that it has no window.
    pub(crate) async fn calls_itself(&self, brand: &str, user_agent: &str) {
        let hints = json!({
            "brands": [{ "brand": "Chromium", "version": "142" }, { "brand": brand, "version": "142" }],
            "fullVersionList": [{ "brand": "Chromium", "version": "142.0.0.0" }, { "brand": brand, "version": "142.0.0.0" }],
            "platform": "Windows", "platformVersion": "15.0.0", "architecture": "x86", "model": "", "mobile": false,
        });
        let as_it_says = json!({ "userAgent": user_agent, "userAgentMetadata": hints });
        self.devtools("Emulation.setUserAgentOverride", as_it_says).await;
    }

    pub(crate) async fn go_to(&self, url: &str) {
        self.post("url", json!({ "url": url })).await;
    }

    pub(crate) async fn url(&self) -> String {
        self.get("url").await.as_str().expect("a url").to_owned()
    }

    /// A click does not always wait for the page that it leads to.
    pub(crate) async fn arrives_at(&self, url: &str) {
        eventually(url, || async { self.url().await == url }).await;
    }

    /// Waits for something that the page shows by itself.
    pub(crate) async fn shows(&self, selector: &str, text: &str) {
        let script =
            "return [...document.querySelectorAll(arguments[0])].some(it => it.textContent.includes(arguments[1]))";
        let what = format!("{selector} with {text:?}");
        eventually(&what, || async { self.run(script, json!([selector, text])).await == true }).await;
    }

    pub(crate) async fn click(&self, selector: &str) {
        self.on(selector, |element| self.http.post(format!("{element}/click")).json(&json!({}))).await;
    }

    pub(crate) async fn fill_in(&self, selector: &str, text: &str) {
        let text = json!({ "text": text });
        self.on(selector, |element| self.http.post(format!("{element}/value")).json(&text)).await;
    }

    pub(crate) async fn text_of(&self, selector: &str) -> String {
        let text = self.on(selector, |element| self.http.get(format!("{element}/text"))).await;
        text.as_str().expect("a text").to_owned()
    }

    pub(crate) async fn count(&self, selector: &str) -> usize {
        self.post("elements", css(selector)).await.as_array().expect("a list").len()
    }

    /// Null where there is none.
    pub(crate) async fn cookie(&self, name: &str) -> Value {
        let cookies = self.get("cookie").await;
        let cookies = cookies.as_array().expect("a list");
        cookies.iter().find(|cookie| cookie["name"] == name).cloned().unwrap_or_default()
    }

    /// Runs a script in the page, which may `await`, and returns what it returns.
    pub(crate) async fn run(&self, script: &str, arguments: Value) -> Value {
        // The inner function has the `arguments` of the outer one.
        let script = format!("return (async () => {{ {script} }})()");
        self.post("execute/sync", json!({ "script": script, "args": arguments })).await
    }

    /// The window that the next commands are for.
    pub(crate) async fn window(&self) -> String {
        self.get("window").await.as_str().expect("a handle").to_owned()
    }

    /// Another tab of the same browser, with the same cookies and storage. It has to be switched to.
    pub(crate) async fn new_tab(&self) -> String {
        self.post("window/new", json!({ "type": "tab" })).await["handle"].as_str().expect("a handle").to_owned()
    }

    pub(crate) async fn switch_to(&self, window: &str) {
        self.post("window", json!({ "handle": window })).await;
    }

    pub(crate) async fn size(&self, width: u32, height: u32) {
        self.post("window/rect", json!({ "width": width, "height": height })).await;
    }

    /// What the browser complained of since it was last asked: errors of scripts, and what a content security policy
    /// forbade. Answers of 4xx and 5xx are not among them.
    pub(crate) async fn complaints(&self) -> Vec<String> {
        let entries = self.post("se/log", json!({ "type": "browser" })).await;
        let entries = entries.as_array().expect("a list").clone();
        let told =
            |entry: &Value| entry["source"] != "network" && entry["level"] != "DEBUG" && entry["level"] != "INFO";
        let entries = entries.into_iter().filter(told);
        entries.map(|entry| entry["message"].to_string()).collect()
    }

    /// A command of Chromium's own (DevTools protocol).
    pub(crate) async fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.post("goog/cdp/execute", json!({ "cmd": command, "params": parameters })).await
    }

    /// The whole page, as PNG in Base64.
    pub(crate) async fn screenshot(&self) -> String {
        let all = json!({ "captureBeyondViewport": true, "format": "png" });
        self.devtools("Page.captureScreenshot", all).await["data"].as_str().expect("a picture").to_owned()
    }

    pub(crate) async fn close(self) {
        answer(self.http.delete(&self.session)).await;
    }

    /// Something that is done to an element, when it is there. The page may take it away between finding and doing: then
    /// once more.
    async fn on(&self, selector: &str, ask: impl Fn(String) -> RequestBuilder) -> Value {
        let until = Instant::now() + PATIENCE;
        loop {
            let done = match answered(self.http.post(format!("{}/element", self.session)).json(&css(selector))).await {
                Ok(found) => {
                    let found = found.as_object().and_then(|found| found.values().next()).and_then(Value::as_str);
                    answered(ask(format!("{}/element/{}", self.session, found.expect("an element")))).await
                }
                Err(problem) => Err(problem),
            };
            match done {
                Ok(value) => return value,
                Err(problem) => {
                    let moved =
                        matches!(problem["error"].as_str(), Some("stale element reference" | "no such element"));
                    assert!(moved && Instant::now() < until, "{selector}: {problem}");
                }
            }
        }
    }

    async fn get(&self, what: &str) -> Value {
        answer(self.http.get(format!("{}/{what}", self.session))).await
    }

    async fn post(&self, what: &str, body: Value) -> Value {
        answer(self.http.post(format!("{}/{what}", self.session)).json(&body)).await
    }
}

fn css(selector: &str) -> Value {
    json!({ "using": "css selector", "value": selector })
}

async fn answer(request: RequestBuilder) -> Value {
    answered(request).await.unwrap_or_else(|problem| panic!("{problem}"))
}

async fn answered(request: RequestBuilder) -> Result<Value, Value> {
    let answer = request.send().await.expect("the driver answers");
    let (status, mut body) = (answer.status(), answer.json::<Value>().await.expect("JSON"));
    let value = body["value"].take();
    if status.is_success() { Ok(value) } else { Err(value) }
}

/// The driver, and the port at which it serves.
async fn driver() -> (Child, u16) {
    let says = "ChromeDriver was started successfully on port";
    let (driver, line) = serving(&installed(&["chromedriver"]), &["--port=0"], &[], says).await;
    (driver, line.rsplit(' ').next().and_then(|port| port.trim_end_matches('.').parse().ok()).expect("a port"))
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
    let mut child = command.spawn().expect("it starts and can be read");
    let mut lines = BufReader::new(child.stdout.take().expect("it starts and can be read")).lines();
    let line = timeout(PATIENCE, async {
        while let Some(line) = lines.next_line().await.expect("it starts and can be read") {
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
    let found =
        |name: &&str| env::split_paths(&path).map(|dir| dir.join(OsStr::new(name))).find(|file| Path::is_file(file));
    names.iter().find_map(found).unwrap_or_else(|| {
        panic!(
            "this test needs Chromium and its driver: apt-get install chromium chromium-driver ({names:?} not on PATH)"
        )
    })
}
