//! Max and average pooling over `[C, H, W, N]` images, forward and backward.
//!
//! Output position `o` of a dimension reads the input positions `o * stride - padding + k * dilation` for
//! `k = 0..window` that lie inside the image: padding is never an element of a window.
//!
//! 2x2 windows with stride 2 have paths of their own. Otherwise the forward pass walks *runs*: neighbouring outputs with the
//! same window elements inside the image. The backward pass goes through the input gradient row by row; where windows tile
//! the image, or where few overlap, it writes each element once.

mod average;
mod backward;
mod geometry;
mod max;
mod overlapping;

use crate::Size2;
use crate::element::Element;
use crate::simd::Level;
use geometry::Axis;

pub use average::{average_pool, average_pool_backward};
pub use max::{max_pool, max_pool_backward, max_pool_eval};

/// The shape of a pooling, without the number of samples: an image, and the window that slides over it.
///
/// Pairs are `[vertical, horizontal]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool2dShape {
    /// Channels.
    pub c: usize,
    /// Image height.
    pub h: usize,
    /// Image width.
    pub w: usize,
    /// Window height; 0 is the image height, without its padding.
    pub kh: usize,
    /// Window width; 0 is the image width, without its padding.
    pub kw: usize,
    /// Distance between neighbouring windows.
    pub stride: Size2,
    /// Rows and columns added on each side of the image.
    pub padding: Size2,
    /// Distance between neighbouring elements of a window.
    pub dilation: Size2,
}

/// Why a pooling geometry is impossible.
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
    /// A stride or a dilation is 0.
    #[error("pooling with stride {stride} and dilation {dilation}: each number must be at least 1")]
    ZeroStep {
        /// The stride given.
        stride: Size2,
        /// The dilation given.
        dilation: Size2,
    },
    /// The dilated window is larger than the padded image.
    #[error("pooling window spans {span} elements of the {dimension}, which has {padded} with its padding")]
    WindowTooLarge {
        /// `height` or `width`.
        dimension: &'static str,
        /// `dilation * (window - 1) + 1`.
        span: usize,
        /// `size + 2 * padding`.
        padded: usize,
    },
    /// The padding is so wide that a window lies in it entirely.
    #[error(
        "pooling padding {padding} of the {dimension} is not smaller than the {span} elements that the window spans"
    )]
    PaddingTooLarge {
        /// `height` or `width`.
        dimension: &'static str,
        /// The padding given.
        padding: usize,
        /// `dilation * (window - 1) + 1`.
        span: usize,
    },
    /// Every element of a dilated window falls into the padding.
    #[error("pooling window at output {output} of the {dimension} has no element inside the image of {size}")]
    EmptyWindow {
        /// `height` or `width`.
        dimension: &'static str,
        /// The output position.
        output: usize,
        /// The image's size in that dimension.
        size: usize,
    },
    /// The window has more elements than 2^24, the indices that an f32 holds exactly.
    #[error("pooling window of {kh}x{kw} has more than 16777216 elements")]
    TooManyTaps {
        /// Window height.
        kh: usize,
        /// Window width.
        kw: usize,
    },
    /// The sizes do not fit a `usize`.
    #[error("pooling of {c} channels of {h}x{w}: sizes overflow")]
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

