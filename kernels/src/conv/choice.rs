//! Which path each pass of a convolution takes: by its shape alone, or as the caller says.

use super::{Conv2dShape, ConvError, Path, winograd};

/// The weight gradient is direct where the output has at least this many pixels.
const MIN_DIRECT_PIXELS: usize = 9;

/// With fewer channels or filters, the transforms of Winograd's algorithm take longer than the products that
/// it saves: with 12, F(4, 3) is twice as fast forward and 1.07 times in the weight gradient, with 8 1.4 and
/// 0.98 times.
const MIN_WINOGRAD_CHANNELS: usize = 12;
/// With as many channels and filters, Winograd's algorithm is faster than the direct path even for one
/// sample.
const MANY_CHANNELS: usize = 32;
/// With fewer channels, it is so from this many samples on.
const MIN_SAMPLES: usize = 8;
/// F(4, 3) makes 2.25 times the products that it needs on an output of 2x2 pixels, F(2, 3) none too many.
const MIN_F4_PIXELS: usize = 3;
/// The sums of the weight gradient in F(4, 3) take 36 elements for each pair of channels: from so many pairs
/// on, they are beyond the caches, and the 16 of F(2, 3) are faster.
const MANY_PAIRS: usize = 1 << 16;

/// With so many channels and filters, a matrix product is the fastest forward pass over one or two samples:
/// the direct path packs weights for each of few outputs. At 512 channels of 7x7 pixels, one sample takes 3.1
/// ms, directly 15 ms.
const PRODUCT_CHANNELS: usize = 32;
/// The kernel has at least so many elements then. With fewer, the copy takes longer than the product.
const PRODUCT_KERNEL: usize = 9;
const PRODUCT_SAMPLES: usize = 2;
/// With at least so many tiles of all samples, Winograd's algorithm is faster than that. With fewer, lanes of
/// its products are empty, and its weights are four times as many to read: one sample of 256 channels takes
/// 0.5 times as long at 14x14 pixels, one of 512 channels 1.5 times at 7x7.
const PRODUCT_TILES: usize = 8;

/// How the factors of a product are multiplied. Sums are always in the element type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Precision {
    /// As they are.
    #[default]
    Full,
    /// Rounded to bfloat16, to eight bits of precision; for f32 alone. On the direct path they are not
    /// rounded.
    Bfloat16,
}

impl Precision {
    /// The number of factors in an element of prepared or transformed values.
    pub(super) fn terms(self) -> usize {
        match self {
            Self::Full => 1,
            Self::Bfloat16 => 2,
        }
    }
}

/// With at least so many channels and filters, a kernel with strides is faster as a matrix product, forward
/// and in the input gradient: 1.1 and 1.5 times.
const STRIDED_PRODUCT_CHANNELS: usize = 128;
/// The same for the weight gradient, twice as fast for outputs of fewer pixels than this.
const STRIDED_PRODUCT_PIXELS: usize = 64;

/// With at least so many channels and filters, F(2, 3) in bfloat16 is faster than F(4, 3) in f32: 1.1 times
/// with 128, 1.5 times with 256.
const BF16_CHANNELS: usize = 128;
/// The same for the weight gradient.
const BF16_GRADIENT_CHANNELS: usize = 256;
/// A matrix product in bfloat16, which copies, is faster than the direct path in f32 for sums of at least so
/// many terms and with so many filters.
const BF16_TERMS: usize = 96;
const BF16_FILTERS: usize = 48;
/// The same for the weight gradient, and with so many channels.
const BF16_GRADIENT_TERMS: usize = 256;
const BF16_GRADIENT_PRODUCT: usize = 32;
/// The weight gradient of a kernel of one element waits for memory with fewer channels or filters.
const BF16_GRADIENT_SINGLE: usize = 128;

