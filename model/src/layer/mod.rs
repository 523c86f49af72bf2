//! Layers: what each computes, forward and backward, side by side.
//!
//! A layer is built once, when its input shape is known: it checks everything, reserves ranges of the flat
//! parameters and of a shard's memory, and returns an error if it does not fit. After that it is immutable,
//! cannot fail and allocates nothing: all that changes is in the buffers that a pass gives it, so shards run
//! side by side without locks.

mod activation;
mod adaptive_pool2d;
mod batch_norm;
mod block;
mod conv2d;
mod conv_path;
mod conv_table;
mod dense;
mod dropout;
mod flatten;
mod folded;
mod input;
mod local_response;
mod options;
mod plan;
mod pool2d;
mod rectifier;
mod team;
mod zero_padding2d;

pub use activation::{ArcTanh, LogSigmoid, ReLU, Sigmoid, Softmax, Tanh};
pub use adaptive_pool2d::{AdaptiveAveragePool2D, AdaptiveMaxPool2D};
pub use batch_norm::BatchNormalization;
pub use block::{Addition, Block, Concatenation, Frozen, Named, Residual, Sequence, named, sync_stats};
pub use conv_path::ConvPath;
pub use conv_table::ConvTable;
pub use conv2d::Conv2D;
pub use dense::Dense;
pub use dropout::Dropout;
pub use flatten::Flatten;
pub use input::Input;

pub use isograd_kernels::Size2;
pub use local_response::LocalResponseNormalization;
pub use options::{OptionValue, Options};
pub(crate) use plan::Reservation;
pub use plan::{Fans, LayerPlan, Tensor};
pub use pool2d::{AveragePool2D, MaxPool2D};
pub use rectifier::{ELU, GELU, HardSigmoid, HardSwish, LeakyReLU, ReLU6, SiLU, Softplus};
pub use team::{Channels, Team};
pub use zero_padding2d::{Sides, ZeroPadding2D};

use crate::error::BuildError;
use crate::shape::Shape;
use isograd_kernels::conv::{Conv2d, Conv2dShape, Paths};
use isograd_kernels::{Accum, Activation, Element, Finish, Isa};
use std::fmt::Debug;
use std::ops::Range;

/// A list of layers, each fed by the one before it; see [`layers!`](crate::layers).
pub type Layers<T> = Vec<Box<dyn Layer<T>>>;

/// Whether a network is being trained or used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Training: dropout drops elements, batch normalisation uses the shard's statistics.
    Train,
    /// Use: dropout passes all elements on, batch normalisation uses the running statistics.
    Eval,
}

/// What a layer needs to know about the pass and the shard it works on.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Context<'a, T> {
    /// The instruction-set level of all kernels.
    pub isa: Isa,
    /// Training or use. A frozen layer works as in use, in training, too.
    pub mode: Mode,
    /// Whether a backward pass through the layer follows, for which it saves what that needs.
    pub has_backward: bool,
    /// Shape of the layer's input: that of one sample.
    pub input: Shape,
    /// Samples in the shard.
    pub n: usize,
    /// Samples in the whole step, over all shards: what averages are divided by.
    pub global_batch_size: usize,
    /// All parameters of the network; a layer takes its ranges.
    pub params: &'a [T],
    /// All running statistics of the network.
    pub statistics: &'a [T],
    /// The seed of all randomness.
    pub seed: u64,
    /// The epoch, from 0.
    pub epoch: u32,
    /// Position of the shard's first sample in the order of the epoch.
    pub position: u64,
    /// What the layer has [prepared](Layer::prepare) for all shards of the step.
    pub prepared: &'a [T],
    /// Whether layers do the work of the layers that were [folded](Layer::fold) into them. `params` are then
    /// folded parameters.
    pub folded: bool,
    /// In place of the layer's own function, what follows its results where it does the work of an addition
    /// [behind it](Layer::can_add_to_y).
    pub addition: Option<Finish<'a, T>>,
}

impl<'a, T: Copy> Context<'a, T> {
    /// What follows the results of a layer whose own function is `activation`.
    pub(crate) fn finish(&self, activation: Activation) -> Finish<'a, T> {
        self.addition.unwrap_or(activation.into())
    }
}

/// What a layer prepares for all shards of a step is made from.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Preparation<'a, T> {
    /// The instruction-set level of all kernels.
    pub isa: Isa,
    /// Training or use.
    pub mode: Mode,
    /// All parameters of the network, as the passes will have them in [`Context::params`].
    pub params: &'a [T],
}

/// Where the output of a layer lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// In a buffer of its own.
    Own,
    /// In the input's place, unchanged: `forward` and `backward` are not called.
    InPlace,
}

