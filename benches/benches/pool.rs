//! Pooling: the 2x2 maxima of simplecnn and VGG-11, the global average of ResNet-20, and the overlapping
//! windows of ResNet stems and Inception blocks.

use isograd_benches::{Buffer, Suite, Work, assert_close, integers, widen};
use isograd_kernels::pool::{
    Divisor, Pool2d, Pool2dShape, Rounding, average_pool, average_pool_backward, max_pool, max_pool_backward,
    max_pool_eval,
};
use isograd_kernels::reference::pool::Maxima;
use isograd_kernels::{Isa, reference};

/// Pooling with square windows of `n` samples of `c` channels of `size x size` pixels.
struct Layer {
    name: &'static str,
    c: usize,
    size: usize,
    n: usize,
    window: usize,
    stride: usize,
    padding: usize,
}

impl Layer {
    /// Windows side by side.
    const fn tiling(name: &'static str, c: usize, size: usize, n: usize, window: usize) -> Self {
        Self { name, c, size, n, window, stride: window, padding: 0 }
    }

    /// Windows of 3x3 with one pixel of padding.
    const fn overlapping(name: &'static str, stride: usize) -> Self {
        Self { name, c: 16, size: 32, n: 32, window: 3, stride, padding: 1 }
    }

    fn shape(&self) -> Pool2dShape {
        let Self { c, size, window, stride, padding, .. } = *self;
        Pool2dShape {
            c,
            h: size,
            w: size,
            kh: window,
            kw: window,
            stride: stride.into(),
            padding: padding.into(),
            dilation: 1.into(),
            rounding: Rounding::Down,
            divisor: Divisor::Inside,
        }
    }

    fn pool(&self) -> Pool2d {
        Pool2d::new(self.shape()).expect("a valid shape")
    }

    fn inputs(&self) -> usize {
        self.c * self.size * self.size * self.n
    }

    fn outputs(&self) -> usize {
        let pool = self.pool();
        self.c * pool.oh() * pool.ow() * self.n
    }

    /// The memory traffic of one pass over the inputs, and of `passes` passes over buffers of the outputs'
    /// size.
    fn work(&self, passes: usize) -> Work {
        Work::streams(self.inputs() + passes * self.outputs(), 1, 1)
    }

    fn describe(&self, pass: &str) -> String {
        let Self { name, c, size, n, window, stride, .. } = self;
        format!("{pass} {name} {c} {size}x{size} {window}x{window} s{stride} n={n}")
    }
}

const MAXIMA: [Layer; 6] = [
    Layer::tiling("simplecnn", 8, 24, 32, 2),
    Layer::tiling("vgg11", 64, 32, 16, 2),
    Layer::tiling("vgg11", 256, 8, 16, 2),
    Layer::tiling("vgg11", 512, 2, 16, 2),
    Layer::overlapping("stem", 2),
    Layer::overlapping("inception", 1),
];

const AVERAGES: [Layer; 4] = [
    Layer::tiling("halves", 16, 32, 32, 2),
    Layer::tiling("resnet20", 64, 8, 32, 8),
    Layer::overlapping("stem", 2),
    Layer::overlapping("inception", 1),
];

fn maxima(suite: &mut Suite, isa: Isa, layer: &Layer) {
    let (pool, n) = (layer.pool(), layer.n);
    suite.kernel(isa, &layer.describe("max forward"), layer.work(2), || {
        let x = integers(layer.inputs(), 1);
        let (mut y, mut argmax) = (Buffer::zeroed(layer.outputs()), Buffer::zeroed(layer.outputs()));
        max_pool(isa, &pool, n, false, &x, &mut y, &mut argmax);
        let Maxima { y: best, argmax: index } =
            reference::pool::max_pool(&layer.shape(), n, false, &widen(&x));
        assert_close("max pooling", &y, &best, 0.0);
        assert_close("index of the maximum", &argmax, &index, 0.0);
        move || max_pool(isa, &pool, n, false, &x, &mut y, &mut argmax)
    });
    suite.kernel(isa, &layer.describe("max eval"), layer.work(1), || {
        let (x, mut y) = (integers(layer.inputs(), 1), Buffer::zeroed(layer.outputs()));
        max_pool_eval(isa, &pool, n, false, &x, &mut y);
        let Maxima { y: best, .. } = reference::pool::max_pool(&layer.shape(), n, false, &widen(&x));
        assert_close("max pooling", &y, &best, 0.0);
        move || max_pool_eval(isa, &pool, n, false, &x, &mut y)
    });
    suite.kernel(isa, &layer.describe("max backward"), layer.work(2), || {
        let mut argmax = integers(layer.outputs(), 1);
        let taps = (layer.window * layer.window) as f32;
        argmax.iter_mut().for_each(|index| *index = index.rem_euclid(taps));
        let (dy, mut dx) = (integers(layer.outputs(), 2), Buffer::zeroed(layer.inputs()));
        max_pool_backward(isa, &pool, n, &argmax, &dy, &mut dx);
        let expected = reference::pool::max_pool_backward(&layer.shape(), n, &widen(&argmax), &widen(&dy));
        assert_close("gradient of max pooling", &dx, &expected, 0.0);
        move || max_pool_backward(isa, &pool, n, &argmax, &dy, &mut dx)
    });
}

/// The tolerance: a few roundings of a sum of at most nine terms below 4.
const TOLERANCE: f64 = 1e-5;

fn averages(suite: &mut Suite, isa: Isa, layer: &Layer) {
    let (pool, n) = (layer.pool(), layer.n);
    suite.kernel(isa, &layer.describe("average forward"), layer.work(1), || {
        let (x, mut y) = (integers(layer.inputs(), 1), Buffer::zeroed(layer.outputs()));
        average_pool(isa, &pool, n, &x, &mut y);
        let expected = reference::pool::average_pool(&layer.shape(), n, &widen(&x));
        assert_close("average pooling", &y, &expected, TOLERANCE);
        move || average_pool(isa, &pool, n, &x, &mut y)
    });
    suite.kernel(isa, &layer.describe("average backward"), layer.work(1), || {
        let (dy, mut dx) = (integers(layer.outputs(), 1), Buffer::zeroed(layer.inputs()));
        average_pool_backward(isa, &pool, n, &dy, &mut dx);
        let expected = reference::pool::average_pool_backward(&layer.shape(), n, &widen(&dy));
        assert_close("gradient of average pooling", &dx, &expected, TOLERANCE);
        move || average_pool_backward(isa, &pool, n, &dy, &mut dx)
    });
}

fn main() {
    let mut suite = Suite::new("pool");
    for isa in suite.levels() {
        for layer in &MAXIMA {
            maxima(&mut suite, isa, layer);
        }
        for layer in &AVERAGES {
            averages(&mut suite, isa, layer);
        }
    }
    suite.finish();
}
