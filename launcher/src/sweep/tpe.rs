//! A search like TPE: two densities, one of the best share of the trials and one of the rest; of some
//! candidates drawn from the first one, that with the greatest ratio of the two is next.
//!
//! A density is a mean of kernels around the trials, and of one that is even everywhere, so that nothing is
//! excluded. A kernel is a product over the parameters: a normal distribution within 0 to 1 for numbers,
//! and for choices the same one, or with some probability any.
//!
//! # Source
//! Bergstra, Bardenet, Bengio, Kégl: "Algorithms for hyper-parameter optimization", NIPS 2011, section 4;
//! with kernels over all parameters at once as in Falkner, Klein, Hutter: "BOHB", ICML 2018, section 3.2.

use super::space::{Purpose, Space, index, unit};
use crate::cli::config::sweep::Values;

/// Trials that are drawn at random at first.
pub(super) const RANDOM: usize = 8;
/// The part of the trials that counts as good.
const GOOD: f64 = 0.2;
const CANDIDATES: u32 = 24;
/// The narrowest and the widest kernels.
const WIDTHS: [f64; 2] = [0.03, 0.5];
/// The least probability that a kernel takes any choice.
const ANY: f64 = 0.1;

/// The place of trial `trial`, from the places and scores of trials that have ended (a small score is good),
/// and the places of those under way.
pub(super) fn propose(
    space: &Space,
    seed: u64,
    trial: usize,
    ended: &[(Vec<f64>, f64)],
    under_way: &[Vec<f64>],
) -> Vec<f64> {
    if ended.len() < RANDOM {
        return space.random(seed, trial);
    }
    let mut sorted: Vec<&(Vec<f64>, f64)> = ended.iter().collect();
    sorted.sort_by(|a, b| a.1.total_cmp(&b.1));
    let count = (GOOD * ended.len() as f64).ceil() as usize;
    let (good, rest) = sorted.split_at(count.max(2));
    let places = |part: &[&(Vec<f64>, f64)]| part.iter().map(|(place, _)| place.clone()).collect::<Vec<_>>();
    // Trials under way count as bad, so that the next one is not the same again.
    let good = Density::new(space, places(good));
    let rest = Density::new(space, [places(rest), under_way.to_vec()].concat());
    let candidates = (0..CANDIDATES).map(|number| {
        let place =
            good.draw(|parameter, draw| unit(seed, Purpose::Candidates, trial, parameter, number * 4 + draw));
        (good.log(&place) - rest.log(&place), place)
    });
    let best = candidates.reduce(|best, next| if next.0 > best.0 { next } else { best });
    best.expect("there are candidates").1
}

struct Density<'s> {
    space: &'s Space,
    places: Vec<Vec<f64>>,
    /// Of each parameter.
    widths: Vec<f64>,
}

impl<'s> Density<'s> {
    fn new(space: &'s Space, places: Vec<Vec<f64>>) -> Self {
        let (count, parameters) = (places.len().max(1) as f64, space.0.len() as f64);
        // Scott's rule.
        let factor = libm::pow(count, -1.0 / (parameters + 4.0));
        let width = |parameter: usize| {
            let mean = places.iter().map(|place| place[parameter]).sum::<f64>() / count;
            let square = |place: &Vec<f64>| (place[parameter] - mean) * (place[parameter] - mean);
            let deviation = (places.iter().map(square).sum::<f64>() / count).sqrt();
            (deviation * factor).clamp(WIDTHS[0], WIDTHS[1])
        };
        let widths = (0..space.0.len()).map(width).collect();
        Self { space, places, widths }
    }

    /// The probability that a kernel takes any choice.
    fn any(&self) -> f64 {
        ANY.max(1.0 / (1.0 + self.places.len() as f64))
    }

    /// A place of this density; `unit` gives draw 0 to 3 for a parameter.
    fn draw(&self, unit: impl Fn(usize, u32) -> f64) -> Vec<f64> {
        let kernels = self.places.len() + 1;
        let Some(centre) = self.places.get(index(unit(0, 3), kernels)) else {
            return (0..self.widths.len()).map(|parameter| unit(parameter, 0)).collect();
        };
        let near = |(parameter, centre): (usize, &f64)| match &self.space.0[parameter].values {
            Values::Choice(_) if unit(parameter, 1) < self.any() => unit(parameter, 0),
            Values::Choice(_) => *centre,
            _ => {
                // Box and Muller; 1 - u is never 0.
                let radius = (-2.0 * libm::log(1.0 - unit(parameter, 0))).sqrt();
                let turn = libm::cos(2.0 * std::f64::consts::PI * unit(parameter, 1));
                reflected(centre + self.widths[parameter] * radius * turn)
            }
        };
        centre.iter().enumerate().map(near).collect()
    }

