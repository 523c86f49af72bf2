//! Conversions between layouts: `[N, C, H, W]` and `[N, H, W, C]` to and from `[C, H, W, N]`, and the gather
//! that makes a network's input from the samples of a shard.
//!
//! All of them are one transposition: they read `N` streams of `Q` values and write `Q` rows of `N` values.
//!
//! 1. The kernel works in tiles of 32 streams by one cache line, so that it reads and writes whole cache
//!    lines.
//! 2. Within a tile, it reads words of 8 bytes. Shifts and masks exchange the elements of these words between
//!    8 streams of u8, or between 2 streams of f32, for several words at once. So the stores that follow are
//!    8 bytes wide, too.
//! 3. Then it converts the rows of the tile and writes them to the output.

use crate::Isa;
use crate::element::Element;
use crate::simd::{Kernel, Level};

/// The order of a sample's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channels {
    /// `[C, H, W]`: one channel after the other.
    First,
    /// `[H, W, C]`: one pixel after the other, with all its channels.
    Last,
}

/// `y[c, p, i] = x[i, c, p]`: from `[N, C, pixels]` to `[C, pixels, N]`.
///
/// # Panics
///
/// When a length is not `n * c * pixels`.
pub fn nchw_to_chwn<T: Element>(isa: Isa, c: usize, pixels: usize, n: usize, x: &[T], y: &mut [T]) {
    check_lengths("nchw_to_chwn", [c, pixels, n], x, y);
    let stream = |i: usize| &x[i * c * pixels..][..c * pixels];
    isa.run(Transpose { streams: n, c, pixels, channels: Channels::First, stream, finish: Unchanged, y });
}

/// `y[i, c, p] = x[c, p, i]`: from `[C, pixels, N]` to `[N, C, pixels]`.
///
/// # Panics
///
/// When a length is not `n * c * pixels`.
pub fn chwn_to_nchw<T: Element>(isa: Isa, c: usize, pixels: usize, n: usize, x: &[T], y: &mut [T]) {
    check_lengths("chwn_to_nchw", [c, pixels, n], x, y);
    let stream = |q: usize| &x[q * n..][..n];
    isa.run(Transpose {
        streams: c * pixels,
        c: 1,
        pixels: n,
        channels: Channels::First,
        stream,
        finish: Unchanged,
        y,
    });
}

/// `y[c, p, i] = x[i, p, c]`: from `[N, pixels, C]` to `[C, pixels, N]`.
///
/// # Panics
///
/// When a length is not `n * c * pixels`.
pub fn nhwc_to_chwn<T: Element>(isa: Isa, c: usize, pixels: usize, n: usize, x: &[T], y: &mut [T]) {
    check_lengths("nhwc_to_chwn", [c, pixels, n], x, y);
    let stream = |i: usize| &x[i * c * pixels..][..c * pixels];
    isa.run(Transpose { streams: n, c, pixels, channels: Channels::Last, stream, finish: Unchanged, y });
}

/// `y[i, p, c] = x[c, p, i]`: from `[C, pixels, N]` to `[N, pixels, C]`.
///
/// # Panics
///
/// When a length is not `n * c * pixels`.
pub fn chwn_to_nhwc<T: Element>(isa: Isa, c: usize, pixels: usize, n: usize, x: &[T], y: &mut [T]) {
    check_lengths("chwn_to_nhwc", [c, pixels, n], x, y);
    let stream = |q: usize| &x[(q % c * pixels + q / c) * n..][..n];
    isa.run(Transpose {
        streams: c * pixels,
        c: 1,
        pixels: n,
        channels: Channels::First,
        stream,
        finish: Unchanged,
        y,
    });
}

/// The factor and the addend of each channel: a value `x` of channel `c` becomes `scale[c] * x + shift[c]`.
/// Both slices have one value for each channel.
#[derive(Debug, Clone, Copy)]
pub struct Scaling<'a, T> {
    /// Factors.
    pub scale: &'a [T],
    /// Addends.
    pub shift: &'a [T],
}

/// Makes the input of a shard from samples of bytes: `y[c, p, i] = scale[c] * x + shift[c]`, where `x` is the
/// value of channel `c` and pixel `p` of `sample(i)`, for `i < n`.
///
/// - `sample(i)` returns the bytes of sample `i`, in the order `channels`. It is called once for each `i`.
/// - `y` is `[C, pixels, N]` and is overwritten.
///
/// The product is rounded before the addition at every level, so all levels give the same bits.
///
/// # Panics
///
/// When a length does not fit.
pub fn gather_u8<'a, T: Element>(
    isa: Isa,
    channels: Channels,
    pixels: usize,
    n: usize,
    scaling: Scaling<'_, T>,
    sample: impl Fn(usize) -> &'a [u8],
    y: &mut [T],
) {
    gather(isa, channels, pixels, n, scaling, sample, y);
}

