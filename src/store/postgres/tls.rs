//! TLS to Postgres by rustls, with the same cryptography as the tokens (aws-lc).

use std::sync::Arc;

use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::error::ConfigError;

/// `verified`: the server's name and certificate must hold against the roots in this PEM file, or against those of the
/// operating system. Else the connection is encrypted but anybody may be at the other end, which is what libpq's
/// `sslmode=require` means and what databases with a certificate of their own making need.
pub(super) fn connector(verified: bool, roots: Option<&str>) -> Result<MakeRustlsConnect, ConfigError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|cause| ConfigError::because("TLS cannot be set up", cause))?;
    let config = if verified {
        let roots = match roots.filter(|path| *path != "system") {
            Some(path) => from_file(path)?,
            None => of_the_system()?,
        };
        builder.with_root_certificates(roots).with_no_client_auth()
    } else {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider))).with_no_client_auth()
    };
    Ok(MakeRustlsConnect::new(config))
}

fn from_file(path: &str) -> Result<RootCertStore, ConfigError> {
    let unreadable = |cause: Box<dyn std::error::Error + Send + Sync>| {
        ConfigError::because(
            format!("sslrootcert={path} cannot be read: give a PEM file with the CA's certificate"),
            cause,
        )
    };
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|cause: rustls::pki_types::pem::Error| unreadable(cause.into()))?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate).map_err(|cause| unreadable(cause.into()))?;
    }
    if roots.is_empty() {
        return Err(ConfigError::new(format!("sslrootcert={path} holds no certificate: give the CA's, as PEM")));
    }
    Ok(roots)
}

fn of_the_system() -> Result<RootCertStore, ConfigError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(ConfigError::new(
            "sslmode=verify-full, but the system has no trusted certificates: install them, or give sslrootcert=FILE",
        ));
    }
    Ok(roots)
}

/// Whoever answers. The handshake's signatures are checked all the same: it is the one that holds the certificate.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
