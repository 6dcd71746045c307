//! What the page does.

use super::{
    LAPTOP, PAGE, PHONE, TABLET,
    http::in_memory,
    jar::{Jar, names, notice},
    site, theme,
};

#[tokio::test]
async fn a_device_is_renamed() {
    let sessions = in_memory().await;
    let app = site(&sessions, theme());
    let mut laptop = Jar::new(&app, LAPTOP).sign_in("ahmed").await;
    let mut phone = Jar::new(&app, PHONE).sign_in("ahmed").await;
    let id = laptop.id_of(PAGE, "Safari on iPhone").await;
    let rename = |name: &'static str| [("id", id.clone()), ("name", name.to_owned())];
    for (name, said, then) in [
        ("  Kitchen phone ", "The new name is saved.", "Kitchen phone"),
        ("", "The name was not saved: it needs 1 to 64 characters.", "Kitchen phone"),
        ("a\tb", "The name was not saved: it needs 1 to 64 characters.", "Kitchen phone"),
        ("Телефон", "The new name is saved.", "Телефон"),
    ] {
        let form = rename(name);
        let form: Vec<_> = form.iter().map(|(key, value)| (*key, &**value)).collect();
        let answer = laptop.post(&format!("{PAGE}/rename"), &form).await;
        let page = laptop.follow(answer).await;
        assert_eq!((notice(&page), &*names(&page)[1]), (Some(said), then), "{name:?}");
    }
    // Its own as well, and the form that the page itself has.
    let answer = phone.press(PAGE, "Save").await;
    assert_eq!(notice(&phone.follow(answer).await), Some("The new name is saved."));
    let long = "x".repeat(65);
    let answer = laptop.post(&format!("{PAGE}/rename"), &[("id", &id), ("name", &long)]).await;
    assert_eq!(laptop.led(&answer), format!("{PAGE}?done=name"));
    // More than is read at all.
    let answer = laptop.post(&format!("{PAGE}/rename"), &[("id", &id), ("name", &"x".repeat(10_000))]).await;
    assert_eq!(laptop.led(&answer), format!("{PAGE}?done=gone"));
    assert_eq!(names(&laptop.get(PAGE).await)[1], "Телефон");
}

#[tokio::test]
async fn one_device_is_signed_out_by_its_button() {
    let sessions = in_memory().await;
    let app = site(&sessions, theme());
    let mut laptop = Jar::new(&app, LAPTOP).sign_in("ahmed").await;
    let mut phone = Jar::new(&app, PHONE).sign_in("ahmed").await;
    let id = laptop.id_of(PAGE, "Safari on iPhone").await;
    let answer = laptop.press(PAGE, "aria-label=\"Sign out Safari on iPhone\"").await;
    assert_eq!(laptop.led(&answer), format!("{PAGE}?done=signed_out"));
    let page = laptop.follow(answer).await;
    assert_eq!((notice(&page), names(&page).len()), (Some("The device is signed out."), 1));
    assert!(page.text().contains("Signed out from another of your devices"), "it is history");
    let left = phone.get(PAGE).await;
    assert_eq!(phone.led(&left), "/sign-in?next=/account/devices&reason=revoked_by_user");

    // Twice, one of nobody's, one of somebody else's, and what is no id at all: all the same.
    let mut lena = Jar::new(&app, PHONE).sign_in("lena").await;
    let lenas = lena.id_of(PAGE, "Safari on iPhone").await;
    for id in [&*id, "0199f0a0-0000-7000-8000-000000000000", &*lenas, "", "../../etc", "<b>"] {
        for what in ["sign-out", "rename"] {
            let answer = laptop.post(&format!("{PAGE}/{what}"), &[("id", id), ("name", "Mine")]).await;
            assert_eq!(laptop.led(&answer), format!("{PAGE}?done=gone"), "{what} {id:?}");
        }
    }
    assert_eq!(notice(&laptop.get(&format!("{PAGE}?done=gone")).await), Some("That session had already ended."));
    assert_eq!(names(&lena.get(PAGE).await), ["Safari on iPhone"], "untouched");
    let own = laptop.id_of(PAGE, "Chrome on Windows").await;
    let answer = laptop.post(&format!("{PAGE}/sign-out"), &[("id", &own)]).await;
    let page = laptop.follow(answer).await;
    assert!(notice(&page).unwrap().starts_with("That is this device."), "{:?}", notice(&page));
}

