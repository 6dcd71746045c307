//! Chromium, driven by chromedriver over plain HTTP (W3C WebDriver), which takes no library. A test that needs it fails
//! where it is not there.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::{
    env,
    ffi::OsStr,
    future::Future,
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

/// Chromium without a window; killed with its driver when dropped.
pub(crate) struct Browser {
    http: Client,
    session: String,
    _driver: Child,
}

/// How it is to be.
#[derive(Clone, Copy)]
pub(crate) struct Wish<'a> {
    pub(crate) scripts: bool,
    /// Of the window's inside, in CSS pixels.
    pub(crate) size: (u32, u32),
    pub(crate) dark: bool,
    pub(crate) language: &'a str,
    /// Its own, or another's.
    pub(crate) user_agent: Option<&'a str>,
}

pub(crate) const PLAIN: Wish<'_> =
    Wish { scripts: true, size: (1280, 900), dark: false, language: "en", user_agent: None };

impl Browser {
    pub(crate) async fn open(wish: Wish<'_>) -> Self {
        let (_driver, port) = driver().await;
        // A proxy of the environment is none of this test's business.
        let http = Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        let driver = format!("http://127.0.0.1:{port}/session");
        let mut arguments = vec![
            // Root, as in a container, has no sandbox, and a container little shared memory. By the pipe it notices when
            // its driver is gone.
            "--headless=new".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--disable-gpu".to_owned(),
            "--remote-debugging-pipe".to_owned(),
            "--hide-scrollbars".to_owned(),
        ];
        if !wish.scripts {
            arguments.push("--blink-settings=scriptEnabled=false".to_owned());
        }
        let options = json!({
            "binary": installed(&["chromium", "chromium-browser", "google-chrome"]),
            "args": arguments,
            "prefs": { "intl.accept_languages": wish.language },
        });
        let wanted = json!({ "goog:chromeOptions": options, "goog:loggingPrefs": { "browser": "ALL" } });
        let wanted = json!({ "capabilities": { "alwaysMatch": wanted } });
        let opened = answer(http.post(&driver).json(&wanted)).await;
        let session = format!("{driver}/{}", opened["sessionId"].as_str().unwrap());
        let browser = Self { http, session, _driver };
        browser.look(wish).await;
        if let Some(user_agent) = wish.user_agent {
            browser.passes_for(user_agent).await;
        }
        let page = "data:text/html,<p>off</p><script>document.querySelector('p').textContent = 'on'</script>";
        browser.go_to(page).await;
        assert_eq!(browser.text_of("p").await, if wish.scripts { "on" } else { "off" }, "scripts are not as asked for");
        browser
    }

    /// Another size, light or dark. A window cannot be as narrow as a phone, so the size is that of a device.
    pub(crate) async fn look(&self, wish: Wish<'_>) {
        let (width, height) = wish.size;
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 2, "mobile": width < 600 });
        self.devtools("Emulation.setDeviceMetricsOverride", size).await;
        let scheme = if wish.dark { "dark" } else { "light" };
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.devtools("Emulation.setEmulatedMedia", media).await;
    }

    /// For whom it passes itself off, its hints included.
    async fn passes_for(&self, user_agent: &str) {
        let metadata = json!({
            "brands": [{ "brand": "Google Chrome", "version": "140" }, { "brand": "Chromium", "version": "140" }],
            "platform": "Windows", "platformVersion": "15.0.0", "architecture": "x86", "model": "", "mobile": false,
        });
        let wanted = json!({ "userAgent": user_agent, "userAgentMetadata": metadata });
        self.devtools("Emulation.setUserAgentOverride", wanted).await;
    }

    pub(crate) async fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.post("goog/cdp/execute", json!({ "cmd": command, "params": parameters })).await
    }

    pub(crate) async fn go_to(&self, url: &str) {
        self.post("url", json!({ "url": url })).await;
    }

    /// A click does not always wait for the page that it leads to.
    pub(crate) async fn arrives_at(&self, url: &str) {
        eventually(url, || async { self.get("url").await == url }).await;
    }

    pub(crate) async fn url(&self) -> String {
        self.get("url").await.as_str().unwrap().to_owned()
    }

    pub(crate) async fn click(&self, selector: &str) {
        let element = self.element(selector).await;
        self.post(&format!("{element}/click"), json!({})).await;
    }

    pub(crate) async fn fill_in(&self, selector: &str, text: &str) {
        let element = self.element(selector).await;
        self.post(&format!("{element}/clear"), json!({})).await;
        self.post(&format!("{element}/value"), json!({ "text": text })).await;
    }

    /// To whatever has the focus.
    pub(crate) async fn press(&self, key: char) {
        let keys = json!([{ "type": "keyDown", "value": key }, { "type": "keyUp", "value": key }]);
        let actions = json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": keys }] });
        self.post("actions", actions).await;
    }

    pub(crate) async fn text_of(&self, selector: &str) -> String {
        let element = self.element(selector).await;
        self.get(&format!("{element}/text")).await.as_str().unwrap().to_owned()
    }

    pub(crate) async fn count(&self, selector: &str) -> usize {
        self.post("elements", css(selector)).await.as_array().unwrap().len()
    }

    pub(crate) async fn has(&self, what: &str, selector: &str, count: usize) {
        eventually(what, || async { self.count(selector).await == count }).await;
    }

    /// Null where there is none.
    pub(crate) async fn cookie(&self, name: &str) -> Value {
        let cookies = self.get("cookie").await;
        cookies.as_array().unwrap().iter().find(|cookie| cookie["name"] == name).cloned().unwrap_or_default()
    }

    /// What a function body returns in the page.
    pub(crate) async fn script(&self, body: &str) -> Value {
        self.post("execute/sync", json!({ "script": body, "args": [] })).await
    }

    /// What a function body says to its last argument, a callback.
    pub(crate) async fn script_later(&self, body: &str) -> Value {
        self.post("execute/async", json!({ "script": body, "args": [] })).await
    }

    /// What it has complained of since the last time.
    pub(crate) async fn complaints(&self) -> Vec<String> {
        let log = self.post("se/log", json!({ "type": "browser" })).await;
        log.as_array().unwrap().iter().map(|line| line["message"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// The whole page, as it is seen.
    pub(crate) async fn picture(&self) -> Vec<u8> {
        use base64::{Engine, engine::general_purpose::STANDARD};
        let taken =
            self.devtools("Page.captureScreenshot", json!({ "format": "png", "captureBeyondViewport": true })).await;
        STANDARD.decode(taken["data"].as_str().unwrap()).unwrap()
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

/// And the port that it listens on.
async fn driver() -> (Child, u16) {
    let mut command = Command::new(installed(&["chromedriver"]));
    command.arg("--port=0").stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let says = "ChromeDriver was started successfully on port";
    let started = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.starts_with(says) {
                return line.rsplit(' ').next().unwrap().trim_end_matches('.').parse().unwrap();
            }
        }
        panic!("chromedriver does not serve")
    };
    let port = within(started).await;
    // It may say more, and must not find its stdout closed.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    (child, port)
}

async fn within<T>(doing: impl Future<Output = T>) -> T {
    timeout(PATIENCE, doing).await.expect("chromedriver does not serve in time")
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

/// `target`, above the `debug/deps` in which the test itself is.
pub(crate) fn target() -> PathBuf {
    let test = env::current_exe().unwrap();
    test.ancestors().nth(3).map(Path::to_owned).unwrap()
}

/// Far longer than anything here takes, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);
