//! 2-D convolution of activations `[C, H, W, N]` with weights `[F, C/G, KH, KW]`. As everywhere in the field,
//! it is a cross-correlation: the kernel is not mirrored.
//!
//! ```text
//! y[f, i, j, n] = b[f] + sum over c, kh, kw of w[f, c, kh, kw] * x[c, i*s - p + kh*d, j*s - p + kw*d, n]
//! ```
//!
//! where `x` is zero outside the image. The samples of a shard are innermost, so the product of a weight with
//! `N` samples is a vector operation, whatever the image size and the number of channels.
//!
//! With `G` groups, the channels and the filters are cut into `G` equal parts. A filter sees only the
//! channels of its part, so its weights are `[C/G, KH, KW]`.
//!
//! # Paths
//!
//! [`Conv2d::new`] chooses the path of each pass by the shape alone, by this table. The first line that fits
//! counts.
//!
//! | shape | forward, input gradient | weight gradient |
//! | --- | --- | --- |
//! | kernels of one element, as below | [`Path::Im2col`] | [`Path::Im2col`] |
//! | 3x3, as below, outputs with less than 3 rows or columns | [`Path::WinogradF2`] | as small outputs |
//! | other 3x3, as below, up to 65,536 pairs of channels | [`Path::WinogradF4`] | [`Path::WinogradF4`] |
//! | the same, more pairs of channels | [`Path::WinogradF4`] | [`Path::WinogradF2`] |
//! | strided and large, as below | [`Path::Im2col`] | the same below 64 pixels, else [`Path::Direct`] |
//! | small outputs | [`Path::Direct`] | [`Path::Im2col`], unless depthwise |
//! | every other shape | [`Path::Direct`] | [`Path::Direct`] |
//!
//! [`Conv2d::with_path`] takes one path for all passes, [`Conv2d::with_paths`] one for each pass.
//!
//! Winograd's algorithm is for kernels of 3x3 with stride 1, dilation 1, one group and padding of at most 2.
//! It pays from 12 channels and 12 filters on. From 32 of both on, it pays for a single sample, too; with
//! fewer, a pass over less than 8 samples is direct, whatever the path. Its forward pass and its input
//! gradient read [prepared](Conv2d::prepare_forward) weights.
//!
//! Strided convolutions are large with kernels of at least 9 elements, 128 channels and 128 filters, in one
//! group. Their weight gradient is the same for outputs of fewer than 64 pixels.
//!
//! A forward pass over one or two samples takes [`Path::Im2col`], whatever the table says, where the kernel
//! has at least 9 elements, there are at least 32 channels and 32 filters, and one group; in place of
//! Winograd's algorithm only where the samples have fewer than 8 tiles.
//!
//! The direct kernels need no im2col buffer and no padded image, at any stride, padding and dilation. They
//! are fastest when `N` is a multiple of the vector length. They read images in place, with two exceptions:
//!
//! - Where many channels lie a power of two apart, the forward pass and the input gradient keep a copy of a
//!   few rows, because such channels compete for the same places of the cache.
//! - Where columns have a stride, the forward pass copies a few rows and the weight gradient copies a few
//!   channels, so that neighbouring outputs read contiguous memory. For the weight gradient the copy pays off
//!   from about 16 filters on.
//!
//! A direct weight gradient is a set of dot products along image rows. On tiny images these are so short that
//! the sums over lanes take longer than the products; so outputs of few pixels take the other path.
//!
//! Outputs of fewer than 9 pixels are small. Where the kernel is one element, without padding, and a group
//! has at least 8 channels and 8 filters, a pass is a plain matrix product. At stride 1 nothing is copied for
//! it; at other strides, the pixels that are read are copied block by block.
//!
//! Channels are outermost, so the tensors of a group are contiguous, and a pass is a loop over its groups. If
//! each group has one channel (a depthwise convolution), the direct path has kernels of its own for all
//! passes and for outputs of any size.
//!
//! # Factors in bfloat16
//!
//! With [`Precision::Bfloat16`], the factors of a product are rounded to eight bits, to nearest with ties to
//! even, and CPUs with AVX512-BF16 multiply twice as many at a time; all else stays f32. It is for f32 alone.
//! [`Paths::by_shape_bf16`] chooses by this table, where "channels" are the smaller of the numbers of
//! channels and filters, and "terms" those of a sum. What is not in it has the path and the precision of the
//! table above.
//!
//! | shape | forward, input gradient | weight gradient |
//! | --- | --- | --- |
//! | kernels of one element | [`Path::Im2col`] | the same from 128 channels of a group on |
//! | 3x3 for Winograd's algorithm | [`Path::WinogradF2`] from 128 channels on | as below |
//! | others of one group | [`Path::Im2col`] from 96 terms and 48 filters on | the same, see below |
//!
//! In the second line, weight gradients are in bfloat16 from 256 channels on: by [`Path::WinogradF2`] up to
//! 65,536 pairs of channels, by [`Path::Im2col`] above and for small outputs. In the third, they are so from
//! 256 terms and 32 channels on.
//!
//! Levels have the same bits with and without the instructions; without them, products take about five times
//! as long as in f32.
//!
//! # Numerics
//!
//! The error of a sum of `k` products is at most about `k * EPSILON / 2 * sum |a||b|`, on the first two
//! paths. The long sums of the weight gradient are more accurate. On the direct path, for kernels of more
//! than one element, they are cut into blocks of those image rows that the cache holds together, and `k` is
//! the number of vectors in a block plus the number of blocks.
//!
//! At one level, the result is a pure function of the inputs. NaN and infinities reach every output whose sum
//! contains them. The direct path does not multiply with the zeros around the image. The im2col path does,
//! and there NaN times zero is NaN. On the Winograd paths, a NaN or an infinity reaches all outputs of the
//! tiles whose patches contain it, as NaN; a NaN among the weights, all outputs of its filter.
//!
//! The Winograd paths have a bound of their own, relative to the largest values of a patch: the module
//! `winograd` derives it. F(2, 3) errs about as much as the direct sum, F(4, 3) three times as much.
//!
//! In bfloat16, a factor has a relative error of at most `2^-8`, so a result errs by about `2^-7 * sum
//! |a||b|` at most, on the Winograd paths by the same of the sum of their bound. Measured with images after a
//! ReLU, the root of the mean square of the error is 0.23 % of that of the outputs on the im2col path, 0.35 %
//! in F(2, 3) and 1.1 % in F(4, 3), which no table chooses.
//!
//! Any number of samples is allowed, also none.