/// The path of each pass. The passes do not depend on each other: any three paths that [serve](Path::serves)
/// the shape go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paths {
    /// The path of the forward pass.
    pub forward: Path,
    /// The path of the gradient by the input.
    pub input_gradient: Path,
    /// The path of the gradient by the weights.
    pub weight_gradient: Path,
    /// A pass over fewer samples is direct where its path is Winograd's. With 0, each pass takes its path
    /// whatever the number of samples.
    pub least_samples: usize,
    /// A forward pass over at most so many samples takes [`Path::Im2col`], whatever its path. With 0, none
    /// does.
    pub product_samples: usize,
    /// How factors are multiplied in the forward pass and the input gradient.
    pub precision: Precision,
    /// How factors are multiplied in the weight gradient.
    pub weight_gradient_precision: Precision,
}

impl Paths {
    /// One path for all passes, whatever the number of samples.
    pub fn all(path: Path) -> Self {
        Self {
            forward: path,
            input_gradient: path,
            weight_gradient: path,
            least_samples: 0,
            product_samples: 0,
            precision: Precision::Full,
            weight_gradient_precision: Precision::Full,
        }
    }

    /// The paths that the [module's table](super) gives to `shape`.
    ///
    /// # Errors
    ///
    /// When the shape is no convolution, as [`Conv2d::new`](super::Conv2d::new).
    pub fn by_shape(shape: &Conv2dShape) -> Result<Self, ConvError> {
        let [rows, columns] = shape.axes()?;
        Ok(Self::new(shape, rows.outputs, columns.outputs))
    }

    /// The paths for `shape` with factors in bfloat16: where they are faster in it, by the module's second
    /// table; the others are those of [`by_shape`](Self::by_shape).
    ///
    /// # Errors
    ///
    /// As [`by_shape`](Self::by_shape).
    pub fn by_shape_bf16(shape: &Conv2dShape) -> Result<Self, ConvError> {
        let full = Self::by_shape(shape)?;
        let Conv2dShape { c, f, kh, kw, groups, .. } = *shape;
        let (channels, terms) = (c.min(f), c / groups * kh * kw);
        let rounded = Precision::Bfloat16;
        if shape.is_product() {
            let few = channels / groups < BF16_GRADIENT_SINGLE;
            let weight_gradient_precision = if few { Precision::Full } else { rounded };
            return Ok(Self { precision: rounded, weight_gradient_precision, ..full });
        }
        if groups > 1 {
            return Ok(full);
        }
        let mut paths = full;
        if full.forward.is_winograd() {
            if channels >= BF16_CHANNELS {
                paths.precision = rounded;
                (paths.forward, paths.input_gradient) = (Path::WinogradF2, Path::WinogradF2);
            }
            if channels >= BF16_GRADIENT_CHANNELS {
                paths.weight_gradient_precision = rounded;
                let many = c * f > MANY_PAIRS || !full.weight_gradient.is_winograd();
                paths.weight_gradient = if many { Path::Im2col } else { Path::WinogradF2 };
            }
            return Ok(paths);
        }
        if terms >= BF16_TERMS && f >= BF16_FILTERS {
            paths.precision = rounded;
            (paths.forward, paths.input_gradient) = (Path::Im2col, Path::Im2col);
        }
        if terms >= BF16_GRADIENT_TERMS && channels >= BF16_GRADIENT_PRODUCT {
            paths.weight_gradient_precision = rounded;
            paths.weight_gradient = Path::Im2col;
        }
        Ok(paths)
    }

    /// These paths with factors in bfloat16, but for weight gradients of so few channels that they would be
    /// slower.
    #[must_use]
    pub fn in_bf16(self, shape: &Conv2dShape) -> Self {
        let enough = if shape.is_product() { BF16_GRADIENT_SINGLE } else { BF16_CHANNELS };
        let channels = shape.c.min(shape.f) / shape.groups;
        let of_gradient = if channels < enough { Precision::Full } else { Precision::Bfloat16 };
        Self { precision: Precision::Bfloat16, weight_gradient_precision: of_gradient, ..self }
    }

    /// The paths of the forward pass, the input gradient and the weight gradient, in this order.
    pub fn each(&self) -> [Path; 3] {
        [self.forward, self.input_gradient, self.weight_gradient]
    }

