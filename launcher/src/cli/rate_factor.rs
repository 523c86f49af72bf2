//! Learning rates of some parameters alone.

use super::parsers;
use std::fmt;

/// The factor of the learning rate of all parameters whose names match a pattern.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RateFactor {
    pub(crate) pattern: String,
    pub(crate) factor: f64,
}

impl RateFactor {
    /// Parses `*.bias=64`. Names of parameters may have a `=` in them.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let problem = || format!("must be as '*.bias=0.5', it is '{text}'");
        let (pattern, factor) =
            text.rsplit_once('=').filter(|(pattern, _)| !pattern.is_empty()).ok_or_else(problem)?;
        let factor =
            parsers::nonnegative(factor).map_err(|error| format!("the factor of '{pattern}' {error}"))?;
        Ok(Self { pattern: pattern.to_string(), factor })
    }
}

impl fmt::Display for RateFactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={:?}", self.pattern, self.factor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_factor_has_a_pattern() {
        let factor = RateFactor::parse("a=b.*=64").unwrap();
        assert_eq!(factor, RateFactor { pattern: "a=b.*".to_string(), factor: 64.0 });
        assert_eq!(factor.to_string(), "a=b.*=64.0");
        for (text, expected) in [
            ("fc.weight", "must be as '*.bias=0.5', it is 'fc.weight'"),
            ("=2", "must be as '*.bias=0.5', it is '=2'"),
            ("fc=", "the factor of 'fc' must be a finite number of at least 0, it is ''"),
            ("fc=-1", "the factor of 'fc' must be a finite number of at least 0, it is '-1'"),
            ("fc=inf", "the factor of 'fc' must be a finite number of at least 0, it is 'inf'"),
        ] {
            assert_eq!(RateFactor::parse(text).unwrap_err(), expected);
        }
    }
}
