//! What it costs to say what a sign-in comes from. `cargo bench --bench device --features test-util`. In memory and
//! without HTTP: sign-ins with a client's headers against those without, alternating; and the first of the process,
//! since a rule file that has to be compiled would show there.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, reason = "a bench")]

use std::time::{Duration, Instant};

use axum::{extract::FromRequestParts as _, http::Request};
use axum_device_sessions::{Client, Sessions, SignIn};

const ROUNDS: usize = 2_000;

/// Browsers with and without hints, an app, a crawler, and nothing that anybody knows, as long as it is read.
fn clients(runtime: &tokio::runtime::Runtime) -> Vec<Client> {
    let chrome = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile \
        Safari/537.36";
    let safari = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
        Version/18.5 Mobile/15E148 Safari/604.1";
    let unknown = format!("Mozilla/5.0 ({}", "x".repeat(500));
    let hints = [
        ("sec-ch-ua", r#""Chromium";v="140", "Not=A?Brand";v="24", "Google Chrome";v="140""#),
        ("sec-ch-ua-platform", "\"Android\""),
        ("sec-ch-ua-platform-version", "\"16.0.0\""),
        ("sec-ch-ua-model", "\"SM-S931B\""),
        ("sec-ch-ua-mobile", "?1"),
    ];
    let app = [("device-platform", "iOS 18.5"), ("device-model", "iPhone17,1"), ("app-name", "Shop")];
    let sent: [(&str, &[(&str, &str)]); 5] = [
        (safari, &[]),
        (chrome, &hints),
        ("Shop/412 CFNetwork/3826.500.131 Darwin/24.5.0", &app),
        ("curl/8.7.1", &[]),
        (&unknown, &[]),
    ];
    let client = |(user_agent, more): (&str, &[(&str, &str)])| {
        let request = Request::builder().header("user-agent", user_agent);
        let request = more.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        runtime.block_on(Client::from_request_parts(&mut parts, &())).unwrap()
    };
    sent.map(client).into()
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let clients = clients(&runtime);
    let sign_in = |sessions: &Sessions, sign_in: SignIn| {
        let asked = Instant::now();
        runtime.block_on(sessions.sign_in(sign_in)).unwrap();
        asked.elapsed()
    };
    let sessions = runtime.block_on(async { Sessions::in_memory() });
    // So that what is first below is the device's doing.
    sign_in(&sessions, SignIn::new("0"));
    let first = sign_in(&sessions, SignIn::new("1").client(clients[1].clone()));

    let (mut without, mut with) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        without.push(sign_in(&sessions, SignIn::new(format!("a{round}"))));
        let client = clients[round % clients.len()].clone();
        with.push(sign_in(&sessions, SignIn::new(format!("b{round}")).client(client)));
    }
    let (without, with) = (median(without), median(with));
    let ratio = |a: Duration, b: Duration| a.as_secs_f64() / b.as_secs_f64();
    println!("{ROUNDS} sign-ins in memory, medians:");
    println!("without a client {without:?}, with one {with:?}: {:.2} times", ratio(with, without));
    println!("the first with one {first:?}: {:.1} times the later ones", ratio(first, with));
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
