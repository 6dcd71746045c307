//! What Apple's systems say of themselves, as far as it is true.

use super::{model::apple_name, user_agent::UserAgent};

/// The version of macOS. In browsers frozen at 10.15 (Firefox), 10.15.7 (Safari, Chrome) and 10.16.
pub(super) fn mac_version(ua: &UserAgent<'_>) -> Option<String> {
    let version = ["Mac OS X ", "macOS ", "macOS/"].iter().find_map(|token| ua.version(token))?;
    let minor = version.strip_prefix("10.").and_then(|rest| rest.split('.').next()?.parse::<u8>().ok());
    let truthful = minor.map_or(!ua.is_web(), |minor| minor < 15);
    truthful.then_some(version)
}

/// What some apps add: "iPhone15,2" is more than "iPhone". Some write it "iPhone15_2".
pub(super) fn model(ua: &UserAgent<'_>) -> Option<&'static str> {
    let mut words = ua.parts().flat_map(|part| part.split(['/', ' ']));
    words.find_map(|word| apple_name(&word.replace('_', ",")).or_else(|| word.split('_').find_map(apple_name)))
}

/// The version of iOS. Since iOS 26 the system's number in a browser stands at 18.6 or 18.7; only Safari's own tells more.
pub(super) fn ios_version(ua: &UserAgent<'_>) -> Option<String> {
    // Facebook's apps say it themselves.
    let tokens = ["FBSV/", "iPhone OS ", "CPU OS ", "iOS ", "iOS/", "iPadOS "];
    let token = tokens.iter().find_map(|token| ua.version(token));
    // The number of a build of iOS 18; in browsers that stands still as well.
    if ua.has_any(&["FBSV/", "Mobile/22"]) {
        return token;
    }
    let Some(minor) = token.as_deref().filter(|_| ua.is_web()).and_then(|token| token.strip_prefix("18.")) else {
        return token;
    };
    if !minor.starts_with(['6', '7', '8', '9']) {
        return token;
    }
    let safari = ua.version("Version/")?;
    let is_newer = safari.split('.').next().and_then(|major| major.parse().ok()).is_some_and(|major: u16| major >= 26);
    let is_same = token.as_deref().is_some_and(|token| token.starts_with(&safari)) && safari.len() >= 4;
    if is_newer { Some(safari) } else { token.filter(|_| is_same) }
}