/// What the output of a layer is, for losses, which take probabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OutputKind {
    /// The layer does not say. Every loss takes it.
    Unknown,
    /// Numbers of any size: scores, logits, features.
    Scores,
    /// Numbers within bounds that are no probabilities, as of a hyperbolic tangent. A softmax or sigmoid of
    /// them cannot come near 0 and 1.
    Bounded,
    /// Each element is a probability on its own, as of a sigmoid.
    Probabilities,
    /// The channels at each pixel are probabilities that add up to 1, as of a softmax.
    Distribution,
}

impl OutputKind {
    pub(crate) fn is_probability(self) -> bool {
        matches!(self, Self::Probabilities | Self::Distribution)
    }
}

/// A shard's memory of one layer.
#[derive(Debug)]
#[non_exhaustive]
pub struct Memory<'a, T> {
    /// What `forward` keeps for `backward`: the elements that `build` reserved.
    pub saved: &'a mut [T],
    /// Scratch space, at least [`Layer::scratch_len`] elements; its contents do not survive the call.
    pub scratch: &'a mut [T],
    /// The shard's share of the layer's running statistics (their value for this step, times the shard's
    /// share of the batch), in training.
    pub statistics: &'a mut [T],
    /// In training, the layer's [shared sums](Layer::shared_sums) over all samples of the step.
    pub sums: &'a [f64],
    /// The threads that can share the layer's work. A layer need not do so.
    pub team: Team<'a, T>,
}

/// The tensors of a backward pass.
#[derive(Debug)]
#[non_exhaustive]
pub struct Backward<'a, T> {
    /// The layer's input, `[input shape, n]`; empty if the layer [does not read it](Layer::backward_reads).
    pub x: &'a [T],
    /// Its output, `[output shape, n]`; empty if the layer does not read it.
    pub y: &'a [T],
    /// The gradient of the loss by the output.
    pub dy: &'a [T],
    /// The gradient by the input; `None` if no layer in front is trained.
    pub dx: Option<&'a mut [T]>,
    /// Whether `dx` is to be overwritten or added to. Only a layer that
    /// [can add](Layer::can_add_to_dx) is asked to.
    pub accum: Accum,
    /// The gradients of the layer's parameters, to be overwritten.
    pub dw: Gradients<'a, T>,
}

/// The gradients of a layer's parameters: a part of a flat buffer.
#[derive(Debug)]
pub struct Gradients<'a, T> {
    values: &'a mut [T],
    /// Where the part begins in the buffer of all parameters.
    start: usize,
}

impl<'a, T> Gradients<'a, T> {
    pub(crate) fn new(values: &'a mut [T], start: usize) -> Self {
        Self { values, start }
    }

    /// The gradients of the parameters `range`, which [`LayerPlan`] gave to the layer.
    ///
    /// # Panics
    ///
    /// When they are parameters of another layer.
    pub fn of(&mut self, range: &std::ops::Range<usize>) -> &mut [T] {
        &mut self.values[range.start - self.start..range.end - self.start]
    }
}

/// What the backward pass of a layer reads of its forward pass. What it does not read need not be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackwardReads {
    /// The input.
    pub x: bool,
    /// The output.
    pub y: bool,
}

impl BackwardReads {
    /// Neither input nor output.
    pub const NOTHING: Self = Self { x: false, y: false };
    /// The input.
    pub const X: Self = Self { x: true, y: false };
    /// The output.
    pub const Y: Self = Self { x: false, y: true };
    /// Input and output.
    pub const BOTH: Self = Self { x: true, y: true };
}

/// A layer of a network.
pub trait Layer<T: Element>: Debug + Send + Sync {
    /// The layer's type, as in a network's summary.
    fn kind(&self) -> &'static str;

    /// Checks the layer against its input, reserves parameters and memory, and returns the output shape.
    ///
    /// # Errors
    ///
    /// When the layer does not fit its input, or was given a number outside its range.
    fn build(&mut self, input: Shape, plan: &mut LayerPlan) -> Result<Shape, BuildError>;

    /// Where the output lies.
    fn placement(&self) -> Placement {
        Placement::Own
    }

    /// What the output is, where the input is `input` and one sample of it has the shape `shape`. The trainer
    /// refuses a network whose loss takes something else than the last layer gives. A layer of your own that
    /// is the last one need not say anything: every loss takes what is [`Unknown`](OutputKind::Unknown).
    fn output_kind(&self, _input: OutputKind, _shape: Shape) -> OutputKind {
        OutputKind::Unknown
    }

    /// Elements of scratch memory that a call needs for a shard of at most `n` samples, on each thread of its
    /// [team](Memory::team); all layers share the largest.
    fn scratch_len(&self, _n: usize) -> usize {
        0
    }

