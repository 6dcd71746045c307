//! A proxy that can be shut: what is open is closed, what comes is closed at once. The network that fails and says so.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::{
    io,
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

#[derive(Debug)]
pub(crate) struct Gate {
    port: u16,
    open: watch::Sender<bool>,
    connections: Arc<AtomicUsize>,
}

impl Gate {
    /// In front of the server that this URL names.
    pub(crate) async fn to(url: &str) -> Self {
        let server = port_of(url);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("bind");
        let port = listener.local_addr().expect("bound").port();
        let open = watch::Sender::new(true);
        let opened = open.subscribe();
        let connections = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(forward(client, server, opened.clone()));
            }
        });
        Self { port, open, connections }
    }

    /// The same URL, through the gate.
    pub(crate) fn url(&self, url: &str) -> String {
        url.replacen(&format!(":{}/", port_of(url)), &format!(":{}/", self.port), 1)
    }

    /// How many have been tried, in vain or not.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    pub(crate) fn is_open(&self) -> bool {
        *self.open.borrow()
    }

    /// From here on nothing goes through, either way.
    pub(crate) fn shut(&self) {
        self.open.send_replace(false);
    }

    pub(crate) fn open(&self) {
        self.open.send_replace(true);
    }
}

fn port_of(url: &str) -> u16 {
    url.parse::<tokio_postgres::Config>().expect("a url").get_ports()[0]
}

async fn forward(mut client: TcpStream, server: u16, mut open: watch::Receiver<bool>) -> io::Result<()> {
    if !*open.borrow() {
        return Ok(());
    }
    let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, server)).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    tokio::select! {
        // First: what is ready to go when the gate is shut does not go.
        biased;
        _shut = open.wait_for(|open| !open) => Ok(()),
        copied = copy_bidirectional(&mut client, &mut server) => copied.map(drop),
    }
}
