//! A stand-in for APNs: HTTP/2 alone, and the answers that Apple documents at
//! <https://developer.apple.com/documentation/usernotifications/handling-notification-responses-from-apns>.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    convert::Infallible,
    net::Ipv4Addr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering},
    },
};

use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    server::conn::http2,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::watch,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    judge::{Provider, judge},
    wire::Wire,
};

pub(crate) const KEY_ID: &str = "ABC123DEFG";
pub(crate) const TEAM_ID: &str = "DEF123GHIJ";
pub(crate) const TOPIC: &str = "com.example.MyApp";

pub(crate) struct Apple {
    pub(crate) url: String,
    inner: Arc<Inner>,
    /// Changed when all connections are to end in good order.
    leave: watch::Sender<()>,
}

struct Inner {
    passed: AtomicI64,
    connections: AtomicUsize,
    frozen: Mutex<Vec<Arc<AtomicBool>>>,
    seen: Mutex<Vec<Seen>>,
    /// What to say to which device, once all else is right.
    script: Mutex<HashMap<String, Scripted>>,
    provider: Mutex<Provider>,
}

#[derive(Clone)]
struct Scripted {
    status: u16,
    body: String,
    retry_after: Option<&'static str>,
}

impl Default for Scripted {
    fn default() -> Self {
        Self { status: 200, body: String::new(), retry_after: None }
    }
}

/// A request, as it came.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
    /// What it was answered.
    pub(crate) status: u16,
}

impl Seen {
    pub(crate) fn token(&self) -> &str {
        &self.headers["authorization"]
    }

    pub(crate) fn payload(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

impl Apple {
    /// On loopback, without TLS. `key` is the public half of the provider's: a point, uncompressed.
    pub(crate) async fn start(key: &[u8], streams: u32) -> Self {
        Self::listen(key, streams, None).await
    }

    /// With TLS, for `https://localhost`.
    pub(crate) async fn with_tls(key: &[u8], tls: TlsAcceptor) -> Self {
        Self::listen(key, 100, Some(tls)).await
    }

    async fn listen(key: &[u8], streams: u32, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let url = tls.as_ref().map_or(format!("http://127.0.0.1:{port}"), |_| format!("https://localhost:{port}"));
        let inner = Arc::new(Inner {
            passed: AtomicI64::default(),
            connections: AtomicUsize::default(),
            frozen: Mutex::default(),
            seen: Mutex::default(),
            script: Mutex::default(),
            provider: Mutex::new(Provider::with_key(key)),
        });
        let (leave, leaving) = watch::channel(());
        let serving = Arc::clone(&inner);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                serving.connections.fetch_add(1, Ordering::SeqCst);
                let frozen = Arc::<AtomicBool>::default();
                serving.frozen.lock().unwrap().push(Arc::clone(&frozen));
                let (inner, leaving, tls) = (Arc::clone(&serving), leaving.clone(), tls.clone());
                tokio::spawn(async move {
                    let stream = Wire { stream, frozen };
                    match tls {
                        None => inner.serve(stream, streams, leaving).await,
                        // Who does not trust the certificate goes away here.
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                inner.serve(stream, streams, leaving).await;
                            }
                        }
                    }
                });
            }
        });
        Self { url, inner, leave }
    }

    pub(crate) fn pass(&self, seconds: i64) {
        self.inner.passed.fetch_add(seconds, Ordering::SeqCst);
    }

    pub(crate) fn connections(&self) -> usize {
        self.inner.connections.load(Ordering::SeqCst)
    }

    /// The requests so far, in their order.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.inner.seen.lock().unwrap().clone()
    }

    /// The only one.
    pub(crate) fn single(&self) -> Seen {
        let [seen] = <[Seen; 1]>::try_from(self.seen()).unwrap();
        seen
    }

    /// How many different provider tokens have come.
    pub(crate) fn tokens(&self) -> usize {
        self.seen().iter().map(Seen::token).collect::<HashSet<_>>().len()
    }

    /// What a device's pushes are answered from now on.
    pub(crate) fn answer(&self, device: &str, status: u16, body: impl Into<String>, retry_after: Option<&'static str>) {
        let scripted = Scripted { status, body: body.into(), retry_after };
        self.inner.script.lock().unwrap().insert(device.to_owned(), scripted);
    }

    /// Takes the present provider token for expired.
    pub(crate) fn expire(&self) {
        self.inner.provider.lock().unwrap().expire();
    }

    /// Nothing that comes on the present connections is read any more.
    pub(crate) fn freeze(&self) {
        self.inner.frozen.lock().unwrap().iter().for_each(|frozen| frozen.store(true, Ordering::SeqCst));
    }

    /// Says GOAWAY on every connection.
    pub(crate) fn leave(&self) {
        self.leave.send_replace(());
    }
}

impl Inner {
    async fn serve(
        self: Arc<Self>,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        streams: u32,
        mut leaving: watch::Receiver<()>,
    ) {
        leaving.mark_unchanged();
        let service = service_fn(move |request| {
            let this = Arc::clone(&self);
            async move { Ok::<_, Infallible>(this.answer(request).await) }
        });
        let mut server = http2::Builder::new(TokioExecutor::new());
        let connection = server.max_concurrent_streams(streams).serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        tokio::select! {
            _ended = &mut connection => return,
            _left = leaving.changed() => connection.as_mut().graceful_shutdown(),
        }
        _ = connection.await;
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        let text = |(name, value): (&hyper::header::HeaderName, &hyper::header::HeaderValue)| {
            (name.to_string(), value.to_str().unwrap().to_owned())
        };
        let mut seen = Seen {
            method: head.method.to_string(),
            path: head.uri.path_and_query().unwrap().to_string(),
            headers: head.headers.iter().map(text).collect(),
            body,
            status: 0,
        };
        // A map would hide the second of two.
        let doubled = head.headers.len() != head.headers.keys_len();
        let now = OffsetDateTime::now_utc().unix_timestamp() + self.passed.load(Ordering::SeqCst);
        let judged = judge(&seen, doubled, &mut self.provider.lock().unwrap(), now);
        let scripted = match judged {
            Ok(device) => self.script.lock().unwrap().get(device).cloned().unwrap_or_default(),
            Err((status, reason)) => {
                Scripted { status, body: json!({ "reason": reason }).to_string(), retry_after: None }
            }
        };
        seen.status = scripted.status;
        let mut response = Response::builder().status(scripted.status);
        if let Some(id) = seen.headers.get("apns-id") {
            response = response.header("apns-id", id);
        }
        if let Some(pause) = scripted.retry_after {
            response = response.header("retry-after", pause);
        }
        self.seen.lock().unwrap().push(seen);
        response.body(Full::from(scripted.body)).unwrap()
    }
}
