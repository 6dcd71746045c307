//! A proxy in front of Postgres that can keep an answer back: the query has run, and its client does not know yet. And one that can
//! make statements fail whose connection lives on.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What becomes of the server's answers on one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nobody has asked yet.
    Armed,
    /// Not kept, or no more.
    Flowing,
    /// The query has gone out; its answer is to be kept.
    Asked,
    /// A whole answer has come, and is kept.
    Answered,
    Cut,
}

/// The text to look for in what a client sends, and the one who waits for it. Caught once, then forgotten.
type Trap = Arc<Mutex<Option<(Vec<u8>, Arc<watch::Sender<Phase>>)>>>;

/// The text that does not arrive as it was sent.
type Spoiled = Arc<Mutex<Option<Vec<u8>>>>;

#[derive(Debug)]
pub(crate) struct Proxy {
    port: u16,
    trap: Trap,
    spoiled: Spoiled,
}

impl Proxy {
    /// In front of the server that this URL names.
    pub(crate) async fn to(url: &str) -> Self {
        let config: tokio_postgres::Config = url.parse().expect("a url");
        let server = config.get_ports()[0];
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("bind");
        let port = listener.local_addr().expect("bound").port();
        let trap = Trap::default();
        let spoiled = Spoiled::default();
        let this = Self { port, trap: Arc::clone(&trap), spoiled: Arc::clone(&spoiled) };
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(connection(client, server, Arc::clone(&trap), Arc::clone(&spoiled)));
            }
        });
        this
    }

    /// The same URL, through the proxy.
    pub(crate) fn url(&self, url: &str) -> String {
        let config: tokio_postgres::Config = url.parse().expect("a url");
        url.replacen(&format!(":{}/", config.get_ports()[0]), &format!(":{}/", self.port), 1)
    }

    /// From here on all statements with this text are nonsense to the server; with none, no more.
    pub(crate) fn spoil(&self, text: Option<&str>) {
        *self.spoiled.lock().unwrap_or_else(PoisonError::into_inner) = text.map(Into::into);
    }

    /// Keeps the answer to the next message that contains `text`, on whatever connection it comes.
    pub(crate) fn hold(&self, text: &str) -> Held {
        let phase = Arc::new(watch::Sender::new(Phase::Armed));
        *self.trap.lock().unwrap_or_else(PoisonError::into_inner) = Some((text.into(), Arc::clone(&phase)));
        Held(phase)
    }
}

/// An answer that is kept back. Dropped, it goes on its way.
#[derive(Debug)]
pub(crate) struct Held(Arc<watch::Sender<Phase>>);

impl Held {
    /// Waits until the server has answered in full; where it was sent along with BEGIN, until it has answered either.
    pub(crate) async fn answered(&self) {
        self.0.subscribe().wait_for(|phase| *phase == Phase::Answered).await.expect("we hold the sender");
    }

    /// Lets the answer go.
    pub(crate) fn release(self) {
        drop(self);
    }

    /// Closes the connection instead: the answer is lost.
    pub(crate) fn cut(self) {
        self.0.send_replace(Phase::Cut);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        step(&self.0, |phase| phase != Phase::Cut, Phase::Flowing);
    }
}

fn step(phase: &watch::Sender<Phase>, from: impl FnOnce(Phase) -> bool, to: Phase) {
    phase.send_if_modified(|phase| {
        let moves = from(*phase);
        if moves {
            *phase = to;
        }
        moves
    });
}

async fn connection(client: TcpStream, server: u16, trap: Trap, spoiled: Spoiled) -> io::Result<()> {
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, server)).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let (caught, holding) = watch::channel(None);
    // Either direction ends both: a closed client must reach the server at once.
    tokio::select! {
        done = ask(from_client, to_server, trap, spoiled, &caught) => done,
        done = answer(from_server, to_client, holding) => done,
    }
}

type Caught = Option<Arc<watch::Sender<Phase>>>;

async fn ask(
    mut client: OwnedReadHalf,
    mut server: OwnedWriteHalf,
    trap: Trap,
    spoiled: Spoiled,
    caught: &watch::Sender<Caught>,
) -> io::Result<()> {
    let mut buffer = vec![0; 65_536];
    loop {
        // A client writes a message as a whole, and ours are small: no text is split.
        let count = client.read(&mut buffer).await?;
        let message = &mut buffer[..count];
        if count == 0 {
            return Ok(());
        }
        if let Some(text) = &*spoiled.lock().unwrap_or_else(PoisonError::into_inner) {
            let places: Vec<_> = (0..count).filter(|at| message[*at..].starts_with(text)).collect();
            for at in places {
                message[at..at + text.len()].fill(b'?');
            }
        }
        {
            let mut trap = trap.lock().unwrap_or_else(PoisonError::into_inner);
            let has = |text: &[u8]| message.windows(text.len()).any(|part| part == text);
            // A node's beat comes whenever it likes, and ends in COMMIT too.
            if let Some((_, phase)) = trap.take_if(|(text, _)| has(text) && !has(b"pg_notify")) {
                step(&phase, |phase| phase == Phase::Armed, Phase::Asked);
                caught.send_replace(Some(phase));
            }
        }
        server.write_all(message).await?;
    }
}

async fn answer(
    mut server: OwnedReadHalf,
    mut client: OwnedWriteHalf,
    holding: watch::Receiver<Caught>,
) -> io::Result<()> {
    let mut buffer = vec![0; 65_536];
    let mut kept = Vec::new();
    loop {
        let phase = holding.borrow().clone().filter(|phase| *phase.borrow() != Phase::Flowing);
        match phase {
            None => {
                client.write_all(&std::mem::take(&mut kept)).await?;
                let count = server.read(&mut buffer).await?;
                if count == 0 {
                    return Ok(());
                }
                kept.extend_from_slice(&buffer[..count]);
            }
            Some(phase) => {
                // ReadyForQuery: the answer is complete.
                if kept.len() >= 6 && kept[kept.len() - 6..].starts_with(b"Z\0\0\0\x05") {
                    step(&phase, |phase| phase == Phase::Asked, Phase::Answered);
                }
                let mut changes = phase.subscribe();
                tokio::select! {
                    count = server.read(&mut buffer) => match count? {
                        0 => return Ok(()),
                        count => kept.extend_from_slice(&buffer[..count]),
                    },
                    phase = changes.wait_for(|phase| matches!(phase, Phase::Flowing | Phase::Cut)) => {
                        if phase.is_ok_and(|phase| *phase == Phase::Cut) {
                            return Ok(());
                        }
                    }
                }
            }
        }
    }
}
