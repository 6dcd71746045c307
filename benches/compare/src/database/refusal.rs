//! An end on one node, and when the other has heard of it.

use std::{
    io::{BufRead as _, BufReader, Write as _, stdin},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use axum::http::StatusCode;
use axum_device_sessions::{
    EndReason, EndTarget, PostgresStore, SessionId, SessionStore as _, SignIn, store::Activity,
};
use tokio::runtime::Runtime;
use tokio_postgres::{Client, Statement};

use super::{
    Server,
    counters::Counters,
    float,
    node::{Node, ask, bearer, cold},
    quick,
    spread::Spread,
};
use crate::record::{Goal, goal, note, row};

pub const SECTION: &str = "End to refusal";
/// The first argument of the second process.
pub const SECOND: &str = "second";
const ACTIVE: usize = 10_000;
const CHUNK: usize = 1_000;

/// One thread for the listener and the connections; requests run on the caller's.
fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
}

/// Microseconds since 1970, by the clock that all processes of a machine share.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64() * 1e6
}

/// The other node: reads a token, says `in` once it is let in, then the time at which it was refused.
pub fn second(url: &str) {
    let runtime = runtime();
    let node = runtime.block_on(Node::start(url, |builder| builder));
    println!("ready");
    for token in stdin().lines() {
        let bearer = bearer(&token.expect("text"));
        assert_eq!(runtime.block_on(ask(&node.app, &bearer)), StatusCode::OK);
        println!("in");
        loop {
            let status = runtime.block_on(ask(&node.app, &bearer));
            if status == StatusCode::UNAUTHORIZED {
                break;
            }
            assert_eq!(status, StatusCode::OK);
            // What tells of the end, and the server, may want this core.
            std::thread::yield_now();
        }
        println!("{}", now());
    }
    runtime.block_on(node.stop());
}

