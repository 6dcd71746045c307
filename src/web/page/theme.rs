//! What the application says of itself on the page.

use super::{address::Address, assets::Asset, colour::Colour, strings::PageStrings};
use crate::error::ConfigError;

/// How the page looks, and where it leads: for [`routes::page`](crate::routes::page).
///
/// ```
/// # use axum_device_sessions::{ConfigError, routes::PageTheme};
/// # fn theme() -> Result<PageTheme, ConfigError> {
/// PageTheme::new("Example")
///     .login_url("/sign-in?next={page}")?
///     .reauthenticate_url("/confirm-password?next={page}")?
///     .logo("/logo.svg")?
///     .accent("#0b6e4f")?
///     .link("Account", "/account")
/// # }
/// # theme().unwrap();
/// ```
///
/// **Addresses** are paths of this service, such as `/sign-in`, or `https` URLs; `http` to this very machine.
#[derive(Clone, Debug)]
#[must_use]
pub struct PageTheme {
    pub(super) name: String,
    pub(super) logo: Option<String>,
    pub(super) links: Vec<(String, String)>,
    pub(super) login: Option<Address>,
    pub(super) reauthenticate: Option<Address>,
    pub(super) strings: Vec<PageStrings>,
    pub(super) language: Option<String>,
    accent: Colour,
}

impl PageTheme {
    /// Under this name: that of the application, at the top and in the title. May be empty, where a logo says it.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            logo: None,
            links: Vec::new(),
            login: None,
            reauthenticate: None,
            strings: PageStrings::shipped(),
            language: None,
            accent: ACCENT,
        }
    }

    /// Where visitors without a live session are sent, and whoever has just signed out. In its query `{page}` becomes the path
    /// of the page, never another host's whatever the visitor sent, and `{reason}` why the session ended
    /// ([`EndReason`](crate::EndReason)) or nothing: `/sign-in?next={page}&reason={reason}`.
    ///
    /// Without it they get a page that says that they are signed out, with status 401.
    ///
    /// # Errors
    ///
    /// What is no address.
    pub fn login_url(mut self, url: &str) -> Result<Self, ConfigError> {
        self.login = Some(Address::parse("login_url", url)?);
        Ok(self)
    }

    /// Where a user proves anew who they are, if [`require_fresh`](crate::SessionsBuilder::require_fresh) is set and they last did
    /// too long ago; `{page}` as in [`login_url`](Self::login_url). Without it they get a page that says so, with status 403.
    ///
    /// # Errors
    ///
    /// What is no address.
    pub fn reauthenticate_url(mut self, url: &str) -> Result<Self, ConfigError> {
        self.reauthenticate = Some(Address::parse("reauthenticate_url", url)?);
        Ok(self)
    }

    /// A picture beside the name: the path of one that this service has, `/logo.svg`. It is shown 28 pixels high.
    ///
    /// # Errors
    ///
    /// What is no path of this service: the page loads nothing from elsewhere.
    pub fn logo(mut self, path: &str) -> Result<Self, ConfigError> {
        let address = Address::parse("logo", path)?;
        if address.origin().is_some() {
            return Err(ConfigError::new(format!("logo {path:?} is not of this service: give a path, as /logo.svg")));
        }
        self.logo = Some(path.to_owned());
        Ok(self)
    }

    /// The colour of links, of the mark "this device" and of what has the focus: `#rrggbb`. It is made darker on a light page,
    /// and lighter on a dark one, as far as it takes to be read (WCAG 2.2 §1.4.3). Default: a blue.
    ///
    /// # Errors
    ///
    /// Another form.
    pub fn accent(mut self, colour: &str) -> Result<Self, ConfigError> {
        let wrong = || ConfigError::new(format!("accent {colour:?} is no colour: give # and six hexadecimal digits"));
        self.accent = Colour::parse(colour).ok_or_else(wrong)?;
        Ok(self)
    }

    /// A link at the top, back to the application. May be called several times.
    ///
    /// # Errors
    ///
    /// A link without a label, or what is no address.
    pub fn link(mut self, label: impl Into<String>, url: &str) -> Result<Self, ConfigError> {
        let label = label.into();
        if label.trim().is_empty() {
            return Err(ConfigError::new(format!("the link to {url:?} has no label: say where it leads")));
        }
        Address::parse("link", url)?;
        self.links.push((label, url.to_owned()));
        Ok(self)
    }

    /// Words of another language, or others in place of those that are there.
    pub fn strings(mut self, strings: PageStrings) -> Self {
        match self.strings.iter_mut().find(|known| known.language() == strings.language()) {
            Some(known) => *known = strings,
            None => self.strings.push(strings),
        }
        self
    }

    /// Always in this language. Default: what the browser prefers (`Accept-Language`) of those that are there, else English.
    ///
    /// # Errors
    ///
    /// A language without words: give them first, by [`strings`](Self::strings).
    pub fn language(mut self, language: &str) -> Result<Self, ConfigError> {
        if !self.strings.iter().any(|known| known.language() == language) {
            let wrong = format!("the page has no words in {language:?}: give them first, by PageTheme::strings");
            return Err(ConfigError::new(wrong));
        }
        self.language = Some(language.to_owned());
        Ok(self)
    }

    /// The style sheet with these colours. They cannot stand in the page: no style in there is let through.
    pub(super) fn css(&self) -> Asset {
        let [light, dark] = [self.accent.on_light(), self.accent.on_dark()];
        let [on_light, on_dark] = [light.text().css(), dark.text().css()];
        let (light, dark) = (light.css(), dark.css());
        let colours = format!(
            ":root {{ --accent: {light}; --on-accent: {on_light}; }}\n@media (prefers-color-scheme: dark) \
             {{ :root {{ --accent: {dark}; --on-accent: {on_dark}; }} }}\n"
        );
        Asset::new("text/css; charset=utf-8", colours + include_str!("page.css"))
    }

    /// What the page may load and where it may lead (CSP3). A form's redirect counts as well, in some browsers: so the
    /// origin of the sign-in form, where it is another one.
    pub(super) fn policy(&self) -> String {
        let mut forms = String::from("'self'");
        for origin in [&self.login, &self.reauthenticate].into_iter().flatten().filter_map(Address::origin) {
            forms.push(' ');
            forms.push_str(origin);
        }
        format!(
            "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
             form-action {forms}; base-uri 'none'; frame-ancestors 'none'"
        )
    }
}

const ACCENT: Colour = Colour::rgb(0x2f, 0x5b, 0xd0);
