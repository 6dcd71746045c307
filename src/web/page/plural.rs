//! "1 minute", "2 minutes"; "1 минуту", "2 минуты", "5 минут" (CLDR, Language Plural Rules).

/// The categories that a language may tell apart, for whole numbers; CLDR's `zero` and `two` are of languages whose rule is
/// not here.
pub(super) const FORMS: [&str; 4] = ["one", "few", "many", "other"];

/// Which form goes with a whole number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// English, German, Spanish, most others.
    OneAndOther,
    /// French and Brazilian Portuguese: 0 is as 1.
    ZeroIsOne,
    /// Russian, Ukrainian, Belarusian; Serbian, Croatian, Bosnian, whose third form is called `other`.
    EastSlavic,
    Polish,
    /// Czech, Slovak.
    WestSlavic,
}

impl Rule {
    pub(super) fn of(language: &str) -> Self {
        match language.split('-').next().unwrap_or_default() {
            "ru" | "uk" | "be" | "sr" | "hr" | "bs" => Self::EastSlavic,
            "pl" => Self::Polish,
            "cs" | "sk" => Self::WestSlavic,
            "fr" | "pt" => Self::ZeroIsOne,
            // Without plural forms there is `other` alone, and any rule leads there.
            _ => Self::OneAndOther,
        }
    }

    fn category(self, n: u64) -> usize {
        const ONE: usize = 0;
        const FEW: usize = 1;
        const MANY: usize = 2;
        const OTHER: usize = 3;
        let (last, last_two) = (n % 10, n % 100);
        let few = (2..=4).contains(&last) && !(12..=14).contains(&last_two);
        match self {
            Self::OneAndOther if n == 1 => ONE,
            Self::ZeroIsOne if n < 2 => ONE,
            Self::EastSlavic if last == 1 && last_two != 11 => ONE,
            Self::Polish | Self::WestSlavic if n == 1 => ONE,
            Self::EastSlavic | Self::Polish if few => FEW,
            Self::WestSlavic if (2..=4).contains(&n) => FEW,
            Self::EastSlavic | Self::Polish => MANY,
            _ => OTHER,
        }
    }
}

/// The forms of some words with a number, `{n}`, in them.
pub(super) struct Plural {
    rule: Rule,
    forms: [String; 4],
}

impl Plural {
    /// What is not given is said as `other`; `None` without that.
    pub(super) fn new(rule: Rule, forms: [Option<String>; 4]) -> Option<Self> {
        let other = forms[3].clone()?;
        Some(Self { rule, forms: forms.map(|form| form.unwrap_or_else(|| other.clone())) })
    }

    pub(super) fn of(&self, n: u64) -> String {
        self.forms[self.rule.category(n)].replace("{n}", &n.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The samples of CLDR's table.
    #[test]
    fn each_language_has_its_forms() {
        let forms = |language: &str, numbers: &[u64]| -> Vec<&str> {
            numbers.iter().map(|n| FORMS[Rule::of(language).category(*n)]).collect()
        };
        let all = |form, count| vec![form; count];
        assert_eq!(forms("en", &[1]), ["one"]);
        assert_eq!(forms("en", &[0, 2, 11, 21, 101]), all("other", 5));
        assert_eq!(forms("fr", &[0, 1]), all("one", 2));
        assert_eq!(forms("fr", &[2, 11, 21]), all("other", 3));
        assert_eq!(forms("ru", &[1, 21, 31, 101, 1_001]), all("one", 5));
        assert_eq!(forms("ru", &[2, 3, 4, 22, 24, 102, 1_002]), all("few", 7));
        assert_eq!(forms("ru", &[0, 5, 10, 11, 12, 13, 14, 19, 20, 25, 100, 111, 112, 114]), all("many", 14));
        assert_eq!(forms("pl", &[1]), ["one"]);
        assert_eq!(forms("pl", &[2, 4, 22, 24, 102]), all("few", 5));
        assert_eq!(forms("pl", &[0, 5, 11, 12, 14, 21, 31, 101]), all("many", 8));
        assert_eq!(forms("cs", &[1]), ["one"]);
        assert_eq!(forms("cs", &[2, 3, 4]), all("few", 3));
        assert_eq!(forms("cs", &[0, 5, 21, 22, 100]), all("other", 5));
    }
}
