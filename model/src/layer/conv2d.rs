//! The convolution layer.

use super::folded::Folded;
use super::{
    Backward, BackwardReads, Channels, Context, Fans, Foldable, Fusion, Geometry, Layer, LayerPlan, Memory,
    Mode, Options, OutputKind, Preparation, Size2, Team, part,
};
use crate::error::BuildError;
use crate::initializer::Initializer;
use crate::shape::Shape;
use isograd_kernels::conv::{self, Conv2dShape, Paths, Weights};
use isograd_kernels::{Accum, Activation, Element, Finish, Pass, reduce};
use rayon::prelude::*;
use std::ops::Range;

/// 2-D convolution: x `[C, H, W, n]`, weights `[F, C / groups, KH, KW]`, bias `[F]`, y `[F, OH, OW, n]`.
#[derive(Debug, Clone)]
pub struct Conv2D {
    filters: usize,
    kernel: Size2,
    stride: Size2,
    padding: Size2,
    dilation: Size2,
    groups: usize,
    use_bias: bool,
    weights_initializer: Initializer,
    biases_initializer: Initializer,
    built: Option<Built>,
    activation: Activation,
    relu_gradient: bool,
    folded: Option<Folded>,
}

#[derive(Debug, Clone)]
struct Built {
    conv: conv::Conv2d,
    weight: Range<usize>,
    bias: Option<Range<usize>>,
}

impl Conv2D {
    /// `filters` filters of `kernel` (`3`, or `[height, width]`) with a bias, stride 1, no padding, dilation
    /// 1; weights glorot_uniform, biases zeros.
    pub fn new(filters: usize, kernel: impl Into<Size2>) -> Self {
        Self {
            filters,
            kernel: kernel.into(),
            stride: Size2::from(1),
            padding: Size2::from(0),
            dilation: Size2::from(1),
            groups: 1,
            use_bias: true,
            weights_initializer: Initializer::OF_WEIGHTS,
            biases_initializer: Initializer::OF_BIASES,
            built: None,
            activation: Activation::Identity,
            relu_gradient: false,
            folded: None,
        }
    }

    /// Steps by `stride`.
    #[must_use]
    pub fn stride(self, stride: impl Into<Size2>) -> Self {
        Self { stride: stride.into(), ..self }
    }

    /// Adds `padding` zeros on each side.
    #[must_use]
    pub fn padding(self, padding: impl Into<Size2>) -> Self {
        Self { padding: padding.into(), ..self }
    }

    /// Takes kernel elements that are `dilation` apart.
    #[must_use]
    pub fn dilation(self, dilation: impl Into<Size2>) -> Self {
        Self { dilation: dilation.into(), ..self }
    }

    /// Cuts channels and filters into `groups` groups; a filter reads the channels of its own group. With as
    /// many groups as channels, the convolution is depthwise.
    #[must_use]
    pub fn groups(self, groups: usize) -> Self {
        Self { groups, ..self }
    }

    /// Leaves the bias out.
    #[must_use]
    pub fn without_bias(self) -> Self {
        Self { use_bias: false, ..self }
    }

    /// Sets other initial values.
    #[must_use]
    pub fn initializers(self, weights: Initializer, biases: Initializer) -> Self {
        Self { weights_initializer: weights, biases_initializer: biases, ..self }
    }

    /// The weights and the bias of a forward pass, and what follows its results.
    fn parameters<'a, T: Element>(
        &self,
        cx: &Context<'a, T>,
    ) -> (Weights<'a, T>, Option<&'a [T]>, Finish<'a, T>) {
        let Built { conv, weight, bias } = self.built();
        let (bias, activation) = match self.folded.as_ref().filter(|_| cx.folded) {
            Some(Folded { bias, activation }) => (Some(bias), *activation),
            None => (bias.as_ref(), self.activation),
        };
        let prepared = &cx.prepared[..conv.forward_prepared_len()];
        let weights = Weights { plain: &cx.params[weight.clone()], prepared };
        (weights, bias.map(|range| &cx.params[range.clone()]), cx.finish(activation))
    }

    /// Multiply-adds of a pass of one sample.
    fn products(&self) -> u64 {
        let conv = &self.built().conv;
        (conv.weight_len() as u64).saturating_mul((conv.oh() * conv.ow()) as u64)
    }

    /// How `count` filters, or input channels, are cut into parts in a pass of `n` samples.
    fn parts(&self, count: usize, multiple: usize, n: usize) -> Channels {
        let conv = &self.built().conv;
        let elements = conv.input_len(n).max(conv.output_len(n));
        Channels::new(count, elements).in_multiples_of(multiple).with_products(self.products(), n)
    }

    fn parts_of_filters(&self, n: usize) -> Channels {
        self.parts(self.filters, self.built().conv.filters_of_part(), n)
    }

    fn built(&self) -> &Built {
        self.built.as_ref().expect("a layer is built before it is used")
    }
}

