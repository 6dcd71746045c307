//! What sessions run on.

use serde::Serialize;

/// What a session runs on, for display. Taken from what the client says of itself: never a proof of anything.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Device {
    /// One line for a person: "Chrome on Windows", "Safari on iPhone".
    #[serde(rename = "deviceName")]
    pub name: String,
    /// The kind of client.
    #[serde(rename = "deviceType")]
    pub kind: DeviceType,
    /// The shape of the thing.
    pub form_factor: Option<FormFactor>,
    /// Operating system: "Windows", "macOS", "iOS", "Android", ..
    pub os: Option<String>,
    /// Its version, only where the client tells the truth about it (a User-Agent alone does not).
    pub os_version: Option<String>,
    /// Browser: "Chrome", "Edge", "Safari", ..
    pub browser: Option<String>,
    /// Its major version.
    pub browser_version: Option<String>,
    /// Hardware model: "Pixel 8", "iPhone".
    pub model: Option<String>,
}

impl Device {
    /// A device of which only the name is known.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            kind: DeviceType::Other,
            form_factor: None,
            os: None,
            os_version: None,
            browser: None,
            browser_version: None,
            model: None,
        }
    }
}

/// The kind of client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum DeviceType {
    /// Any browser, on any hardware.
    Web,
    /// A native app on iOS or iPadOS.
    Ios,
    /// A native app on Android.
    Android,
    /// The rest: scripts, command-line tools, servers, unknown.
    Other,
}

impl DeviceType {
    /// The stable text form.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::Ios => "ios",
            Self::Android => "android",
            Self::Other => "other",
        }
    }
}

impl From<&str> for DeviceType {
    fn from(text: &str) -> Self {
        match text {
            "web" => Self::Web,
            "ios" => Self::Ios,
            "android" => Self::Android,
            _ => Self::Other,
        }
    }
}

/// The shape of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum FormFactor {
    /// A desktop or laptop computer.
    Desktop,
    /// A phone.
    Phone,
    /// A tablet.
    Tablet,
    /// A television or set-top box.
    Tv,
    /// A game console.
    Console,
    /// A watch.
    Watch,
}

impl FormFactor {
    /// The stable text form.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Desktop => "desktop",
            Self::Phone => "phone",
            Self::Tablet => "tablet",
            Self::Tv => "tv",
            Self::Console => "console",
            Self::Watch => "watch",
        }
    }

    /// The form factor of that text, if it is one.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        [Self::Desktop, Self::Phone, Self::Tablet, Self::Tv, Self::Console, Self::Watch]
            .into_iter()
            .find(|known| known.as_str() == text)
    }
}