#[tokio::test]
async fn all_others_are_asked_about_first() {
    let sessions = in_memory().await;
    let app = site(&sessions, theme());
    let mut laptop = Jar::new(&app, LAPTOP).sign_in("ahmed").await;
    let mut phone = Jar::new(&app, PHONE).sign_in("ahmed").await;
    let _tablet = Jar::new(&app, TABLET).sign_in("ahmed").await;
    let asked = laptop.press(PAGE, "Sign out all other sessions").await;
    assert_eq!(asked.status, 200);
    assert!(asked.text().contains("<h1>Sign out all other sessions?</h1>"), "{}", asked.text());
    assert_eq!(names(&laptop.get(PAGE).await).len(), 3, "nothing is done yet");
    let answer = laptop.press(&format!("{PAGE}/sign-out-others"), "Sign out all others").await;
    let page = laptop.follow(answer).await;
    assert_eq!((notice(&page), names(&page).len()), (Some("All other sessions are signed out."), 1));
    let left = phone.get(PAGE).await;
    assert_eq!(phone.led(&left), "/sign-in?next=/account/devices&reason=revoked_by_user");
}

#[tokio::test]
async fn everywhere_is_this_device_too() {
    let sessions = in_memory().await;
    let app = site(&sessions, theme());
    let mut laptop = Jar::new(&app, LAPTOP).sign_in("ahmed").await;
    let mut phone = Jar::new(&app, PHONE).sign_in("ahmed").await;
    let asked = laptop.press(PAGE, "Sign out everywhere").await;
    assert!(asked.text().contains("<h1>Sign out everywhere?</h1>"));
    assert_eq!(names(&laptop.get(PAGE).await).len(), 2, "nothing is done yet");
    let answer = laptop.press(&format!("{PAGE}/sign-out-everywhere"), "<button").await;
    assert_eq!(laptop.led(&answer), "/sign-in?next=/account/devices&reason=revoked_by_user");
    assert!(!laptop.cookies.contains_key("__Host-session"), "the cookie is taken back");
    for jar in [&mut laptop, &mut phone] {
        let answer = jar.get(PAGE).await;
        assert!(jar.led(&answer).starts_with("/sign-in?"));
    }
}

#[tokio::test]
async fn logging_out_is_for_this_device_alone() {
    let sessions = in_memory().await;
    let app = site(&sessions, theme());
    let mut laptop = Jar::new(&app, LAPTOP).sign_in("ahmed").await;
    let mut phone = Jar::new(&app, PHONE).sign_in("ahmed").await;
    let answer = laptop.press(PAGE, "Log out").await;
    assert_eq!(laptop.led(&answer), "/sign-in?next=/account/devices&reason=logout");
    assert!(!laptop.cookies.contains_key("__Host-session"));
    let page = phone.get(PAGE).await;
    assert_eq!(names(&page), ["Safari on iPhone"]);
    assert!(page.text().contains("Logged out on the device itself"));
}

/// The notice is a word that the page knows: a link with something else in it shows nothing.
#[tokio::test]
async fn a_notice_is_none_of_the_link_s_words() {
    let sessions = in_memory().await;
    let mut laptop = Jar::new(&site(&sessions, theme()), LAPTOP).sign_in("ahmed").await;
    for query in ["done=Call+0900", "done=%3Cb%3E", "done=", "done=others&done=others", "x"] {
        let page = laptop.get(&format!("{PAGE}?{query}")).await;
        assert_eq!((names(&page).len(), notice(&page)), (1, None), "{query}");
    }
    // What only a form leads to, opened by its address.
    for path in ["rename", "sign-out", "log-out"] {
        let answer = laptop.get(&format!("{PAGE}/{path}")).await;
        assert_eq!(laptop.led(&answer), PAGE);
    }
    assert_eq!(names(&laptop.get(PAGE).await).len(), 1);
}