impl<T: Element> Layer<T> for Conv2D {
    fn kind(&self) -> &'static str {
        "Conv2D"
    }

    fn build(&mut self, input: Shape, plan: &mut LayerPlan) -> Result<Shape, BuildError> {
        let conv = conv::Conv2d::new(Conv2dShape {
            c: input.c,
            h: input.h,
            w: input.w,
            f: self.filters,
            kh: self.kernel.h,
            kw: self.kernel.w,
            stride: self.stride,
            padding: self.padding,
            dilation: self.dilation,
            groups: self.groups,
        })?;
        let Size2 { h: kh, w: kw } = self.kernel;
        let (channels, filters) = (input.c / self.groups, self.filters / self.groups);
        let fans = Fans { inputs: channels * kh * kw, outputs: filters * kh * kw };
        let dims = [self.filters, channels, kh, kw];
        let weight = plan.parameter("weight", &dims, self.weights_initializer, fans)?;
        let bias = match self.use_bias {
            true => Some(plan.parameter("bias", &[self.filters], self.biases_initializer, fans)?),
            false => None,
        };
        let output = Shape::image(self.filters, conv.oh(), conv.ow());
        self.built = Some(Built { conv, weight, bias });
        Ok(output)
    }

    fn output_kind(&self, _: OutputKind, _: Shape) -> OutputKind {
        OutputKind::Scores
    }

    fn scratch_len(&self, n: usize) -> usize {
        self.built().conv.scratch_len(n)
    }

    /// The weights for the forward pass and, in training, those for the input gradient behind them.
    fn prepared_len(&self, mode: Mode) -> usize {
        let conv = &self.built().conv;
        match mode {
            Mode::Train => conv.forward_prepared_len() + conv.input_gradient_prepared_len(),
            Mode::Eval => conv.forward_prepared_len(),
        }
    }

    fn prepare(&self, preparation: &Preparation<'_, T>, prepared: &mut [T]) {
        let Built { conv, weight, .. } = self.built();
        let Preparation { isa, params, .. } = *preparation;
        let w = &params[weight.clone()];
        let (forward, input_gradient) = prepared.split_at_mut(conv.forward_prepared_len());
        in_parts(conv.shape().f, forward, |part, u| conv.prepare_forward(isa, part, w, u));
        in_parts(conv.shape().c, input_gradient, |part, u| conv.prepare_input_gradient(isa, part, w, u));
    }

    fn convolution(&self) -> Option<&conv::Conv2d> {
        Some(&self.built().conv)
    }

    fn take_paths(&mut self, by_shape: &dyn Fn(&Conv2dShape) -> Option<Paths>) -> bool {
        let built = self.built.as_mut().expect("a layer is built before its paths are chosen");
        let shape = *built.conv.shape();
        match by_shape(&shape).and_then(|paths| conv::Conv2d::with_paths(shape, paths).ok()) {
            Some(conv) => built.conv = conv,
            None => return false,
        }
        true
    }

    fn forward(&self, cx: &Context<'_, T>, x: &[T], y: &mut [T], memory: Memory<'_, T>) {
        let (Built { conv, .. }, Memory { scratch, mut team, .. }) = (self.built(), memory);
        let (w, bias, finish) = self.parameters(cx);
        let plane = y.len() / self.filters;
        team.channels(self.parts_of_filters(cx.n), scratch, [y], |filters, [y], scratch| {
            let pass = Pass { isa: cx.isa, n: cx.n, scratch };
            let finish = finish.part(filters.start * plane..filters.end * plane);
            conv.forward_filters(pass, filters, x, w, bias, finish, y);
        });
    }

    fn backward(&self, cx: &Context<'_, T>, tensors: Backward<'_, T>, memory: Memory<'_, T>) {
        let (Built { conv, weight, bias }, Memory { scratch, mut team, .. }) = (self.built(), memory);
        let Backward { x, dy, dx, accum, mut dw, .. } = tensors;
        if let Some(bias) = bias {
            let channels = Channels::new(self.filters, dy.len());
            team.channels(channels, &mut [], [dw.of(bias)], |filters, [db], _| {
                let (rows, dy) = (filters.len(), part(dy, self.filters, &filters));
                reduce::sum_rows(cx.isa, rows, dy.len() / rows, dy, Accum::Replace, db);
            });
        }
        let dw = dw.of(weight);
        let mut weight_gradient = |mut team: Team<'_, T>, scratch: &mut [T]| {
            team.channels(self.parts_of_filters(cx.n), scratch, [dw], |filters, [dw], scratch| {
                let pass = Pass { isa: cx.isa, n: cx.n, scratch };
                conv.weight_gradient_filters(pass, filters, x, dy, Accum::Replace, dw);
            });
        };
        let Some(dx) = dx else { return weight_gradient(team, scratch) };
        let prepared = &cx.prepared[conv.forward_prepared_len()..][..conv.input_gradient_prepared_len()];
        let w = Weights { plain: &cx.params[weight.clone()], prepared };
        let c = conv.shape().c;
        let input_gradient = |mut team: Team<'_, T>, scratch: &mut [T]| {
            let channels = self.parts(c, conv.channels_of_part(), cx.n);
            team.channels(channels, scratch, [dx], |channels, [dx], scratch| {
                let relu_output = self.relu_gradient.then(|| part(x, c, &channels));
                let pass = Pass { isa: cx.isa, n: cx.n, scratch };
                conv.input_gradient_channels(pass, channels, dy, w, relu_output, accum, dx);
            });
        };
        // Parts of channels transform or copy the whole image or its gradient, each for itself; the two
        // gradients have nothing in common.
        let work = self.parts_of_filters(cx.n).work;
        team.both(work, scratch, weight_gradient, input_gradient);
    }

    fn multiply_adds(&self) -> u64 {
        self.products()
    }

    fn backward_reads(&self) -> BackwardReads {
        BackwardReads::X
    }

    fn can_add_to_dx(&self) -> bool {
        true
    }

    fn can_add_to_y(&self) -> bool {
        self.activation == Activation::Identity
    }

    fn fuse(&mut self, fusion: Fusion) -> bool {
        match fusion {
            Fusion::ActivationForward(activation) => self.activation = activation,
            Fusion::ReluGradient => self.relu_gradient = true,
            _ => return false,
        }
        true
    }

    fn fold(&mut self, activation: Activation, bias: Range<usize>) -> Option<Foldable> {
        self.folded = Some(Folded { bias, activation });
        let Built { weight, bias, .. } = self.built();
        Some(Foldable { weight: weight.clone(), bias: bias.clone() })
    }

    fn geometry(&self) -> Option<Geometry> {
        Some(Geometry { padding: self.padding, stride: self.stride })
    }

    fn options(&self) -> Option<Options> {
        let options = Options::new().with("filters", self.filters).with("kernel", self.kernel);
        let options = options
            .with_unless("stride", self.stride, Size2::from(1))
            .with_unless("padding", self.padding, Size2::from(0))
            .with_unless("dilation", self.dilation, Size2::from(1))
            .with_unless("groups", self.groups, 1)
            .with_unless("bias", self.use_bias, true)
            .with_unless("weight_initializer", self.weights_initializer, Initializer::OF_WEIGHTS)
            .with_unless("bias_initializer", self.biases_initializer, Initializer::OF_BIASES);
        Some(options)
    }
}

/// Calls `prepare` for parts of `channels` channels with the parts of `prepared` that are theirs, on all
/// threads.
fn in_parts<T: Element>(
    channels: usize,
    prepared: &mut [T],
    prepare: impl Fn(Range<usize>, &mut [T]) + Sync,
) {
    const PART: usize = conv::Conv2d::PREPARED_CHANNELS;
    let part_len = prepared.len() / channels * PART;
    if part_len > 0 {
        prepared.par_chunks_mut(part_len).enumerate().for_each(|(part, prepared)| {
            prepare(part * PART..((part + 1) * PART).min(channels), prepared);
        });
    }
}