mod axis;
mod choice;
mod depthwise;
mod direct;
mod direct_plan;
mod dot;
mod group;
mod im2col;
mod part;
mod prepared;
mod shape;
mod strided_rows;
mod weight_gradient;
mod winograd;

pub use choice::{Paths, Precision};
pub use prepared::Weights;
pub use shape::{Conv2dShape, ConvError};

pub(crate) use depthwise::{DepthwisePass, DepthwiseWeightGradientPass};
pub(crate) use direct::DirectPass;
pub(crate) use weight_gradient::WeightGradientPass;
pub(crate) use winograd::{WinogradPass, WinogradWeightGradientPass, WinogradWeights};

use crate::element::Element;
use crate::isa::Isa;
use crate::{Accum, Activation, Finish, Pass, elementwise, reduce};
use depthwise::Depthwise;
use direct::Epilogue;
use group::Group;
use part::{CHANNELS_OF_PART, Part, of_group, of_group_mut};
use prepared::check_prepared;
use std::ops::Range;
use winograd::Winograd;

/// The algorithm of a pass. The [module](self) has a table of which shapes take which path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Path {
    /// Kernels that read images in place and keep a tile of results in registers.
    Direct,
    /// The pixels that each output reads are copied to a matrix, which [`gemm`](crate::gemm) multiplies with
    /// the weights.
    Im2col,
    /// Winograd's algorithm with tiles of 2x2 outputs, which multiplies 2.25 times less than the direct path.
    /// For kernels of 3x3 at stride 1, with dilation 1, one group, and at most 2 zeros on each side.
    WinogradF2,
    /// Winograd's algorithm with tiles of 4x4 outputs, which multiplies 4 times less than the direct path,
    /// for the same shapes. The errors are about 3 times those of the direct path.
    WinogradF4,
}

