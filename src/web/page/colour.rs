//! The application's colour, and what of it can be read on what (WCAG 2.2 §1.4.3).

/// Red, green, blue of sRGB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Colour([u8; 3]);

/// What a text needs.
const LEGIBLE: f64 = 4.5;

impl Colour {
    const WHITE: Self = Self([0xff; 3]);
    const BLACK: Self = Self([0; 3]);
    /// The lightest and the darkest ground of page.css that coloured text stands on.
    const LIGHT_GROUND: Self = Self([0xf4, 0xf5, 0xf7]);
    const DARK_GROUND: Self = Self([0x1c, 0x1f, 0x24]);

    pub(super) const fn rgb(red: u8, green: u8, blue: u8) -> Self {
        Self([red, green, blue])
    }

    /// `#rrggbb`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6)?;
        // `from_str_radix` takes a sign as well.
        let digits = digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then_some(digits)?;
        let [_, red, green, blue] = u32::from_str_radix(digits, 16).ok()?.to_be_bytes();
        Some(Self([red, green, blue]))
    }

    pub(super) fn css(self) -> String {
        let Self([red, green, blue]) = self;
        format!("#{red:02x}{green:02x}{blue:02x}")
    }

    /// For text and edges on a light page: as it is, or as much darker as it takes.
    pub(super) fn on_light(self) -> Self {
        self.towards(Self::BLACK, Self::LIGHT_GROUND)
    }

    /// The same on a dark one.
    pub(super) fn on_dark(self) -> Self {
        self.towards(Self::WHITE, Self::DARK_GROUND)
    }

    /// Black or white, whichever can be read better on it: one of the two always can.
    pub(super) fn text(self) -> Self {
        if self.contrast(Self::WHITE) >= self.contrast(Self::BLACK) { Self::WHITE } else { Self::BLACK }
    }

    fn towards(self, end: Self, ground: Self) -> Self {
        let steps = (0..=32_u16).map(|step| {
            let mix = |from: u8, to: u8| {
                let mixed = (u16::from(from) * (32 - step) + u16::from(to) * step) / 32;
                u8::try_from(mixed).unwrap_or(u8::MAX)
            };
            let (Self([r, g, b]), Self([to_r, to_g, to_b])) = (self, end);
            Self([mix(r, to_r), mix(g, to_g), mix(b, to_b)])
        });
        steps.into_iter().find(|mixed| mixed.contrast(ground) >= LEGIBLE).unwrap_or(end)
    }

    fn contrast(self, other: Self) -> f64 {
        let (one, other) = (self.luminance() + 0.05, other.luminance() + 0.05);
        one.max(other) / one.min(other)
    }

    fn luminance(self) -> f64 {
        let linear = |channel: u8| {
            let value = f64::from(channel) / 255.0;
            if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        let Self([red, green, blue]) = self;
        0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_but_six_digits() {
        assert_eq!(Colour::parse("#0B5cad"), Some(Colour([0x0b, 0x5c, 0xad])));
        for wrong in ["", "#", "red", "0b5cad", "#fff", "#0b5cadff", "#+b5cad", "#0b5ca;", "#0b5caé", " #0b5cad"] {
            assert_eq!(Colour::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn contrast_is_as_wcag_counts_it() {
        assert!((Colour::WHITE.contrast(Colour::BLACK) - 21.0).abs() < 1e-9);
        // #767676 is the lightest grey that can be read on white.
        let grey = |value| Colour([value; 3]).contrast(Colour::WHITE);
        assert!(grey(0x76) >= LEGIBLE && grey(0x77) < LEGIBLE);
    }

    proptest! {
        #[test]
        fn every_colour_can_be_read(colour: [u8; 3]) {
            let colour = Colour(colour);
            prop_assert!(colour.on_light().contrast(Colour::LIGHT_GROUND) >= LEGIBLE);
            prop_assert!(colour.on_dark().contrast(Colour::DARK_GROUND) >= LEGIBLE);
            for ground in [colour.on_light(), colour.on_dark()] {
                prop_assert!(ground.text().contrast(ground) >= LEGIBLE);
            }
            prop_assert_eq!(Colour::parse(&colour.css()), Some(colour));
        }
    }
}
