//! A connection that is to be encrypted by STARTTLS.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, ready},
};

use lettre::transport::smtp::client::AsyncTokioStream;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// Until TLS begins, it is read byte by byte, so no further than to the end of the answer that is waited for. Whoever stands
/// in between could else put answers of their own behind the last one before TLS; they would be kept, and later pass for what
/// the server says by TLS, up to "the mail is taken" (lettre 0.11.23 keeps its buffer). Like this they end in the handshake.
#[derive(Debug)]
pub(super) struct BeforeTls {
    stream: TcpStream,
    begun: bool,
}

/// The type of a TLS record of the handshake (RFC 8446 §5.1). No command begins with this byte.
const HANDSHAKE: u8 = 22;

impl BeforeTls {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, begun: false }
    }
}

impl AsyncRead for BeforeTls {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.begun || into.remaining() == 0 {
            return Pin::new(&mut self.stream).poll_read(cx, into);
        }
        let mut byte = [0];
        let mut one = ReadBuf::new(&mut byte);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut one))?;
        into.put_slice(one.filled());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for BeforeTls {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.begun |= bytes.first() == Some(&HANDSHAKE);
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl AsyncTokioStream for BeforeTls {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream.peer_addr()
    }
}
