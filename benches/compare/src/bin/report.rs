//! Writes the page out of what `BENCH_OUT` holds: `report DIRECTORY [PROGRAM THAT FAILED ..]` makes `DIRECTORY/benchmarks.md` and the
//! plots in `DIRECTORY/benchmarks/`. `scripts/bench` calls it when everything else has run.

#[path = "../../../../examples/support/local_postgres.rs"]
mod local_postgres;

use std::{
    fs,
    path::{Path, PathBuf},
};

use compare::{
    record::Record,
    report::{
        document::{Head, document},
        machine::{machine, versions},
        sections,
    },
};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let into = PathBuf::from(arguments.next().expect("a directory to write to"));
    let measured = std::env::var("BENCH_OUT").expect("BENCH_OUT names the file with the figures");
    let measured = fs::read_to_string(measured).expect("the file that BENCH_OUT names can be read");
    let mut failed: Vec<_> = arguments.collect();
    let mut records = Vec::new();
    for line in measured.lines() {
        match serde_json::from_str::<Record>(line) {
            Ok(record) => records.push(record),
            // A program that was stopped in the middle of a line must not cost the page.
            Err(cause) => failed.push(format!("a line that cannot be read: {cause}")),
        }
    }
    let bench = Path::new(env!("CARGO_MANIFEST_DIR"));
    let lock = fs::read_to_string(bench.join("Cargo.lock")).expect("there is a lock file");
    let head = Head {
        quick: std::env::var("QUICK").is_ok(),
        failed,
        machine: machine(&bench.join("../.."), local_postgres::LocalPostgres::find().as_deref()),
        versions: versions(&lock),
    };
    let (page, plots) = document(&head, &sections(records));
    let beside = into.join("benchmarks");
    // Plots of sections that are no more.
    for old in fs::read_dir(&beside).into_iter().flatten().flatten() {
        if old.path().extension().is_some_and(|extension| extension == "svg") {
            fs::remove_file(old.path()).expect("plots can be replaced");
        }
    }
    fs::create_dir_all(&beside).expect("the directory can be written to");
    for (file, plot) in plots {
        fs::write(beside.join(file), plot).expect("the directory can be written to");
    }
    let file = into.join("benchmarks.md");
    fs::write(&file, page).expect("the directory can be written to");
    println!("written: {}", file.display());
}
