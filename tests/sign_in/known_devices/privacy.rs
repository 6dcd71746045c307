//! What a device is known by is in no table, no log and no `Debug`.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use axum::{Router, body::Body, http::Request, routing::post};
use axum_device_sessions::{Client, SignIn};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use tracing_subscriber::{filter::LevelFilter, util::SubscriberInitExt};

use super::INSTALLED;
use crate::http::ask_with;
use crate::site::{Browser, two};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// All tables of the schema as text.
async fn dump(sql: &tokio_postgres::Client) -> String {
    let tables = "SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'device_sessions'";
    let mut all = String::new();
    for table in sql.query(tables, &[]).await.unwrap() {
        let table: String = table.get(0);
        for row in sql.query(&format!("SELECT t::text FROM device_sessions.{table} t"), &[]).await.unwrap() {
            all.push_str(row.get(0));
        }
    }
    all
}

/// A value, and what is in it, in every form that it could be written in.
fn forms(value: &str) -> Vec<String> {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let mut forms = vec![value.to_owned(), hex(value.as_bytes()), URL_SAFE_NO_PAD.encode(value)];
    if let Some(bytes) = URL_SAFE_NO_PAD.decode(value).ok().filter(|bytes| bytes.len() == 49) {
        let (id, mac) = (&bytes[1..17], &bytes[17..]);
        forms.extend([hex(id), hex(mac), URL_SAFE_NO_PAD.encode(id), format!("{id:?}")]);
    }
    forms
}

fn found(forms: &[String], text: &str) -> Option<String> {
    let text = text.to_lowercase();
    forms.iter().find(|form| text.contains(&form.to_lowercase())).cloned()
}

/// One thread, so that whatever is logged on the way is in it.
#[tokio::test]
async fn nothing_is_kept_or_told() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_max_level(LevelFilter::TRACE);
    let _guard = subscriber.with_writer(move || writer.clone()).finish().set_default();
    let (_db, nodes, sql) = two(|builder| builder).await;
    let (mut browser, mut app) = (Browser::default(), Browser::saying("device-id", INSTALLED));
    for node in &nodes {
        for cookie in [false, true] {
            browser.login(node, "ahmed", cookie).await;
        }
        app.login(node, "ahmed", false).await;
    }
    let forged = format!("{}A", &browser.device().unwrap()[1..]);
    let good = browser.jar.insert("__Host-device".to_owned(), forged.clone()).unwrap();
    browser.login(&nodes[0], "ahmed", false).await;
    let values = [good, browser.device().unwrap().to_owned(), forged, INSTALLED.to_owned()];
    let forms: Vec<_> = values.iter().flat_map(|value| forms(value)).collect();

    let (tables, logged) = (dump(&sql).await, String::from_utf8(log.0.lock().unwrap().clone()).unwrap());
    println!("{} bytes of rows, {} of log, {} texts looked for", tables.len(), logged.len(), forms.len());
    assert!(tables.contains("ahmed") && logged.contains("DEBUG"));
    assert_eq!((found(&forms, &tables), found(&forms, &logged)), (None, None));

    // The control: what is there is found.
    tracing::trace!("{INSTALLED}");
    let plant = "UPDATE device_sessions.devices SET name = $1";
    sql.execute(plant, &[&Some(&values[0])]).await.unwrap();
    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert_eq!(found(&forms, &dump(&sql).await), Some(values[0].clone()));
    assert_eq!(found(&[INSTALLED.to_owned()], &logged), Some(INSTALLED.to_owned()));

    sql.execute(plant, &[&None::<String>]).await.unwrap();

    let shown = Arc::new(Mutex::new(String::new()));
    let (show, sessions) = (Arc::clone(&shown), nodes[0].sessions.clone());
    let router = Router::new().route(
        "/",
        post(async move |client: Client| {
            let client = client.device_id(INSTALLED);
            let sign_in = SignIn::new("ahmed").client(client.clone());
            let before = format!("{client:?} {client:#?} {sign_in:?} {sessions:?}");
            let signed_in = sessions.sign_in(sign_in).await.unwrap();
            *show.lock().unwrap() = format!("{before} {signed_in:?}");
        }),
    );
    let cookie = format!("__Host-device={}", values[0]);
    let request = Request::post("/").header("cookie", cookie).header("device-id", INSTALLED);
    assert_eq!(ask_with(&router, request.body(Body::empty()).unwrap()).await.status, 200);
    let shown = shown.lock().unwrap().clone();
    assert!(shown.contains("SignedIn"), "{shown}");
    assert_eq!(found(&forms, &shown), None, "{shown}");
}
