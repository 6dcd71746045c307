//! A receiver in the test, and the notifier that tells it from another process: a line for each question, a line for each
//! answer.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use axum_device_sessions::{EventKind, NotDelivered, Notice, Notifier, Wants};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::watch,
};
use uuid::Uuid;

/// Where a delivery is held up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    Nothing,
    /// It has been claimed, and the receiver has not got it.
    BeforeSend,
    /// The receiver has it, and has not answered.
    BeforeAnswer,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arrived {
    pub(crate) notice: Uuid,
    pub(crate) event: Uuid,
    pub(crate) kind: String,
    pub(crate) session: Uuid,
}

pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    pub(crate) hold: watch::Sender<Hold>,
    arrived: Arc<Mutex<Vec<Arrived>>>,
    asked: Arc<Mutex<usize>>,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (hold, arrived, asked) = (watch::Sender::new(Hold::Nothing), Arc::default(), Arc::default());
        let this = Self { address, hold, arrived, asked };
        let (hold, arrived, asked) = (this.hold.subscribe(), Arc::clone(&this.arrived), Arc::clone(&this.asked));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(receive(stream, hold.clone(), Arc::clone(&arrived), Arc::clone(&asked)));
            }
        });
        this
    }

    pub(crate) fn arrived(&self) -> Vec<Arrived> {
        self.arrived.lock().unwrap().clone()
    }

    /// How many deliveries have begun.
    pub(crate) fn asked(&self) -> usize {
        *self.asked.lock().unwrap()
    }
}

async fn receive(
    stream: TcpStream,
    mut hold: watch::Receiver<Hold>,
    arrived: Arc<Mutex<Vec<Arrived>>>,
    asked: Arc<Mutex<usize>>,
) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 0 {
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["may", "i"] => {
                *asked.lock().unwrap() += 1;
                let _over = hold.wait_for(|hold| *hold != Hold::BeforeSend).await;
            }
            [notice, event, kind, session] => {
                let [notice, event, session] = [notice, event, session].map(|id| id.parse().unwrap());
                arrived.lock().unwrap().push(Arrived { notice, event, kind: kind.to_owned(), session });
                let _over = hold.wait_for(|hold| *hold != Hold::BeforeAnswer).await;
            }
            _ => panic!("{line}"),
        }
        stream.write_all(b"ok\n").await?;
        line.clear();
    }
    Ok(())
}

/// Tells the receiver of everything.
pub(crate) struct Remote(pub(crate) String);

impl Remote {
    pub(crate) async fn tell(&self, arrived: &Arrived) -> io::Result<()> {
        let mut stream = BufReader::new(TcpStream::connect(&self.0).await?);
        let Arrived { notice, event, kind, session } = arrived;
        for line in ["may i\n".to_owned(), format!("{notice} {event} {kind} {session}\n")] {
            stream.write_all(line.as_bytes()).await?;
            let mut answer = String::new();
            stream.read_line(&mut answer).await?;
            if answer != "ok\n" {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }
}

impl Notifier for Remote {
    fn wants(&self) -> Wants {
        Wants::events(EventKind::ALL.iter().copied())
    }

    async fn deliver(&self, notice: &Notice) -> Result<(), NotDelivered> {
        let (event, kind) = (&notice.event, notice.event.kind.to_string());
        let session = event.session_id.as_uuid();
        let told = self.tell(&Arrived { notice: notice.id, event: event.id, kind, session }).await;
        told.map_err(NotDelivered::retry)
    }
}