impl Path {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Direct, Self::Im2col, Self::WinogradF2, Self::WinogradF4];

    /// Whether passes of `shape` can take the path: Winograd's serve [some shapes](Self::WinogradF2), the
    /// others all.
    pub fn serves(self, shape: &Conv2dShape) -> bool {
        !self.is_winograd() || shape.allows_winograd()
    }

    /// Whether the path is one of Winograd's algorithm.
    pub fn is_winograd(self) -> bool {
        matches!(self, Self::WinogradF2 | Self::WinogradF4)
    }

    /// `direct`, `im2col`, `winograd2` or `winograd4`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Im2col => "im2col",
            Self::WinogradF2 => "winograd2",
            Self::WinogradF4 => "winograd4",
        }
    }
}

/// A convolution with a checked shape and planned loops. One value serves any number of samples.
///
/// ```
/// use isograd_kernels::{Activation, Isa, Pass, conv::{Conv2d, Conv2dShape}};
/// let [stride, padding, dilation] = [1, 0, 1].map(Into::into);
/// let shape = Conv2dShape { c: 1, h: 3, w: 3, f: 1, kh: 2, kw: 2, stride, padding, dilation, groups: 1 };
/// let conv = Conv2d::new(shape)?;
/// let x = [1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]; // one sample
/// let (mut y, mut scratch) = ([0.0; 4], vec![0.0; conv.scratch_len(1)]);
/// let (w, pass) = ([1.0, 0.0, 0.0, 1.0], Pass { isa: Isa::best(), n: 1, scratch: &mut scratch });
/// conv.forward(pass, &x, &w, None, Activation::Identity, &mut y);
/// assert_eq!(y, [6.0, 8.0, 12.0, 14.0]);
/// # Ok::<(), isograd_kernels::conv::ConvError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Conv2d {
    shape: Conv2dShape,
    oh: usize,
    ow: usize,
    group: Group,
    /// The kernels of direct passes, where each group has one channel.
    depthwise: Option<Depthwise>,
    winograd: Winograd,
    paths: Paths,
}

impl Conv2d {
    /// Checks `shape` and plans the loops. Each pass takes the path that the [module's table](self) gives.
    ///
    /// # Errors
    ///
    /// When a size, a stride, a dilation or the number of groups is zero, when the channels or the filters
    /// cannot be cut into equal groups, when the kernel is larger than the padded image, or when a tensor
    /// would have more elements than can be addressed.
    pub fn new(shape: Conv2dShape) -> Result<Self, ConvError> {
        Self::with_paths(shape, Paths::by_shape(&shape)?)
    }

    /// As [`new`](Self::new), but all passes take `path`, whatever the number of samples.
    ///
    /// # Errors
    ///
    /// As [`with_paths`](Self::with_paths).
    pub fn with_path(shape: Conv2dShape, path: Path) -> Result<Self, ConvError> {
        Self::with_paths(shape, Paths::all(path))
    }

