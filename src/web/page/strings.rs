//! What the page says, in one language.

use std::{collections::HashMap, fmt, sync::Arc};

use super::plural::{FORMS, Plural, Rule};
use crate::error::ConfigError;

/// The page's words in one language, for [`PageTheme::strings`](super::PageTheme::strings). English and Russian are there
/// already; give one of these to replace them.
///
/// It is read from text: a line `key = words` for each of the keys of [`PageStrings::ENGLISH`], in any order; empty lines and
/// lines that begin with `#` do not count. What is left out is said in English, so that a later version may have more to
/// say. Words in braces, such as `{device}`, are put in by the page and have to be where English has them.
///
/// ```
/// # use axum_device_sessions::{ConfigError, routes::{PageStrings, PageTheme}};
/// # fn theme() -> Result<PageTheme, ConfigError> {
/// let german = PageStrings::parse("de", "
///     title = Deine Geräte
///     this_device = Dieses Gerät
///     minutes_ago.one = vor {n} Minute
///     minutes_ago.other = vor {n} Minuten
/// ")?; // in earnest: include_str!("page.de.txt")
/// Ok(PageTheme::new("Example").strings(german))
/// # }
/// # theme().unwrap();
/// ```
///
/// Where a number decides on the form of a word, a key has one line for each plural category of the language (CLDR): `one`,
/// `few`, `many`, `other`; only `other` has to be there. Known are the rules of the Slavic languages, of those without
/// plural forms, and of those that have one for 1 and one for the rest.
#[derive(Clone)]
#[must_use]
pub struct PageStrings(Arc<Strings>);

impl PageStrings {
    /// The English words: every key there is.
    pub const ENGLISH: &'static str = include_str!("en.txt");

    /// Of this language, by its BCP 47 tag: `de`, `pt-BR`.
    ///
    /// # Errors
    ///
    /// A tag that is none, a line without `=`, a key that is unknown or comes twice, words without their place in braces,
    /// or months that are not twelve. It says which line.
    pub fn parse(language: &str, text: &str) -> Result<Self, ConfigError> {
        if !is_tag(language) {
            return Err(ConfigError::new(format!("{language:?} is no language tag: give one such as de or pt-BR")));
        }
        let lines = Lines { language, given: entries(language, text)?, english: entries("en", Self::ENGLISH)? };
        lines.are_known()?;
        Strings::read(&lines).map(|strings| Self(Arc::new(strings)))
    }

    /// English and Russian, in the order in which they are offered.
    #[expect(clippy::expect_used, reason = "part of the crate, and read by every test of the page")]
    pub(super) fn shipped() -> Vec<Self> {
        let read = |(language, text)| Self::parse(language, text).expect("the crate's own words");
        [("en", Self::ENGLISH), ("ru", include_str!("ru.txt"))].map(read).into()
    }

    pub(super) fn language(&self) -> &str {
        &self.0.language
    }

    pub(super) fn shared(&self) -> Arc<Strings> {
        Arc::clone(&self.0)
    }
}

impl fmt::Debug for PageStrings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PageStrings").field("language", &self.0.language).finish_non_exhaustive()
    }
}

macro_rules! strings {
    ($($kind:ident: $($name:ident)*;)*) => {
        /// The words themselves.
        pub(super) struct Strings {
            pub(super) language: String,
            $($(pub(super) $name: strings!(@type $kind),)*)*
        }

        impl Strings {
            fn read(lines: &Lines<'_>) -> Result<Self, ConfigError> {
                let language = lines.language.to_owned();
                Ok(Self { language, $($($name: lines.$kind(stringify!($name))?,)*)* })
            }
        }
    };
    (@type text) => { String };
    (@type around_time) => { Around };
    (@type around_device) => { Around };
    (@type plural) => { Plural };
    (@type date) => { String };
    (@type twelve) => { [String; 12] };
}

strings! {
    text: title intro this_device active_now unknown_place
        log_out sign_out rename new_name save
        only_this_device advice_title advice sign_out_others sign_out_everywhere
        ask_others_title ask_others ask_others_button ask_everywhere_title ask_everywhere ask_everywhere_button cancel
        history_title
        reason_logout reason_revoked_by_user reason_revoked_by_admin reason_revoked_by_alert reason_replaced reason_limit
        reason_idle reason_absolute reason_refresh_reuse reason_credential_change reason_account_disabled reason_other
        done_signed_out done_others done_renamed done_gone done_current done_name
        unavailable_title unavailable try_again fresh_title fresh signed_out_title signed_out sign_in
        invalid_title invalid back just_now;
    around_time: last_active signed_in ended;
    around_device: sign_out_device rename_device;
    plural: minutes_ago hours_ago days_ago months_ago;
    date: date;
    twelve: months;
}

/// Words around something that the page puts in.
pub(super) struct Around {
    pub(super) before: String,
    pub(super) after: String,
}

impl Around {
    pub(super) fn with(&self, put_in: &str) -> String {
        format!("{}{put_in}{}", self.before, self.after)
    }
}

struct Lines<'a> {
    language: &'a str,
    given: HashMap<&'a str, &'a str>,
    english: HashMap<&'a str, &'a str>,
}