    /// The paths of these passes over `n` samples.
    pub fn over(&self, n: usize) -> [Path; 3] {
        [self.forward_of(n), self.input_gradient_of(n), self.weight_gradient_of(n)]
    }

    /// How factors are multiplied in these passes.
    pub fn precisions(&self) -> [Precision; 3] {
        [self.precision, self.precision, self.weight_gradient_precision]
    }

    /// The path of the forward pass over `n` samples.
    pub(super) fn forward_of(&self, n: usize) -> Path {
        if n <= self.product_samples { Path::Im2col } else { self.unless_few(self.forward, n) }
    }

    /// The path of the input gradient of `n` samples.
    pub(super) fn input_gradient_of(&self, n: usize) -> Path {
        self.unless_few(self.input_gradient, n)
    }

    /// The path of the weight gradient of `n` samples.
    pub(super) fn weight_gradient_of(&self, n: usize) -> Path {
        self.unless_few(self.weight_gradient, n)
    }

    fn unless_few(&self, path: Path, n: usize) -> Path {
        if path.is_winograd() && n < self.least_samples { Path::Direct } else { path }
    }

    /// Checks that `shape` is a convolution and that all paths serve it, in no memory.
    ///
    /// # Errors
    ///
    /// As [`Conv2d::with_paths`](super::Conv2d::with_paths).
    pub fn check(&self, shape: &Conv2dShape) -> Result<(), ConvError> {
        shape.axes()?;
        match self.each().iter().all(|path| path.serves(shape)) {
            true => Ok(()),
            false => Err(ConvError::NoWinograd { shape: Box::new(*shape) }),
        }
    }

    /// The paths of `shape`, whose output has `oh` x `ow` pixels.
    fn new(shape: &Conv2dShape, oh: usize, ow: usize) -> Self {
        if shape.is_product() {
            return Self::all(Path::Im2col);
        }
        let long_dots = oh * ow >= MIN_DIRECT_PIXELS || shape.is_depthwise();
        let weight_gradient = if long_dots { Path::Direct } else { Path::Im2col };
        let (c, f) = (shape.c, shape.f);
        let least_samples = if c.min(f) < MANY_CHANNELS { MIN_SAMPLES } else { 0 };
        let is_large =
            shape.groups == 1 && c.min(f) >= PRODUCT_CHANNELS && shape.kh * shape.kw >= PRODUCT_KERNEL;
        let product_samples = if is_large { PRODUCT_SAMPLES } else { 0 };
        let others = Self { weight_gradient, least_samples, product_samples, ..Self::all(Path::Direct) };
        if !shape.allows_winograd() || c.min(f) < MIN_WINOGRAD_CHANNELS {
            let has_stride = shape.stride.h * shape.stride.w > 1;
            if !has_stride || !is_large || c.min(f) < STRIDED_PRODUCT_CHANNELS {
                return others;
            }
            let few = oh * ow < STRIDED_PRODUCT_PIXELS;
            let weight_gradient = if few { Path::Im2col } else { others.weight_gradient };
            return Self { forward: Path::Im2col, input_gradient: Path::Im2col, weight_gradient, ..others };
        }
        let path = winograd_path(oh, ow);
        let weight_gradient = match path {
            Path::WinogradF4 if c * f > MANY_PAIRS => Path::WinogradF2,
            Path::WinogradF4 => path,
            _ => weight_gradient,
        };
        let side = winograd::tile_of(path).expect("the path is Winograd's");
        let tiles = oh.div_ceil(side) * ow.div_ceil(side);
        let product_samples = product_samples.min((PRODUCT_TILES - 1) / tiles);
        Self { forward: path, input_gradient: path, weight_gradient, product_samples, ..others }
    }
}

/// The Winograd path for outputs of `oh` x `ow` pixels.
pub(super) fn winograd_path(oh: usize, ow: usize) -> Path {
    if oh.min(ow) < MIN_F4_PIXELS { Path::WinogradF2 } else { Path::WinogradF4 }
}