    /// As [`new`](Self::new), but each pass takes the path that `paths` has for it.
    ///
    /// ```
    /// use isograd_kernels::conv::{Conv2d, Conv2dShape, Path, Paths};
    /// let [stride, padding, dilation] = [1, 1, 1].map(Into::into);
    /// let [c, h, w, f, kh, kw] = [8, 6, 6, 8, 3, 3];
    /// let shape = Conv2dShape { c, h, w, f, kh, kw, stride, padding, dilation, groups: 1 };
    /// let paths = Paths { weight_gradient: Path::WinogradF4, ..Paths::by_shape(&shape)? };
    /// assert_eq!(Conv2d::with_paths(shape, paths)?.paths(), paths);
    /// # Ok::<(), isograd_kernels::conv::ConvError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new), and [`ConvError::NoWinograd`] when a path is Winograd's and does not serve the
    /// shape.
    pub fn with_paths(shape: Conv2dShape, paths: Paths) -> Result<Self, ConvError> {
        let [rows, columns] = shape.axes()?;
        paths.check(&shape)?;
        let is_direct = paths.each().contains(&Path::Direct);
        let (oh, ow) = (rows.outputs, columns.outputs);
        Ok(Self {
            shape,
            oh,
            ow,
            group: Group::new([shape.c, shape.f].map(|len| len / shape.groups), [&rows, &columns], &paths),
            depthwise: (shape.is_depthwise() && is_direct)
                .then(|| Depthwise::new(shape.f / shape.groups, &rows, &columns)),
            winograd: Winograd::new(&shape, [oh, ow], &paths),
            paths,
        })
    }

    /// The path of each pass.
    pub fn paths(&self) -> Paths {
        self.paths
    }

    /// The kernels of a pass that takes `path`, where it is direct and each group has one channel.
    fn depthwise(&self, path: Path) -> Option<&Depthwise> {
        self.depthwise.as_ref().filter(|_| path == Path::Direct)
    }

    /// The shape that this convolution was made from.
    pub fn shape(&self) -> &Conv2dShape {
        &self.shape
    }

    /// Output height: `(h + 2*padding - dilation*(kh - 1) - 1) / stride + 1`, rounded down.
    pub fn oh(&self) -> usize {
        self.oh
    }

    /// Output width, by the same formula with `w` and `kw`.
    pub fn ow(&self) -> usize {
        self.ow
    }

    /// The number of elements of the input of `n` samples.
    pub fn input_len(&self, n: usize) -> usize {
        (self.shape.c * self.shape.h * self.shape.w).saturating_mul(n)
    }

    /// The number of elements of the output of `n` samples.
    pub fn output_len(&self, n: usize) -> usize {
        (self.shape.f * self.oh * self.ow).saturating_mul(n)
    }

    /// The number of weights.
    pub fn weight_len(&self) -> usize {
        self.shape.f * (self.shape.c / self.shape.groups) * self.shape.kh * self.shape.kw
    }

    /// The number of elements of scratch memory that each pass needs for at most `n` samples.
    ///
    /// Direct passes need little. The forward pass and the input gradient need room for a group of packed
    /// weights and for at most the image rows that one output row reads; a forward pass with a stride, for a
    /// copy of the image if it has several such groups. A weight gradient with a stride needs room for four
    /// channels, or for the sums of 64 filters by 32 channels. A depthwise weight
    /// gradient needs room for 16 times the weights of a filter. A Winograd pass needs room for the
    /// transformed values of a block of tiles, of about a megabyte or of at least 48 columns; the weight
    /// gradient, for 16 or 36 sums for each pair of channels besides. If these are more than 3 megabytes, its
    /// blocks have up to ten megabytes, or 64 columns if those are more. All sizes are those of f32.
    pub fn scratch_len(&self, n: usize) -> usize {
        let depthwise = self.depthwise.as_ref().map_or(0, Depthwise::scratch_len);
        // Where each group has one channel, the kernels of groups run only what is not direct.
        let is_here = self.depthwise.is_none();
        self.group.scratch_len(&self.paths, is_here, n).max(self.winograd.scratch_len(n)).max(depthwise)
    }

