//! Instructions of a request, which no other load on the machine changes: callgrind over the program `hit`, variant by variant.
//! `cargo build --release && cargo run --release --bin instructions`; needs valgrind. What a run of twice as many requests takes more
//! is what so many requests take: start-up and sign-ins cancel out.

use std::{path::Path, process::Command};

use compare::record::{Goal, goal, note, row};

const SECTION: &str = "Instructions";
/// Each after the bare one that it is compared with.
const VARIANTS: [&str; 6] = ["bare", "extension", "from_fn", "ours", "bare-cookie", "ours-cookie"];

fn main() {
    let requests: u32 = if std::env::var("QUICK").is_ok() { 2_000 } else { 20_000 };
    note(
        SECTION,
        &format!(
            "Valgrind's callgrind counts the instructions of the program `hit`: those of {} requests less those of {requests}, a \
             request. In process, one thread, 100 sessions, HS256; `-cookie`: by a browser's cookies. No other load changes \
             them; what waiting for memory costs they do not show.",
            2 * requests
        ),
    );
    let program = std::env::current_exe().expect("it has a path");
    let hit = program.with_file_name("hit");
    let (mut bare, mut from_fn) = (0.0, None);
    for variant in VARIANTS {
        match (instructions(&hit, variant, requests), instructions(&hit, variant, 2 * requests)) {
            (Ok(once), Ok(twice)) => {
                let each = (twice - once) / f64::from(requests);
                if variant.starts_with("bare") {
                    bare = each;
                }
                let over = each - bare;
                row(SECTION, variant, &[("a request", each, "instructions"), ("over bare", over, "instructions")]);
                match (variant, from_fn) {
                    ("from_fn", _) => from_fn = Some(over),
                    ("ours", Some(from_fn)) => {
                        let what = "instructions over bare, of what an empty from_fn adds";
                        goal(SECTION, what, over / from_fn, "×", Goal::AtMost(1.8));
                    }
                    _ => {}
                }
            }
            (Err(why), _) | (_, Err(why)) => note(SECTION, &format!("`{variant}` was not measured: {why}")),
        }
    }
}

fn instructions(hit: &Path, variant: &str, requests: u32) -> Result<f64, String> {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    let run = command.arg(hit).args([variant, &requests.to_string()]).output();
    let run = run.map_err(|cause| format!("valgrind cannot be run: {cause}"))?;
    let said = String::from_utf8_lossy(&run.stderr);
    if !run.status.success() {
        let why = said.lines().find(|line| line.starts_with("no variant")).unwrap_or("the program failed");
        return Err(why.to_owned());
    }
    let count = said.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok());
    count.ok_or_else(|| "valgrind told no number".to_owned())
}
