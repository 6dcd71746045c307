//! The negative control of `tests/refresh_model`: with each deliberate mistake in the refresh rule the model finds a
//! history in which it does harm, and without any it finds none. A clause of the rule whose absence nothing notices is
//! either not needed or not tested.
//!
//! Model and rule need the standard library alone, so plain `rustc` builds them, with optimisation: the worlds are larger
//! here than in the debug build of the model.

#![allow(clippy::print_stdout, reason = "the counterexamples are the result")]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

/// Each mistake, and a search that finds it. What each would do is told by `rule::refresh` under "Reasons".
const MUTANTS: [(&str, &str); 20] = [
    ("no_fixed_root", "an_honest_client_stays_signed_in"),
    ("root_is_cur_minus_one", "an_honest_client_stays_signed_in"),
    ("same_successor_past_grace", "a_thief_is_found"),
    ("no_at_floor", "a_thief_is_found"),
    ("no_at_root", "a_thief_is_found"),
    ("sliding_grace", "a_thief_is_found"),
    ("no_fresh_hand_out", "an_honest_client_stays_signed_in"),
    ("void_confirmation_ignored", "a_thief_is_found"),
    ("answers_after_end", "a_thief_is_found"),
    ("fixed_grace", "an_honest_client_stays_signed_in"),
    ("fresh_not_seen", "a_thief_is_found"),
    ("fresh_since_made", "an_honest_client_stays_signed_in"),
    ("no_amnesty", "an_honest_client_stays_signed_in"),
    ("reauth_keeps_floor", "a_thief_gains_nothing_by_a_reauthentication"),
    ("reauth_opens_grace", "a_thief_gains_nothing_by_a_reauthentication"),
    ("seen_ignored", "a_thief_is_found"),
    ("slides_past_window", "a_thief_does_not_lengthen_the_window"),
    ("state_lost_is_reuse", "an_honest_client_survives_failovers"),
    ("state_lost_keeps_floor", "a_thief_gains_nothing_void_by_a_failover"),
    ("window_restarts", "a_thief_does_not_lengthen_the_window"),
];

#[test]
fn without_a_mistake_every_search_passes() {
    let model = build(None);
    let output = run(&model, &["--nocapture"]);
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    let covered: Vec<&str> = told.lines().filter(|line| line.contains("interleavings")).collect();
    assert!(!covered.is_empty(), "no search was run:\n{told}");
    println!("{}", covered.join("\n"));
}

#[test]
fn each_mistake_has_a_counterexample() {
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some((mutant, search)) = MUTANTS.get(next.fetch_add(1, Ordering::Relaxed)) {
            let model = build(Some(mutant));
            let output = run(&model, &["--exact", search]);
            let told = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
            let counterexample = told.find("counterexample in").map(|at| &told[at..]);
            assert!(!output.status.success(), "{mutant} does no harm that {search} could see:\n{told}");
            let text = counterexample.unwrap_or_else(|| panic!("{mutant} fails in another way:\n{told}"));
            println!("{mutant}: {}", text.split("\n\n").next().unwrap_or_default());
            let _left_behind = fs::remove_file(model);
        }
    };
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(work);
        }
    });
}

#[test]
fn the_list_is_complete() {
    let rule = fs::read_to_string(root().join("src/token/refresh/rule.rs")).unwrap();
    let mut in_rule: Vec<&str> =
        rule.split("cfg!(mutant = \"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    in_rule.retain(|name| *name != "..");
    in_rule.sort_unstable();
    in_rule.dedup();
    let mut listed: Vec<&str> = MUTANTS.iter().map(|(mutant, _)| *mutant).collect();
    listed.sort_unstable();
    assert_eq!(listed, in_rule);
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn build(mutant: Option<&str>) -> PathBuf {
    let model = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("refresh_model_{}", mutant.unwrap_or("as_it_is")));
    let mut rustc = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.current_dir(root()).args(["--edition", "2024", "-O", "--test", "--cap-lints", "allow", "-o"]).arg(&model);
    if let Some(mutant) = mutant {
        rustc.args(["--cfg", &format!("mutant=\"{mutant}\"")]);
    }
    let output = rustc.arg("tests/refresh_model/main.rs").output().expect("rustc runs, for it has built this test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    model
}

fn run(model: &Path, arguments: &[&str]) -> Output {
    // A backtrace would stand between the counterexample and its reader.
    Command::new(model).args(arguments).env("RUST_BACKTRACE", "0").output().expect("it was just built")
}
