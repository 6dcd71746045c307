//! Android, its relatives, and the models that run it.

use super::{
    model::{android_model, form_of_model, is_tv, marketing_name, without_maker},
    platform::Platform,
    user_agent::UserAgent,
};
use crate::session::FormFactor;

/// The device behind a User-Agent of Android.
pub(super) fn of(ua: &UserAgent<'_>) -> Platform {
    let after = ua.comment().skip_while(|part| !(["Andr", "Adr "].iter().any(|start| part.starts_with(start)))).skip(1);
    let said = after.filter_map(android_model).next();
    let code = said.clone().or_else(|| beside(ua));
    // Only the engines of today say "Mobile", or by its absence a tablet; Presto and the proxies of old never did.
    let mobile = (ua.is_web() && ua.has_any(&["AppleWeb", "Gecko/"])).then(|| ua.has("Mobile"));
    // A browser that hides the model ("10; K") also hides the version; what an app adds behind it is true.
    let added = UserAgent::new(ua.text.split_once(')').map_or("", |(_, rest)| rest));
    let from = if said.is_none() && code.is_some() && ua.is_web() { &added } else { ua };
    let version = ["Android ", "Adr ", "Android/"].iter().find_map(|token| from.version(token));
    // Firefox never says the model, and "10" for less.
    let gecko = ua.has("Gecko/") && version.as_deref().is_some_and(|version| !matches!(version, "10" | "10.0"));
    let truthful = code.is_some() || !ua.is_web() || gecko;
    let harmony = ua.has("HarmonyOS");
    let os = if harmony { "HarmonyOS" } else { "Android" };
    let mut platform = device(os, version.filter(|_| truthful && !harmony), code.as_deref(), mobile);
    if platform.form_factor != Some(FormFactor::Tv)
        && ua.has_any(&["Android TV", "GoogleTV", "SMART-TV", "SmartTV", "HbbTV"])
    {
        platform.form_factor = Some(FormFactor::Tv);
    }
    platform
}

/// The model where apps put it, as they like: "(Google Pixel 8; Android 14; ..", "(33/13; ..; samsung; SM-A546B; ..".
fn beside(ua: &UserAgent<'_>) -> Option<String> {
    let parts: Vec<_> = ua.parts().map(without_maker).collect();
    let known = parts.iter().find(|part| ["SM-", "Pixel "].iter().any(|start| part.starts_with(start)));
    // "(30/11; 440dpi; 1080x2130; OnePlus; ONEPLUS A6013; ..", "(realme;RMX2117;realme;RMX2117;0;;1;2016)"
    let behind_screen = || parts.windows(3).find(|three| is_size(three[0])).map(|three| three[2]);
    let behind_maker = || {
        let same = |three: &&[&str]| three[0].len() > 2 && three[0].eq_ignore_ascii_case(three[2]);
        parts.windows(3).find(same).map(|three| three[1])
    };
    // The comment as a whole: there may be brackets in a name.
    let whole: Vec<_> = ua.comment().collect();
    let before = || {
        let at = [&whole, &parts].into_iter().flat_map(|parts| parts.windows(2));
        let at = at.into_iter().find(|pair| pair[1].starts_with("Android ") && !pair[0].is_empty())?;
        // Not the name of a package.
        Some(at[0]).filter(|part| part.contains(' ') || !part.contains('.'))
    };
    let candidates = [known.copied(), behind_screen(), before(), behind_maker()];
    candidates.into_iter().flatten().find_map(android_model)
}

/// "1080x2400"
fn is_size(part: &str) -> bool {
    let number = |text: &str| (3..=4).contains(&text.len()) && text.bytes().all(|next| next.is_ascii_digit());
    part.split_once('x').is_some_and(|(width, height)| number(width) && number(height))
}

/// A device of that model. Whether it is mobile only its browsers say.
pub(super) fn device(os: &str, version: Option<String>, code: Option<&str>, mobile: Option<bool>) -> Platform {
    let code = code.unwrap_or_default();
    let fire_tv = code.starts_with("AFT");
    if fire_tv || code.starts_with("KF") && code.len() >= 4 {
        // Amazon's version numbers are not Android's.
        let (name, form) = if fire_tv { ("Fire TV", FormFactor::Tv) } else { ("Fire tablet", FormFactor::Tablet) };
        return Platform { model: Some(name.to_owned()), ..Platform::system("Fire OS", None, Some(form)) };
    }
    let by_model = form_of_model(code);
    let form_factor = match mobile {
        _ if is_tv(code) => Some(FormFactor::Tv),
        Some(_) if by_model == Some(FormFactor::Watch) => by_model,
        Some(true) => Some(by_model.unwrap_or(FormFactor::Phone)),
        Some(false) => Some(FormFactor::Tablet),
        // No app says "Mobile".
        None => by_model,
    };
    let model = (!code.is_empty()).then(|| marketing_name(code));
    Platform { os: Some(os.to_owned()), os_version: version, form_factor, model }
}

/// Meta's headsets: "(X11; Linux x86_64; Quest 3)" or "(Linux; Android 12; Quest 3)".
pub(super) fn headset(ua: &UserAgent<'_>) -> Option<Platform> {
    let model = ua.comment().map(|part| part.split(" Build").next().unwrap_or_default());
    let model =
        model.map(|part| part.strip_prefix("Oculus ").unwrap_or(part)).find(|part| part.starts_with("Quest"))?;
    let plain = model.len() <= 16 && model.bytes().all(|next| next.is_ascii_alphanumeric() || next == b' ');
    plain.then(|| Platform { model: Some(format!("Meta {model}")), ..Platform::system("Android", None, None) })
}
