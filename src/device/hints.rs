//! The User-Agent Client Hints of Chromium's family: what a User-Agent no longer says (RFC 9651 fields, by `sfv`).

use std::convert::Infallible;

use sfv::{
    BareItemFromInput, KeyRef, Parser,
    visitor::{EntryVisitor, Ignored, InnerListVisitor, ItemVisitor, ListVisitor, ParameterVisitor},
};

use super::text::MAX_INPUT;
use crate::fields::Fields;

/// For `Accept-CH`: what a browser says only when asked. The others it always says.
pub(crate) const HINTS: &str =
    "Sec-CH-UA-Platform-Version, Sec-CH-UA-Model, Sec-CH-UA-Full-Version-List, Sec-CH-UA-Form-Factors";

/// What the hints say. A field that does not parse says nothing.
#[derive(Debug, Default)]
pub(super) struct Hints {
    /// Brands with their versions; one of them is made up, so that nobody relies on their order.
    pub(super) brands: Vec<(String, String)>,
    pub(super) mobile: Option<bool>,
    pub(super) platform: Option<String>,
    pub(super) platform_version: Option<String>,
    pub(super) model: Option<String>,
    pub(super) form_factors: Vec<String>,
}

impl Hints {
    pub(super) fn of(fields: &dyn Fields) -> Self {
        let brands = list(fields, "sec-ch-ua");
        let named = |field| list(fields, field);
        Self {
            // The full list may come empty; then the short one has the same brands.
            brands: Some(named("sec-ch-ua-full-version-list")).filter(|full| !full.is_empty()).unwrap_or(brands),
            mobile: match item(fields, "sec-ch-ua-mobile") {
                Some(Item::Flag(mobile)) => Some(mobile),
                _ => None,
            },
            platform: text(fields, "sec-ch-ua-platform").filter(|name| name != "Unknown"),
            platform_version: text(fields, "sec-ch-ua-platform-version"),
            model: text(fields, "sec-ch-ua-model"),
            form_factors: named("sec-ch-ua-form-factors").into_iter().map(|(name, _)| name).collect(),
        }
    }
}

/// The lines of a list are one list. Where the bound cuts one, it is no list any more, and says nothing.
fn list(fields: &dyn Fields, name: &str) -> Vec<(String, String)> {
    let input = joined(&fields.lines(name));
    Parser::new(&input).parse_list_with_visitor(Brands::default()).unwrap_or_default()
}

fn joined(lines: &[&[u8]]) -> Vec<u8> {
    let mut input = Vec::new();
    for line in lines {
        if !input.is_empty() {
            input.extend_from_slice(b", ");
        }
        input.extend_from_slice(&line[..line.len().min(MAX_INPUT)]);
    }
    input.truncate(MAX_INPUT);
    input
}

/// A text that says something.
fn text(fields: &dyn Fields, name: &str) -> Option<String> {
    match item(fields, name)? {
        Item::Text(text) => Some(text).filter(|text| !text.trim().is_empty()),
        Item::Flag(_) => None,
    }
}

fn item(fields: &dyn Fields, name: &str) -> Option<Item> {
    let [line] = fields.lines(name)[..] else { return None };
    let mut found = None;
    let read = |value: BareItemFromInput<'_>| {
        found = Item::of(&value);
        Ok::<_, Infallible>(Ignored)
    };
    Parser::new(&line[..line.len().min(MAX_INPUT)]).parse_item_with_visitor(read).ok()?;
    found
}

enum Item {
    Text(String),
    Flag(bool),
}

impl Item {
    fn of(value: &BareItemFromInput<'_>) -> Option<Self> {
        match value {
            BareItemFromInput::String(text) => Some(Self::Text(text.as_str().to_owned())),
            // Some write it without the quotes.
            BareItemFromInput::Token(text) => Some(Self::Text(text.as_str().to_owned())),
            BareItemFromInput::Boolean(flag) => Some(Self::Flag(*flag)),
            _ => None,
        }
    }
}

/// A list of brands with `v`, or of anything else that is text.
#[derive(Default)]
struct Brands(Vec<(String, String)>);

/// One of them.
struct Brand<'a> {
    list: &'a mut Vec<(String, String)>,
    name: Option<String>,
    version: String,
}

impl<'de> ListVisitor<'de> for Brands {
    type Out = Vec<(String, String)>;
    type Error = Infallible;

    fn entry(&mut self) -> Result<impl EntryVisitor<'de>, Infallible> {
        Ok(Brand { list: &mut self.0, name: None, version: String::new() })
    }

    fn finish(self) -> Result<Self::Out, Infallible> {
        Ok(self.0)
    }
}

impl<'de> EntryVisitor<'de> for Brand<'_> {
    type Error = Infallible;

    fn item(self) -> Result<impl ItemVisitor<'de>, Infallible> {
        Ok(self)
    }

    fn inner_list(self) -> Result<impl InnerListVisitor<'de>, Infallible> {
        Ok(Ignored)
    }
}

impl<'de> ItemVisitor<'de> for Brand<'_> {
    type Out = ();
    type Error = Infallible;

    fn bare_item(
        mut self,
        value: BareItemFromInput<'de>,
    ) -> Result<impl ParameterVisitor<'de, Out = Self::Out>, Infallible> {
        if let Some(Item::Text(name)) = Item::of(&value) {
            self.name = Some(name);
        }
        Ok(self)
    }
}

impl<'de> ParameterVisitor<'de> for Brand<'_> {
    type Out = ();
    type Error = Infallible;

    fn parameter(&mut self, key: &'de KeyRef, value: BareItemFromInput<'de>) -> Result<(), Infallible> {
        if let ("v", Some(Item::Text(version))) = (key.as_str(), Item::of(&value)) {
            self.version = version;
        }
        Ok(())
    }

    fn finish(self) -> Result<(), Infallible> {
        self.list.extend(self.name.map(|name| (name, self.version)));
        Ok(())
    }
}
