//! On what it was measured, and with which versions.

use std::{fs, path::Path, process::Command};

/// What there is to say, a line each: name and text. What cannot be found out is left out.
#[must_use]
pub fn machine(project: &Path, postgres: Option<&Path>) -> Vec<(&'static str, String)> {
    let cpus = read("/proc/cpuinfo");
    let cpu =
        |key: &str| cpus.lines().find_map(|line| line.strip_prefix(key)?.split_once(": ").map(|(_, value)| value));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let virtual_one = cpu("flags").is_some_and(|flags| flags.split(' ').any(|flag| flag == "hypervisor"));
    let kind = if virtual_one { ", a virtual machine" } else { "" };
    let memory = read("/proc/meminfo");
    let memory =
        memory.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse().ok());
    let lines = [
        ("processor", cpu("model name").map(|model| format!("{model}, {cores} cores{kind}"))),
        ("memory", memory.map(|kilobytes: f64| format!("{:.1} GiB", kilobytes / 1_048_576.0))),
        ("kernel", said(Command::new("uname").arg("-sr"))),
        ("load before it began", std::env::var("BENCH_LOAD").ok().map(|load| format!("{load} (average of a minute)"))),
        ("Rust", said(Command::new("rustc").arg("--version"))),
        ("Postgres", postgres.and_then(|bin| said(Command::new(bin.join("postgres")).arg("--version")))),
        ("date", said(Command::new("date").args(["-u", "+%Y-%m-%d"]))),
        ("commit", commit(project)),
    ];
    lines.into_iter().filter_map(|(name, text)| Some((name, text?))).collect()
}

/// What a reader would check out. The page itself is no change.
fn commit(project: &Path) -> Option<String> {
    let git = |arguments: &[&str]| said(Command::new("git").current_dir(project).args(arguments));
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let changes = git(&["status", "--porcelain", "--", ".", ":!docs/benchmarks.md", ":!docs/benchmarks"])?;
    Some(if changes.is_empty() { commit } else { format!("{commit}, with changes") })
}

/// The direct dependencies of the bench crate: what is measured and what it is measured with.
#[must_use]
pub fn versions(lock: &str) -> Vec<(String, String)> {
    let value = |block: &str, key: &str| {
        let line = block.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "));
        line.map(|text| text.trim_matches('"').to_owned())
    };
    let packages: Vec<_> = lock.split("[[package]]").collect();
    let Some(bench) = packages.iter().find(|block| value(block, "name").as_deref() == Some("compare")) else {
        return Vec::new();
    };
    let quoted = bench.lines().filter_map(|line| line.trim().strip_prefix('"')?.strip_suffix("\","));
    quoted
        .filter_map(|need| match need.split_once(' ') {
            // The lock file names the version where there are several.
            Some((name, version)) => Some((name.to_owned(), version.to_owned())),
            None => {
                let block = packages.iter().find(|block| value(block, "name").as_deref() == Some(need))?;
                Some((need.to_owned(), value(block, "version")?))
            }
        })
        .collect()
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn said(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::versions;

    #[test]
    fn the_lock_file_tells_the_versions() {
        let lock = "[[package]]\nname = \"compare\"\nversion = \"0.0.0\"\ndependencies = [\n \"axum\",\n \"sqlx 0.8.6\",\n]\n\n\
                    [[package]]\nname = \"axum\"\nversion = \"0.8.9\"\n";
        assert_eq!(versions(lock), [("axum".into(), "0.8.9".into()), ("sqlx".into(), "0.8.6".into())]);
    }
}
