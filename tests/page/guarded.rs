//! The headers of every answer, and the two files.

use super::{
    LAPTOP, PAGE,
    http::{Answer, in_memory},
    jar::{Jar, of},
    site, theme,
};

const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
    form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

fn assert_guarded(answer: &Answer, kept: &str) {
    for (name, value) in [
        ("content-security-policy", POLICY),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "same-origin"),
        ("cache-control", kept),
    ] {
        assert_eq!(answer.headers.get(name).map(|value| value.to_str().unwrap()), Some(value), "{name}");
        assert_eq!(answer.headers.get_all(name).iter().count(), 1);
    }
}

#[tokio::test]
async fn every_answer_is_guarded() {
    let sessions = in_memory().await;
    let mut laptop = Jar::new(&site(&sessions, theme()), LAPTOP).sign_in("ahmed").await;
    let mut nobody = Jar::new(&site(&sessions, theme()), LAPTOP);
    let paths = ["", "/rename", "/sign-out", "/sign-out-others", "/sign-out-everywhere"];
    for method in ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"] {
        for path in paths {
            for jar in [&mut laptop, &mut nobody] {
                let answer = jar.go(method, &format!("{PAGE}{path}"), None).await;
                assert_guarded(&answer, "no-store");
                if let Some(kind) = answer.headers.get("content-type") {
                    assert_eq!(kind, "text/html; charset=utf-8");
                }
            }
        }
    }
    let mut answers = Vec::new();
    answers.push(laptop.post(&format!("{PAGE}/log-out"), &[]).await);
    answers.push(laptop.get(&format!("{PAGE}/events")).await);
    for answer in answers {
        assert_guarded(&answer, "no-store");
    }
}

/// Nothing that the policy would have to let through is in the page, whatever it shows.
#[tokio::test]
async fn nothing_is_written_into_the_page_that_runs_or_styles() {
    let sessions = in_memory().await;
    let mut laptop = Jar::new(&site(&sessions, theme()), LAPTOP).sign_in("ahmed").await;
    for path in ["", "/sign-out-others", "/sign-out-everywhere"] {
        let page = laptop.get(&format!("{PAGE}{path}")).await;
        let html = page.text();
        assert_eq!(html.matches("<script").count(), 1, "{path}");
        assert!(html.contains("<script src=") && html.contains("defer></script>"));
        for inline in
            ["<style", " style=", " onclick=", " onload=", "javascript:", "http://", "https://", "<base", "<iframe"]
        {
            assert!(!html.contains(inline), "{inline} in {path}");
        }
    }
}

#[tokio::test]
async fn its_files_are_kept_for_ever_by_what_is_in_them() {
    let sessions = in_memory().await;
    let app = site(&sessions, theme());
    let mut laptop = Jar::new(&app, LAPTOP).sign_in("ahmed").await;
    let page = laptop.get(PAGE).await;
    for (tag, attribute, kind) in
        [("<link ", "href", "text/css; charset=utf-8"), ("<script ", "src", "text/javascript; charset=utf-8")]
    {
        let address = of(page.text().split_once(tag).unwrap().1, attribute);
        // Everybody may have them: the browser asks before it knows whether the cookie is any good.
        let mut nobody = Jar::new(&app, LAPTOP);
        nobody.at = nobody.at.join(PAGE).unwrap();
        let file = nobody.get(address).await;
        assert_eq!(file.status, 200, "{address}");
        assert_guarded(&file, "public, max-age=31536000, immutable");
        assert_eq!(file.headers["content-type"], kind);
        let tag = file.headers["etag"].to_str().unwrap().to_owned();
        assert!(address.ends_with(&format!("?v={}", tag.trim_matches('"'))));
        // Of another version, or none: not to be kept under that address.
        let path = nobody.at.path().to_owned();
        for query in ["", "?v=0000000000000000", "?v="] {
            let file = nobody.get(&format!("{path}{query}")).await;
            assert_guarded(&file, "no-cache");
        }
        for (sent, status) in
            [(tag.clone(), 304), (format!("W/{tag}"), 304), (format!("\"x\", {tag}"), 304), ("\"x\"".to_owned(), 200)]
        {
            let mut has_it = Jar::new(&app, LAPTOP).with("if-none-match", &sent);
            let file = has_it.get(&path).await;
            assert_eq!((file.status.as_u16(), file.body.is_empty()), (status, status == 304), "{sent}");
        }
    }
    let script = laptop.get(&format!("{PAGE}/page.js")).await;
    println!("page.js: {} bytes", script.body.len());
    assert!(script.body.len() < 3_072);
    // Another colour is another file.
    let mut green = Jar::new(&site(&sessions, theme().accent("#0b6e4f").unwrap()), LAPTOP).sign_in("ahmed").await;
    let other = green.get(PAGE).await;
    assert_ne!(of(other.text(), "href"), of(page.text(), "href"));
    let css = green.get(&format!("{PAGE}/page.css")).await;
    assert!(css.text().starts_with(":root { --accent: #0b6e4f; --on-accent: #ffffff; }"), "{}", &css.text()[..80]);
}
