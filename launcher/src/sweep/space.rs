//! The values of trials, as numbers between 0 and 1: what searches work on.

use crate::cli::config::sweep::{Parameter, Values};
use isograd_kernels::philox::philox4x32;

/// Philox purposes from 128 on are a program's own: values of trials that are drawn at random, and choices of
/// TPE.
#[derive(Debug, Clone, Copy)]
pub(super) enum Purpose {
    Values = 128,
    Candidates = 129,
}

/// The most trials of a grid.
const MOST: usize = 1_000_000;

/// What trials differ in.
#[derive(Debug)]
pub(super) struct Space(pub(super) Vec<Parameter>);

/// A number from 0 to below 1 for each (seed, purpose, trial, parameter, number of the draw).
pub(super) fn unit(seed: u64, purpose: Purpose, trial: usize, parameter: usize, draw: u32) -> f64 {
    let counter = [trial as u32, draw, parameter as u32, (purpose as u32) << 24];
    let [a, b, ..] = philox4x32(counter, [seed as u32, (seed >> 32) as u32]);
    (f64::from(a >> 5) * 67_108_864.0 + f64::from(b >> 6)) / 9_007_199_254_740_992.0
}

impl Space {
    pub(super) fn new(parameters: Vec<Parameter>) -> Self {
        Self(parameters)
    }

    /// The place of trial `trial`, drawn at random.
    pub(super) fn random(&self, seed: u64, trial: usize) -> Vec<f64> {
        (0..self.0.len()).map(|parameter| unit(seed, Purpose::Values, trial, parameter, 0)).collect()
    }

    /// Points of a grid along a parameter.
    fn points(values: &Values) -> Option<usize> {
        match values {
            Values::Choice(values) => Some(values.len()),
            Values::Real { points, .. } => points.map(|points| points as usize),
            Values::Int { low, high } => usize::try_from(high - low + 1).ok(),
        }
    }

    /// The number of all combinations, or why there is no such number.
    pub(super) fn grid_len(&self) -> Result<usize, String> {
        let mut all = 1usize;
        for Parameter { key, values } in &self.0 {
            let points = Self::points(values).ok_or_else(|| {
                format!(
                    "'{key}' has values without end; a third number, as in [0, 1, 5], says how many to take"
                )
            })?;
            all = all.checked_mul(points).filter(|all| *all <= MOST).ok_or_else(|| {
                format!("there are more than {MOST} combinations; --search random tries some of them")
            })?;
        }
        Ok(all)
    }

    /// The place of trial `trial` of a grid: the last parameter changes fastest.
    pub(super) fn on_grid(&self, trial: usize) -> Vec<f64> {
        let mut rest = trial;
        let mut place: Vec<f64> = (self.0.iter().rev())
            .map(|parameter| {
                let points = Self::points(&parameter.values).expect("a grid has points");
                let (point, all) = ((rest % points) as f64, points as f64);
                rest /= points;
                match parameter.values {
                    // From end to end.
                    Values::Real { .. } => point / (all - 1.0),
                    _ => (point + 0.5) / all,
                }
            })
            .collect();
        place.reverse();
        place
    }

    /// The values at a place, in TOML.
    pub(super) fn values(&self, place: &[f64]) -> Vec<String> {
        self.0.iter().zip(place).map(|(parameter, unit)| parameter.values.at(*unit)).collect()
    }

    /// `learning_rate=0.01, batch_size=32`, of the values at a place.
    pub(super) fn describe(&self, place: &[f64]) -> String {
        let values = self.values(place);
        let one = |(parameter, value): (&Parameter, &String)| {
            let key = parameter.key.rsplit('.').next().unwrap_or(&parameter.key);
            format!("{key}={}", plain(value))
        };
        self.0.iter().zip(&values).map(one).collect::<Vec<_>>().join(", ")
    }
}

/// A value of TOML for people: a text without its quotes.
pub(super) fn plain(value: &str) -> &str {
    let inner = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    inner.filter(|inner| !inner.contains('\\')).unwrap_or(value)
}