    /// `y = activation(conv(x, w) + bias + addend)`: overwrites `y` `[F, OH, OW, n]` from `x` `[C, H, W, n]`
    /// and `w` `[F, C/groups, KH, KW]`. On the Winograd paths, it reads them
    /// [prepared](Self::prepare_forward). `finish` is the activation, or has an addend `[F, OH, OW, n]` too.
    ///
    /// # Panics
    ///
    /// When a slice does not have the length that the shape and `n` give it, when the scratch memory of
    /// `pass` is shorter than [`scratch_len`](Self::scratch_len), and when `T` is f64 and the
    /// [precision](Precision) of the pass bfloat16.
    pub fn forward<'a, 'f, T: Element>(
        &self,
        pass: Pass<'_, T>,
        x: &[T],
        w: impl Into<Weights<'a, T>>,
        bias: Option<&[T]>,
        finish: impl Into<Finish<'f, T>>,
        y: &mut [T],
    ) {
        self.forward_filters(pass, 0..self.shape.f, x, w, bias, finish, y);
    }

    /// The part of [`forward`](Self::forward) that computes the output of the filters `filters`: `y`
    /// `[filters, OH, OW, n]`. Image, weights and bias are those of the whole pass, an addend is that of
    /// `filters`. Parts that together have all filters give the bits of `forward`.
    ///
    /// # Panics
    ///
    /// When `filters` are not [a part](Self::filters_of_part), and as `forward`.
    #[expect(clippy::too_many_arguments, reason = "those of `forward`, and the range")]
    pub fn forward_filters<'a, 'f, T: Element>(
        &self,
        pass: Pass<'_, T>,
        filters: Range<usize>,
        x: &[T],
        w: impl Into<Weights<'a, T>>,
        bias: Option<&[T]>,
        finish: impl Into<Finish<'f, T>>,
        y: &mut [T],
    ) {
        let Weights { plain: w, prepared } = w.into();
        let (f, finish) = (self.shape.f, finish.into());
        let part = Part::new(filters, f, self.filters_of_part());
        self.check(&pass, x.len(), w.len(), part.whole(y.len(), self.output_len(pass.n)));
        finish.check(y.len());
        if let Some(bias) = bias {
            assert_eq!(bias.len(), f, "the bias has {} elements, but there are {f} filters", bias.len());
        }
        let path = self.paths.forward_of(pass.n);
        if let Some(plan) = self.winograd.forward(path) {
            check_prepared(prepared.len(), self.forward_prepared_len());
            let (bias, epilogue) = (bias.map(|bias| part.of(bias)), Epilogue::finish(finish));
            return winograd::correlate(plan, pass, part.channels, [x, prepared], bias, epilogue, y);
        }
        let (w, bias) = (part.of(w), bias.map(|bias| part.of(bias)));
        let Pass { isa, n, scratch } = pass;
        if let Some(depthwise) = self.depthwise(path) {
            let Finish { addend, activation } = finish;
            let own = if addend.is_some() { Activation::Identity } else { activation };
            depthwise.forward(isa, n, [self.of_groups(&part, x), w], bias, Epilogue::finish(own.into()), y);
            if let Some(addend) = addend {
                elementwise::add_assign(isa, addend, activation, y);
            }
            return;
        }
        let (x, groups) = (self.of_groups(&part, x), self.groups_of(&part));
        for g in 0..groups {
            let pass = Pass { isa, n, scratch: &mut *scratch };
            let inputs = [of_group(g, groups, x), of_group(g, groups, w)];
            let bias = bias.map(|bias| of_group(g, groups, bias));
            let addend = finish.addend.map(|addend| of_group(g, groups, addend));
            let y = of_group_mut(g, groups, y);
            self.group.forward(path, pass, inputs, bias, Finish { addend, ..finish }, y);
        }
    }

