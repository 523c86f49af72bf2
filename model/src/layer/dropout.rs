//! Dropout.

use super::{
    Backward, BackwardReads, Channels, Context, Layer, LayerPlan, Memory, Mode, Options, OutputKind, part,
};
use crate::error::BuildError;
use crate::shape::Shape;
use isograd_kernels::Element;
use isograd_kernels::dropout::{self, FEATURES_OF_PART};
use isograd_kernels::philox::{Purpose, Rng};

/// Inverted dropout. In training, each element becomes 0 with probability `rate`, and is multiplied by `1 /
/// (1 - rate)` otherwise; in use, all elements stay as they are.
///
/// Whether an element is dropped depends on the seed, the epoch, the layer, the feature and the sample's
/// position in the epoch.
///
/// # Source
///
/// Srivastava et al.: "Dropout: a simple way to prevent neural networks from overfitting", JMLR 2014.
#[derive(Debug, Clone, Copy)]
pub struct Dropout {
    rate: f64,
    layer: u32,
    features: usize,
}

impl Dropout {
    /// Drops with probability `rate`, in [0, 1].
    pub fn new(rate: f64) -> Self {
        Self { rate, layer: 0, features: 0 }
    }

    /// The dropout of a pass.
    fn of(&self, cx: &Context<'_, impl Element>) -> dropout::Dropout {
        let rng = Rng::new(cx.seed, Purpose::Dropout).epoch(cx.epoch).layer(self.layer);
        dropout::Dropout { rng, first_position: cx.position, rate: self.rate }
    }

    /// The elements of `saved` that tell which elements of `n` samples are kept.
    fn kept<'a, T>(&self, n: usize, saved: &'a mut [T]) -> &'a mut [T] {
        &mut saved[..self.features * dropout::Dropout::kept_len(n)]
    }
}

impl<T: Element> Layer<T> for Dropout {
    fn kind(&self) -> &'static str {
        "Dropout"
    }

    fn build(&mut self, input: Shape, plan: &mut LayerPlan) -> Result<Shape, BuildError> {
        if !(0.0..=1.0).contains(&self.rate) {
            let (name, value) = ("the rate", self.rate);
            return Err(BuildError::OutOfRange { name, expected: "between 0 and 1", value });
        }
        (self.layer, self.features) = (plan.index() as u32, input.elements());
        // A feature has a number for each so many samples, and one for the rest.
        plan.save(self.features.div_ceil(dropout::SAMPLES_OF_NUMBER), self.features);
        Ok(input)
    }

    fn output_kind(&self, input: OutputKind, _: Shape) -> OutputKind {
        // What is kept grows, so that probabilities no longer are some.
        if self.rate == 0.0 { input } else { OutputKind::Scores }
    }

    fn forward(&self, cx: &Context<'_, T>, x: &[T], y: &mut [T], memory: Memory<'_, T>) {
        let Memory { saved, mut team, .. } = memory;
        if cx.mode == Mode::Eval {
            return team.elements(y, [x], |y, [x]| y.copy_from_slice(x));
        }
        let (dropout, kept) = (self.of(cx), self.kept(cx.n, saved));
        let features = Channels::new(self.features, x.len()).in_multiples_of(FEATURES_OF_PART);
        team.channels(features, &mut [], [y, kept], |features, [y, kept], _| {
            let x = part(x, self.features, &features);
            dropout.forward(cx.isa, features, cx.n, x, y, kept);
        });
    }

    fn backward(&self, cx: &Context<'_, T>, tensors: Backward<'_, T>, memory: Memory<'_, T>) {
        let Backward { dy, dx: Some(dx), .. } = tensors else { return };
        let Memory { saved, mut team, .. } = memory;
        if cx.mode == Mode::Eval {
            return team.elements(dx, [dy], |dx, [dy]| dx.copy_from_slice(dy));
        }
        let (dropout, kept) = (self.of(cx), &*self.kept(cx.n, saved));
        team.channels(Channels::new(self.features, dx.len()), &mut [], [dx], |features, [dx], _| {
            let [dy, kept] = [dy, kept].map(|t| part(t, self.features, &features));
            dropout.backward(cx.isa, features.len(), cx.n, kept, dy, dx);
        });
    }

    fn backward_reads(&self) -> BackwardReads {
        BackwardReads::NOTHING
    }

    fn options(&self) -> Option<Options> {
        Some(Options::new().with("rate", self.rate))
    }
}
