//! Max and average pooling over `[C, H, W, N]` images, forward and backward.
//!
//! Along each dimension, output position `o` reads the input positions `o * stride - padding + k * dilation`
//! for `k = 0..window`, if they lie inside the image. So padding is never an element of a window; an average
//! can count it all the same ([`Divisor`]).
//!
//! The forward pass goes through *runs*: neighbouring outputs with the same window elements inside the image.
//! The backward pass goes through the input gradient row by row. It writes each element once where windows
//! lie side by side, and where at most three of them in each dimension contain an element; elsewhere it adds
//! to the elements of a row several times.
//!
//! 2x2 windows with stride 2, the most frequent ones, have kernels of their own.

mod adaptive;
mod average;
mod backward;
mod geometry;
mod max;
mod overlapping;
mod whole;

use crate::Size2;
use crate::element::Element;
use crate::simd::Level;
use geometry::Axis;

pub(crate) use adaptive::AdaptiveMaxPool;
pub(crate) use average::AveragePool;
pub(crate) use backward::PoolBackward;
pub(crate) use max::MaxPool;

pub use adaptive::{
    AdaptivePool2d, adaptive_average_pool, adaptive_average_pool_backward, adaptive_max_pool,
    adaptive_max_pool_backward, adaptive_max_pool_eval,
};
pub use average::{average_pool, average_pool_backward};
pub use max::{max_pool, max_pool_backward, max_pool_eval};

/// The shape of a pooling, without the number of samples: an image, and the window that slides over it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool2dShape {
    /// Channels.
    pub c: usize,
    /// Image height.
    pub h: usize,
    /// Image width.
    pub w: usize,
    /// Window height; 0 stands for the image height without padding.
    pub kh: usize,
    /// Window width; 0 stands for the image width without padding.
    pub kw: usize,
    /// Distance between neighbouring windows.
    pub stride: Size2,
    /// Rows and columns added on each side of the image.
    pub padding: Size2,
    /// Distance between neighbouring elements of a window.
    pub dilation: Size2,
    /// Whether a last window that does not fit has an output.
    pub rounding: Rounding,
    /// What an average divides by.
    pub divisor: Divisor,
}

/// How the number of outputs is rounded: whether a last window has an output if only a part of it lies on the
/// padded image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rounding {
    /// Only windows that lie on the padded image have an output.
    #[default]
    Down,
    /// The last window may reach beyond the padded image, if it begins on the image or in the padding in
    /// front of it. This is PyTorch's `ceil_mode`.
    Up,
}

/// The number of elements that an average over a window divides by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Divisor {
    /// The elements inside the image.
    #[default]
    Inside,
    /// The elements on the padded image, as if the padding were zeros: PyTorch's `count_include_pad`.
    Padded,
}

/// Why a shape is no pooling.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PoolError {
    /// The image has no element.
    #[error("pooling of an empty image: {c} channels of {h}x{w}")]
    EmptyImage {
        /// Channels.
        c: usize,
        /// Height.
        h: usize,
        /// Width.
        w: usize,
    },
    /// The image to pool to has no element.
    #[error("pooling to an image of {output}: each number must be at least 1")]
    EmptyOutput {
        /// The size to pool to.
        output: Size2,
    },
    /// A stride or a dilation is 0.
    #[error("pooling with stride {stride} and dilation {dilation}: each number must be at least 1")]
    ZeroStep {
        /// The stride given.
        stride: Size2,
        /// The dilation given.
        dilation: Size2,
    },
    /// The dilated window is larger than the padded image.
    #[error(
        "a pooling window spans {span} elements of the {dimension}, which has only {padded}, padding included"
    )]
    WindowTooLarge {
        /// `height` or `width`.
        dimension: &'static str,
        /// `dilation * (window - 1) + 1`.
        span: usize,
        /// `size + 2 * padding`.
        padded: usize,
    },
    /// The padding is so wide that some window would lie in it entirely.
    #[error(
        "pooling with padding {padding} of the {dimension}: it must be less than the {span} elements that the window spans"
    )]
    PaddingTooLarge {
        /// `height` or `width`.
        dimension: &'static str,
        /// The padding given.
        padding: usize,
        /// `dilation * (window - 1) + 1`.
        span: usize,
    },
    /// Every element of some dilated window lies in the padding.
    #[error(
        "the pooling window at output {output} of the {dimension} has no element inside the image of {size}"
    )]
    EmptyWindow {
        /// `height` or `width`.
        dimension: &'static str,
        /// The output position.
        output: usize,
        /// The image's size in that dimension.
        size: usize,
    },
    /// The window has more than 2^24 elements. An f32 holds only indices up to 2^24 exactly.
    #[error("a pooling window of {kh}x{kw} has more than 16777216 elements")]
    TooManyTaps {
        /// Window height.
        kh: usize,
        /// Window width.
        kw: usize,
    },
    /// A tensor would have more elements than memory has addresses.
    #[error(
        "pooling of {c} channels of {h}x{w}: a tensor would have more elements than memory has addresses"
    )]
    Overflow {
        /// Channels.
        c: usize,
        /// Height.
        h: usize,
        /// Width.
        w: usize,
    },
}

