//! Numbers with their nouns, in error messages.

use std::fmt;

/// `1 class`, `2 classes`: a number and the noun for one.
pub(crate) struct Count(pub(crate) u64, pub(crate) &'static str);

impl Count {
    /// The same of a length.
    pub(crate) fn of(number: usize, noun: &'static str) -> Self {
        Self(number as u64, noun)
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(number, noun) = self;
        let ending = match number {
            1 => "",
            _ if noun.ends_with('s') => "es",
            _ => "s",
        };
        write!(f, "{number} {noun}{ending}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_no_plural() {
        let texts = [Count(0, "byte"), Count(1, "byte"), Count(2, "byte"), Count::of(1, "class")];
        assert_eq!(texts.map(|text| text.to_string()), ["0 bytes", "1 byte", "2 bytes", "1 class"]);
        assert_eq!(Count::of(3, "class").to_string(), "3 classes");
    }
}
