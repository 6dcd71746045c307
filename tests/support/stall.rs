//! A proxy that stays open and forwards nothing: the network that neither delivers nor fails.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::{io, net::Ipv4Addr};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    Nothing,
    /// Connections that have said LISTEN.
    Listeners,
    Everything,
}

#[derive(Debug)]
pub(crate) struct Stall {
    port: u16,
    hold: watch::Sender<Hold>,
}

impl Stall {
    pub(crate) async fn to(url: &str) -> Self {
        let server = port_of(url);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("bind");
        let port = listener.local_addr().expect("bound").port();
        let hold = watch::Sender::new(Hold::Nothing);
        let holding = hold.subscribe();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(forward(client, server, holding.clone()));
            }
        });
        Self { port, hold }
    }

    /// The same URL, through the proxy.
    pub(crate) fn url(&self, url: &str) -> String {
        url.replacen(&format!(":{}/", port_of(url)), &format!(":{}/", self.port), 1)
    }

    pub(crate) fn hold(&self, what: Hold) {
        self.hold.send_replace(what);
    }
}

fn port_of(url: &str) -> u16 {
    url.parse::<tokio_postgres::Config>().expect("a url").get_ports()[0]
}

async fn forward(mut client: TcpStream, server: u16, mut hold: watch::Receiver<Hold>) -> io::Result<()> {
    let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, server)).await?;
    let (mut up, mut down) = (vec![0; 16_384], vec![0; 16_384]);
    let mut listens = false;
    loop {
        // Checked before each chunk goes on: what has been read while held is kept until released.
        tokio::select! {
            count = client.read(&mut up) => {
                let chunk = &up[..count?];
                listens |= chunk.windows(7).any(|word| word == b"LISTEN ");
                released(&mut hold, listens).await;
                if chunk.is_empty() { return Ok(()) }
                server.write_all(chunk).await?;
            }
            count = server.read(&mut down) => {
                let chunk = &down[..count?];
                released(&mut hold, listens).await;
                if chunk.is_empty() { return Ok(()) }
                client.write_all(chunk).await?;
            }
        }
    }
}

async fn released(hold: &mut watch::Receiver<Hold>, listens: bool) {
    let flows = |hold: &Hold| *hold == Hold::Nothing || (*hold == Hold::Listeners && !listens);
    // Err: the test is over.
    let _over = hold.wait_for(flows).await;
}