impl Values {
    /// The value at `unit`, from 0 to 1, in TOML. Numbers have six digits.
    fn at(&self, unit: f64) -> String {
        match self {
            Self::Choice(values) => values[index(unit, values.len())].clone(),
            Self::Int { low, high } => {
                let count = (high - low + 1) as f64;
                (low + (unit * count).min(count - 1.0) as i64).to_string()
            }
            Self::Real { low, high, is_log, .. } => {
                let value = match is_log {
                    true => {
                        let [from, to] = [*low, *high].map(libm::log);
                        libm::exp(from + unit * (to - from))
                    }
                    false => low + unit * (high - low),
                };
                let rounded: f64 = format!("{value:.5e}").parse().expect("a number");
                format!("{:?}", rounded.clamp(*low, *high))
            }
        }
    }
}

/// Which of `count` choices is at `unit`.
pub(super) fn index(unit: f64, count: usize) -> usize {
    ((unit * count as f64) as usize).min(count - 1)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn real(low: f64, high: f64, is_log: bool) -> Parameter {
        Parameter { key: "a.rate".to_string(), values: Values::Real { low, high, is_log, points: None } }
    }

    pub(crate) fn choice(values: &[&str]) -> Parameter {
        let values = values.iter().map(|value| value.to_string()).collect();
        Parameter { key: "kind".to_string(), values: Values::Choice(values) }
    }

    #[test]
    fn draws_are_those_of_their_seed_and_trial() {
        let space = Space::new(vec![real(1e-4, 1e-1, true), choice(&["\"a\"", "\"b\"", "3"])]);
        let draw = |seed, trial| space.describe(&space.random(seed, trial));
        assert_eq!(draw(7, 3), draw(7, 3));
        let all: std::collections::BTreeSet<String> =
            (0..50).flat_map(|trial| [draw(0, trial), draw(1, trial)]).collect();
        assert_eq!(all.len(), 100);
        // Half of the draws are in the lower half of the logarithms.
        let low = (0..1000)
            .filter(|trial| space.values(&space.random(0, *trial))[0].parse::<f64>().unwrap() < 3.162e-3);
        let low = low.count();
        assert!((450..550).contains(&low), "{low}");
    }

    #[test]
    fn a_place_has_values() {
        let int = Parameter { key: "n".to_string(), values: Values::Int { low: -1, high: 1 } };
        let space =
            Space::new(vec![real(0.0, 2.0, false), real(0.01, 1.0, true), choice(&["\"x\"", "5"]), int]);
        assert_eq!(space.values(&[0.25, 0.5, 0.49, 0.0]), ["0.5", "0.1", "\"x\"", "-1"]);
        assert_eq!(space.values(&[1.0, 1.0, 1.0, 1.0]), ["2.0", "1.0", "5", "1"]);
        assert_eq!(space.describe(&[0.0, 0.0, 0.1, 0.4]), "rate=0.0, rate=0.01, kind=x, n=0");
    }

    #[test]
    fn a_grid_has_all_combinations() {
        let points = Values::Real { low: 1.0, high: 100.0, is_log: true, points: Some(3) };
        let rate = Parameter { key: "rate".to_string(), values: points };
        let int = Parameter { key: "n".to_string(), values: Values::Int { low: 4, high: 5 } };
        let space = Space::new(vec![rate, int]);
        let all: Vec<String> =
            (0..space.grid_len().unwrap()).map(|t| space.values(&space.on_grid(t)).join(" ")).collect();
        assert_eq!(all, ["1.0 4", "1.0 5", "10.0 4", "10.0 5", "100.0 4", "100.0 5"]);
        assert!(Space::new(vec![real(0.0, 1.0, false)]).grid_len().unwrap_err().contains("without end"));
        let many = Parameter { key: "n".to_string(), values: Values::Int { low: 0, high: 1 << 40 } };
        assert!(Space::new(vec![many]).grid_len().unwrap_err().contains("more than 1000000"));
    }
}
