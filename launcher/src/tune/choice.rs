//! Which path each pass of a convolution takes, by its times.

use super::Measured;
use super::times::{Bench, Passes};
use isograd_kernels::Element;
use isograd_kernels::conv::{Path, Paths};

/// Another path than that by shape must be faster by this part: times are never exact.
const LEAST_GAIN: f64 = 0.02;

/// The passes of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    Forward,
    InputGradient,
    WeightGradient,
}

impl Pass {
    /// In the order of [`Paths::each`].
    pub(super) const ALL: [Self; 3] = [Self::Forward, Self::InputGradient, Self::WeightGradient];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::InputGradient => "input gradient",
            Self::WeightGradient => "weight gradient",
        }
    }
}

/// The times of a pass, and what follows from them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Times {
    /// Seconds for a shard on each path that serves the shape.
    pub(super) seconds: Vec<(Path, f64)>,
    /// The path that the shape gives.
    pub(super) by_shape: Path,
    pub(super) chosen: Path,
}

impl Times {
    fn new(seconds: Vec<(Path, f64)>, by_shape: Path) -> Self {
        let mut times = Self { seconds, by_shape, chosen: by_shape };
        let fastest = times.seconds.iter().min_by(|one, other| one.1.total_cmp(&other.1));
        let (path, seconds) = *fastest.expect("the direct path serves all shapes");
        if seconds < (1.0 - LEAST_GAIN) * times.of(by_shape) {
            times.chosen = path;
        }
        times
    }

    /// The seconds on `path`, which serves the shape.
    pub(super) fn of(&self, path: Path) -> f64 {
        let found = self.seconds.iter().find(|(known, _)| *known == path);
        found.map_or(f64::INFINITY, |(_, seconds)| *seconds)
    }
}

/// A shape with the times of its passes; `None` for a pass that no layer has.
pub(super) struct Tuned {
    pub(super) measured: Measured,
    pub(super) times: [Option<Times>; 3],
    by_shape: Paths,
}

impl Tuned {
    /// Measures all passes that the network's layers of this shape have.
    pub(super) fn measure<T: Element>(bench: &Bench, measured: Measured) -> Self {
        let by_shape = Paths::by_shape(&measured.shape).expect("the shape of a convolution of a network");
        let passes = Passes::<T>::new(*bench, measured.shape);
        let mut times = [const { None }; 3];
        for (index, (pass, path)) in Pass::ALL.into_iter().zip(by_shape.each()).enumerate() {
            if measured.passes[index] > 0 {
                times[index] = Some(Times::new(passes.times(pass), path));
            }
        }
        Self { measured, times, by_shape }
    }

    /// The chosen paths; that by shape for a pass that no layer has.
    pub(super) fn paths(&self) -> Paths {
        let of = |index: usize, by_shape| self.times[index].as_ref().map_or(by_shape, |times| times.chosen);
        let [forward, input_gradient, weight_gradient] = self.by_shape.each();
        Paths {
            forward: of(0, forward),
            input_gradient: of(1, input_gradient),
            weight_gradient: of(2, weight_gradient),
            ..self.by_shape
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_path_must_be_clearly_faster() {
        let times = |direct, im2col, by_shape| {
            Times::new(vec![(Path::Direct, direct), (Path::Im2col, im2col)], by_shape).chosen
        };
        assert_eq!(times(1.0, 0.9, Path::Direct), Path::Im2col);
        assert_eq!(times(1.0, 0.99, Path::Direct), Path::Direct);
        assert_eq!(times(1.0, 1.1, Path::Direct), Path::Direct);
        assert_eq!(times(1.0, 1.01, Path::Im2col), Path::Im2col);
        assert_eq!(times(1.0, 1.5, Path::Im2col), Path::Direct);
    }
}