/// A pooling whose shape has been checked, for any number of samples.
///
/// ```
/// use isograd_kernels::pool::{Pool2d, Pool2dShape};
/// let shape =
///     Pool2dShape { c: 8, h: 7, w: 5, kh: 2, kw: 2, stride: 2.into(), padding: 0.into(), dilation: 1.into() };
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
    /// [`PoolError`] when a size, stride or dilation is zero, when the window with its dilation is larger than the padded
    /// image, when some window would lie entirely in the padding, or when sizes overflow.
    pub fn new(shape: Pool2dShape) -> Result<Self, PoolError> {
        let Pool2dShape { c, h, w, kh, kw, stride, padding, dilation } = shape;
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
        let vertical = Axis::new(h, kh, stride.h, padding.h, dilation.h).ok_or(overflow.clone())?;
        let horizontal = Axis::new(w, kw, stride.w, padding.w, dilation.w).ok_or(overflow.clone())?;
        vertical.check("height")?;
        horizontal.check("width")?;
        let rows = c.checked_mul(h.max(vertical.outputs)).ok_or(overflow.clone())?;
        rows.checked_mul(w.max(horizontal.outputs)).ok_or(overflow)?;
        Ok(Self { c, vertical, horizontal })
    }

    /// The shape it was made from, with the true size of its window.
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
        }
    }

    /// Output height: `(h + 2*padding - dilation*(kh - 1) - 1) / stride + 1`, rounded down.
    pub fn oh(&self) -> usize {
        self.vertical.outputs
    }

    /// Output width, likewise.
    pub fn ow(&self) -> usize {
        self.horizontal.outputs
    }

    /// Pixels of an image.
    fn pixels(&self) -> usize {
        self.vertical.size * self.horizontal.size
    }

    /// Whether it is the most frequent one: 2x2 windows side by side.
    fn halves(&self) -> bool {
        [self.vertical.window, self.horizontal.window] == [2, 2] && self.tiles()
    }

    /// Whether windows lie side by side.
    fn tiles(&self) -> bool {
        self.vertical.tiles() && self.horizontal.tiles()
    }

    /// Whether, in addition, each window is all of two image rows: then windows are contiguous.
    fn is_column_of_halves(&self) -> bool {
        self.halves() && self.horizontal.size == 2 && self.vertical.size.is_multiple_of(2)
    }

    /// The two image rows of output row `p`, as pairs of pixels, one for each window of [`halves`](Self::halves).
    #[inline(always)]
    fn halved_rows<'a, V>(&self, x: &'a [V], c: usize, p: usize) -> (&'a [[V; 2]], &'a [[V; 2]]) {
        let (h, w) = (self.vertical.size, self.horizontal.size);
        let len = w / 2 * 2;
        let top = (c * h + 2 * p) * w;
        (x[top..][..len].as_chunks().0, x[top + w..][..len].as_chunks().0)
    }

    /// Whether the only window is the image.
    fn is_whole(&self) -> bool {
        self.vertical.is_whole() && self.horizontal.is_whole()
    }

    /// Asserts that a buffer of inputs and one of outputs have the lengths of `n` samples.
    fn check_lengths(&self, n: usize, input: usize, output: usize) {
        let (c, h, w) = (self.c, self.vertical.size, self.horizontal.size);
        let (oh, ow) = (self.oh(), self.ow());
        assert!(
            (c * h * w).checked_mul(n) == Some(input),
            "pooling input has {input} elements, but [{c}, {h}, {w}, {n}] needs {}",
            (c * h * w).saturating_mul(n)
        );
        assert!(
            (c * oh * ow).checked_mul(n) == Some(output),
            "pooling output has {output} elements, but [{c}, {oh}, {ow}, {n}] needs {}",
            (c * oh * ow).saturating_mul(n)
        );
    }
}

/// `x` as blocks of `B` vectors; it must be a whole number of them.
#[inline(always)]
fn blocks<S: Level, T: Element, const B: usize>(x: &[T]) -> &[[T::V<S>; B]] {
    T::split::<S>(x).0.as_chunks().0
}

#[inline(always)]
fn blocks_mut<S: Level, T: Element, const B: usize>(x: &mut [T]) -> &mut [[T::V<S>; B]] {
    T::split_mut::<S>(x).0.as_chunks_mut().0
}

/// The vectors that `n` samples are, or 0 if they are no whole number of them.
#[inline(always)]
fn vectors<S: Level, T: Element>(n: usize) -> usize {
    if n.is_multiple_of(T::lanes::<S>()) { n / T::lanes::<S>() } else { 0 }
}

/// A vector from `x`, which may be shorter; zeros follow.
#[inline(always)]
fn load<S: Level, T: Element>(s: S, x: &[T]) -> T::V<S> {
    match T::split::<S>(x) {
        ([vector], []) => *vector,
        (_, rest) => T::load_partial(s, rest),
    }
}

/// Writes what [`load`] would read.
#[inline(always)]
fn store<S: Level, T: Element>(s: S, y: &mut [T], vector: T::V<S>) {
    match T::split_mut::<S>(y) {
        ([to], []) => *to = vector,
        (_, rest) => T::store_partial(s, rest, vector),
    }
}

/// A window index or count as a value of `T`; exact, since windows have at most 2^24 elements.
#[inline(always)]
fn from_index<T: Element>(k: usize) -> T {
    T::from_f64(f64::from(k as u32))
}

#[inline(always)]
fn reciprocal<T: Element>(count: usize) -> T {
    T::ONE / from_index::<T>(count)
}