    /// `dx = conv_transposed(dy, w)`: overwrites `dx` `[C, H, W, n]`, or adds to it, from `dy`
    /// `[F, OH, OW, n]` and `w`. On the Winograd paths, it reads the weights
    /// [prepared](Self::prepare_input_gradient).
    ///
    /// `relu_output` is for a convolution whose input `x` `[C, H, W, n]` is the output of a ReLU. With
    /// `Some(x)`, this function applies the gradient of that ReLU too, after the addition: `dx` is 0 wherever
    /// `x <= 0`.
    ///
    /// # Panics
    ///
    /// As [`forward`](Self::forward).
    pub fn input_gradient<'a, T: Element>(
        &self,
        pass: Pass<'_, T>,
        dy: &[T],
        w: impl Into<Weights<'a, T>>,
        relu_output: Option<&[T]>,
        accum: Accum,
        dx: &mut [T],
    ) {
        self.input_gradient_channels(pass, 0..self.shape.c, dy, w, relu_output, accum, dx);
    }

    /// The part of [`input_gradient`](Self::input_gradient) that computes the gradient of the input channels
    /// `channels`: `dx` `[channels, H, W, n]`. `dy` and the weights are those of the whole pass,
    /// `relu_output` is that of `channels`. Parts that together have all channels give the bits of
    /// `input_gradient`.
    ///
    /// # Panics
    ///
    /// When `channels` are not [a part](Self::channels_of_part), and as `forward`.
    #[expect(clippy::too_many_arguments, reason = "those of `input_gradient`, and the range")]
    pub fn input_gradient_channels<'a, T: Element>(
        &self,
        pass: Pass<'_, T>,
        channels: Range<usize>,
        dy: &[T],
        w: impl Into<Weights<'a, T>>,
        relu_output: Option<&[T]>,
        accum: Accum,
        dx: &mut [T],
    ) {
        let Weights { plain: w, prepared } = w.into();
        let part = Part::new(channels, self.shape.c, self.channels_of_part());
        self.check(&pass, part.whole(dx.len(), self.input_len(pass.n)), w.len(), dy.len());
        if let Some(x) = relu_output {
            assert_eq!(x.len(), dx.len(), "the ReLU output has {} elements, dx has {}", x.len(), dx.len());
        }
        let path = self.paths.input_gradient_of(pass.n);
        if let Some(plan) = self.winograd.input_gradient(path) {
            check_prepared(prepared.len(), self.input_gradient_prepared_len());
            let epilogue = Epilogue::gradient(accum, relu_output);
            return winograd::correlate(plan, pass, part.channels, [dy, prepared], None, epilogue, dx);
        }
        let Pass { isa, n, scratch } = pass;
        let (dy, w) = (self.of_groups(&part, dy), self.of_groups(&part, w));
        if let Some(depthwise) = self.depthwise(path) {
            let epilogue = Epilogue::gradient(accum, relu_output);
            return depthwise.input_gradient(isa, n, [dy, w], epilogue, dx);
        }
        let groups = self.groups_of(&part);
        // A part has channels of the only group, or all channels of some groups.
        let channels = match self.shape.groups {
            1 => part.channels,
            groups => 0..self.shape.c / groups,
        };
        for g in 0..groups {
            let pass = Pass { isa, n, scratch: &mut *scratch };
            let inputs = [of_group(g, groups, dy), of_group(g, groups, w)];
            let (relu_output, dx) =
                (relu_output.map(|x| of_group(g, groups, x)), of_group_mut(g, groups, dx));
            self.group.input_gradient(path, pass, channels.clone(), inputs, relu_output, accum, dx);
        }
    }

    /// The gradient of the weights: overwrites `dw` `[F, C/groups, KH, KW]`, or adds to it, from `x`
    /// `[C, H, W, n]` and `dy` `[F, OH, OW, n]`.
    ///
    /// # Panics
    ///
    /// As [`forward`](Self::forward).
    pub fn weight_gradient<T: Element>(
        &self,
        pass: Pass<'_, T>,
        x: &[T],
        dy: &[T],
        accum: Accum,
        dw: &mut [T],
    ) {
        self.weight_gradient_filters(pass, 0..self.shape.f, x, dy, accum, dw);
    }

    /// The part of [`weight_gradient`](Self::weight_gradient) that computes the gradient of the weights of
    /// the filters `filters`: `dw` `[filters, C/groups, KH, KW]`. `x` and `dy` are those of the whole pass.
    /// Parts that together have all filters give the bits of `weight_gradient`.
    ///
    /// # Panics
    ///
    /// When `filters` are not [a part](Self::filters_of_part), and as `forward`.
    pub fn weight_gradient_filters<T: Element>(
        &self,
        pass: Pass<'_, T>,
        filters: Range<usize>,
        x: &[T],
        dy: &[T],
        accum: Accum,
        dw: &mut [T],
    ) {
        let part = Part::new(filters, self.shape.f, self.filters_of_part());
        self.check(&pass, x.len(), part.whole(dw.len(), self.weight_len()), dy.len());
        let (path, dy) = (self.paths.weight_gradient_of(pass.n), part.of(dy));
        if let Some(plan) = self.winograd.weight_gradient(path) {
            return winograd::weight_gradient(plan, pass, part.channels.len(), [x, dy], accum, dw);
        }
        let x = self.of_groups(&part, x);
        let Pass { isa, n, scratch } = pass;
        if let Some(depthwise) = self.depthwise(path) {
            return depthwise.weight_gradient(Pass { isa, n, scratch }, [x, dy], accum, dw);
        }
        let groups = self.groups_of(&part);
        for g in 0..groups {
            let pass = Pass { isa, n, scratch: &mut *scratch };
            let inputs = [of_group(g, groups, x), of_group(g, groups, dy)];
            self.group.weight_gradient(path, pass, inputs, accum, of_group_mut(g, groups, dw));
        }
    }

    /// The gradient of the bias: overwrites `db`, or adds to it, with `db[f] = sum of dy[f, .., .., ..]`.
    ///
    /// # Panics
    ///
    /// When `dy` does not have `F*OH*OW*n` elements or `db` does not have `F`.
    pub fn bias_gradient<T: Element>(&self, isa: Isa, n: usize, dy: &[T], accum: Accum, db: &mut [T]) {
        reduce::sum_rows(isa, self.shape.f, (self.oh * self.ow).saturating_mul(n), dy, accum, db);
    }

    /// Parts of the filters, for the passes that compute a part of the result, begin at multiples of so many
    /// filters: at a group, or at a tile of the kernels. They end there, too, or at the last filter; but
    /// where there are tiles, the last filter is no part of its own.
    pub fn filters_of_part(&self) -> usize {
        self.of_part(self.shape.f)
    }

    /// As [`filters_of_part`](Self::filters_of_part), for the input channels.
    pub fn channels_of_part(&self) -> usize {
        self.of_part(self.shape.c)
    }

    fn of_part(&self, count: usize) -> usize {
        if self.shape.groups == 1 { CHANNELS_OF_PART } else { count / self.shape.groups }
    }

    /// The part of a tensor that the groups of a part read, or write: all of it, if there is one group.
    fn of_groups<'a, T>(&self, part: &Part, all: &'a [T]) -> &'a [T] {
        match self.shape.groups {
            1 => all,
            groups => {
                let len = all.len() / groups;
                &all[part.channels.start * groups / part.count * len..][..self.groups_of(part) * len]
            }
        }
    }

    /// The number of groups in a part.
    fn groups_of(&self, part: &Part) -> usize {
        match self.shape.groups {
            1 => 1,
            groups => part.channels.len() * groups / part.count,
        }
    }

    fn check<T>(&self, pass: &Pass<'_, T>, input: usize, weights: usize, output: usize) {
        let (shape, n, scratch) = (self.shape, pass.n, pass.scratch.len());
        let needed = self.scratch_len(n);
        assert_eq!(
            input,
            self.input_len(n),
            "the input or its gradient has {input} elements, but {n} samples of {shape:?} need {}",
            self.input_len(n)
        );
        assert_eq!(
            output,
            self.output_len(n),
            "the output or its gradient has {output} elements, but {n} samples of {shape:?} need {}",
            self.output_len(n)
        );
        let weight_len = self.weight_len();
        assert_eq!(
            weights, weight_len,
            "the weights or their gradient have {weights} elements, but {shape:?} needs {weight_len}"
        );
        assert!(scratch >= needed, "the scratch memory has {scratch} elements, but n = {n} needs {needed}");
    }
}
