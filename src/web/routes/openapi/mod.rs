//! The document of the mounted routes, for programs (OpenAPI 3.1).
//!
//! 1. [`operations`]: the routes, one by one, with the types that their handlers read and write.
//! 2. [`route`]: what it takes to write one of them down.
//! 3. [`problems`]: every code, and the answers that many routes share.
//! 4. [`parts`]: schemas, ways to sign in; [`headers`].
//! 5. [`prefix`]: where the application has them.

mod headers;
mod operations;
mod parts;
mod prefix;
mod problems;
mod route;

use std::{collections::BTreeMap, sync::Arc};

use axum::{Router, routing::get};
use http::{HeaderValue, header};
use serde_json::Value;
use utoipa::openapi::{InfoBuilder, OpenApiBuilder, Paths, Tag};

pub(in super::super) use self::problems::codes;
use self::{prefix::Prefix, route::Route};
use crate::error::ConfigError;

/// The OpenAPI 3.1 document of the routes of this crate: what each takes, every status and problem code that it answers with,
/// and the schemas of all that. Serve it by [`openapi`], or put [`to_value`](Self::to_value) into a document of your own.
///
/// It cannot know where the routes are, so it is told. To begin with it has `/sessions` and `/auth`, as the README nests them;
/// name whatever else is mounted:
///
/// ```
/// # fn main() -> Result<(), axum_device_sessions::ConfigError> {
/// use axum_device_sessions::routes::{self, OpenApi};
///
/// let document = OpenApi::new()
///     .title("Shop", "1.4.0")
///     .sessions_at("/account/devices")?
///     .alerts_at("/alerts")?
///     .jwks()?;
/// assert!(document.to_value()["paths"]["/account/devices/{id}"]["delete"].is_object());
/// let app = axum::Router::<()>::new().merge(routes::openapi(&document)); // GET /openapi.json
/// # drop(app);
/// # Ok(())
/// # }
/// ```
///
/// Of your own login it has what [`SignedIn`](crate::SignedIn) and [`Error`](crate::Error) answer, to be referred to:
/// `#/components/responses/SignedIn`, `SignInForbidden`, `SessionLimitReached` and others. Of your own handlers that take
/// [`CurrentSession`](crate::CurrentSession) or [`FreshSession`](crate::FreshSession): `Unauthorized`, `FreshAuthRequired`,
/// `CrossSite`, `Unavailable`. Answers that an `on_reject` of yours gives in place of these are not in it.
#[derive(Clone, Debug)]
pub struct OpenApi {
    title: String,
    version: String,
    mounted: BTreeMap<Group, Prefix>,
}

/// What is mounted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Group {
    Sessions,
    Auth,
    Alerts,
    Keys,
    #[cfg(feature = "jwks")]
    BackchannelLogout,
    Admin,
}

impl Group {
    fn routes(self) -> Vec<Route> {
        match self {
            Self::Sessions => operations::sessions(),
            Self::Auth => operations::auth(),
            Self::Alerts => operations::alerts(),
            Self::Keys => operations::keys(),
            #[cfg(feature = "jwks")]
            Self::BackchannelLogout => operations::backchannel_logout(),
            Self::Admin => operations::admin(),
        }
    }

    /// The tag that its routes have, and what it says.
    const fn tag(self) -> (&'static str, &'static str) {
        match self {
            Self::Sessions => ("Sessions", "The user's own sessions: list them, name them, sign them out."),
            Self::Auth => ("Auth", "What a client does with its own credential."),
            Self::Alerts => ("Alerts", "The page behind the link in a mail about a new sign-in."),
            Self::Keys => ("Keys", "What other services check tokens with."),
            #[cfg(feature = "jwks")]
            Self::BackchannelLogout => ("Back-channel logout", "For identity providers."),
            Self::Admin => ("Administration", "The sessions of everybody, for administrators."),
        }
    }
}

impl OpenApi {
    /// With [`routes::sessions`](super::sessions) at `/sessions` and [`routes::auth`](super::auth) at `/auth`.
    #[must_use]
    pub fn new() -> Self {
        let readme = [(Group::Sessions, "/sessions"), (Group::Auth, "/auth")];
        Self {
            title: "Sessions".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            mounted: readme.map(|(group, prefix)| (group, Prefix::known(prefix))).into(),
        }
    }

    /// The name and the version of the API. Default: `Sessions`, and the version of this crate.
    #[must_use]
    pub fn title(self, title: impl Into<String>, version: impl Into<String>) -> Self {
        Self { title: title.into(), version: version.into(), ..self }
    }

