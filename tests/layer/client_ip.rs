//! Whose word on an address counts: over real connections, and behind a real reverse proxy.

#![cfg(all(feature = "postgres", feature = "routes"))]

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use axum_device_sessions::{ClientIp, Sessions};
use serde_json::{Value, json};

use crate::{
    served::{Served, node},
    support::{TestDb, eventually},
};

/// All that anybody would put an address into.
const EVERY: [(&str, &str); 7] = [
    ("x-forwarded-for", "203.0.113.7"),
    ("forwarded", "for=203.0.113.7"),
    ("x-real-ip", "203.0.113.7"),
    ("cf-connecting-ip", "203.0.113.7"),
    ("true-client-ip", "203.0.113.7"),
    ("fly-client-ip", "203.0.113.7"),
    ("client-ip", "203.0.113.7"),
];

async fn trusting(db: &TestDb, networks: &[&str]) -> Sessions {
    let client_ip = ClientIp::x_forwarded_for(networks).unwrap();
    node(db, |builder| builder.client_ip(client_ip)).await
}

/// The address in the list, after what is known has been written down.
async fn written(sessions: &Sessions, served: &Served, signed_in: &Value) -> Value {
    sessions.flush_activity().await.unwrap();
    let listed = served.listed(signed_in).await;
    // The list itself was a request, from the proxy's own address.
    sessions.flush_activity().await.unwrap();
    listed["ipAddress"].clone()
}

#[tokio::test]
async fn by_default_no_header_is_believed() {
    let db = TestDb::new().await;
    let sessions = node(&db, |builder| builder).await;
    let served = Served::start(&sessions).await;
    for sent in EVERY.iter().map(std::slice::from_ref).chain([&EVERY[..]]) {
        let signed_in = served.sign_in(sent).await;
        assert_eq!(signed_in["session"]["ipAddress"], "127.0.0.1", "{sent:?}");
        served.ask("GET /me", &signed_in, sent).await;
        assert_eq!(written(&sessions, &served, &signed_in).await, "127.0.0.1", "{sent:?}");
        assert_eq!(served.ip(sent).await, "127.0.0.1", "{sent:?}");
    }
    // The control: who takes the header for true.
    assert_eq!(served.send("GET /leftmost", &EVERY, "").await.1, "203.0.113.7");
}

#[tokio::test]
async fn a_trusted_proxy_is_believed_everywhere() {
    let db = TestDb::new().await;
    let sessions = trusting(&db, &["127.0.0.0/8", "10.0.0.0/8"]).await;
    let served = Served::start(&sessions).await;
    let by = |address: &'static str| [("x-forwarded-for", address)];
    let signed_in = served.sign_in(&by("203.0.113.7")).await;
    assert_eq!(signed_in["session"]["ipAddress"], "203.0.113.7");
    assert_eq!(written(&sessions, &served, &signed_in).await, "203.0.113.7");

    served.ask("GET /me", &signed_in, &by("203.0.113.8")).await;
    assert_eq!(written(&sessions, &served, &signed_in).await, "203.0.113.8", "by its activity");

    let body = json!({ "refresh_token": signed_in["refresh_token"] }).to_string();
    let (status, refreshed) = served.send("POST /auth/refresh", &by("203.0.113.9"), &body).await;
    assert_eq!(status, 200, "{refreshed}");
    assert_eq!(written(&sessions, &served, &signed_in).await, "203.0.113.9", "by its refresh");
    assert_eq!(served.ip(&by("203.0.113.10")).await, "203.0.113.10");
}

/// What stands before the trusted proxy's own word was said by anybody.
#[tokio::test]
async fn what_a_client_adds_changes_nothing() {
    let db = TestDb::new().await;
    let sessions = trusting(&db, &["127.0.0.0/8", "10.0.0.0/8"]).await;
    let served = Served::start(&sessions).await;
    let lines: [(&[&str], &str); 10] = [
        (&["203.0.113.7"], "203.0.113.7"),
        (&["6.6.6.6, 203.0.113.7"], "203.0.113.7"),
        (&["10.0.0.1, 203.0.113.7"], "203.0.113.7"),
        (&["6.6.6.6, 203.0.113.7, 10.0.0.2"], "203.0.113.7"),
        (&["6.6.6.6", "203.0.113.7"], "203.0.113.7"),
        (&["6.6.6.6", "203.0.113.7", "10.0.0.2"], "203.0.113.7"),
        (&["\", ,,unknown, 203.0.113.7:4711"], "203.0.113.7"),
        (&["6.6.6.6, [2001:db8::7]:4711"], "2001:db8::7"),
        // Our proxy wrote what cannot be read: it is all that is known.
        (&["6.6.6.6, unknown"], "127.0.0.1"),
        (&["6.6.6.6, ::ffff:203.0.113.7"], "203.0.113.7"),
    ];
    for (lines, expected) in lines {
        let sent: Vec<_> = lines.iter().map(|line| ("x-forwarded-for", *line)).collect();
        assert_eq!(served.sign_in(&sent).await["session"]["ipAddress"], expected, "{lines:?}");
        assert_eq!(served.ip(&sent).await, expected, "{lines:?}");
    }
    // Another header than the one that our proxies write.
    assert_eq!(served.ip(&EVERY[1..]).await, "127.0.0.1");
    // A proxy that is none of ours: from here it would be 127.0.0.3.
    let sessions = trusting(&db, &["127.0.0.1"]).await;
    let served = Served::start(&sessions).await;
    let stranger = IpAddr::from([127, 0, 0, 3]);
    assert_eq!(served.send_from(stranger, "GET /ip", &EVERY, "").await.1, "127.0.0.3");
    assert_eq!(served.ip(&EVERY).await, "203.0.113.7", "the control");
}

