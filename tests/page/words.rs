//! In which language the page speaks.

use std::time::Duration;

use axum_device_sessions::{
    Clock, MemoryStore,
    routes::{PageStrings, PageTheme},
};

use super::{
    LAPTOP, PAGE, PHONE,
    http::{in_memory, on},
    jar::{Jar, names, notice},
    site, theme,
};

#[tokio::test]
async fn the_reader_s_language_is_spoken() {
    let clock = Clock::manual();
    let sessions = on(MemoryStore::with_clock(clock.clone())).clock(clock.clone()).build().await.unwrap();
    let app = site(&sessions, theme());
    let mut jar = Jar::new(&app, LAPTOP).sign_in("ahmed").await;
    let _phone = Jar::new(&app, PHONE).sign_in("ahmed").await;
    clock.advance(Duration::from_secs(22 * 60));
    for (sent, language, title) in [
        ("en-GB,en;q=0.9,ru;q=0.8", "en", "Your devices"),
        ("ru-RU,ru;q=0.9,en;q=0.8", "ru", "Ваши устройства"),
        ("de-DE,de;q=0.9,ru;q=0.3,en;q=0.2", "ru", "Ваши устройства"),
        ("de", "en", "Your devices"),
    ] {
        jar = jar.with("accept-language", sent);
        let page = jar.get(PAGE).await;
        let html = page.text();
        assert!(html.contains(&format!("<html lang=\"{language}\">")) && html.contains(title), "{sent}: {html}");
    }
    jar = jar.with("accept-language", "ru");
    let page = jar.get(PAGE).await;
    let html = page.text();
    for words in [
        "Это устройство",
        "Активность: <time",
        "22 минуты назад",
        "Сейчас в сети",
        "Завершить все другие сеансы",
        " г., ",
    ] {
        assert!(html.contains(words), "{words} in {html}");
    }
    assert!(html.contains("aria-label=\"Завершить сеанс: Safari on iPhone\""));
    let answer = jar.press(PAGE, "aria-label=\"Завершить сеанс: Safari on iPhone\"").await;
    let page = jar.follow(answer).await;
    assert_eq!(notice(&page), Some("Сеанс на устройстве завершён."));
    assert!(page.text().contains("Завершён с другого вашего устройства"));
    let english: Vec<&str> =
        PageStrings::ENGLISH.lines().filter_map(|line| line.split_once(" = ")).map(|(_, said)| said).collect();
    let body = page.text().split_once("<main>").unwrap().1;
    let left = english.iter().filter(|said| said.len() > 8 && body.contains(**said)).collect::<Vec<_>>();
    assert!(left.is_empty(), "in English still: {left:?}");
}

#[tokio::test]
async fn one_language_for_all_or_one_more() {
    let sessions = in_memory().await;
    let mut jar = Jar::new(&site(&sessions, theme().language("ru").unwrap()), LAPTOP).with("accept-language", "en");
    jar = jar.sign_in("ahmed").await;
    assert!(jar.get(PAGE).await.text().contains("Ваши устройства"));

    let german =
        "# Deutsch\n title = Deine <Geräte>\n\n minutes_ago.other = vor {n} Minuten\nminutes_ago.one = vor {n} Minute";
    let german = PageStrings::parse("de", german).unwrap();
    let own_english = PageStrings::parse("en", "title = Where you are").unwrap();
    let themed = || PageTheme::new("").strings(german.clone()).strings(own_english.clone());
    for (sent, expected) in [("de-AT", "Deine &#60;Geräte&#62;"), ("en", "Where you are"), ("ru", "Ваши устройства")]
    {
        let mut jar = Jar::new(&site(&sessions, themed()), LAPTOP).with("accept-language", sent).sign_in("lena").await;
        let page = jar.get(PAGE).await;
        assert!(!names(&page).is_empty());
        assert!(page.text().contains(&format!("<h1>{expected}</h1>")), "{sent}: {}", page.text());
        assert!(page.text().contains(&format!("<title>{expected}</title>")), "no name, no mark before it");
    }
    assert!(themed().language("de").is_ok());
}

#[test]
fn words_that_cannot_be_used_are_refused_by_name() {
    let said = |language, text| PageStrings::parse(language, text).expect_err(text).to_string();
    for (text, expected) in [
        ("titel = Geräte", "titel is no key"),
        ("title Geräte", "no `key = words`: \"title Geräte\""),
        ("title =", "has no words"),
        ("title = a\ntitle = b", "comes twice"),
        ("last_active = vor kurzem", "last_active has to have {time} in it, once"),
        ("ended = {time} {time}", "ended has to have {time} in it, once"),
        ("sign_out_device = Abmelden", "sign_out_device has to have {device} in it, once"),
        ("minutes_ago.one = vor {n} Minute", "minutes_ago has to have the form `other`"),
        ("minutes_ago.other = vor Minuten", "minutes_ago has to have {n} in each of its forms, once"),
        ("title.few = x", "title.few is no key"),
        ("minutes_ago.two = {n}", "minutes_ago.two is no key"),
        ("date = {day}. {month}", "date has to have {year} in it, once"),
        ("months = Januar | Februar", "months are twelve"),
    ] {
        let error = said("de", text);
        assert!(error.starts_with("the page's words in de") && error.contains(expected), "{text}: {error}");
    }
    for tag in ["", "d", "\"><b>", "de_DE", "de-", "1a", "deutsch"] {
        assert!(said(tag, "").contains("is no language tag"), "{tag}");
    }
}