struct Other {
    process: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Other {
    fn start(url: &str) -> Self {
        let program = std::env::current_exe().expect("this program");
        let mut command = Command::new(program);
        command.args([SECOND, url]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("this program can be started");
        let to = process.stdin.take().expect("piped");
        let from = BufReader::new(process.stdout.take().expect("piped"));
        let mut other = Self { process, to, from };
        assert_eq!(other.says(), "ready");
        other
    }

    fn says(&mut self) -> String {
        let mut line = String::new();
        self.from.read_line(&mut line).expect("text");
        line.trim().to_owned()
    }

    /// It knows the session, and asks again and again from now on.
    fn begin(&mut self, token: &str) {
        writeln!(self.to, "{token}").expect("it reads");
        assert_eq!(self.says(), "in");
    }

    fn refused_at(&mut self) -> f64 {
        self.says().parse().expect("a time")
    }

    /// It goes when nothing more can come.
    fn stop(mut self) {
        drop(self.to);
        assert!(self.process.wait().expect("ours to wait for").success());
    }
}

/// One commit, and nothing else.
struct Bare {
    client: Client,
    insert: Statement,
}

impl Bare {
    async fn new(client: Client) -> Self {
        let table = "CREATE TABLE commits (at timestamptz NOT NULL DEFAULT now())";
        client.batch_execute(table).await.expect("ours to make");
        let insert = client.prepare("INSERT INTO commits DEFAULT VALUES").await.expect("plain SQL");
        Self { client, insert }
    }

    async fn commit(&self) {
        self.client.execute(&self.insert, &[]).await.expect("the server is up");
    }
}

#[derive(Default)]
struct Measured {
    bare: Spread,
    end: Spread,
    refused: Spread,
}

pub fn first(server: &Server) {
    let rounds = if quick() { 50 } else { 500 };
    let runtime = runtime();
    let node = runtime.block_on(Node::start(&server.url(), |builder| builder));
    let bare = runtime.block_on(async { Bare::new(server.connect().await).await });
    let mut other = Other::start(&server.url());
    // The first ones make connections, plans and code warm.
    measure(&runtime, &node, &bare, &mut other, 20);
    let undisturbed = measure(&runtime, &node, &bare, &mut other, rounds);
    let load = Load::start(&runtime, server);
    let under_load = measure(&runtime, &node, &bare, &mut other, rounds / 2);
    let flushes = load.stop(&runtime);
    other.stop();
    runtime.block_on(node.stop());

    tell("undisturbed", &undisturbed);
    tell("while 10 k rows of activity are written each second", &under_load);
    let refused = &undisturbed.refused;
    goal(SECTION, "p50 after the acknowledgement", refused.median() / 1e3, "ms", Goal::AtMost(1.0));
    goal(SECTION, "p99 after the acknowledgement", refused.percentile(99) / 1e3, "ms", Goal::AtMost(10.0));
    note(
        SECTION,
        &format!(
            "Two processes on one machine and one Postgres, each with runtime, pool and listener of its own; {rounds} ends, then half as many \
         under load ({flushes} flushes of {ACTIVE} rows, by a store of the first process). In each round: a sign-in; the other process \
         is let in with it, and from then on asks its own Router in a loop; a bare INSERT in a transaction of its own (prepared, one round trip); \
         the end on the first. The time of the acknowledgement and that of the refusal are the system's clock, read in two processes. \
         A refusal may come before the acknowledgement has: it then counts as negative."
        ),
    );
}

fn measure(runtime: &Runtime, node: &Node, bare: &Bare, other: &mut Other, rounds: usize) -> Measured {
    let mut measured = Measured::default();
    for n in 0..rounds {
        let signed_in =
            runtime.block_on(node.sessions.sign_in(SignIn::new(format!("user-{n}")))).expect("the server is up");
        other.begin(&signed_in.access_token);
        let since = Instant::now();
        runtime.block_on(bare.commit());
        measured.bare.add_time(since.elapsed());
        let target = EndTarget::One { id: signed_in.session.id, user: None };
        let since = Instant::now();
        runtime.block_on(node.sessions.end(target, EndReason::Logout, None)).expect("the server is up");
        let acknowledged = now();
        measured.end.add_time(since.elapsed());
        measured.refused.add(other.refused_at() - acknowledged);
    }
    measured
}

fn tell(when: &str, measured: &Measured) {
    let all = [
        ("from the acknowledgement to the first refusal", &measured.refused),
        ("from the call of `end` to its acknowledgement", &measured.end),
        ("a bare INSERT and its commit", &measured.bare),
    ];
    for (what, times) in all {
        let mut figures = vec![
            ("p50", times.median() / 1e3, "ms"),
            ("p99", times.percentile(99) / 1e3, "ms"),
            ("max", times.percentile(100) / 1e3, "ms"),
            ("rounds", float(times.len()), ""),
        ];
        let early = times.share(|time| time < 0.0);
        if early > 0.0 {
            figures.push(("before the acknowledgement", early * 100.0, "%"));
        }
        row(SECTION, &format!("{what}, {when}"), &figures);
    }
}

/// Writes the activity of many sessions down each second, as a busy node's writer does.
struct Load {
    go_on: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<usize>,
}

impl Load {
    fn start(runtime: &Runtime, server: &Server) -> Self {
        let go_on = Arc::new(AtomicBool::new(true));
        let (store, ids) = runtime.block_on(async {
            let counters = Counters::new(server.connect().await).await;
            let mut ids: Vec<_> =
                cold(&counters.0, ACTIVE).await.into_iter().map(|one| SessionId::from(one.id)).collect();
            ids.sort_unstable();
            (PostgresStore::connect(&server.url()).await.expect("the server is up"), ids)
        });
        let more = Arc::clone(&go_on);
        let task = runtime.spawn(async move {
            let mut second = tokio::time::interval(Duration::from_secs(1));
            let mut flushes = 0;
            while more.load(Ordering::Relaxed) {
                second.tick().await;
                for chunk in ids.chunks(CHUNK) {
                    let batch = chunk.iter().map(|id| Activity::new(*id, Duration::ZERO, None)).collect();
                    store.record_activity(batch).await.expect("the server is up");
                }
                flushes += 1;
            }
            flushes
        });
        Self { go_on, task }
    }

    fn stop(self, runtime: &Runtime) -> usize {
        self.go_on.store(false, Ordering::Relaxed);
        runtime.block_on(self.task).expect("it does not panic")
    }
}