    /// How many elements the layer [prepares](Self::prepare) for passes in `mode`. A layer that prepares
    /// nothing, as most do, need not say anything.
    fn prepared_len(&self, _mode: Mode) -> usize {
        0
    }

    /// Overwrites `prepared`, of [`prepared_len`](Self::prepared_len) elements, with parameters in a form
    /// that the passes are faster with, as transformed weights. It is called once, after each change of
    /// parameters and before all shards of a step or an evaluation, which find it in [`Context::prepared`].
    fn prepare(&self, _preparation: &Preparation<'_, T>, _prepared: &mut [T]) {}

    /// The convolution that the layer computes, if it is one.
    fn convolution(&self) -> Option<&Conv2d> {
        None
    }

    /// Asks the layer to compute its [convolution](Self::convolution) on the paths that `by_shape` gives for
    /// its shape from then on. Returns false, and changes nothing, if it has none, or if `by_shape` gives
    /// none or a path that does not serve the shape.
    fn take_paths(&mut self, _by_shape: &dyn Fn(&Conv2dShape) -> Option<Paths>) -> bool {
        false
    }

    /// Computes `y` `[output shape, n]` from `x` `[input shape, n]`. It is not called where the output lies
    /// [in place](Placement::InPlace).
    fn forward(&self, _cx: &Context<'_, T>, _x: &[T], _y: &mut [T], _memory: Memory<'_, T>) {
        unreachable!("{} has no forward pass", self.kind());
    }

    /// Whether the output takes so little work that a network that
    /// [recomputes](crate::Network::with_recomputation) computes it again in the backward pass instead of
    /// keeping it.
    fn is_cheap(&self) -> bool {
        false
    }

    /// Computes the output of [`forward`](Self::forward) again in the backward pass, the same bits; `memory`
    /// has what `forward` saved, and neither statistics nor sums. It is called where the layer
    /// [is cheap](Self::is_cheap) and [reads](Self::backward_reads) its input alone.
    fn forward_again(&self, cx: &Context<'_, T>, x: &[T], y: &mut [T], memory: Memory<'_, T>) {
        self.forward(cx, x, y, memory);
    }

    /// Computes the gradients of the input and of the parameters from that of the output. It is not called
    /// where the output lies in place.
    fn backward(&self, _cx: &Context<'_, T>, _tensors: Backward<'_, T>, _memory: Memory<'_, T>) {
        unreachable!("{} has no backward pass", self.kind());
    }

    /// How many sums over all samples of a step the layer needs before its forward pass in training, and as
    /// many before its backward pass. All shards of the step wait for each other at such a layer; those of
    /// other ranks, too. The sums are added up in the tree that gradients take, so they are the same bits on
    /// any number of threads and ranks.
    ///
    /// A layer that is frozen works as in use, without sums.
    fn shared_sums(&self) -> usize {
        0
    }

    /// Overwrites `sums` with the shard's part of the [shared sums](Self::shared_sums) that
    /// [`forward`](Self::forward) needs.
    fn forward_sums(&self, _cx: &Context<'_, T>, _x: &[T], _memory: Memory<'_, T>, _sums: &mut [f64]) {
        unreachable!("{} has no shared sums", self.kind());
    }

    /// Overwrites `sums` with the shard's part of the [shared sums](Self::shared_sums) that
    /// [`backward`](Self::backward) needs. There is no `dx` yet; the gradients of the parameters can be
    /// written here or in `backward`.
    fn backward_sums(
        &self,
        _cx: &Context<'_, T>,
        _tensors: Backward<'_, T>,
        _memory: Memory<'_, T>,
        _sums: &mut [f64],
    ) {
        unreachable!("{} has no shared sums", self.kind());
    }

    /// What [`backward`](Self::backward) reads of the forward pass.
    fn backward_reads(&self) -> BackwardReads {
        BackwardReads::BOTH
    }

    /// Whether [`backward`](Self::backward) can add to `dx` as well as overwrite it. Where several layers
    /// read one input, their gradients are added up; for a layer that cannot add, the network does it, which
    /// takes a pass over memory.
    fn can_add_to_dx(&self) -> bool {
        false
    }

    /// Whether [`forward`](Self::forward) can do the work of an addition behind the layer: then it gets the
    /// other term of the sum, in the shape of its output, and the function of the sum in
    /// [`Context::addition`]. It adds to what the output would be, so no bit changes. Only a layer whose
    /// [backward pass](Self::backward_reads) does not read the output can do so.
    fn can_add_to_y(&self) -> bool {
        false
    }

    /// Names the layer's function, if a neighbouring layer or the loss can compute it instead of this layer.
    fn fusible(&self) -> Option<Fusible> {
        None
    }

    /// Asks the layer to do the work of a neighbour as well. A layer that returns true must do so from then
    /// on.
    fn fuse(&mut self, _fusion: Fusion) -> bool {
        false
    }

    /// Whether the layer is an affine function of each channel in use, `y = activation(factor * x + addend)`,
    /// with coefficients that depend on parameters and running statistics alone: then its activation. The
    /// layer in front of it can do this by other weights; see [`fold`](Self::fold).
    fn affine_in_use(&self) -> Option<Activation> {
        None
    }

    /// The coefficients of the [affine function](Self::affine_in_use) of each channel.
    fn coefficients(&self, _params: &[T], _statistics: &[T]) -> Coefficients {
        unreachable!("{} is no affine function", self.kind());
    }

    /// Asks the layer to do, in use, the work of a layer behind it that is an
    /// [affine function](Self::affine_in_use) of each channel, followed by `activation`. In a pass with
    /// [folded](Context::folded) parameters, the layer finds its weights multiplied by the factors, adds the
    /// parameters `bias`, one for each output channel, in the place of its bias, and applies the activation.
    ///
    /// Returns its parameters that are to be multiplied; `None` if it cannot do it.
    fn fold(&mut self, _activation: Activation, _bias: Range<usize>) -> Option<Foldable> {
        None
    }

    /// The layers that this one is made of, if it is a [`Block`]. Only `Network::build` calls it, once.
    fn take_block(&mut self) -> Option<Block<T>> {
        None
    }

    /// Multiplications with an addition that the forward pass of one sample does; those of element-wise work
    /// are not counted.
    fn multiply_adds(&self) -> u64 {
        0
    }

    /// Padding and stride for the summary, where the layer has them.
    fn geometry(&self) -> Option<Geometry> {
        None
    }

    /// Lets the layer, and those in it if it is a block, take statistics over the whole batch where it takes
    /// them over a shard. Returns how many layers do so. It is called before the layer is built, by
    /// [`sync_stats`].
    fn sync_stats(&mut self) -> usize {
        0
    }

    /// The options that make a layer like this one, as it was before it was built; `None` if the layer cannot
    /// be written to a network file. Files know the layers of this crate alone, so a layer of your own need
    /// not say anything. The layers of a block are not among its options.
    fn options(&self) -> Option<Options> {
        None
    }
}

/// The part of a tensor `[C, ...]` of `count` channels that has `channels`.
fn part<'a, T>(values: &'a [T], count: usize, channels: &Range<usize>) -> &'a [T] {
    let plane = values.len() / count;
    &values[channels.start * plane..channels.end * plane]
}

