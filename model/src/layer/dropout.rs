//! Dropout.

use super::{Backward, BackwardReads, Context, Layer, LayerPlan, Memory, Mode, Options, OutputKind};
use crate::error::BuildError;
use crate::shape::Shape;
use isograd_kernels::dropout::dropout_mask;
use isograd_kernels::philox::{Purpose, Rng};
use isograd_kernels::{Element, elementwise};

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
        plan.save(input.elements(), 0);
        Ok(input)
    }

    fn output_kind(&self, input: OutputKind, _: Shape) -> OutputKind {
        // What is kept grows, so that probabilities no longer are some.
        if self.rate == 0.0 { input } else { OutputKind::Scores }
    }

    fn forward(&self, cx: &Context<'_, T>, x: &[T], y: &mut [T], memory: Memory<'_, T>) {
        let Memory { saved, team, .. } = memory;
        match cx.mode {
            Mode::Eval => team.elements(y, [x], |y, [x]| y.copy_from_slice(x)),
            Mode::Train => {
                let rng = Rng::new(cx.seed, Purpose::Dropout).epoch(cx.epoch).layer(self.layer);
                dropout_mask(cx.isa, &rng, cx.position, self.features, cx.n, self.rate, saved);
                team.elements(y, [x, saved], |y, [x, mask]| elementwise::mul(cx.isa, x, mask, y));
            }
        }
    }

    fn backward(&self, cx: &Context<'_, T>, tensors: Backward<'_, T>, memory: Memory<'_, T>) {
        let (Backward { dy, dx: Some(dx), .. }, mask) = (tensors, memory.saved) else { return };
        memory.team.elements(dx, [dy, mask], |dx, [dy, mask]| elementwise::mul(cx.isa, dy, mask, dx));
    }

    fn backward_reads(&self) -> BackwardReads {
        BackwardReads::NOTHING
    }

    fn options(&self) -> Option<Options> {
        Some(Options::new().with("rate", self.rate))
    }
}