    /// Where [`routes::sessions`](super::sessions) is nested: `/sessions` by default. As axum writes it, parameters included:
    /// `/shops/{shop}/devices`. `/` where it is merged at the root.
    ///
    /// # Errors
    ///
    /// What is no prefix, and one at which a path would stand for two routes.
    pub fn sessions_at(self, prefix: &str) -> Result<Self, ConfigError> {
        self.with(Group::Sessions, prefix)
    }

    /// Where [`routes::auth`](super::auth) is nested: `/auth` by default.
    ///
    /// # Errors
    ///
    /// As [`sessions_at`](Self::sessions_at).
    pub fn auth_at(self, prefix: &str) -> Result<Self, ConfigError> {
        self.with(Group::Auth, prefix)
    }

    /// [`routes::auth`](super::auth) is not mounted: where another service signs people in, say.
    #[must_use]
    pub fn without_auth(mut self) -> Self {
        self.mounted.remove(&Group::Auth);
        self
    }

    /// Where [`routes::alerts`](super::alerts) is nested: `/alerts` in the README. Not in the document by default.
    ///
    /// # Errors
    ///
    /// As [`sessions_at`](Self::sessions_at).
    pub fn alerts_at(self, prefix: &str) -> Result<Self, ConfigError> {
        self.with(Group::Alerts, prefix)
    }

    /// [`routes::jwks`](super::jwks) is mounted, at its well-known path. Not in the document by default.
    ///
    /// # Errors
    ///
    /// Where something else has that path.
    pub fn jwks(self) -> Result<Self, ConfigError> {
        self.with(Group::Keys, "/")
    }

    /// Where [`routes::backchannel_logout`](super::backchannel_logout) is nested. Not in the document by default.
    ///
    /// # Errors
    ///
    /// As [`sessions_at`](Self::sessions_at).
    #[cfg(feature = "jwks")]
    pub fn backchannel_logout_at(self, prefix: &str) -> Result<Self, ConfigError> {
        self.with(Group::BackchannelLogout, prefix)
    }

    /// Where [`routes::admin_routes`](super::admin_routes) is nested. Not in the document by default: it is read by everybody.
    ///
    /// # Errors
    ///
    /// As [`sessions_at`](Self::sessions_at).
    pub fn admin_at(self, prefix: &str) -> Result<Self, ConfigError> {
        self.with(Group::Admin, prefix)
    }

    fn with(mut self, group: Group, prefix: &str) -> Result<Self, ConfigError> {
        self.mounted.insert(group, Prefix::parse(prefix)?);
        let mut taken = BTreeMap::new();
        for (group, prefix) in &self.mounted {
            for route in group.routes() {
                let shape = prefix.shape_of(route.path());
                let other = taken.insert(shape.clone(), *group);
                if other.is_some_and(|other| other != *group) {
                    let what = format!("{shape} would stand for two routes: give each its own prefix");
                    return Err(ConfigError::new(what));
                }
            }
        }
        Ok(self)
    }

    /// The document as JSON, for one of your own: merge `paths`, and `components` by their kinds. With `utoipa`,
    /// `serde_json::from_value(document.to_value())` is one of its documents.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut paths = Paths::new();
        for (group, prefix) in &self.mounted {
            for route in group.routes() {
                route.add_to(&mut paths, prefix, group.tag().0);
            }
        }
        let tags = self.mounted.keys().map(|group| {
            let (name, description) = group.tag();
            let mut tag = Tag::new(name);
            tag.description = Some(description.to_owned());
            tag
        });
        let document = OpenApiBuilder::new()
            .info(InfoBuilder::new().title(&self.title).version(&self.version).description(Some(ABOUT)).build())
            .tags(Some(tags))
            .paths(paths)
            .components(Some(parts::components()))
            .build();
        // Texts alone: there is nothing here that JSON cannot hold.
        parts::finished(serde_json::to_value(document).unwrap_or_default())
    }
}

impl Default for OpenApi {
    fn default() -> Self {
        Self::new()
    }
}

const ABOUT: &str = "Where a user is signed in, and how they sign a device out.\n\n\
    Errors are `application/problem+json` (RFC 9457) with a stable `code`. A 503 says that sessions cannot be checked at the \
    moment: keep the token and try again. No answer but the public keys may be cached.";

/// Serves the document as `GET /openapi.json`, to everybody. Merge it where you like: `.merge(routes::openapi(&OpenApi::new()))`. It
/// needs no layer around it. It does not name itself.
pub fn openapi<S: Clone + Send + Sync + 'static>(document: &OpenApi) -> Router<S> {
    let json: Arc<str> = document.to_value().to_string().into();
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Router::new().route("/openapi.json", get(async move || (headers, json.to_string())))
}
