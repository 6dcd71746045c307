//! The header fields of a request, for those parts that read some of them and know no HTTP.

/// Fields by their lower-case names.
pub(crate) trait Fields {
    /// The values of all lines of that name, in the order in which they came.
    fn lines(&self, name: &str) -> Vec<&[u8]>;

    /// The value, where there is exactly one line of that name and it is text.
    fn text(&self, name: &str) -> Option<&str> {
        match self.lines(name)[..] {
            [line] => std::str::from_utf8(line).ok(),
            _ => None,
        }
    }
}

/// Of a caller of which only the User-Agent is known.
pub(crate) struct UserAgentAlone<'a>(pub(crate) Option<&'a str>);

impl Fields for UserAgentAlone<'_> {
    fn lines(&self, name: &str) -> Vec<&[u8]> {
        self.0.filter(|_| name == "user-agent").map(str::as_bytes).into_iter().collect()
    }
}
