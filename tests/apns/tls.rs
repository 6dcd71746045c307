//! Over TLS, as to Apple: only with a certificate of an authority that this machine trusts, only for the right name, and only
//! where the other side agrees to HTTP/2.

use std::{env, fs, process::Command, sync::Arc};

use axum_device_sessions::Notifier;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};

use crate::{DEVICE, another, apple::Apple, force_logout};

/// Where the trusted authority's certificate is to be found. It is read when a client is made, and a process may not change its
/// environment without `unsafe`: so this test runs once more, as a process that was started with it.
const TRUSTED: &str = "SSL_CERT_FILE";
const AUTHORITY: &str = "ADS_TEST_AUTHORITY";

#[tokio::test]
async fn over_tls() {
    if let Ok(pem) = env::var(AUTHORITY) {
        return as_trusting(&pem).await;
    }
    let authority = Authority::new(KeyPair::generate().unwrap());
    let file = env::temp_dir().join(format!("ads-apns-{}.pem", std::process::id()));
    fs::write(&file, authority.0.pem()).unwrap();
    let status = Command::new(env::current_exe().unwrap())
        .args(["--exact", "tls::over_tls"])
        .env(TRUSTED, &file)
        .env(AUTHORITY, authority.0.key().serialize_pem())
        .status();
    fs::remove_file(&file).unwrap();
    assert!(status.unwrap().success());
}

async fn as_trusting(pem: &str) {
    let trusted = Authority::new(KeyPair::from_pem(pem).unwrap());
    let strange = Authority::new(KeyPair::generate().unwrap());
    for (authority, name, protocol, delivered) in [
        (&trusted, "localhost", "h2", true),
        (&strange, "localhost", "h2", false),
        (&trusted, "example.org", "h2", false),
        (&trusted, "localhost", "http/1.1", false),
    ] {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let apple = Apple::with_tls(key.public_key_raw(), authority.server(name, protocol)).await;
        let done = another(&apple.url, &key).deliver(&force_logout(DEVICE)).await;
        assert_eq!(done.is_ok(), delivered, "{name} {protocol}: {done:?}");
        if let Err(error) = done {
            assert_eq!(error.to_string(), "not delivered");
        }
        let seen = apple.seen().iter().filter(|seen| seen.status == 200).count();
        assert_eq!((seen, apple.seen().len()), (usize::from(delivered), usize::from(delivered)), "{name} {protocol}");
    }
}

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// The same authority for the same key.
    fn new(key: KeyPair) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    fn server(&self, name: &str, protocol: &str) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &self.0).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }
}
