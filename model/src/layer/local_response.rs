//! Local response normalisation.

use super::{Backward, BackwardReads, Channels, Context, Layer, LayerPlan, Memory, Options, OutputKind};
use crate::error::BuildError;
use crate::shape::Shape;
use isograd_kernels::local_response::LocalResponse;
use isograd_kernels::{Element, Pass};

/// Divides each element by a power of the energy around it, over neighbouring channels: `y = x / d^beta` with
/// `d = k + alpha / size * sum of x^2` over the `size` channels around it, as AlexNet and GoogLeNet do.
///
/// At the first and the last channels, the sum has fewer terms. For an even size, there is one channel more
/// in front than behind. `alpha` is divided by `size`, as in PyTorch and Caffe; in the paper it is not.
///
/// # Source
///
/// Krizhevsky, Sutskever, Hinton: "ImageNet classification with deep convolutional neural networks", NIPS
/// 2012, section 3.3.
#[derive(Debug, Clone, Copy)]
pub struct LocalResponseNormalization {
    size: usize,
    alpha: f64,
    beta: f64,
    k: f64,
    built: Option<LocalResponse>,
}

impl Default for LocalResponseNormalization {
    fn default() -> Self {
        Self::new()
    }
}

impl LocalResponseNormalization {
    /// Size 5, alpha 1e-4, beta 0.75, k 1.
    pub fn new() -> Self {
        Self { size: 5, alpha: 1e-4, beta: 0.75, k: 1.0, built: None }
    }

    /// Takes the squares of another number of channels, at least 1.
    #[must_use]
    pub fn size(self, size: usize) -> Self {
        Self { size, ..self }
    }

    /// Multiplies the mean square by another number, at least 0.
    #[must_use]
    pub fn alpha(self, alpha: f64) -> Self {
        Self { alpha, ..self }
    }

    /// Takes another power, at least 0. The powers 1/2, 3/4 and 1 are the fastest.
    #[must_use]
    pub fn beta(self, beta: f64) -> Self {
        Self { beta, ..self }
    }

    /// Adds another number, above 0.
    #[must_use]
    pub fn k(self, k: f64) -> Self {
        Self { k, ..self }
    }

    fn built(&self) -> &LocalResponse {
        self.built.as_ref().expect("a layer is built before it is used")
    }
}

impl<T: Element> Layer<T> for LocalResponseNormalization {
    fn kind(&self) -> &'static str {
        "LocalResponseNormalization"
    }

    fn build(&mut self, input: Shape, _: &mut LayerPlan) -> Result<Shape, BuildError> {
        let Self { size, alpha, beta, k, .. } = *self;
        let (at_least_0, positive) = ("a number of at least 0", "a positive number");
        for (name, value, valid, expected) in [
            ("the size", size as f64, size > 0, "at least 1"),
            ("alpha", alpha, alpha >= 0.0 && alpha.is_finite(), at_least_0),
            ("beta", beta, beta >= 0.0 && beta.is_finite(), at_least_0),
            ("k", k, k > 0.0 && k.is_finite(), positive),
        ] {
            if !valid {
                return Err(BuildError::OutOfRange { name, expected, value });
            }
        }
        self.built = Some(LocalResponse { c: input.c, pixels: input.h * input.w, size, alpha, beta, k });
        Ok(input)
    }

    fn output_kind(&self, _: OutputKind, _: Shape) -> OutputKind {
        OutputKind::Scores
    }

    fn options(&self) -> Option<Options> {
        let default = Self::new();
        let options = Options::new()
            .with_unless("size", self.size, default.size)
            .with_unless("alpha", self.alpha, default.alpha)
            .with_unless("beta", self.beta, default.beta)
            .with_unless("k", self.k, default.k);
        Some(options)
    }

    fn scratch_len(&self, n: usize) -> usize {
        self.built().scratch_len(n)
    }

    fn backward_reads(&self) -> BackwardReads {
        BackwardReads::X
    }

    fn forward(&self, cx: &Context<'_, T>, x: &[T], y: &mut [T], memory: Memory<'_, T>) {
        let (built, mut team) = (self.built(), memory.team);
        team.channels(Channels::new(built.c, x.len()), &mut [], [y], |channels, [y], _| {
            built.forward_channels(Pass { isa: cx.isa, n: cx.n, scratch: &mut [] }, channels, x, y);
        });
    }

    fn backward(&self, cx: &Context<'_, T>, tensors: Backward<'_, T>, memory: Memory<'_, T>) {
        let Backward { x, dy, dx: Some(dx), .. } = tensors else { return };
        let (built, Memory { scratch, mut team, .. }) = (self.built(), memory);
        team.channels(Channels::new(built.c, x.len()), scratch, [dx], |channels, [dx], scratch| {
            let pass = Pass { isa: cx.isa, n: cx.n, scratch };
            built.backward_channels(pass, channels, x, dy, dx);
        });
    }
}
