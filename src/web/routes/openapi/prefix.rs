//! Where the application has nested routes.

use crate::error::ConfigError;

/// Without its last `/`, so that it goes before any path: empty at the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Prefix(String);

impl Prefix {
    /// One of ours.
    pub(super) fn known(text: &str) -> Self {
        Self(text.to_owned())
    }

    pub(super) fn parse(text: &str) -> Result<Self, ConfigError> {
        let refused = |why: &str| {
            let hint = "give it as `nest` has it, as /account/devices or /shops/{shop}/devices";
            Err(ConfigError::new(format!("{text:?} is no prefix of a path: {why}; {hint}")))
        };
        if text == "/" {
            return Ok(Self(String::new()));
        }
        let Some(path) = text.strip_prefix('/') else { return refused("it begins with /") };
        for segment in path.split('/') {
            let name = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
            let plain = name.unwrap_or(segment);
            if plain.is_empty() {
                return refused("a part of it is empty");
            }
            let fits = |c: char| c.is_ascii_alphanumeric() || "-._~!$&'()+,;=:@%".contains(c);
            if !plain.chars().all(fits) {
                return refused("a part of it has characters that do not belong into a path");
            }
            if name.is_some_and(|name| ["id", "link"].contains(&name)) {
                return refused("routes below it have parameters of that name");
            }
        }
        Ok(Self(text.to_owned()))
    }

    /// The names of its parameters.
    pub(super) fn parameters(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
    }

    /// A path below it. Routes that are nested answer without a last `/`.
    pub(super) fn join(&self, path: &str) -> String {
        match path {
            "/" if !self.0.is_empty() => self.0.clone(),
            path => format!("{}{path}", self.0),
        }
    }

    /// The same without the names of parameters: no two paths of a document may differ in these alone.
    pub(super) fn shape_of(&self, path: &str) -> String {
        let path = self.join(path);
        let segments = path.split('/').map(|segment| if segment.starts_with('{') { "{}" } else { segment });
        segments.collect::<Vec<_>>().join("/")
    }
}
