//! A receiver that cannot show who it is gets nothing.

use std::{net::TcpListener, sync::Arc, thread};

use axum_device_sessions::Notifier;
use reqwest::Client;
use rustls::{
    ServerConfig, ServerConnection, Stream,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use std::io::Read;

use super::{ended, pause, told, webhook};

/// Takes one connection with a certificate of its own making, and reads what it is sent.
fn stranger() -> (String, thread::JoinHandle<String>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://localhost:{}/", listener.local_addr().unwrap().port());
    let reads = thread::spawn(move || {
        let mut connection = ServerConnection::new(Arc::new(config)).unwrap();
        let (mut socket, _) = listener.accept().unwrap();
        let mut got = [0; 16];
        let read = Stream::new(&mut connection, &mut socket).read(&mut got).unwrap_or_default();
        String::from_utf8_lossy(&got[..read]).into_owned()
    });
    (url, reads)
}

#[tokio::test]
async fn one_that_nobody_vouches_for_gets_nothing() {
    let (url, got) = stranger();
    let failure = webhook(&url).deliver(&ended()).await.unwrap_err();
    assert_eq!(pause(&failure), None, "to be tried again");
    assert!(told(&failure).contains("UnknownIssuer"), "{}", told(&failure));
    assert_eq!(got.join().unwrap(), "");

    // What one writes when the certificate is in the way.
    let (url, got) = stranger();
    let trusting = Client::builder().no_proxy().tls_danger_accept_invalid_certs(true).build().unwrap();
    _ = trusting.post(url).body("personal").send().await;
    assert!(got.join().unwrap().starts_with("POST / HTTP/1.1"));
}
