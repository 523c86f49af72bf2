//! Axes: from values to places, and the round values that are labelled.

use super::format;

/// How values are spread over an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spread {
    /// Equal distances are equal differences.
    Linear,
    /// Equal distances are equal ratios.
    Log,
}

/// The axis of a chart.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scale {
    pub(crate) spread: Spread,
    pub(crate) from: f64,
    pub(crate) to: f64,
    pub(crate) ticks: Vec<f64>,
}

/// About as many values are labelled.
const TICKS: f64 = 5.0;
/// Positive values with at least this ratio between them are spread by their ratios.
const LOG_RATIO: f64 = 100.0;

impl Scale {
    /// An axis that holds the finite ones of `values` and ends at round ones.
    pub(crate) fn fit(values: impl Iterator<Item = f64>, spread: Spread) -> Self {
        let (low, high) = range(values);
        match spread {
            Spread::Log if low > 0.0 => Self::log(low, high),
            _ => Self::linear(low, high),
        }
    }

    /// An axis from the least to the greatest of `values`, with round values in between.
    pub(crate) fn exact(values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = range(values);
        let outer = Self::linear(low, high);
        let (from, to) = if low < high { (low, high) } else { (outer.from, outer.to) };
        let ticks = outer.ticks.into_iter().filter(|tick| (from..=to).contains(tick)).collect();
        Self { spread: Spread::Linear, from, to, ticks }
    }

    /// An axis of ratios around `values`, which are positive, from a power of two to another one.
    pub(crate) fn doublings(values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = range(values);
        if low <= 0.0 {
            return Self::linear(low, high);
        }
        let power = |exponent: f64| libm::exp2(exponent);
        let first = libm::floor(libm::log2(low) + 1e-9);
        let last = libm::ceil(libm::log2(high) - 1e-9).max(first + 1.0);
        // No more labels than fit.
        let step = libm::ceil((last - first) / (2.0 * TICKS - 1.0));
        let ticks = (0..=((last - first) / step) as usize).map(|tick| power(first + tick as f64 * step));
        Self { spread: Spread::Log, from: power(first), to: power(last), ticks: ticks.collect() }
    }

    fn linear(low: f64, high: f64) -> Self {
        let (low, high) = if low < high { (low, high) } else { around(low) };
        let step = round_step((high - low) / TICKS);
        // A bound that is round itself must not be missed by rounding.
        let (first, last) = (libm::floor(low / step + 1e-9), libm::ceil(high / step - 1e-9));
        let ticks = (0..=(last - first) as usize).map(|tick| (first + tick as f64) * step);
        Self { spread: Spread::Linear, from: first * step, to: last * step, ticks: ticks.collect() }
    }

    fn log(low: f64, high: f64) -> Self {
        let decade = |power: f64| libm::pow(10.0, power);
        let first = libm::floor(libm::log10(low));
        let last = libm::ceil(libm::log10(high)).max(first + 1.0);
        if last - first < 2.0 {
            return Self::decade(low, high, decade(first));
        }
        // No more labels than fit.
        let step = libm::ceil((last - first) / (TICKS + 1.0));
        let ticks = (0..=((last - first) / step) as usize).map(|tick| decade(first + tick as f64 * step));
        Self { spread: Spread::Log, from: decade(first), to: decade(last), ticks: ticks.collect() }
    }

    /// From one of 1, 2 and 5 times `unit`, or ten times that, to another one.
    fn decade(low: f64, high: f64, unit: f64) -> Self {
        let round = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * unit);
        let first = round.iter().rposition(|tick| *tick <= low * (1.0 + 1e-9)).unwrap_or(0);
        let last = round.iter().position(|tick| *tick >= high * (1.0 - 1e-9)).unwrap_or(round.len() - 1);
        // All values may be equal to one of them.
        let last = last.max(first + 1).min(round.len() - 1);
        let ticks = round[first.min(last - 1)..=last].to_vec();
        Self { spread: Spread::Log, from: ticks[0], to: ticks[ticks.len() - 1], ticks }
    }

    /// The place of a value, from 0 to 1 on the axis; `None` where it has none.
    pub(crate) fn place(&self, value: f64) -> Option<f64> {
        let place = match self.spread {
            Spread::Linear => (value - self.from) / (self.to - self.from),
            Spread::Log => {
                let from = libm::log10(self.from);
                (libm::log10(value) - from) / (libm::log10(self.to) - from)
            }
        };
        place.is_finite().then_some(place)
    }

    /// The label of a tick.
    pub(crate) fn label(&self, tick: f64) -> String {
        // The difference of two round numbers may be one that is none.
        let is_zero = tick.abs() < (self.to - self.from).abs() * 1e-9;
        match tick {
            _ if is_zero && self.spread == Spread::Linear => "0".to_string(),
            tick if tick.abs() >= 1e4 && tick.abs() < 1e9 && tick % 1000.0 == 0.0 => {
                format!("{}k", format::number(tick / 1000.0))
            }
            tick => format::number(tick),
        }
    }
}

