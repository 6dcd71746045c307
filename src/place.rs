//! A place on earth, as far as an address tells it.

/// Where an address is, as far as is known: never exact, and for people to recognise, not to refuse by.
///
/// Made by a [`Locator`](crate::Locator): begin with `Location::default()` and set what is known.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Location {
    /// City: "Moscow".
    pub city: Option<String>,
    /// Country, in words: "Russia".
    pub country: Option<String>,
    /// ISO 3166-1 alpha-2 code of the country: "RU".
    pub country_code: Option<String>,
    /// Where that is on the globe.
    pub position: Option<Position>,
}

/// A point on the globe, and how sure that is.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Position {
    /// Degrees north, -90 to 90.
    pub latitude: f64,
    /// Degrees east, -180 to 180.
    pub longitude: f64,
    /// Within so many kilometres around it, as the source says; `None` where it does not.
    pub accuracy_km: Option<u32>,
}

impl Position {
    /// A point; `None` where that is none on the globe.
    #[must_use]
    pub fn new(latitude: f64, longitude: f64, accuracy_km: Option<u32>) -> Option<Self> {
        let on_the_globe = (-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude);
        on_the_globe.then_some(Self { latitude, longitude, accuracy_km })
    }
}

impl Location {
    /// One line for a person: "Moscow, Russia".
    #[must_use]
    pub fn text(&self) -> Option<String> {
        let country = self.country.as_deref().or(self.country_code.as_deref());
        let parts: Vec<_> = [self.city.as_deref(), country].into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}
