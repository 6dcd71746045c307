//! Times, for people: how long ago, and when exactly.

use std::fmt;

use time::{Duration, OffsetDateTime, UtcOffset};

use super::strings::Strings;

/// A moment as the page shows it: a `time` element, with the exact one as its title.
pub(super) struct Moment<'a> {
    pub(super) at: OffsetDateTime,
    pub(super) now: OffsetDateTime,
    pub(super) strings: &'a Strings,
}

/// Ready for the page: what comes out of it is digits, and words that [`escaped`] has been over.
impl fmt::Display for Moment<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (exact, ago) = (exact(self.strings, self.at), ago(self.strings, self.now - self.at));
        write!(f, r#"<time datetime="{}" title="{}">{}</time>"#, iso(self.at), escaped(&exact), escaped(&ago))
    }
}

/// The words of a language are the application's, and no markup.
fn escaped(words: &str) -> impl fmt::Display {
    askama::filters::escape(words, askama::filters::Html).unwrap_or_else(|never| match never {})
}

/// Whole seconds: more is of no use to anybody, and one form is what the script reads.
pub(super) fn iso(at: OffsetDateTime) -> String {
    let at = at.to_offset(UtcOffset::UTC);
    let (date, (hour, minute, second)) = (at.date(), at.to_hms());
    format!("{date}T{hour:02}:{minute:02}:{second:02}Z")
}

/// In UTC: the reader's time zone is known to their browser alone, and the script tells it.
fn exact(strings: &Strings, at: OffsetDateTime) -> String {
    let at = at.to_offset(UtcOffset::UTC);
    let clock = format!("{:02}:{:02}", at.hour(), at.minute());
    let month = &strings.months[usize::from(u8::from(at.month()) - 1)];
    let date = strings.date.replace("{day}", &at.day().to_string()).replace("{year}", &at.year().to_string());
    date.replace("{clock}", &clock).replace("{month}", month)
}

/// Whole units, rounded down; a moment to come, by a clock that is off, is now. The script counts in the same way.
fn ago(strings: &Strings, since: Duration) -> String {
    let minutes = u64::try_from(since.whole_minutes()).unwrap_or(0);
    match minutes {
        0 => strings.just_now.clone(),
        1..HOUR => strings.minutes_ago.of(minutes),
        HOUR..DAY => strings.hours_ago.of(minutes / HOUR),
        DAY..MONTH => strings.days_ago.of(minutes / DAY),
        _ => strings.months_ago.of(minutes / MONTH),
    }
}

const HOUR: u64 = 60;
const DAY: u64 = 24 * HOUR;
const MONTH: u64 = 30 * DAY;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::page::strings::PageStrings;

    fn said(language: &str, since: Duration) -> String {
        let all = PageStrings::shipped();
        let strings = all.iter().find(|strings| strings.language() == language).unwrap().shared();
        ago(&strings, since)
    }

    #[test]
    fn how_long_ago_in_both_languages() {
        let [minute, hour, day] = [Duration::MINUTE, Duration::HOUR, Duration::DAY];
        for (since, english, russian) in [
            (-hour, "just now", "только что"),
            (Duration::ZERO, "just now", "только что"),
            (minute - Duration::NANOSECOND, "just now", "только что"),
            (minute, "1 minute ago", "1 минуту назад"),
            (2 * minute, "2 minutes ago", "2 минуты назад"),
            (5 * minute, "5 minutes ago", "5 минут назад"),
            (11 * minute, "11 minutes ago", "11 минут назад"),
            (12 * minute, "12 minutes ago", "12 минут назад"),
            (21 * minute, "21 minutes ago", "21 минуту назад"),
            (22 * minute, "22 minutes ago", "22 минуты назад"),
            (hour - Duration::NANOSECOND, "59 minutes ago", "59 минут назад"),
            (hour, "1 hour ago", "1 час назад"),
            (23 * hour, "23 hours ago", "23 часа назад"),
            (day - Duration::NANOSECOND, "23 hours ago", "23 часа назад"),
            (day, "1 day ago", "1 день назад"),
            (4 * day, "4 days ago", "4 дня назад"),
            (14 * day, "14 days ago", "14 дней назад"),
            (30 * day, "1 month ago", "1 месяц назад"),
            (90 * day, "3 months ago", "3 месяца назад"),
            (400 * day, "13 months ago", "13 месяцев назад"),
        ] {
            assert_eq!((&*said("en", since), &*said("ru", since)), (english, russian), "{since}");
        }
    }

    #[test]
    fn when_exactly() {
        let at = OffsetDateTime::from_unix_timestamp(1_772_355_845).unwrap() + Duration::milliseconds(999);
        let all = PageStrings::shipped();
        let [english, russian] = [all[0].shared(), all[1].shared()];
        assert_eq!(iso(at), "2026-03-01T09:04:05Z");
        assert_eq!(exact(&english, at), "1 March 2026, 09:04 UTC");
        assert_eq!(exact(&russian, at), "1 марта 2026 г., 09:04 UTC");
        let moment = Moment { at, now: at + Duration::HOUR, strings: &english };
        let expected = r#"<time datetime="2026-03-01T09:04:05Z" title="1 March 2026, 09:04 UTC">1 hour ago</time>"#;
        assert_eq!(moment.to_string(), expected);
    }

    #[test]
    fn words_of_the_application_are_no_markup() {
        let strings = PageStrings::parse("xx", "just_now = <b>\"now\"").unwrap().shared();
        let at = OffsetDateTime::UNIX_EPOCH;
        let moment = Moment { at, now: at, strings: &strings }.to_string();
        assert!(!moment.contains("<b>") && moment.contains("&#60;b&#62;"), "{moment}");
    }
}
