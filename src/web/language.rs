//! In which language to answer people (RFC 9110 §12.5.4).

use http::{HeaderMap, HeaderValue, header};

/// The one of `offered` that the reader likes best, as an index; the first of equals, in their order. `None` where they
/// like none of them.
pub(super) fn preferred<T>(headers: &HeaderMap, offered: &[T], language: impl Fn(&T) -> &str) -> Option<usize> {
    let lines = headers.get_all(header::ACCEPT_LANGUAGE).iter().filter_map(|line: &HeaderValue| line.to_str().ok());
    let mut best = None;
    for range in lines.flat_map(|line| line.split(',')).take(RANGES) {
        let mut parts = range.split(';').map(str::trim);
        let (Some(tag), weight) = (parts.next(), parts.find_map(weight).unwrap_or(1_000)) else { continue };
        // The very one before its sister: `zh-TW` before `zh-CN`.
        let exactly = offered.iter().position(|one| tag.eq_ignore_ascii_case(language(one)));
        let roughly = || offered.iter().position(|one| is_meant(tag, language(one)));
        let Some(index) = exactly.or_else(roughly) else { continue };
        if weight > best.map_or(0, |(most, _)| most) {
            best = Some((weight, index));
        }
    }
    best.map(|(_, index)| index)
}

/// `ru-RU` and `ru` mean `ru`, `*` means any: lookup (RFC 4647 §3.4), by the language alone.
fn is_meant(tag: &str, language: &str) -> bool {
    let primary = |tag: &str| tag.split('-').next().unwrap_or_default().to_ascii_lowercase();
    tag == "*" || primary(tag) == primary(language)
}

/// `q=0.8` in thousandths (RFC 9110 §12.4.2). What cannot be read counts as nothing.
fn weight(parameter: &str) -> Option<u32> {
    let (name, value) = parameter.split_once('=')?;
    if !name.trim().eq_ignore_ascii_case("q") {
        return None;
    }
    let (whole, part) = value.trim().split_once('.').unwrap_or((value.trim(), ""));
    let read = |digits: &str| digits.parse::<u32>().ok().filter(|_| digits.len() <= 3);
    let part = if part.is_empty() { Some(0) } else { read(&format!("{part:0<3}")) };
    Some(read(whole).zip(part).map_or(0, |(whole, part)| (whole * 1_000 + part).min(1_000)))
}

/// More than anybody reads. Browsers send up to about ten.
const RANGES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reader_is_asked_in_their_own_order() {
        for (sent, expected) in [
            ("", None),
            ("ru", Some("ru")),
            ("ru-RU,ru;q=0.9,en-US;q=0.8,en;q=0.7", Some("ru")),
            ("en-GB, ru;q=0.9", Some("en")),
            ("ru;q=0.2, en;q=0.7", Some("en")),
            ("en;q=0.7, ru;q=0.75", Some("ru")),
            ("de, fr;q=0.9", None),
            ("de, ru;q=0.1", Some("ru")),
            ("*", Some("en")),
            ("de, *;q=0.1", Some("en")),
            ("en;q=0, ru;q=0.001", Some("ru")),
            ("en;q=0", None),
            ("RU-ru; Q=1.0", Some("ru")),
            ("en;q=high, ru;q=0.1", Some("ru")),
            ("en;q=0.12345, ru;q=0.1", Some("ru")),
            ("russian", None),
            (";;;,,=,q", None),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT_LANGUAGE, HeaderValue::from_static(sent))]);
            let offered = ["en", "ru"];
            assert_eq!(
                preferred(&headers, &offered, |language| language).map(|index| offered[index]),
                expected,
                "{sent:?}"
            );
        }
    }

    #[test]
    fn the_very_language_goes_before_its_sister() {
        for (sent, expected) in
            [("zh-TW", 1), ("zh-tw,zh;q=0.9", 1), ("zh-CN", 0), ("zh-HK", 0), ("pt", 2), ("pt-PT", 2)]
        {
            let headers = HeaderMap::from_iter([(header::ACCEPT_LANGUAGE, HeaderValue::from_static(sent))]);
            let offered = ["zh-CN", "zh-TW", "pt-BR"];
            assert_eq!(preferred(&headers, &offered, |language| language), Some(expected), "{sent}");
        }
    }
}
