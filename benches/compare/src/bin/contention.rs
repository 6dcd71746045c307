//! Whether requests on several threads wait for one another in the layer: throughput on 1, 2, .. threads, beside the bare router,
//! an empty middleware, and two controls that share something on purpose. `cargo run --release --bin contention`; a short form
//! with `QUICK=1`. Each thread has a runtime and a clone of the router of its own, so that nothing else is shared.

use std::{
    collections::HashMap,
    hint::black_box,
    sync::{
        Arc, Barrier, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{HeaderValue, header::AUTHORIZATION},
    middleware::{Next, from_fn},
    routing::get,
};
use axum_device_sessions::{AccessTokens, CurrentSession, MemoryStore, SessionValidationLayer, Sessions, SignIn};
use compare::{
    record::{Goal, goal, note, row, short},
    report::numbers::{median, spread},
};
use tokio::runtime::{Builder, Runtime};
use tower::Service as _;

const SECTION: &str = "Contention";
const SESSIONS: usize = 2_000;
/// Between two looks at the clock.
const BATCH: usize = 64;
/// The first of which is what the others are compared with.
const VARIANTS: [&str; 6] = [
    "bare",
    "from_fn",
    "ours, 2,000 sessions",
    "ours, one hot session",
    "control: one atomic counter",
    "control: one Mutex<HashMap>",
];

/// Requests a second of one variant, by round; on one number of threads.
struct Column {
    threads: usize,
    rates: [Vec<f64>; VARIANTS.len()],
}

fn main() {
    let quick = std::env::var("QUICK").is_ok();
    let (rounds, time) = if quick { (5, Duration::from_millis(30)) } else { (41, Duration::from_millis(100)) };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    if cores < 2 {
        note(SECTION, "Not measured: this machine has one core.");
        return;
    }
    let mut counts: Vec<usize> = (0..).map(|power| 1 << power).take_while(|threads| *threads < cores).collect();
    counts.push(cores);
    note(
        SECTION,
        &format!(
            "Router in process, no network. Each thread has a runtime and a clone of the router of its own and goes through \
             {SESSIONS} sessions from a place of its own (but for the hot one, which all threads ask for at once). Scaling: \
             requests a second on all threads together over those on one. Of bare's: of the scaling of the bare router in the \
             same round, which is the machine's at that time; the median of the rounds. {rounds} rounds of {} ms, variants and numbers of threads \
             interleaved, every other round backwards. Both controls are a `from_fn` that adds one for each request: to one \
             `AtomicU64`, and to the count of its token in one `Mutex<HashMap>`.",
            time.as_millis()
        ),
    );
    let node = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let (apps, bearers) = variants(&node);
    let mut columns: Vec<_> = counts.iter().map(|&threads| Column { threads, rates: Default::default() }).collect();
    let mut order: Vec<_> =
        (0..VARIANTS.len()).flat_map(|variant| (0..counts.len()).map(move |column| (variant, column))).collect();
    for _ in 0..rounds {
        for &(variant, column) in &order {
            let hot = VARIANTS[variant] == "ours, one hot session";
            let asked = if hot { &bearers[..1] } else { &bearers[..] };
            let rate = measure(&apps[variant], asked, counts[column], time);
            columns[column].rates[variant].push(rate);
        }
        order.reverse();
    }
    tell(&columns);
}

fn variants(node: &Runtime) -> ([Router; VARIANTS.len()], Vec<HeaderValue>) {
    let tokens = AccessTokens::hs256("0123456789abcdefghijklmnopqrstuv").expect("32 bytes");
    let building = Sessions::builder(MemoryStore::new()).access_tokens(tokens).build();
    let sessions = node.block_on(building).expect("the defaults agree");
    let mut bearers = Vec::new();
    for n in 0..SESSIONS {
        let signed_in = node.block_on(sessions.sign_in(SignIn::new(format!("user-{n}")))).expect("in memory");
        bearers.push(HeaderValue::try_from(format!("Bearer {}", signed_in.access_token)).expect("a token"));
    }
    let plain = || Router::new().route("/", get(async || "ok"));
    let empty = from_fn(async |request: Request, next: Next| next.run(request).await);
    let layer = SessionValidationLayer::new(sessions);
    let ours = Router::new().route("/", get(async |_: CurrentSession| "ok")).layer(layer);
    let counter = Arc::new(AtomicU64::new(0));
    let counting = from_fn(move |request: Request, next: Next| {
        counter.fetch_add(1, Ordering::SeqCst);
        next.run(request)
    });
    let counts = Arc::new(Mutex::new(HashMap::<Box<[u8]>, u64>::new()));
    let locking = from_fn(move |request: Request, next: Next| {
        let token = request.headers()[AUTHORIZATION].as_bytes();
        let mut counts = counts.lock().expect("nobody panics with it");
        // As one writes it: nothing is allocated for a token that is there.
        match counts.get_mut(token) {
            Some(count) => *count += 1,
            None => drop(counts.insert(token.into(), 1)),
        }
        drop(counts);
        next.run(request)
    });
    let apps = [plain(), plain().layer(empty), ours.clone(), ours, plain().layer(counting), plain().layer(locking)];
    (apps, bearers)
}

/// Requests a second of all threads together. Everyone warms up, then all start at once.
fn measure(app: &Router, bearers: &[HeaderValue], threads: usize, time: Duration) -> f64 {
    let barrier = Barrier::new(threads);
    thread::scope(|scope| {
        let start = |thread: usize| {
            let (barrier, app) = (&barrier, app.clone());
            // A copy, since a `HeaderValue` counts its users, and that would be shared in the bare router as well.
            let own: Vec<_> =
                bearers.iter().map(|value| HeaderValue::from_bytes(value.as_bytes()).expect("was one")).collect();
            scope.spawn(move || {
                let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
                runtime.block_on(ask(app, &own, thread * own.len() / threads, barrier, time))
            })
        };
        let running: Vec<_> = (0..threads).map(start).collect();
        running.into_iter().map(|thread| thread.join().expect("all are let in")).sum()
    })
}

async fn ask(mut app: Router, bearers: &[HeaderValue], mut at: usize, barrier: &Barrier, time: Duration) -> f64 {
    let mut batch = async |app: &mut Router, size: usize| {
        for _ in 0..size {
            // A prime, so that all are met, and not in the order in which they lie.
            at = (at + 7_919) % bearers.len();
            let answer = app.call(request(&bearers[at])).await.expect("infallible");
            assert_eq!(answer.status(), 200);
            black_box(answer);
        }
    };
    batch(&mut app, 2 * bearers.len().max(BATCH)).await;
    barrier.wait();
    let (start, mut requests) = (Instant::now(), 0_u32);
    while start.elapsed() < time {
        batch(&mut app, BATCH).await;
        requests += BATCH as u32;
    }
    f64::from(requests) / start.elapsed().as_secs_f64()
}

fn request(bearer: &HeaderValue) -> Request {
    let mut request = Request::new(Body::empty());
    let headers = request.headers_mut();
    headers.insert("host", HeaderValue::from_static("app.example.com"));
    headers.insert("user-agent", HeaderValue::from_static("Mozilla/5.0 (X11; Linux x86_64) Chrome/140.0.0.0"));
    headers.insert("accept", HeaderValue::from_static("application/json"));
    headers.insert(AUTHORIZATION, bearer.clone());
    request
}

fn tell(columns: &[Column]) {
    let (alone, more) = columns.split_first().expect("one thread is measured");
    let rate = |column: &Column, variant: usize| median(&column.rates[variant]);
    let scalings = |column: &Column, variant: usize| -> Vec<f64> {
        column.rates[variant].iter().zip(&alone.rates[variant]).map(|(many, one)| many / one).collect()
    };
    // Two cores of a virtual machine are now and then two halves of one: all that is compared has to have been measured then.
    let of_bare = |column: &Column, variant: usize| {
        let both = scalings(column, variant).into_iter().zip(scalings(column, 0));
        median(&both.map(|(this, bare)| this / bare).collect::<Vec<_>>())
    };
    for column in more {
        let threads = column.threads;
        for (variant, name) in VARIANTS.iter().enumerate() {
            let each = scalings(column, variant);
            let (low, high) = spread(&each);
            let figures = [
                ("on 1 thread", rate(alone, variant), "req/s"),
                (&format!("on {threads} threads"), rate(column, variant), "req/s"),
                ("scaling", median(&each), "x"),
                ("p10", low, "x"),
                ("p90", high, "x"),
                ("of bare's", of_bare(column, variant), "x"),
            ];
            // The number of threads makes the name one of its own only where there are several numbers.
            let name = if more.len() > 1 { format!("{name}, {threads} threads") } else { (*name).to_owned() };
            row(SECTION, &name, &figures);
        }
    }
    let most = more.last().expect("two cores or more");
    if more.len() > 1 {
        note(SECTION, &format!("The goals are judged on the most threads, {}.", most.threads));
    }
    let machine_s = median(&scalings(most, 0));
    if machine_s < 0.75 * most.threads as f64 {
        let text = format!(
            "**The machine was busy**, or has fewer cores than it says: the bare router on {} threads did only {} times what it \
             did on one. Scaling that is compared with that says little.",
            most.threads,
            short(machine_s)
        );
        note(SECTION, &text);
    }
    goal(SECTION, "scaling of ours, of bare's (2,000 sessions)", of_bare(most, 2), "x", Goal::AtLeast(0.95));
    goal(SECTION, "scaling of ours, of bare's (one hot session)", of_bare(most, 3), "x", Goal::AtLeast(0.9));
}