/// How values like these are spread.
pub(crate) fn spread(values: impl Iterator<Item = f64>) -> Spread {
    let (low, high) = range(values);
    if low > 0.0 && high / low >= LOG_RATIO { Spread::Log } else { Spread::Linear }
}

/// The least and the greatest of the finite values; 0 and 1 if there are none.
fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let finite = values.filter(|value| value.is_finite());
    let (low, high) = finite
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    if low <= high { (low, high) } else { (0.0, 1.0) }
}

/// An interval around a value that all values are equal to.
fn around(value: f64) -> (f64, f64) {
    match value.abs() {
        0.0 => (0.0, 1.0),
        size => (value - size / 2.0, value + size / 2.0),
    }
}

/// The least of 1, 2 and 5 times a power of ten that is at least `step`.
fn round_step(step: f64) -> f64 {
    let power = libm::pow(10.0, libm::floor(libm::log10(step)));
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= step * (1.0 - 1e-9));
    factor.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit(values: &[f64], spread: Spread) -> Scale {
        Scale::fit(values.iter().copied(), spread)
    }

    fn labels(scale: &Scale) -> Vec<String> {
        scale.ticks.iter().map(|tick| scale.label(*tick)).collect()
    }

    #[test]
    fn ticks_are_round_and_hold_the_values() {
        for (values, expected) in [
            (&[0.13, 2.31, f64::NAN, f64::INFINITY][..], &["0", "0.5", "1", "1.5", "2", "2.5"][..]),
            (&[91.0, 94.0], &["91", "92", "93", "94"]),
            (&[-0.2, 0.2], &["-0.2", "-0.1", "0", "0.1", "0.2"]),
            (&[0.0, 78_000.0], &["0", "20k", "40k", "60k", "80k"]),
            (&[], &["0", "0.2", "0.4", "0.6", "0.8", "1"]),
            (&[0.1], &["0.04", "0.06", "0.08", "0.1", "0.12", "0.14", "0.16"]),
        ] {
            assert_eq!(labels(&fit(values, Spread::Linear)), expected, "{values:?}");
        }
        assert_eq!(labels(&fit(&[0.002, 0.7], Spread::Log)), ["0.001", "0.01", "0.1", "1"]);
        assert_eq!(
            labels(&fit(&[1e-12, 1.0], Spread::Log)),
            ["1e-12", "1e-10", "1e-8", "1e-6", "0.0001", "0.01", "1"]
        );
        assert_eq!(labels(&fit(&[0.0031, 0.0047], Spread::Log)), ["0.002", "0.005"]);
        assert_eq!(labels(&fit(&[2.0, 20.0], Spread::Log)), ["1", "10", "100"]);
        assert_eq!(labels(&fit(&[10.0, 10.0], Spread::Log)), ["10", "20"]);
        assert_eq!(labels(&fit(&[99.0, 100.0], Spread::Log)), ["50", "100"]);
        assert_eq!(fit(&[0.0, 1.0], Spread::Log).spread, Spread::Linear, "zero has no logarithm");
    }

    #[test]
    fn numbers_of_ranks_have_places_by_their_ratios() {
        let doublings = |values: &[f64]| Scale::doublings(values.iter().copied());
        assert_eq!(labels(&doublings(&[1.0, 2.0, 4.0])), ["1", "2", "4"]);
        assert_eq!(labels(&doublings(&[3.0, 6.0])), ["2", "4", "8"]);
        assert_eq!(labels(&doublings(&[1.0, 1.0])), ["1", "2"]);
        assert_eq!(labels(&doublings(&[1.0, 512.0])).len(), 10);
        assert_eq!(labels(&doublings(&[1.0, 1024.0])), ["1", "4", "16", "64", "256", "1024"]);
        assert_eq!(labels(&doublings(&[1.0, 1e6])).len(), 7);
        assert_eq!(doublings(&[1.0, 4.0]).place(2.0), Some(0.5));
        assert_eq!(doublings(&[0.0, 4.0]).spread, Spread::Linear, "zero has no logarithm");
    }

    #[test]
    fn values_have_places() {
        let linear = fit(&[0.0, 10.0], Spread::Linear);
        assert_eq!(
            [0.0, 5.0, 10.0, f64::NAN].map(|v| linear.place(v)),
            [Some(0.0), Some(0.5), Some(1.0), None]
        );
        let log = fit(&[0.01, 100.0], Spread::Log);
        assert_eq!([0.01, 1.0, 100.0, 0.0].map(|v| log.place(v)), [Some(0.0), Some(0.5), Some(1.0), None]);
        let exact = Scale::exact([1.0, 30.0].into_iter());
        assert_eq!(
            (exact.from, exact.to, labels(&exact)),
            (1.0, 30.0, ["10", "20", "30"].map(str::to_string).to_vec())
        );
    }

    #[test]
    fn large_ratios_are_spread_by_ratio() {
        assert_eq!(spread([0.01, 1.0].into_iter()), Spread::Log);
        assert_eq!(spread([0.1, 2.0].into_iter()), Spread::Linear);
        assert_eq!(spread([0.0, 2.0].into_iter()), Spread::Linear);
    }
}
