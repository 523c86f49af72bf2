//! Pooling: the 2x2 maxima of simplecnn and VGG-11, and the global average of ResNet-20.

use isograd_benches::{Buffer, Suite, Work, assert_close, integers, widen};
use isograd_kernels::pool::{Pool2d, average_pool, average_pool_backward, max_pool, max_pool_backward};
use isograd_kernels::{Activation, Isa, reference};

/// `c` channels of `size x size` pixels, `n` samples, square windows side by side.
struct Layer {
    name: &'static str,
    c: usize,
    size: usize,
    n: usize,
    window: usize,
}

impl Layer {
    fn pool(&self) -> Pool2d {
        let window = [self.window; 2];
        Pool2d::new(self.c, self.size, self.size, window, window, [0, 0], [1, 1]).expect("a valid shape")
    }

    fn inputs(&self) -> usize {
        self.c * self.size * self.size * self.n
    }

    fn outputs(&self) -> usize {
        self.inputs() / (self.window * self.window)
    }

    /// The traffic of one pass over the inputs and `passes` over buffers of the outputs' size.
    fn work(&self, passes: usize) -> Work {
        Work::streams(self.inputs() + passes * self.outputs(), 1, 1)
    }

    fn describe(&self, pass: &str) -> String {
        let Self { name, c, size, n, window } = self;
        format!("{pass} {name} {c} {size}x{size} {window}x{window} n={n}")
    }
}

const MAXIMA: [Layer; 4] = [
    Layer { name: "simplecnn", c: 8, size: 24, n: 32, window: 2 },
    Layer { name: "vgg11", c: 64, size: 32, n: 16, window: 2 },
    Layer { name: "vgg11", c: 256, size: 8, n: 16, window: 2 },
    Layer { name: "vgg11", c: 512, size: 2, n: 16, window: 2 },
];

const GLOBAL_AVERAGE: Layer = Layer { name: "resnet20", c: 64, size: 8, n: 32, window: 8 };

fn maxima(suite: &mut Suite, isa: Isa, layer: &Layer) {
    let (pool, n) = (layer.pool(), layer.n);
    suite.kernel(isa, &layer.describe("max forward"), layer.work(2), || {
        let x = integers(layer.inputs(), 1);
        let (mut y, mut argmax) = (Buffer::zeroed(layer.outputs()), Buffer::zeroed(layer.outputs()));
        max_pool(isa, &pool, n, Activation::Identity, &x, &mut y, &mut argmax);
        let (best, index) = reference::pool::max_pool(&pool, n, Activation::Identity, &widen(&x));
        assert_close("max pooling", &y, &best, 0.0);
        assert_close("index of the maximum", &argmax, &index, 0.0);
        move || max_pool(isa, &pool, n, Activation::Identity, &x, &mut y, &mut argmax)
    });
    suite.kernel(isa, &layer.describe("max backward"), layer.work(2), || {
        let mut argmax = integers(layer.outputs(), 1);
        argmax.iter_mut().for_each(|index| *index = index.rem_euclid(4.0));
        let (dy, mut dx) = (integers(layer.outputs(), 2), Buffer::zeroed(layer.inputs()));
        max_pool_backward(isa, &pool, n, &argmax, &dy, &mut dx);
        let expected = reference::pool::max_pool_backward(&pool, n, &widen(&argmax), &widen(&dy));
        assert_close("gradient of max pooling", &dx, &expected, 0.0);
        move || max_pool_backward(isa, &pool, n, &argmax, &dy, &mut dx)
    });
}

/// Sums of integers over a power of two: exact.
fn averages(suite: &mut Suite, isa: Isa, layer: &Layer) {
    let (pool, n) = (layer.pool(), layer.n);
    suite.kernel(isa, &layer.describe("average forward"), layer.work(1), || {
        let (x, mut y) = (integers(layer.inputs(), 1), Buffer::zeroed(layer.outputs()));
        average_pool(isa, &pool, n, &x, &mut y);
        let expected = reference::pool::average_pool(&pool, n, &widen(&x));
        assert_close("average pooling", &y, &expected, 0.0);
        move || average_pool(isa, &pool, n, &x, &mut y)
    });
    suite.kernel(isa, &layer.describe("average backward"), layer.work(1), || {
        let (dy, mut dx) = (integers(layer.outputs(), 1), Buffer::zeroed(layer.inputs()));
        average_pool_backward(isa, &pool, n, &dy, &mut dx);
        let expected = reference::pool::average_pool_backward(&pool, n, &widen(&dy));
        assert_close("gradient of average pooling", &dx, &expected, 0.0);
        move || average_pool_backward(isa, &pool, n, &dy, &mut dx)
    });
}

fn main() {
    let mut suite = Suite::new("pool");
    for isa in suite.levels() {
        for layer in &MAXIMA {
            maxima(&mut suite, isa, layer);
        }
        averages(&mut suite, isa, &GLOBAL_AVERAGE);
    }
    suite.finish();
}
