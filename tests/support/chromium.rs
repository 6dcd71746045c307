//! Chromium, driven by chromedriver over plain HTTP (W3C WebDriver), which takes no library. A test that needs it fails
//! where it is not there.

#![allow(dead_code, reason = "each test binary uses a part of it")]

#[path = "driver.rs"]
mod driver;

use std::time::{Duration, Instant};

use driver::{Driver, answer, answered, driver, installed};
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};

use super::support::eventually;

/// Chromium without a window; killed with its driver when dropped.
pub(crate) struct Browser {
    http: Client,
    session: String,
    _driver: Driver,
}

/// How it is to be.
#[derive(Clone, Copy)]
pub(crate) struct Wish<'a> {
    pub(crate) scripts: bool,
    /// Of the window's inside, in CSS pixels.
    pub(crate) size: (u32, u32),
    /// Dots of a picture to each of these.
    pub(crate) scale: f64,
    pub(crate) dark: bool,
    pub(crate) language: &'a str,
}

pub(crate) const PLAIN: Wish<'_> = Wish { scripts: true, size: (1280, 900), scale: 2.0, dark: false, language: "en" };
pub(crate) const PHONE_SIZE: (u32, u32) = (390, 844);

/// By itself it says that it has no window; for [`Browser::calls_itself`].
pub(crate) const CHROME: &str =
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36";

impl Browser {
    pub(crate) async fn open() -> Self {
        Self::with(PLAIN).await
    }

    /// In which no script runs.
    pub(crate) async fn without_scripts() -> Self {
        Self::with(Wish { scripts: false, ..PLAIN }).await
    }

    pub(crate) async fn with(wish: Wish<'_>) -> Self {
        let driven_by = driver().await;
        // A proxy of the environment is none of this test's business.
        let http = Client::builder().no_proxy().timeout(PATIENCE).build().expect("a client");
        let driver = format!("http://127.0.0.1:{}/session", driven_by.port);
        // Root, as in a container, has no sandbox, and a container little shared memory. By the pipe it notices when its
        // driver is gone.
        let mut switches = vec![
            "--headless=new",
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--remote-debugging-pipe",
            "--hide-scrollbars",
        ];
        if !wish.scripts {
            switches.push("--blink-settings=scriptEnabled=false");
        }
        let options = json!({
            "binary": installed(&["chromium", "chromium-browser", "google-chrome"]),
            "args": switches,
            "prefs": { "intl.accept_languages": wish.language },
        });
        let wanted = json!({ "goog:chromeOptions": options, "goog:loggingPrefs": { "browser": "ALL" } });
        let wanted = json!({ "capabilities": { "alwaysMatch": wanted } });
        let opened = answer(http.post(&driver).json(&wanted)).await;
        let session = format!("{driver}/{}", opened["sessionId"].as_str().expect("a session"));
        let browser = Self { http, session, _driver: driven_by };
        browser.look(wish).await;
        browser.go_to("data:text/html,<p>off</p><script>document.querySelector('p').textContent = 'on'</script>").await;
        assert_eq!(browser.text_of("p").await, if wish.scripts { "on" } else { "off" }, "scripts are not as asked for");
        browser
    }

    /// Another size, light or dark. A window cannot be as narrow as a phone, so the size is that of a device.
    pub(crate) async fn look(&self, wish: Wish<'_>) {
        let (width, height) = wish.size;
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": wish.scale, "mobile": width < 600 });
        self.devtools("Emulation.setDeviceMetricsOverride", size).await;
        let scheme = if wish.dark { "dark" } else { "light" };
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.devtools("Emulation.setEmulatedMedia", media).await;
    }

    /// Says that it is Chrome, or another one of its kin, on Windows 11; its hints say so too.
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

    /// Waits until there are so many.
    pub(crate) async fn has(&self, what: &str, selector: &str, count: usize) {
        eventually(what, || async { self.count(selector).await == count }).await;
    }

    pub(crate) async fn click(&self, selector: &str) {
        self.on(selector, |element| self.http.post(format!("{element}/click")).json(&json!({}))).await;
    }

    /// In place of what stands there.
    pub(crate) async fn fill_in(&self, selector: &str, text: &str) {
        self.on(selector, |element| self.http.post(format!("{element}/clear")).json(&json!({}))).await;
        let text = json!({ "text": text });
        self.on(selector, |element| self.http.post(format!("{element}/value")).json(&text)).await;
    }

    /// To whatever has the focus.
    pub(crate) async fn press(&self, key: char) {
        let keys = json!([{ "type": "keyDown", "value": key }, { "type": "keyUp", "value": key }]);
        let actions = json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": keys }] });
        self.post("actions", actions).await;
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
        let script = format!("return (async () => {{ {script}\n }})()");
        self.post("execute/sync", json!({ "script": script, "args": arguments })).await
    }

    pub(crate) async fn script(&self, script: &str) -> Value {
        self.run(script, json!([])).await
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

    /// What the browser complained of since it was last asked: errors of scripts, what a content security policy forbade, and
    /// answers of 4xx and 5xx. It asks for an icon that not every site has.
    pub(crate) async fn complaints(&self) -> Vec<String> {
        self.log(|_| true).await
    }

    /// The same, for whoever provokes refusals: without these answers.
    pub(crate) async fn complaints_but_of_answers(&self) -> Vec<String> {
        self.log(|entry| entry["source"] != "network").await
    }

    async fn log(&self, counts: impl Fn(&Value) -> bool) -> Vec<String> {
        let entries = self.post("se/log", json!({ "type": "browser" })).await;
        let entries = entries.as_array().expect("a list").iter().filter(|entry| counts(entry));
        let serious = entries.filter(|entry| entry["level"] != "DEBUG" && entry["level"] != "INFO");
        let messages = serious.map(|entry| entry["message"].as_str().unwrap_or_default().to_owned());
        messages.filter(|message| !message.contains("/favicon.ico")).collect()
    }

    /// A command of Chromium's own (DevTools protocol).
    pub(crate) async fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.post("goog/cdp/execute", json!({ "cmd": command, "params": parameters })).await
    }

    /// The whole page, as it is seen: a PNG.
    pub(crate) async fn picture(&self) -> Vec<u8> {
        self.png(true).await
    }

    /// What of it is in the window.
    pub(crate) async fn picture_of_the_window(&self) -> Vec<u8> {
        self.png(false).await
    }

    async fn png(&self, whole: bool) -> Vec<u8> {
        use base64::{Engine, engine::general_purpose::STANDARD};
        let wanted = json!({ "captureBeyondViewport": whole, "format": "png" });
        let taken = self.devtools("Page.captureScreenshot", wanted).await;
        STANDARD.decode(taken["data"].as_str().expect("a picture")).expect("Base64")
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

/// Far longer than anything here takes, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);
