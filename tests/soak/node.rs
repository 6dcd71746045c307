//! A node: the quickstart as a process of its own, or the naive design.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use super::{MAX_AGE, MAX_STALENESS, naive, support::eventually};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ours,
    Naive,
    /// It does not even listen.
    NaiveAndDeaf,
}

#[derive(Debug)]
pub(crate) struct Node {
    address: String,
    process: Option<Child>,
}

impl Node {
    pub(crate) async fn start(kind: Kind, count: usize, database: &str, listen: &str) -> Vec<Self> {
        let mut nodes = Vec::new();
        for _ in 0..count {
            let node = match kind {
                Kind::Ours => Self::ours(database, listen),
                Kind::Naive => Self { address: naive::serve(database, Some(listen)).await, process: None },
                Kind::NaiveAndDeaf => Self { address: naive::serve(database, None).await, process: None },
            };
            if kind == Kind::Ours {
                eventually("the node is told of changes", || async { node.is_told().await }).await;
            }
            nodes.push(node);
        }
        nodes
    }

    fn ours(database: &str, listen: &str) -> Self {
        // Beside the test's own binary: cargo builds the examples for the tests.
        let directory = std::env::current_exe().unwrap();
        let quickstart = directory.ancestors().nth(2).unwrap().join("examples/quickstart");
        let mut process = Command::new(quickstart)
            .env("BIND", "127.0.0.1:0")
            .env("DATABASE_URL", database)
            .env("LISTEN_URL", listen)
            .env("SIGNING_SECRET", "0123456789abcdefghijklmnopqrstuv")
            .env("MAX_STALENESS_MS", MAX_STALENESS.as_millis().to_string())
            .env("MAX_AGE_MS", MAX_AGE.as_millis().to_string())
            .env("RUST_LOG", "error")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the quickstart is built: run the tests with cargo test, which builds examples");
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let address = lines
            .find_map(|line| line.unwrap().strip_prefix("listening on ").map(str::to_owned))
            .expect("it says where it listens");
        // Or it would be stopped by a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { address, process: Some(process) }
    }

    pub(crate) fn address(&self) -> String {
        self.address.clone()
    }

    /// Whether its lease holds.
    pub(crate) async fn is_told(&self) -> bool {
        let Ok(answer) = reqwest::get(format!("{}/health", self.address)).await else { return false };
        answer.json::<serde_json::Value>().await.is_ok_and(|health| health["coherence"] == "lease")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            let _gone = process.kill();
            let _gone = process.wait();
        }
    }
}