    /// The logarithm of the density at a place.
    fn log(&self, place: &[f64]) -> f64 {
        let even = |parameter: usize| match &self.space.0[parameter].values {
            Values::Choice(values) => 1.0 / values.len() as f64,
            _ => 1.0,
        };
        let parameters = 0..place.len();
        let everywhere: f64 = parameters.clone().map(even).product();
        let kernel = |centre: &Vec<f64>| -> f64 {
            let factor = |parameter: usize| {
                let (x, c, width) = (place[parameter], centre[parameter], self.widths[parameter]);
                match &self.space.0[parameter].values {
                    Values::Choice(values) => {
                        let is_same = index(x, values.len()) == index(c, values.len());
                        self.any() * even(parameter) + if is_same { 1.0 - self.any() } else { 0.0 }
                    }
                    _ => normal(x, c, width),
                }
            };
            parameters.clone().map(factor).product()
        };
        let sum = everywhere + self.places.iter().map(kernel).sum::<f64>();
        libm::log(sum / (self.places.len() + 1) as f64)
    }
}

/// A normal distribution around `centre`, within 0 to 1, at `x`.
fn normal(x: f64, centre: f64, width: f64) -> f64 {
    let scaled = (x - centre) / width;
    let below = |x: f64| 0.5 * (1.0 + libm::erf((x - centre) / (width * std::f64::consts::SQRT_2)));
    let density = libm::exp(-0.5 * scaled * scaled) / (width * (2.0 * std::f64::consts::PI).sqrt());
    density / (below(1.0) - below(0.0))
}

/// A number beyond 0 or 1, mirrored into the interval.
fn reflected(x: f64) -> f64 {
    let x = x.abs() % 2.0;
    if x > 1.0 { 2.0 - x } else { x }
}

#[cfg(test)]
mod tests {
    use super::super::space::tests::{choice, real};
    use super::*;

    /// A bowl around 0.7 for one kind, and a bad value for the other.
    fn score(space: &Space, place: &[f64]) -> f64 {
        let values = space.values(place);
        let rate: f64 = values[0].parse().unwrap();
        (rate - 0.7) * (rate - 0.7) + if values[1] == "1" { 0.0 } else { 0.5 }
    }

    #[test]
    fn proposals_gather_where_scores_are_good() {
        let space = Space::new(vec![real(0.0, 1.0, false), choice(&["1", "2", "3"])]);
        let (mut by_tpe, mut by_chance) = (0.0, 0.0);
        for seed in 0..10 {
            let mut ended: Vec<(Vec<f64>, f64)> = Vec::new();
            for trial in 0..40 {
                let place = propose(&space, seed, trial, &ended, &[]);
                assert!(place.iter().all(|unit| (0.0..=1.0).contains(unit)), "{place:?}");
                ended.push((place.clone(), score(&space, &place)));
                if trial >= 20 {
                    by_tpe += score(&space, &place);
                    by_chance += score(&space, &space.random(seed, trial));
                }
            }
        }
        assert!(by_tpe < by_chance / 2.0, "{by_tpe} is not well below {by_chance}");
    }

    #[test]
    fn failed_trials_do_no_harm_and_the_result_is_the_same_again() {
        let space = Space::new(vec![real(1e-4, 1.0, true)]);
        let mut ended: Vec<(Vec<f64>, f64)> =
            (0..12).map(|trial| (space.random(1, trial), f64::INFINITY)).collect();
        ended[3].1 = 0.5;
        let under_way = [vec![0.5]];
        let first = propose(&space, 1, 12, &ended, &under_way);
        assert_eq!(first, propose(&space, 1, 12, &ended, &under_way));
        assert!((0.0..=1.0).contains(&first[0]));
    }

    #[test]
    fn a_density_has_the_sum_one() {
        let space = Space::new(vec![real(0.0, 1.0, false)]);
        let density = Density::new(&space, vec![vec![0.02], vec![0.5], vec![1.0]]);
        let steps = 10_000;
        let sum: f64 = (0..steps)
            .map(|step| libm::exp(density.log(&[(f64::from(step) + 0.5) / f64::from(steps)])))
            .sum();
        assert!((sum / f64::from(steps) - 1.0).abs() < 1e-3, "{sum}");
        assert_eq!([-0.25, 1.25, 0.5].map(reflected), [0.25, 0.75, 0.5]);
    }
}
