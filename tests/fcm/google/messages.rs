//! What is a message.

use serde_json::Value;

/// <https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages>, as far as it is for Android. Names that it does
/// not know are refused, as all of Google's APIs do.
pub(super) fn is_message(body: &Value) -> bool {
    let only = |value: &Value, names: &[&str]| {
        value.as_object().is_some_and(|object| object.keys().all(|name| names.contains(&name.as_str())))
    };
    let message = &body["message"];
    let data = message["data"].as_object();
    let reserved =
        |name: &str| matches!(name, "from" | "message_type") || name.starts_with("google") || name.starts_with("gcm");
    let ttl = message["android"]["ttl"].as_str().and_then(|ttl| ttl.strip_suffix('s')?.parse::<u32>().ok());
    only(body, &["message", "validate_only"])
        && only(message, &["token", "data", "android"])
        && only(&message["android"], &["priority", "ttl", "collapse_key", "restricted_package_name", "direct_boot_ok"])
        && message["token"].as_str().is_some_and(|token| !token.is_empty())
        && data.is_some_and(|data| data.iter().all(|(name, value)| value.is_string() && !reserved(name)))
        && message["data"].to_string().len() <= 4_096
        && ttl.is_some_and(|ttl| ttl <= 2_419_200)
        && matches!(message["android"]["priority"].as_str(), Some("NORMAL" | "HIGH"))
}
