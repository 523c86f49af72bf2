//! Streams over activations: activation functions, arithmetic, reductions, dropout masks, the loss, the sum over shards.

use isograd_benches::{Buffer, Suite, Work, assert_close, integers, widen};
use isograd_comm::tree;
use isograd_kernels::dropout::dropout_mask;
use isograd_kernels::philox::{Purpose, Rng};
use isograd_kernels::reference::loss as reference_loss;
use isograd_kernels::{Accum, Isa, activation, elementwise, loss, reduce, softmax};

/// Shards' outputs of a first convolution.
const ACTIVATIONS: [(&str, usize); 3] =
    [("simplecnn", 4 * 26 * 26 * 32), ("resnet20", 16 * 32 * 32 * 32), ("vgg11", 64 * 32 * 32 * 16)];

/// Outputs within this are right: each function promises 3 units in the last place of a value of at most 1.
const TOLERANCE: f64 = 4.0 * f32::EPSILON as f64;

/// A kernel of one input with its formula and tolerance.
type Unary = (&'static str, fn(Isa, &[f32], &mut [f32]), fn(f64) -> f64, f64);

/// A kernel of two inputs with its formula.
type Binary = (&'static str, fn(Isa, &[f32], &[f32], &mut [f32]), fn(f64, f64) -> f64);

const UNARY: [Unary; 3] = [
    ("relu", activation::relu, |x| x.max(0.0), 0.0),
    ("sigmoid", activation::sigmoid, |x| 1.0 / (1.0 + (-x).exp()), TOLERANCE),
    ("tanh", activation::tanh, f64::tanh, TOLERANCE),
];

const BINARY: [Binary; 3] = [
    ("relu backward", activation::relu_backward, |y, dy| if y <= 0.0 { 0.0 } else { dy }),
    ("add", elementwise::add, |a, b| a + b),
    ("mul", elementwise::mul, |a, b| a * b),
];

fn maps(suite: &mut Suite, isa: Isa, net: &str, len: usize) {
    for (name, kernel, formula, tolerance) in UNARY {
        suite.kernel(isa, &format!("{name} {net} {len}"), Work::streams(len, 2, 2), || {
            let (x, mut y) = (integers(len, 1), Buffer::zeroed(len));
            kernel(isa, &x, &mut y);
            let expected: Vec<f64> = x.iter().map(|x| formula(f64::from(*x))).collect();
            assert_close(name, &y, &expected, tolerance);
            move || kernel(isa, &x, &mut y)
        });
    }
    for (name, kernel, formula) in BINARY {
        suite.kernel(isa, &format!("{name} {net} {len}"), Work::streams(len, 3, 3), || {
            let (a, b, mut y) = (integers(len, 1), integers(len, 2), Buffer::zeroed(len));
            kernel(isa, &a, &b, &mut y);
            let expected: Vec<f64> =
                a.iter().zip(&*b).map(|(a, b)| formula((*a).into(), (*b).into())).collect();
            assert_close(name, &y, &expected, 0.0);
            move || kernel(isa, &a, &b, &mut y)
        });
    }
}

/// What a bias adds to each row, and its gradient.
fn rows(suite: &mut Suite, isa: Isa, net: &str, rows: usize, n: usize) {
    suite.kernel(isa, &format!("add bias {net} {rows}x{n}"), Work::streams(rows * n, 2, 1), || {
        let (bias, mut y) = (integers(rows, 1), integers(rows * n, 2));
        let expected: Vec<f64> = y.iter().enumerate().map(|(i, y)| f64::from(y + bias[i / n])).collect();
        elementwise::add_bias(isa, rows, n, &bias, &mut y);
        assert_close("add bias", &y, &expected, 0.0);
        move || elementwise::add_bias(isa, rows, n, &bias, &mut y)
    });
    suite.kernel(isa, &format!("sum rows {net} {rows}x{n}"), Work::streams(rows * n, 1, 1), || {
        let (x, mut y) = (integers(rows * n, 1), Buffer::zeroed(rows));
        reduce::sum_rows(isa, rows, n, &x, Accum::Replace, &mut y);
        let expected: Vec<f64> = x.chunks(n).map(|row| widen(row).iter().sum()).collect();
        assert_close("sum rows", &y, &expected, 0.0);
        move || reduce::sum_rows(isa, rows, n, &x, Accum::Replace, &mut y)
    });
}

fn dropout(suite: &mut Suite, isa: Isa, net: &str, features: usize, n: usize) {
    suite.kernel(
        isa,
        &format!("dropout mask {net} {features}x{n}"),
        Work::streams(features * n, 1, 1),
        || {
            let (rng, mut mask) = (Rng::new(1, Purpose::Dropout), Buffer::zeroed(features * n));
            dropout_mask(isa, &rng, 0, features, n, 0.5, &mut mask);
            // A fair coin is outside five standard deviations once in two million masks; this one's seed is fixed.
            let (dropped, deviation) =
                (mask.iter().filter(|m| **m == 0.0).count(), (mask.len() as f64).sqrt() / 2.0);
            let surplus = dropped as f64 - mask.len() as f64 / 2.0;
            assert!(surplus.abs() < 5.0 * deviation, "dropout mask: {dropped} of {} are dropped", mask.len());
            assert!(mask.iter().all(|m| [0.0, 2.0].contains(m)), "dropout mask: other values than 0 and 2");
            move || dropout_mask(isa, &rng, 0, features, n, 0.5, &mut mask)
        },
    );
}

fn classes(suite: &mut Suite, isa: Isa, classes: usize, n: usize) {
    let len = classes * n;
    suite.kernel(isa, &format!("softmax {classes}x{n}"), Work::streams(len, 2, 2), || {
        let (x, mut y) = (integers(len, 1), Buffer::zeroed(len));
        softmax::softmax(isa, classes, n, &x, &mut y);
        let expected = isograd_kernels::reference::activation::softmax(classes, n, &widen(&x));
        assert_close("softmax", &y, &expected, TOLERANCE);
        move || softmax::softmax(isa, classes, n, &x, &mut y)
    });
    suite.kernel(isa, &format!("softmax cross-entropy {classes}x{n}"), Work::streams(len, 3, 3), || {
        let logits = integers(len, 1);
        let labels: Vec<u32> = (0..n).map(|sample| (sample % classes) as u32).collect();
        let (mut probs, mut dlogits, scale) = (Buffer::zeroed(len), Buffer::zeroed(len), 1.0 / n as f64);
        let total =
            loss::softmax_cross_entropy(isa, classes, n, &logits, &labels, scale, &mut probs, &mut dlogits);
        let wide = widen(&logits);
        let expected = reference_loss::softmax_cross_entropy(classes, n, &wide, &labels);
        assert_close("loss", &[total as f32], &[expected], 1e-6);
        let gradient = reference_loss::softmax_cross_entropy_backward(classes, n, &wide, &labels, scale);
        assert_close("gradient of the loss", &dlogits, &gradient, TOLERANCE);
        move || {
            let total = loss::softmax_cross_entropy(
                isa,
                classes,
                n,
                &logits,
                &labels,
                scale,
                &mut probs,
                &mut dlogits,
            );
            std::hint::black_box(total);
        }
    });
}

fn shards(suite: &mut Suite, isa: Isa, net: &str, shards: usize, len: usize) {
    let work = Work::streams(len, shards + 1, shards + 1);
    suite.kernel(isa, &format!("tree sum {net} {shards} shards of {len}"), work, || {
        let gradients: Vec<Buffer> = (0..shards).map(|shard| integers(len, shard as u64)).collect();
        let nodes: Vec<_> = (0..shards).map(|shard| shard..shard + 1).collect();
        let mut y = Buffer::zeroed(len);
        tree::sum(&nodes, |shard| &*gradients[shard], &mut y);
        let expected: Vec<f64> = (0..len).map(|i| gradients.iter().map(|g| f64::from(g[i])).sum()).collect();
        assert_close("tree sum", &y, &expected, 0.0);
        move || tree::sum(&nodes, |shard| &*gradients[shard], &mut y)
    });
}

fn main() {
    let mut suite = Suite::new("elementwise");
    for isa in suite.levels() {
        for (net, len) in ACTIVATIONS {
            maps(&mut suite, isa, net, len);
        }
        rows(&mut suite, isa, "simplecnn", 128, 32);
        rows(&mut suite, isa, "resnet20", 16, 32 * 32 * 32);
        dropout(&mut suite, isa, "simplecnn", 128, 32);
        classes(&mut suite, isa, 10, 32);
        shards(&mut suite, isa, "simplecnn", 2, 149_210);
        shards(&mut suite, isa, "simplecnn", 8, 149_210);
    }
    suite.finish();
}
