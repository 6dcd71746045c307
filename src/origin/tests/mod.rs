mod country;
mod fuzz;
mod location;
mod matrix;
mod naive;
mod settings;

use std::net::IpAddr;

use super::ClientIp;
use crate::fields::Fields;

/// What the matrix trusts: the application's own networks, and a CDN's.
const TRUSTED: [&str; 4] = ["10.0.0.0/8", "127.0.0.0/8", "173.245.48.0/20", "fd00::/8"];

/// Header lines, in order.
#[derive(Debug)]
struct Lines(Vec<(String, Vec<u8>)>);

impl Lines {
    /// Several lines of one header.
    fn of(name: &str, lines: &[&str]) -> Self {
        Self(lines.iter().map(|line| (name.to_owned(), line.as_bytes().to_vec())).collect())
    }
}

impl Fields for Lines {
    fn lines(&self, name: &str) -> Vec<&[u8]> {
        self.0.iter().filter(|(line, _)| line == name).map(|(_, value)| &**value).collect()
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// The answer as text, `-` for none.
fn resolved(from: &ClientIp, peer: &str, name: &str, lines: &[&str]) -> String {
    let peer = (peer != "-").then(|| ip(peer));
    from.resolve(peer, &Lines::of(name, lines)).map_or("-".to_owned(), |address| address.to_string())
}