const MAX_TAPS: usize = 1 << 24;

/// A pooling with a checked shape. One value serves any number of samples.
///
/// ```
/// use isograd_kernels::pool::{Pool2d, Pool2dShape};
/// let [stride, padding, dilation] = [2, 0, 1].map(Into::into);
/// let (rounding, divisor) = Default::default();
/// let shape = Pool2dShape { c: 8, h: 7, w: 5, kh: 2, kw: 2, stride, padding, dilation, rounding, divisor };
/// let halves = Pool2d::new(shape)?;
/// assert_eq!([halves.oh(), halves.ow()], [3, 2]);
/// let whole = Pool2d::new(Pool2dShape { kh: 0, kw: 0, ..shape })?;
/// assert_eq!([whole.oh(), whole.ow()], [1, 1]);
/// # Ok::<(), isograd_kernels::pool::PoolError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool2d {
    c: usize,
    vertical: Axis,
    horizontal: Axis,
}

impl Pool2d {
    /// Checks `shape`.
    ///
    /// # Errors
    ///
    /// [`PoolError`] when a size, stride or dilation is zero, when the window with its dilation is larger
    /// than the padded image, when some window would lie entirely in the padding, or when sizes overflow.
    pub fn new(shape: Pool2dShape) -> Result<Self, PoolError> {
        let Pool2dShape { c, h, w, kh, kw, stride, padding, dilation, rounding, divisor } = shape;
        if c == 0 || h == 0 || w == 0 {
            return Err(PoolError::EmptyImage { c, h, w });
        }
        if [stride.h, stride.w, dilation.h, dilation.w].contains(&0) {
            return Err(PoolError::ZeroStep { stride, dilation });
        }
        let kh = if kh == 0 { h } else { kh };
        let kw = if kw == 0 { w } else { kw };
        if kh.checked_mul(kw).is_none_or(|taps| taps > MAX_TAPS) {
            return Err(PoolError::TooManyTaps { kh, kw });
        }
        let overflow = PoolError::Overflow { c, h, w };
        let axis = |sizes, steps| Axis::new(sizes, steps, rounding, divisor).ok_or(overflow.clone());
        let vertical = axis([h, kh], [stride.h, padding.h, dilation.h])?;
        let horizontal = axis([w, kw], [stride.w, padding.w, dilation.w])?;
        vertical.check("height")?;
        horizontal.check("width")?;
        let rows = c.checked_mul(h.max(vertical.outputs)).ok_or(overflow.clone())?;
        rows.checked_mul(w.max(horizontal.outputs)).ok_or(overflow)?;
        Ok(Self { c, vertical, horizontal })
    }

    /// The shape that this pooling was made from. A window size of 0 is replaced by the image size.
    pub fn shape(&self) -> Pool2dShape {
        let Self { c, vertical: v, horizontal: h } = *self;
        Pool2dShape {
            c,
            h: v.size,
            w: h.size,
            kh: v.window,
            kw: h.window,
            stride: Size2 { h: v.stride, w: h.stride },
            padding: Size2 { h: v.padding, w: h.padding },
            dilation: Size2 { h: v.dilation, w: h.dilation },
            rounding: v.rounding,
            divisor: v.divisor,
        }
    }

    /// Output height: `(h + 2*padding - dilation*(kh - 1) - 1) / stride + 1`, with the quotient rounded as
    /// the shape says. If it is rounded up, a last window that begins behind the image is left out.
    pub fn oh(&self) -> usize {
        self.vertical.outputs
    }

