//! A mail server: the protocol is that of `mailin`, the wire and the mishaps are ours.

use std::{
    net::Ipv4Addr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{net::TcpListener, sync::watch, time::timeout};
use tokio_rustls::TlsAcceptor;

use crate::wire::{certified, serve};

pub(crate) const USER: &str = "mailer";
pub(crate) const PASSWORD: &str = "p@ss/w:rd#1";

/// A mail as it has arrived.
#[derive(Clone, Default)]
pub(crate) struct Arrived {
    pub(crate) from: String,
    pub(crate) to: Vec<String>,
    pub(crate) data: Vec<u8>,
    pub(crate) encrypted: bool,
}

/// What goes wrong at a line of the client that begins so: a command, a line of the mail, or `.` at its end.
#[derive(Clone)]
pub(crate) enum Mishap {
    Says(&'static str, String),
    /// Answers as it should, and says more, unasked.
    Adds(&'static str, &'static str),
    HangsUp(&'static str),
    /// Answers as it should, but not before it is told to.
    Late(&'static str),
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Encryption {
    None,
    StartTls,
    Implicit,
}

pub(crate) struct State {
    pub(crate) mails: Mutex<Vec<Arrived>>,
    pub(crate) lines: watch::Sender<Vec<String>>,
    pub(crate) mishap: Mutex<Option<Mishap>>,
    /// How many connections there have been, and how many are open.
    connections: watch::Sender<(usize, usize)>,
    pub(crate) released: watch::Sender<bool>,
    hang_up: watch::Sender<usize>,
    pub(crate) acceptor: TlsAcceptor,
    pub(crate) tls: Encryption,
}

pub(crate) struct Server {
    state: Arc<State>,
    pub(crate) port: u16,
    /// Of the authority behind the server's certificate.
    pub(crate) root: String,
}

impl Server {
    /// With TLS it wants name and password.
    pub(crate) async fn start(tls: Encryption) -> Self {
        Self::named(&["localhost", "127.0.0.1"], tls).await
    }

    /// With a certificate for these names.
    pub(crate) async fn named(names: &[&str], tls: Encryption) -> Self {
        let (acceptor, root) = certified(names);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State {
            mails: Mutex::default(),
            lines: watch::Sender::default(),
            mishap: Mutex::default(),
            connections: watch::Sender::default(),
            released: watch::Sender::default(),
            hang_up: watch::Sender::default(),
            acceptor,
            tls,
        });
        let accepting = Arc::clone(&state);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let state = Arc::clone(&accepting);
                state.connections.send_modify(|(all, open)| (*all, *open) = (*all + 1, *open + 1));
                tokio::spawn(async move {
                    let mut hang_up = state.hang_up.subscribe();
                    tokio::select! {
                        _gone = serve(&state, stream) => {}
                        _told = hang_up.changed() => {}
                    }
                    state.connections.send_modify(|(_, open)| *open -= 1);
                });
            }
        });
        Self { state, port, root }
    }

    /// From now on.
    pub(crate) fn mishap(&self, mishap: impl Into<Option<Mishap>>) {
        *self.state.mishap.lock().unwrap() = mishap.into();
    }

    pub(crate) fn says(&self, line: &'static str, answer: &str) {
        self.mishap(Mishap::Says(line, answer.to_owned()));
    }

    pub(crate) fn arrived(&self) -> Vec<Arrived> {
        self.state.mails.lock().unwrap().clone()
    }

    /// All lines but those of the mails.
    pub(crate) fn commands(&self) -> Vec<String> {
        self.state.lines.borrow().clone()
    }

    /// Until as many lines that begin so have come in.
    pub(crate) async fn heard(&self, line: &str, times: usize) {
        let mut lines = self.state.lines.subscribe();
        let all = |lines: &Vec<String>| lines.iter().filter(|heard| heard.starts_with(line)).count() == times;
        soon(lines.wait_for(all)).await.unwrap();
    }

    pub(crate) fn opened(&self) -> usize {
        self.state.connections.borrow().0
    }

    pub(crate) fn open(&self) -> usize {
        self.state.connections.borrow().1
    }

    pub(crate) async fn all_closed(&self) {
        self.are_open(0).await;
    }

    /// Until that many are.
    pub(crate) async fn are_open(&self, count: usize) {
        soon(self.state.connections.subscribe().wait_for(|(_, open)| *open == count)).await.unwrap();
    }

    pub(crate) fn release(&self) {
        self.state.released.send_replace(true);
    }

    pub(crate) async fn hang_up(&self) {
        self.state.hang_up.send_modify(|times| *times += 1);
        self.all_closed().await;
    }
}

/// Far longer than anything here takes.
pub(crate) async fn soon<T>(work: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), work).await.expect("it does not come")
}