/// [`gather_u8`] from samples of floating-point numbers. They are rounded to `T` first.
///
/// # Panics
///
/// When a length does not fit.
pub fn gather_float<'a, T: Element, U: Element>(
    isa: Isa,
    channels: Channels,
    pixels: usize,
    n: usize,
    scaling: Scaling<'_, T>,
    sample: impl Fn(usize) -> &'a [U],
    y: &mut [T],
) {
    gather(isa, channels, pixels, n, scaling, sample, y);
}

fn gather<'a, T: Element, U: Source<T> + 'a>(
    isa: Isa,
    channels: Channels,
    pixels: usize,
    n: usize,
    scaling: Scaling<'_, T>,
    sample: impl Fn(usize) -> &'a [U],
    y: &mut [T],
) {
    let Scaling { scale, shift } = scaling;
    assert_eq!(
        scale.len(),
        shift.len(),
        "gather: there are {} scales but {} shifts",
        scale.len(),
        shift.len()
    );
    let c = scale.len();
    let len = c.saturating_mul(pixels);
    assert_eq!(
        y.len(),
        len.saturating_mul(n),
        "gather: y has {} elements, but [{c}, {pixels}, {n}] needs {}",
        y.len(),
        len.saturating_mul(n)
    );
    let stream = |i: usize| {
        let x = sample(i);
        assert_eq!(
            x.len(),
            len,
            "gather: sample {i} has {} values, but {c} channels of {pixels} pixels need {len}",
            x.len()
        );
        x
    };
    isa.run(Transpose { streams: n, c, pixels, channels, stream, finish: scaling, y });
}

fn check_lengths<T>(what: &str, [c, pixels, n]: [usize; 3], x: &[T], y: &[T]) {
    let len = c.saturating_mul(pixels).saturating_mul(n);
    assert!(
        x.len() == len && y.len() == len,
        "{what}: x has {} and y {} elements, but {c} channels of {pixels} pixels and {n} samples need {len}",
        x.len(),
        y.len()
    );
}

/// The type of a stream's values.
trait Source<T>: bytemuck::Pod {
    fn convert(self) -> T;
}

impl<T: Element> Source<T> for u8 {
    #[inline(always)]
    fn convert(self) -> T {
        T::from_f64(f64::from(self))
    }
}

impl<T: Element, U: Element> Source<T> for U {
    #[inline(always)]
    fn convert(self) -> T {
        T::from_f64(self.to_f64())
    }
}

/// The operation on a row of a channel before it is written.
trait Finish<T, U>: Copy {
    fn row(self, channel: usize, x: &[U], y: &mut [T]);
}

#[derive(Clone, Copy)]
struct Unchanged;

impl<T: Element> Finish<T, T> for Unchanged {
    #[inline(always)]
    fn row(self, _: usize, x: &[T], y: &mut [T]) {
        y.copy_from_slice(x);
    }
}

impl<T: Element, U: Source<T>> Finish<T, U> for Scaling<'_, T> {
    #[inline(always)]
    fn row(self, channel: usize, x: &[U], y: &mut [T]) {
        let (scale, shift) = (self.scale[channel], self.shift[channel]);
        for (y, x) in y.iter_mut().zip(x) {
            *y = scale * x.convert() + shift;
        }
    }
}

/// The number of streams in a tile.
const STREAMS: usize = 32;
/// The number of bytes of each stream in a tile: a cache line.
const LINE_BYTES: usize = 64;
const LINE_WORDS: usize = LINE_BYTES / 8;

/// `y[channel * pixels + pixel][i] = finish(stream(i)[q])`, where value `q` of a stream belongs to
/// `(channel, pixel)`. The order `channels` says which of the two changes faster with `q`.
struct Transpose<'a, T, F, M> {
    streams: usize,
    c: usize,
    pixels: usize,
    channels: Channels,
    stream: F,
    finish: M,
    y: &'a mut [T],
}