    /// Output width, by the same formula with `w` and `kw`.
    pub fn ow(&self) -> usize {
        self.horizontal.outputs
    }

    /// The number of pixels in an image.
    fn pixels(&self) -> usize {
        self.vertical.size * self.horizontal.size
    }

    /// Whether the windows are 2x2 and lie side by side, which is the most frequent pooling.
    fn halves(&self) -> bool {
        [self.vertical.window, self.horizontal.window] == [2, 2] && self.tiles()
    }

    /// Whether windows lie side by side.
    fn tiles(&self) -> bool {
        self.vertical.tiles() && self.horizontal.tiles()
    }

    /// Whether the windows are 2x2, side by side, and as wide as the image. Then each window is contiguous in
    /// memory.
    fn is_column_of_halves(&self) -> bool {
        self.halves() && self.horizontal.size == 2 && self.vertical.size.is_multiple_of(2)
    }

    /// The two image rows of output row `p`, as pairs of pixels, one for each window of
    /// [`halves`](Self::halves).
    #[inline(always)]
    fn halved_rows<'a, V>(&self, x: &'a [V], c: usize, p: usize) -> (&'a [[V; 2]], &'a [[V; 2]]) {
        let (h, w) = (self.vertical.size, self.horizontal.size);
        let len = w / 2 * 2;
        let top = (c * h + 2 * p) * w;
        (x[top..][..len].as_chunks().0, x[top + w..][..len].as_chunks().0)
    }

    /// Whether the only window is the whole image.
    fn is_whole(&self) -> bool {
        self.vertical.is_whole() && self.horizontal.is_whole()
    }

    /// Asserts that a buffer of inputs and one of outputs have the lengths of `n` samples.
    fn check_lengths(&self, n: usize, input: usize, output: usize) {
        let input_size = Size2 { h: self.vertical.size, w: self.horizontal.size };
        let output_size = Size2 { h: self.oh(), w: self.ow() };
        check_lengths(self.c, n, [input_size, output_size], [input, output]);
    }
}

/// Asserts that buffers of inputs and of outputs have the lengths of `n` samples of `c` channels.
fn check_lengths(c: usize, n: usize, sizes: [Size2; 2], lengths: [usize; 2]) {
    for ((what, Size2 { h, w }), len) in ["input", "output"].into_iter().zip(sizes).zip(lengths) {
        assert!(
            (c * h * w).checked_mul(n) == Some(len),
            "pooling {what} has {len} elements, but [{c}, {h}, {w}, {n}] needs {}",
            (c * h * w).saturating_mul(n)
        );
    }
}

/// `x` as blocks of `B` vectors. Its length must be a whole number of blocks.
#[inline(always)]
fn blocks<S: Level, T: Element, const B: usize>(x: &[T]) -> &[[T::V<S>; B]] {
    T::split::<S>(x).0.as_chunks().0
}

#[inline(always)]
fn blocks_mut<S: Level, T: Element, const B: usize>(x: &mut [T]) -> &mut [[T::V<S>; B]] {
    T::split_mut::<S>(x).0.as_chunks_mut().0
}

/// The number of vectors in `n` samples, or 0 if `n` is not a whole number of vectors.
#[inline(always)]
fn vectors<S: Level, T: Element>(n: usize) -> usize {
    if n.is_multiple_of(T::lanes::<S>()) { n / T::lanes::<S>() } else { 0 }
}

/// A vector with the elements of `x`. If `x` is shorter than a vector, the other lanes are zero.
#[inline(always)]
fn load<S: Level, T: Element>(s: S, x: &[T]) -> T::V<S> {
    match T::split::<S>(x) {
        ([vector], []) => *vector,
        (_, rest) => T::load_partial(s, rest),
    }
}

/// Writes the first lanes of a vector to `y`, which may be shorter than a vector.
#[inline(always)]
fn store<S: Level, T: Element>(s: S, y: &mut [T], vector: T::V<S>) {
    match T::split_mut::<S>(y) {
        ([to], []) => *to = vector,
        (_, rest) => T::store_partial(s, rest, vector),
    }
}

/// A window index or count as a value of `T`. It is exact, because windows have at most 2^24 elements.
#[inline(always)]
fn from_index<T: Element>(k: usize) -> T {
    T::from_f64(f64::from(k as u32))
}

#[inline(always)]
fn reciprocal<T: Element>(count: usize) -> T {
    T::ONE / from_index::<T>(count)
}