impl Lines<'_> {
    fn are_known(&self) -> Result<(), ConfigError> {
        let is_form = |key: &str| {
            let split = key.rsplit_once('.').filter(|(_, form)| FORMS.contains(form));
            split.is_some_and(|(key, _)| self.english.contains_key(&*format!("{key}.other")))
        };
        match self.given.keys().find(|key| !self.english.contains_key(**key) && !is_form(key)) {
            Some(unknown) => Err(self.wrong(unknown, "is no key: see PageStrings::ENGLISH")),
            None => Ok(()),
        }
    }

    fn text(&self, key: &str) -> Result<String, ConfigError> {
        let said = self.given.get(key).or_else(|| self.english.get(key));
        said.map(|said| (*said).to_owned()).ok_or_else(|| self.wrong(key, "is not there, not even in English"))
    }

    fn around_time(&self, key: &str) -> Result<Around, ConfigError> {
        self.around(key, "{time}")
    }

    fn around_device(&self, key: &str) -> Result<Around, ConfigError> {
        self.around(key, "{device}")
    }

    fn around(&self, key: &str, place: &str) -> Result<Around, ConfigError> {
        let said = self.text(key)?;
        let once = said.split_once(place).filter(|(_, after)| !after.contains(place));
        let (before, after) = once.ok_or_else(|| self.wrong(key, &format!("has to have {place} in it, once")))?;
        Ok(Around { before: before.to_owned(), after: after.to_owned() })
    }

    /// A language that says any of its forms is not mixed with English ones.
    fn plural(&self, key: &str) -> Result<Plural, ConfigError> {
        let form =
            |of: &HashMap<&str, &str>, form: &str| of.get(&*format!("{key}.{form}")).map(|said| (*said).to_owned());
        let is_given = FORMS.iter().any(|name| form(&self.given, name).is_some());
        let (rule, source) =
            if is_given { (Rule::of(self.language), &self.given) } else { (Rule::of("en"), &self.english) };
        let forms = FORMS.map(|name| form(source, name));
        if forms.iter().flatten().any(|said| said.matches("{n}").count() != 1) {
            return Err(self.wrong(key, "has to have {n} in each of its forms, once"));
        }
        Plural::new(rule, forms).ok_or_else(|| self.wrong(key, "has to have the form `other`"))
    }

    fn date(&self, key: &str) -> Result<String, ConfigError> {
        let said = self.text(key)?;
        match ["{day}", "{month}", "{year}", "{clock}"].into_iter().find(|place| said.matches(place).count() != 1) {
            Some(place) => Err(self.wrong(key, &format!("has to have {place} in it, once"))),
            None => Ok(said),
        }
    }

    fn twelve(&self, key: &str) -> Result<[String; 12], ConfigError> {
        let names: Vec<_> = self.text(key)?.split('|').map(|name| name.trim().to_owned()).collect();
        <[String; 12]>::try_from(names).map_err(|_| self.wrong(key, "are twelve, with | between them"))
    }

    fn wrong(&self, key: &str, what: &str) -> ConfigError {
        ConfigError::new(format!("the page's words in {}: {key} {what}", self.language))
    }
}

fn entries<'a>(language: &str, text: &'a str) -> Result<HashMap<&'a str, &'a str>, ConfigError> {
    let mut entries = HashMap::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let wrong = |what| ConfigError::new(format!("the page's words in {language}: {what}: {line:?}"));
        let (key, said) = line.split_once('=').ok_or_else(|| wrong("this line is no `key = words`"))?;
        let said = said.trim();
        if said.is_empty() {
            return Err(wrong("this line has no words"));
        }
        if entries.insert(key.trim(), said).is_some() {
            return Err(wrong("this key comes twice"));
        }
    }
    Ok(entries)
}

/// Language, script, region: letters and digits, as BCP 47 has it, and nothing that could be markup.
fn is_tag(tag: &str) -> bool {
    let mut parts = tag.split('-');
    let language = parts.next().unwrap_or_default();
    let of = |part: &str, lengths: std::ops::RangeInclusive<usize>| {
        lengths.contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    of(language, 2..=3) && language.bytes().all(|byte| byte.is_ascii_alphabetic()) && parts.all(|part| of(part, 2..=8))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left out is said in English: nothing is, in what is shipped.
    #[test]
    fn russian_has_every_word() {
        let keys = |language, text| {
            let mut keys: Vec<_> = entries(language, text).unwrap().into_keys().collect();
            keys.retain(|key| !FORMS.iter().any(|form| key.ends_with(&format!(".{form}"))));
            keys.sort_unstable();
            keys
        };
        assert_eq!(keys("ru", include_str!("ru.txt")), keys("en", PageStrings::ENGLISH));
        assert_eq!(PageStrings::shipped().iter().map(PageStrings::language).collect::<Vec<_>>(), ["en", "ru"]);
        assert_eq!(format!("{:?}", PageStrings::shipped()[1]), "PageStrings { language: \"ru\", .. }");
    }

    /// English words are all the text there is, so that a translator who takes it has everything.
    #[test]
    fn english_alone_is_a_whole_language() {
        let strings = PageStrings::parse("en", PageStrings::ENGLISH).unwrap().shared();
        assert_eq!(strings.sign_out_device.with("X"), "Sign out X");
        assert_eq!((strings.days_ago.of(1), strings.days_ago.of(2)), ("1 day ago".to_owned(), "2 days ago".to_owned()));
        assert_eq!(strings.months[11], "December");
    }
}