/// A function that a neighbouring layer or the loss can compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fusible {
    /// An element-wise function, which the layers in front of it and behind it can apply.
    Activation(Activation),
    /// A softmax over the channels, which the categorical cross-entropy computes.
    Softmax,
    /// A logistic function, which the binary cross-entropy computes.
    Sigmoid,
}

/// Work of a neighbouring activation layer that a layer can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fusion {
    /// The function *behind* the layer, forward and backward: the layer applies it to its output, and its
    /// backward pass gets the gradient by the function's output.
    Activation(Activation),
    /// The forward pass of the function behind the layer: the layer applies it to its output.
    ActivationForward(Activation),
    /// The backward pass of the ReLU whose output is the layer's input: `dx` becomes 0 where `x` is not
    /// positive, after the layer has added to it if it was asked to add.
    ReluGradient,
    /// The ReLU *in front of* the layer, forward and backward. It pays where the layer commutes with a ReLU
    /// and has a smaller output than input, as max pooling.
    ReluInFront,
}

/// The coefficients of an affine function of each channel, `factors[c] * x + addends[c]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Coefficients {
    /// One for each channel.
    pub factors: Vec<f64>,
    /// One for each channel.
    pub addends: Vec<f64>,
}

/// Parameters of a layer that does the work of the layer behind it in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foldable {
    /// The weights, with as many for each output channel, output channels outermost.
    pub weight: Range<usize>,
    /// The bias of each output channel.
    pub bias: Option<Range<usize>>,
}

/// Padding and stride of a layer, as its [summary](crate::Network::summary) shows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Zeros on each side of the image.
    pub padding: Size2,
    /// Steps of the window.
    pub stride: Size2,
}

/// A list of layers, for [`Network::build`](crate::Network::build).
///
/// ```
/// use isograd_model::{Network, layer::*, layers};
/// let network = Network::<f32>::build(layers![Input::new(1, 28, 28), Flatten, Dense::new(10), Softmax])?;
/// assert_eq!(network.parameter_count(), 28 * 28 * 10 + 10);
/// # Ok::<(), isograd_model::Error>(())
/// ```
#[macro_export]
macro_rules! layers {
    ($($layer:expr),* $(,)?) => {
        vec![$(Box::new($layer) as Box<dyn $crate::layer::Layer<_>>),*]
    };
}
