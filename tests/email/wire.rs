//! The server's side of a connection.

use std::{
    net::{IpAddr, Ipv4Addr},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use mailin::{Action, AuthMechanism, Handler, Response, Session, SessionBuilder, response};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::TcpStream,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::aws_lc_rs, pki_types::PrivateKeyDer},
};

use crate::server::{Arrived, Encryption, Mishap, PASSWORD, State, USER};

/// A certificate for these names, by an authority that is known nowhere.
pub(crate) fn certified(names: &[&str]) -> (TlsAcceptor, String) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let names: Vec<_> = names.iter().copied().map(str::to_owned).collect();
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &authority).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), authority.pem())
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}
type Wire = BufReader<Pin<Box<dyn Stream>>>;

/// One connection, to its end.
pub(crate) async fn serve(state: &Arc<State>, stream: TcpStream) -> Option<()> {
    let mut builder = SessionBuilder::new("mail.example.com");
    if state.tls != Encryption::None {
        builder.enable_start_tls().enable_auth(AuthMechanism::Plain);
    }
    let secure = Arc::new(AtomicBool::new(false));
    let begun = || {
        let hand = Hand { state: Arc::clone(state), mail: Arrived::default(), encrypted: Arc::clone(&secure) };
        builder.build(Ipv4Addr::LOCALHOST.into(), hand)
    };
    let mut session = begun();
    let mut wire: Wire = BufReader::new(Box::pin(stream));
    if state.tls == Encryption::Implicit {
        wire = encrypted(state, wire, &mut session, &secure).await?;
    }
    wire.write_all(&session.greeting().buffer().ok()?).await.ok()?;
    let (mut line, mut within_mail) = (Vec::new(), false);
    loop {
        line.clear();
        if wire.read_until(b'\n', &mut line).await.ok()? == 0 {
            return None;
        }
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        if !within_mail || text == "." {
            state.lines.send_modify(|lines| lines.push(text.clone()));
        }
        let mishap = state.mishap.lock().unwrap().clone();
        let mut more = "";
        match mishap {
            Some(Mishap::Says(begin, answer)) if text.starts_with(begin) => {
                // The client is expected to leave: a QUIT is taken in any state but within a mail.
                wire.write_all(format!("{answer}\r\n").as_bytes()).await.ok()?;
                if within_mail {
                    (session, within_mail) = (begun(), false);
                }
                continue;
            }
            Some(Mishap::HangsUp(begin)) if text.starts_with(begin) => return None,
            Some(Mishap::Late(begin)) if text.starts_with(begin) => {
                let mut released = state.released.subscribe();
                let mut byte = [0];
                tokio::select! {
                    _released = released.wait_for(|released| *released) => {}
                    // The client says nothing more, so what can be read is its end.
                    _gone = wire.read(&mut byte) => return None,
                }
            }
            Some(Mishap::Adds(begin, what)) if text.starts_with(begin) => more = what,
            _ => {}
        }
        let answer = session.process(&line);
        within_mail = answer.code == 354 || within_mail && text != ".";
        let words = [answer.buffer().ok()?, more.as_bytes().to_vec()].concat();
        match answer.action {
            Action::NoReply => {}
            Action::Reply => wire.write_all(&words).await.ok()?,
            Action::Close => {
                wire.write_all(&words).await.ok()?;
                return None;
            }
            Action::UpgradeTls => {
                wire.write_all(&words).await.ok()?;
                wire = encrypted(state, wire, &mut session, &secure).await?;
            }
        }
    }
}

async fn encrypted(state: &State, wire: Wire, session: &mut Session<Hand>, secure: &AtomicBool) -> Option<Wire> {
    let stream = state.acceptor.accept(wire.into_inner()).await.ok()?;
    session.tls_active();
    secure.store(true, Ordering::Relaxed);
    Some(BufReader::new(Box::pin(stream)))
}

struct Hand {
    state: Arc<State>,
    mail: Arrived,
    encrypted: Arc<AtomicBool>,
}

impl Handler for Hand {
    fn mail(&mut self, _ip: IpAddr, _domain: &str, from: &str) -> Response {
        let encrypted = self.encrypted.load(Ordering::Relaxed);
        self.mail = Arrived { from: from.to_owned(), encrypted, ..Arrived::default() };
        response::OK
    }

    fn rcpt(&mut self, to: &str) -> Response {
        self.mail.to.push(to.to_owned());
        response::OK
    }

    fn data(&mut self, line: &[u8]) -> std::io::Result<()> {
        self.mail.data.extend_from_slice(line);
        Ok(())
    }

    fn data_end(&mut self) -> Response {
        self.state.mails.lock().unwrap().push(self.mail.clone());
        response::OK
    }

    fn auth_plain(&mut self, _as_whom: &str, user: &str, password: &str) -> Response {
        if (user, password) == (USER, PASSWORD) { response::AUTH_OK } else { response::INVALID_CREDENTIALS }
    }
}
