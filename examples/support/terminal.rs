//! An example's dealings with the terminal: where it listens, what to paste, how it is told to stop.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
};

use tokio::{
    net::{TcpListener, lookup_host},
    signal::unix::{SignalKind, signal},
};

use crate::environment::Failure;

pub(crate) async fn listen(bind: &str) -> Result<TcpListener, Failure> {
    let addresses: Vec<_> = match lookup_host(bind).await {
        Ok(addresses) => addresses.collect(),
        Err(cause) if cause.kind() == io::ErrorKind::InvalidInput => {
            return Err(Failure::setting(format!("BIND is {bind:?}: give an address and a port, as 127.0.0.1:3000")));
        }
        Err(cause) => return Err(Failure::because(format!("BIND is {bind:?}"), cause)),
    };
    let listener = TcpListener::bind(addresses.as_slice()).await;
    listener.map_err(|cause| Failure::because(format!("cannot listen on {bind} (BIND sets another address)"), cause))
}

/// SIGTERM or Ctrl-C. Caught from this call on, not only from the first poll.
pub(crate) fn stop_signal() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

pub(crate) fn print_what_to_paste(address: SocketAddr) {
    println!("{}", PASTE.replace("URL", &url(address)));
}

pub(crate) fn url(address: SocketAddr) -> String {
    format!("http://{}", reachable(address))
}

/// "Every address of this machine" is nothing that a client can connect to everywhere.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

/// For any shell, with curl and sed alone; without comments, which zsh does not take at its prompt.
const PASTE: &str = r#"
Paste these into another terminal: sign in here and on a phone, look, sign out all others, see the phone refused.
The mail about the phone, and the push that signs it out, arrive in this one.
Users are ahmed, lena, sam, user-1, user-2, ..; every password is demo.

TOKEN=$(curl -s URL/auth/login -H 'Content-Type: application/json' -d '{"username":"ahmed","password":"demo"}' | sed 's/.*"access_token":"\([^"]*\)".*/\1/')
PHONE=$(curl -s URL/auth/login -H 'Content-Type: application/json' -d '{"username":"ahmed","password":"demo"}' -A 'Mozilla/5.0 (iPhone; CPU iPhone OS 17_5_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1' | sed 's/.*"access_token":"\([^"]*\)".*/\1/')
curl -s -X PUT URL/sessions/current/push-target -H "Authorization: Bearer $PHONE" -H 'Content-Type: application/json' -d '{"provider":"demo","token":"my-phone"}'
curl -s -w '\n' URL/me -H "Authorization: Bearer $TOKEN"
curl -s -w '\n' URL/sessions -H "Authorization: Bearer $TOKEN"
curl -s -w '\n' -X DELETE URL/sessions/others -H "Authorization: Bearer $TOKEN"
curl -s -w '\n' URL/me -H "Authorization: Bearer $PHONE"
curl -s -w '\n' "URL/sessions?state=ended" -H "Authorization: Bearer $TOKEN"
curl -s -w '\n' URL/public
curl -s -w '\n' URL/health
"#;
