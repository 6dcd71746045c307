//! Models of Android devices.

use crate::session::FormFactor;

/// Samsung's codes for phones sold since 2021, without the letter of the region. Others are shown as the code.
const SAMSUNG: [(&str, &str); 51] = [
    ("G990", "S21 FE"),
    ("G991", "S21"),
    ("G996", "S21+"),
    ("G998", "S21 Ultra"),
    ("S901", "S22"),
    ("S906", "S22+"),
    ("S908", "S22 Ultra"),
    ("S711", "S23 FE"),
    ("S911", "S23"),
    ("S916", "S23+"),
    ("S918", "S23 Ultra"),
    ("S721", "S24 FE"),
    ("S921", "S24"),
    ("S926", "S24+"),
    ("S928", "S24 Ultra"),
    ("S731", "S25 FE"),
    ("S931", "S25"),
    ("S936", "S25+"),
    ("S937", "S25 Edge"),
    ("S938", "S25 Ultra"),
    ("F926", "Z Fold3"),
    ("F936", "Z Fold4"),
    ("F946", "Z Fold5"),
    ("F956", "Z Fold6"),
    ("F966", "Z Fold7"),
    ("F711", "Z Flip3"),
    ("F721", "Z Flip4"),
    ("F731", "Z Flip5"),
    ("F741", "Z Flip6"),
    ("F766", "Z Flip7"),
    ("A135", "A13"),
    ("A136", "A13"),
    ("A145", "A14"),
    ("A146", "A14"),
    ("A155", "A15"),
    ("A156", "A15"),
    ("A165", "A16"),
    ("A166", "A16"),
    ("A236", "A23"),
    ("A245", "A24"),
    ("A256", "A25"),
    ("A266", "A26"),
    ("A336", "A33"),
    ("A346", "A34"),
    ("A356", "A35"),
    ("A366", "A36"),
    ("A526", "A52"),
    ("A536", "A53"),
    ("A546", "A54"),
    ("A556", "A55"),
    ("A566", "A56"),
];

/// The model in a part of the comment, if it is one: not a locale, not a flag, not the frozen "K".
pub(super) fn android_model(part: &str) -> Option<String> {
    let part = part.split(" Build").next().unwrap_or_default();
    let part = ["SAMSUNG ", "samsung ", "Google "].iter().find_map(|maker| part.strip_prefix(maker)).unwrap_or(part);
    // "SM-S921B/DS" is the two-SIM variant.
    let part = if part.starts_with("SM-") { part.split('/').next().unwrap_or_default() } else { part };
    let flags = ["K", "U", "wv", "Mobile", "Tablet", "Phone", "Generic", "Linux", "unknown", "Unspecified Device"];
    let bytes = part.as_bytes();
    let locale = bytes.len() == 2 || bytes.len() == 5 && matches!(bytes[2], b'-' | b'_');
    let shown = |next: char| next.is_ascii_alphanumeric() || " -_.+()'&,".contains(next);
    let model = (2..=32).contains(&part.len())
        && part.starts_with(|first: char| first.is_ascii_alphanumeric())
        && part.chars().all(shown)
        && !locale
        && !flags.contains(&part)
        && !["Build", "rv", "Generic ", "arm"].iter().any(|start| part.starts_with(start));
    model.then(|| part.to_owned())
}

/// "Galaxy S24" for "SM-S921B", as far as known.
pub(super) fn marketing_name(model: String) -> String {
    let Some(code) = model.strip_prefix("SM-") else { return model };
    match SAMSUNG.iter().find(|(known, _)| code.starts_with(known)) {
        Some((_, name)) => format!("Galaxy {name}"),
        None => format!("Samsung {model}"),
    }
}

/// The shape, for the models whose name tells it.
pub(super) fn form_of_model(model: &str) -> Option<FormFactor> {
    if ["SM-X", "SM-T", "SM-P"].iter().any(|start| model.starts_with(start)) || model.contains("Tab") {
        return Some(FormFactor::Tablet);
    }
    let phones = ["SM-S", "SM-A", "SM-F", "SM-G", "SM-M", "SM-N", "Pixel"];
    phones.iter().any(|start| model.starts_with(start)).then_some(FormFactor::Phone)
}