impl<'x, T, U, F, M> Kernel for Transpose<'_, T, F, M>
where
    T: Element,
    U: bytemuck::Pod,
    F: Fn(usize) -> &'x [U],
    M: Finish<T, U>,
{
    type Output = ();

    #[inline(always)]
    fn run<S: Level>(self, _: S) {
        let Self { streams, c, pixels, channels, stream, finish, y } = self;
        let len = c * pixels;
        let tile_rows = LINE_BYTES / size_of::<U>();
        for first in (0..streams).step_by(STREAMS) {
            let width = STREAMS.min(streams - first);
            let mut sources: [&[U]; STREAMS] = [&[]; STREAMS];
            for (i, source) in sources[..width].iter_mut().enumerate() {
                *source = &stream(first + i)[..len];
            }
            let [mut channel, mut pixel] = [0, 0];
            for q in (0..len).step_by(tile_rows) {
                let height = tile_rows.min(len - q);
                let tile = read_tile(&sources[..width], q, height);
                let (rows, _) = bytemuck::cast_slice::<u64, U>(&tile).as_chunks::<STREAMS>();
                for row in &rows[..height] {
                    let y = &mut y[(channel * pixels + pixel) * streams + first..][..width];
                    // A row of constant length compiles to a few vector operations.
                    match y.first_chunk_mut::<STREAMS>() {
                        Some(y) => finish.row(channel, row, y),
                        None => finish.row(channel, &row[..width], y),
                    }
                    [channel, pixel] = next(channels, [channel, pixel], [c, pixels]);
                }
            }
        }
    }
}

/// The channel and the pixel of a stream's next value. There are `c` channels of `pixels` pixels.
#[inline(always)]
fn next(channels: Channels, [channel, pixel]: [usize; 2], [c, pixels]: [usize; 2]) -> [usize; 2] {
    match channels {
        Channels::Last if channel + 1 == c => [0, pixel + 1],
        Channels::Last => [channel + 1, pixel],
        Channels::First if pixel + 1 == pixels => [channel + 1, 0],
        Channels::First => [channel, pixel + 1],
    }
}

/// A tile of `rows x STREAMS` elements of some type, as words.
type TileWords = [u64; STREAMS * LINE_WORDS];

/// Row `r` of the tile is `sources[..][q + r]`.
#[inline(always)]
fn read_tile<U: bytemuck::Pod>(sources: &[&[U]], q: usize, height: usize) -> TileWords {
    let per_word = 8 / size_of::<U>();
    let row_words = STREAMS / per_word;
    let mut tile = [0; STREAMS * LINE_WORDS];
    for (g, group) in sources.chunks(per_word).enumerate() {
        let mut lines = [[0; LINE_WORDS]; 8];
        for (line, source) in lines.iter_mut().zip(group) {
            *line = read_line(&source[q..q + height]);
        }
        transpose_words(&mut lines, per_word);
        for k in 0..per_word {
            for l in 0..LINE_WORDS {
                tile[(l * per_word + k) * row_words + g] = lines[k][l].to_le();
            }
        }
    }
    tile
}

/// The bytes of `x`, which are at most a cache line, followed by zeros.
#[inline(always)]
fn read_line<U: bytemuck::Pod>(x: &[U]) -> [u64; LINE_WORDS] {
    let x = bytemuck::cast_slice::<U, u8>(x);
    let mut bytes = [0; LINE_BYTES];
    match x.first_chunk::<LINE_BYTES>() {
        Some(line) => bytes = *line,
        None => bytes[..x.len()].copy_from_slice(x),
    }
    let mut line: [u64; LINE_WORDS] = bytemuck::cast(bytes);
    for word in &mut line {
        *word = u64::from_le(*word);
    }
    line
}

/// For every `l`, transposes the `k x k` matrix of elements whose rows are word `l` of the first
/// `k = per_word` lines. The two blocks off the diagonal change places: first blocks of half the size, then
/// of a quarter, and so on.
#[inline(always)]
#[expect(
    clippy::needless_range_loop,
    reason = "with iterators the compiler does not exchange the words in vectors, which is 2.5 times slower"
)]
fn transpose_words(lines: &mut [[u64; LINE_WORDS]; 8], per_word: usize) {
    let mut distance = per_word / 2;
    while distance > 0 {
        let shift = distance * (64 / per_word);
        let mask = low_blocks(shift);
        for a in 0..per_word {
            if a & distance == 0 {
                let b = a + distance;
                for l in 0..LINE_WORDS {
                    let differ = ((lines[a][l] >> shift) ^ lines[b][l]) & mask;
                    lines[a][l] ^= differ << shift;
                    lines[b][l] ^= differ;
                }
            }
        }
        distance /= 2;
    }
}

/// A mask of every other block of `bits` bits, beginning with the lowest block.
#[inline(always)]
fn low_blocks(bits: usize) -> u64 {
    u64::MAX / ((1 << bits) + 1)
}
