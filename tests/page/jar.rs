//! A browser without a window: cookies, forms, redirects, one step at a time.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
};

use axum::{Router, body::Body, extract::ConnectInfo, http::Request};
use reqwest::Url;

use super::http::{Answer, ask_with};

pub(crate) struct Jar {
    app: Router,
    pub(crate) cookies: HashMap<String, String>,
    pub(crate) fields: Vec<(&'static str, String)>,
    address: IpAddr,
    /// Where it is.
    pub(crate) at: Url,
}

impl Jar {
    pub(crate) fn new(app: &Router, user_agent: &str) -> Self {
        let fields = vec![
            ("user-agent", user_agent.to_owned()),
            ("host", "app.example".to_owned()),
            ("accept", "text/html,application/xhtml+xml,*/*;q=0.8".to_owned()),
        ];
        let (address, at) = ([203, 0, 113, 7].into(), "https://app.example/".parse().unwrap());
        Self { app: app.clone(), cookies: HashMap::new(), fields, address, at }
    }

    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.fields.retain(|(known, _)| *known != name);
        self.fields.push((name, value.to_owned()));
        self
    }

    /// Through the sign-in form.
    pub(crate) async fn sign_in(mut self, user: &str) -> Self {
        let answer = self.post("/sign-in", &[("user", user)]).await;
        assert_eq!(answer.status, 303, "{}", answer.text());
        self
    }

    /// Relative to where it is, as a link is.
    pub(crate) async fn get(&mut self, to: &str) -> Answer {
        self.go("GET", to, None).await
    }

    pub(crate) async fn post(&mut self, to: &str, form: &[(&str, &str)]) -> Answer {
        let mut url = self.at.clone();
        url.query_pairs_mut().clear().extend_pairs(form);
        self.go("POST", to, Some(url.query().unwrap_or_default().to_owned())).await
    }

    pub(crate) async fn go(&mut self, method: &str, to: &str, form: Option<String>) -> Answer {
        self.at = self.at.join(to).unwrap();
        let path = below(&self.at);
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in &self.fields {
            request = request.header(*name, value);
        }
        if !self.cookies.is_empty() {
            let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            request = request.header("cookie", cookies.join("; "));
        }
        if form.is_some() {
            request = request.header("content-type", "application/x-www-form-urlencoded");
        }
        let mut request = request.body(form.map_or_else(Body::empty, Body::from)).unwrap();
        request.extensions_mut().insert(ConnectInfo(SocketAddr::from((self.address, 40_000))));
        let answer = ask_with(&self.app, request).await;
        for line in answer.headers.get_all("set-cookie") {
            let line = line.to_str().unwrap();
            let (name, rest) = line.split_once('=').unwrap();
            if line.contains("Max-Age=0;") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), rest.split(';').next().unwrap().to_owned());
            }
        }
        answer
    }

    /// Where a 303 leads.
    pub(crate) fn led(&self, answer: &Answer) -> String {
        assert_eq!(answer.status, 303, "{}", answer.text());
        let led = self.at.join(answer.headers["location"].to_str().unwrap()).unwrap();
        below(&led)
    }

    /// Goes where a 303 leads, which has to be there.
    pub(crate) async fn follow(&mut self, answer: Answer) -> Answer {
        let led = self.led(&answer);
        let next = self.get(&led).await;
        assert_eq!(next.status, 200, "{led}: {}", next.text());
        next
    }

    /// Opens the page, presses the button with that text on the device with that name (or the only one), as the HTML has
    /// it.
    pub(crate) async fn press(&mut self, path: &str, label: &str) -> Answer {
        let page = self.get(path).await;
        let html = page.text();
        let label = html.find(label).unwrap_or_else(|| panic!("{label:?} is not in {html}"));
        let form = &html[html[..label].rfind("<form ").unwrap()..label];
        let fields: Vec<_> =
            form.split("<input ").skip(1).map(|input| (of(input, "name"), of(input, "value"))).collect();
        let action = of(form, "action").to_owned();
        self.post(&action, &fields).await
    }

    /// The id of the device with that name.
    pub(crate) async fn id_of(&mut self, path: &str, name: &str) -> String {
        let page = self.get(path).await;
        let (_, after) = page.text().split_once(&format!("<bdi>{name}</bdi>")).expect("the device");
        of(after, "value").to_owned()
    }
}

/// The value of the next such attribute.
pub(crate) fn of<'a>(html: &'a str, attribute: &str) -> &'a str {
    let (_, after) = html.split_once(&format!("{attribute}=\"")).unwrap_or_else(|| panic!("{attribute} in {html}"));
    after.split('"').next().unwrap()
}

/// The names in the list, in their order.
pub(crate) fn names(page: &Answer) -> Vec<String> {
    assert_eq!(page.status, 200, "{}", page.text());
    let list = page.text().split("<ul class=\"devices\">").nth(1).expect("a list").split("</ul>").next().unwrap();
    let between = |part: &str| part.split("</bdi>").next().unwrap().to_owned();
    list.split("<h2><bdi>").skip(1).map(between).collect()
}

/// What the page says has been done.
pub(crate) fn notice(page: &Answer) -> Option<&str> {
    let (_, after) = page.text().split_once("role=\"status\">")?;
    after.split('<').next()
}

/// Path and query.
fn below(url: &Url) -> String {
    url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()))
}
