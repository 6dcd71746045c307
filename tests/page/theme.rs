//! What the application says of itself, and what it cannot say.

use axum_device_sessions::{ConfigError, routes::PageTheme};

use super::{
    LAPTOP, PAGE,
    http::in_memory,
    jar::{Jar, names},
    site,
};

#[tokio::test]
async fn name_logo_links_and_where_to_sign_in() {
    let theme = PageTheme::new("Tom & \"Jerry\" <Ltd>").login_url("https://id.example/in?to={page}").unwrap();
    let theme = theme.logo("/static/logo.svg?a=1&b=2").unwrap();
    let theme = theme.link("Back <now>", "/?a&b").unwrap().link("Help", "https://help.example/x").unwrap();
    let sessions = in_memory().await;
    let app = site(&sessions, theme);
    let mut laptop = Jar::new(&app, LAPTOP).sign_in("ahmed").await;
    let page = laptop.get(PAGE).await;
    assert_eq!(names(&page).len(), 1);
    for part in [
        "<title>Your devices · Tom &#38; &#34;Jerry&#34; &#60;Ltd&#62;</title>",
        "<img src=\"/static/logo.svg?a=1&#38;b=2\" alt=\"\" height=\"28\">",
        "<a href=\"/?a&#38;b\">Back &#60;now&#62;</a>",
        "<a href=\"https://help.example/x\">Help</a>",
    ] {
        assert!(page.text().contains(part), "{part} in {}", page.text());
    }
    // Some browsers hold a form's redirect to the policy too.
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("; form-action 'self' https://id.example;"), "{policy}");
    let answer = laptop.post(&format!("{PAGE}/log-out"), &[]).await;
    assert_eq!(answer.headers["location"], "https://id.example/in?to=/account/devices");
}

#[test]
fn what_cannot_work_says_what_to_do() {
    let theme = || PageTheme::new("Example");
    let said = |refused: Result<PageTheme, ConfigError>| refused.expect_err("refused").to_string();
    assert_eq!(
        said(theme().login_url("javascript:alert(1)")),
        "login_url \"javascript:alert(1)\" is no address: give a path of this service, as /sign-in, or an https URL"
    );
    assert!(said(theme().reauthenticate_url("//evil.example")).starts_with("reauthenticate_url"));
    assert!(said(theme().link("Home", "home")).starts_with("link \"home\""));
    assert_eq!(said(theme().link(" ", "/")), "the link to \"/\" has no label: say where it leads");
    assert!(said(theme().logo("https://cdn.example/logo.svg")).ends_with("give a path, as /logo.svg"));
    assert_eq!(said(theme().accent("red")), "accent \"red\" is no colour: give # and six hexadecimal digits");
    assert!(said(theme().language("de")).ends_with("give them first, by PageTheme::strings"));
}