/// Nobody can tell who sent the headers.
#[tokio::test]
async fn a_server_that_tells_no_peer_knows_no_address() {
    let db = TestDb::new().await;
    let sessions = trusting(&db, &["127.0.0.0/8"]).await;
    let served = Served::without_connect_info(&sessions).await;
    let signed_in = served.sign_in(&EVERY).await;
    assert_eq!(signed_in["session"]["ipAddress"], Value::Null);
    served.ask("GET /me", &signed_in, &EVERY).await;
    assert_eq!(written(&sessions, &served, &signed_in).await, Value::Null);
    assert_eq!(served.ip(&EVERY).await, Value::Null);
    let control = Served::start(&sessions).await;
    assert_eq!(control.ip(&EVERY).await, "203.0.113.7");
}

/// An nginx of this test's own, gone with it.
struct Nginx {
    served: Served,
    child: Child,
    directory: PathBuf,
}

impl Nginx {
    async fn before(upstream: SocketAddr) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let directory = std::env::temp_dir().join(format!("ads-nginx-{}-{port}", std::process::id()));
        fs::create_dir(&directory).unwrap();
        let at = directory.display();
        // As its own documentation has it.
        let conf = format!(
            "daemon off; master_process off; pid {at}/pid; error_log {at}/error.log;\nevents {{}}\nhttp {{\n\
             access_log off; client_body_temp_path {at}/body; proxy_temp_path {at}/proxy; fastcgi_temp_path {at}/fcgi;\n\
             uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi;\n\
             server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://{upstream};\n\
             proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; }} }}\n}}\n"
        );
        fs::write(directory.join("nginx.conf"), conf).unwrap();
        // It ends when our end of the pipe is closed, however we end.
        let script = "PATH=$PATH:/usr/sbin; nginx -e \"$1/error.log\" -c \"$1/nginx.conf\" & read _; kill -9 $!";
        let child = Command::new("sh")
            .args(["-c", script, "sh"])
            .arg(&directory)
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let nginx = Self { served: Served { address: ([127, 0, 0, 1], port).into() }, child, directory };
        eventually("nginx answers (is it installed? scripts/test does that)", || async {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        })
        .await;
        nginx
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _gone = self.child.wait();
        let _gone = fs::remove_dir_all(&self.directory);
    }
}

/// The client is 127.0.0.2, and says that it is somebody else.
#[tokio::test]
async fn behind_nginx_a_forged_address_is_passed_over() {
    let db = TestDb::new().await;
    let sessions = trusting(&db, &["127.0.0.1"]).await;
    let nginx = Nginx::before(Served::start(&sessions).await.address).await;
    let client = IpAddr::from([127, 0, 0, 2]);
    for forged in [&[][..], &EVERY[..1], &[("x-forwarded-for", "6.6.6.6, 127.0.0.1"), ("X-Forwarded-For", "7.7.7.7")]] {
        let (status, signed_in) = nginx.served.send_from(client, "POST /login", forged, "").await;
        assert_eq!(status, 200, "{signed_in}");
        assert_eq!(signed_in["session"]["ipAddress"], "127.0.0.2", "{forged:?}");
        assert_eq!(nginx.served.send_from(client, "GET /ip", forged, "").await.1, "127.0.0.2", "{forged:?}");
    }
    // The controls: who reads from the left is shown what the client wrote, and who knows no proxy the proxy.
    assert_eq!(nginx.served.send_from(client, "GET /leftmost", &EVERY, "").await.1, "203.0.113.7");
    let naive = node(&db, |builder| builder).await;
    let unaware = Nginx::before(Served::start(&naive).await.address).await;
    assert_eq!(unaware.served.send_from(client, "GET /ip", &[], "").await.1, "127.0.0.1");
}
