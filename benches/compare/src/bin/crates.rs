//! What a service gets compiled that it would not have anyway: a package with axum, tokio, tokio-postgres, deadpool-postgres and moka,
//! and the same with this crate, both with the versions of the library's lock file. `cargo run --release --bin crates`. Asks
//! cargo what it would build, and builds nothing. Why each is there is in `crates.txt`; one of which nobody has said why shows.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
};

use compare::record::{Goal, goal, note, row};

const SECTION: &str = "Crates added";
const OURS: &str = "axum-device-sessions";
const BASE: &str = r#"
[package]
name = "service"
version = "0.0.0"
edition = "2024"

[workspace]

[dependencies]
axum = "0.8.9"
deadpool-postgres = "0.14.2"
moka = { version = "0.12.16", features = ["sync"] }
tokio = { version = "1.47", features = ["full"] }
tokio-postgres = "0.7.18"
"#;
/// A crate a line: its name, a colon, why it is there.
const REASONS: &str = include_str!("../../crates.txt");

/// Name and version.
type Crate = (String, String);

struct Tree {
    crates: BTreeSet<Crate>,
    /// The shortest way from ours to each: the names between them.
    ways: BTreeMap<Crate, Vec<String>>,
}

fn main() {
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the library is there");
    let dir = std::env::temp_dir().join(format!("crates-added-{}", std::process::id()));
    let base = tree(&dir.join("base"), &library, BASE);
    let with_ours = tree(&dir.join("ours"), &library, &format!("{BASE}{OURS} = {{ path = {library:?} }}\n"));
    // Left behind it would only be in the way.
    drop(fs::remove_dir_all(&dir));
    tell(&base, &with_ours);
}

/// What `cargo build` of this package would compile on this machine, without itself.
fn tree(dir: &Path, library: &Path, manifest: &str) -> Tree {
    fs::create_dir_all(dir.join("src")).expect("a temporary directory");
    fs::write(dir.join("src/lib.rs"), "").expect("a temporary directory");
    fs::write(dir.join("Cargo.toml"), manifest).expect("a temporary directory");
    // Cargo drops what is not needed and keeps the versions of the rest.
    fs::copy(library.join("Cargo.lock"), dir.join("Cargo.lock")).expect("the library has a lock file");
    let ask = |more: &[&str]| {
        // Not `cargo metadata`, which counts crates behind features that nothing switches on.
        let arguments = ["tree", "--edges=normal,build", "--prefix=depth", "--no-dedupe", "--format={p}"];
        let mut command = Command::new("cargo");
        command.current_dir(dir).args(arguments).args(more).output().expect("cargo can be run")
    };
    // Everything has been fetched where the library has been built.
    let mut answer = ask(&["--offline"]);
    if !answer.status.success() {
        answer = ask(&[]);
    }
    assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
    read(&String::from_utf8_lossy(&answer.stdout))
}

/// Lines such as `2moka v0.12.16`: how deep, name, version. Each stands below the last line before it that is less deep.
fn read(lines: &str) -> Tree {
    let (mut crates, mut ways) = (BTreeSet::new(), BTreeMap::<Crate, Vec<String>>::new());
    let mut above: Vec<String> = Vec::new();
    for line in lines.lines() {
        let digits = line.find(|c: char| !c.is_ascii_digit()).expect("a name behind the depth");
        let depth: usize = line[..digits].parse().expect("a depth");
        let mut words = line[digits..].split(' ');
        let name = words.next().expect("a name").to_owned();
        let version = words.next().and_then(|word| word.strip_prefix('v')).expect("a version").to_owned();
        above.truncate(depth);
        let found = (name.clone(), version);
        if depth > 0 {
            crates.insert(found.clone());
        }
        if let Some(at) = above.iter().position(|name| name == OURS) {
            let way = &above[at + 1..];
            let known = ways.entry(found).or_insert_with(|| way.to_vec());
            if way.len() < known.len() {
                *known = way.to_vec();
            }
        }
        above.push(name);
    }
    Tree { crates, ways }
}

fn tell(base: &Tree, with_ours: &Tree) {
    let reasons: BTreeMap<&str, &str> =
        REASONS.lines().filter_map(|line| line.split_once(": ")).map(|(name, why)| (name, why.trim())).collect();
    let added: Vec<_> = with_ours.crates.difference(&base.crates).filter(|(name, _)| name != OURS).cloned().collect();
    note(
        SECTION,
        "What `cargo build` compiles for a service with axum, tokio (`full`), tokio-postgres, deadpool-postgres and moka, and for \
         the same with this crate's default features: versions of the library's lock file, this machine's target, build \
         scripts and macros counted. \"By\" is the shortest way from this crate.",
    );
    let count = |name, crates: usize| row(SECTION, name, &[("crates", crates as f64, "")]);
    count("the service without it", base.crates.len());
    count("the service with it", with_ours.crates.len());
    count("added, itself not counted", added.len());
    let (mut table, mut unjustified) = (String::from("| crate | version | by | why |\n|---|---|---|---|"), 0);
    for (name, version) in added {
        let way = with_ours.ways.get(&(name.clone(), version.clone())).cloned().unwrap_or_default();
        let by = if way.is_empty() { "directly".to_owned() } else { format!("`{}`", way.join("` → `")) };
        let twice = base.crates.iter().any(|(other, _)| *other == name);
        let why = reasons.get(name.as_str()).copied().unwrap_or_else(|| {
            unjustified += 1;
            "**UNJUSTIFIED**"
        });
        let twice = if twice { " (another version beside the service's own)" } else { "" };
        table.push_str(&format!("\n| `{name}` | {version} | {by} | {why}{twice} |"));
    }
    note(SECTION, &table);
    goal(SECTION, "crates added without a justification", f64::from(unjustified), "crates", Goal::AtMost(0.0));
}
