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
    /// The path that the shape gives to passes over as many samples.
    pub(super) by_shape: Path,
    pub(super) chosen: Path,
}

impl Times {
    fn new(seconds: Vec<(Path, f64)>, by_shape: Path) -> Self {
        let mut times = Self { seconds, by_shape, chosen: by_shape };
        let fastest = times.seconds.iter().min_by(|one, other| one.1.total_cmp(&other.1));
        let (path, seconds) = *fastest.expect("the path by shape has a time");
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
        for (index, (pass, path)) in Pass::ALL.into_iter().zip(by_shape.over(bench.n)).enumerate() {
            if measured.passes[index] > 0 {
                // Over few samples, some passes have only one path, whatever is chosen.
                let is_taken = |path: Path| chosen(by_shape, index, path).over(bench.n)[index] == path;
                times[index] = Some(Times::new(passes.times(pass, is_taken), path));
            }
        }
        Self { measured, times, by_shape }
    }

    /// The chosen paths; that by shape where no other one is, and for a pass that no layer has.
    pub(super) fn paths(&self) -> Paths {
        let times = self.times.iter().enumerate().filter_map(|(index, times)| Some((index, times.as_ref()?)));
        let others = times.filter(|(_, times)| times.chosen != times.by_shape);
        others.fold(self.by_shape, |paths, (index, times)| chosen(paths, index, times.chosen))
    }
}

/// `paths` with `path` for the pass at `index`.
fn chosen(paths: Paths, index: usize, path: Path) -> Paths {
    match Pass::ALL[index] {
        Pass::Forward => Paths { forward: path, ..paths },
        Pass::InputGradient => Paths { input_gradient: path, ..paths },
        Pass::WeightGradient => Paths { weight_gradient: path, ..paths },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use isograd_kernels::Isa;
    use isograd_kernels::conv::Conv2dShape;

    #[test]
    fn only_paths_that_a_shard_takes_are_measured() {
        let [stride, padding, dilation] = [1, 1, 1].map(Into::into);
        let shape =
            Conv2dShape { c: 16, h: 4, w: 4, f: 16, kh: 3, kw: 3, stride, padding, dilation, groups: 1 };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread");
        let paths = |n| {
            let bench = Bench { isa: Isa::best(), n, threads: 1, shards: 1 };
            let measured = Measured { shape, layers: 1, passes: [1; 3] };
            let tuned = pool.install(|| Tuned::measure::<f32>(&bench, measured));
            let found = tuned.times.each_ref().map(|times| {
                let times = times.as_ref().expect("all passes have times");
                let paths: Vec<Path> = times.seconds.iter().map(|(path, _)| *path).collect();
                assert!(paths.contains(&times.by_shape), "{times:?}");
                paths
            });
            let [by_shape, chosen] = [Paths::by_shape(&shape).expect("a shape"), tuned.paths()];
            for (index, times) in tuned.times.iter().flatten().enumerate() {
                assert_eq!(chosen.over(n)[index], times.chosen);
                assert!(times.chosen != times.by_shape || chosen.each()[index] == by_shape.each()[index]);
            }
            found
        };
        assert_eq!(paths(1), [const { [Path::Direct, Path::Im2col] }; 3], "of so few channels and samples");
        assert!(paths(16).iter().all(|paths| paths == &Path::ALL));
    }

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
