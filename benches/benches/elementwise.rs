//! Kernels that read activations in order: activation functions, arithmetic, reductions, dropout,
//! losses, and the sum over shards.

use isograd_benches::{Buffer, Suite, Work, assert_close, integers, widen};
use isograd_comm::tree;
use isograd_kernels::dropout::Dropout;
use isograd_kernels::philox::{Purpose, Rng};
use isograd_kernels::reference::{activation as reference, loss as reference_loss};
use isograd_kernels::{Accum, Activation, Isa, activation, elementwise, loss, reduce, softmax};

/// The number of outputs of a first convolution, for one shard.
const ACTIVATIONS: [(&str, usize); 3] =
    [("simplecnn", 4 * 26 * 26 * 32), ("resnet20", 16 * 32 * 32 * 32), ("vgg11", 64 * 32 * 32 * 16)];

/// The tolerance of an output. Each function promises an error of 3 units in the last place of a value of at
/// most 1.
const TOLERANCE: f64 = 4.0 * f32::EPSILON as f64;

/// The tolerance of the logarithm of a sum over up to a thousand classes.
const SUM_TOLERANCE: f64 = 1e-5;

/// A kernel with one input, its formula and its tolerance.
type Unary = (&'static str, fn(Isa, &[f32], &mut [f32]), fn(f64) -> f64, f64);

/// A kernel with two inputs and its formula, which is exact for small whole numbers.
type Binary = (&'static str, fn(Isa, &[f32], &[f32], &mut [f32]), fn(f64, f64) -> f64);

const UNARY: [Unary; 3] = [
    ("relu", activation::relu, |x| x.max(0.0), 0.0),
    ("sigmoid", activation::sigmoid, |x| 1.0 / (1.0 + (-x).exp()), TOLERANCE),
    ("tanh", activation::tanh, f64::tanh, TOLERANCE),
];

const BINARY: [Binary; 6] = [
    ("relu backward", activation::relu_backward, |y, dy| if y <= 0.0 { 0.0 } else { dy }),
    ("sigmoid backward", activation::sigmoid_backward, |y, dy| dy * y * (1.0 - y)),
    ("tanh backward", activation::tanh_backward, |y, dy| dy * (1.0 - y * y)),
    ("add", |isa, a, b, y| elementwise::add(isa, a, b, Activation::Identity, y), |a, b| a + b),
    ("add relu", |isa, a, b, y| elementwise::add(isa, a, b, Activation::Relu, y), |a, b| (a + b).max(0.0)),
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

fn whole_sums(suite: &mut Suite, isa: Isa, net: &str, len: usize) {
    suite.kernel(isa, &format!("sum {net} {len}"), Work::streams(len, 1, 1), || {
        let x = integers(len, 1);
        assert_close("sum", &[reduce::sum(isa, &x)], &[widen(&x).iter().sum()], 0.0);
        move || {
            std::hint::black_box(reduce::sum(isa, &x));
        }
    });
    suite.kernel(isa, &format!("sum of squares {net} {len}"), Work::streams(len, 1, 1), || {
        let x = integers(len, 1);
        let expected = widen(&x).iter().map(|x| x * x).sum();
        assert_close("sum of squares", &[reduce::sum_of_squares(isa, &x)], &[expected], 0.0);
        move || {
            std::hint::black_box(reduce::sum_of_squares(isa, &x));
        }
    });
}

/// The addition of a bias to each row, and its gradient.
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
    let dropout = Dropout { rng: Rng::new(1, Purpose::Dropout), first_position: 0, rate: 0.5 };
    let run = move || {
        let (x, mut y) = (vec![1.0; features * n], Buffer::zeroed(features * n));
        let mut kept = Buffer::zeroed(features * Dropout::kept_len(n));
        dropout.forward(isa, 0..features, n, &x, &mut y, &mut kept);
        (x, y, kept)
    };
    let work = Work::streams(features * n, 2, 2);
    suite.kernel(isa, &format!("dropout {net} {features}x{n}"), work, || {
        let (x, mut y, mut kept) = run();
        // The count of a fair coin is outside five standard deviations in one of two million masks. The seed
        // is fixed, so this test does not fail by chance.
        let (dropped, deviation) = (y.iter().filter(|y| **y == 0.0).count(), (y.len() as f64).sqrt() / 2.0);
        let surplus = dropped as f64 - y.len() as f64 / 2.0;
        assert!(surplus.abs() < 5.0 * deviation, "dropout: {dropped} of {} are dropped", y.len());
        assert!(y.iter().all(|y| [0.0, 2.0].contains(y)), "dropout: other values than 0 and 2");
        move || dropout.forward(isa, 0..features, n, &x, &mut y, &mut kept)
    });
    suite.kernel(isa, &format!("dropout backward {net} {features}x{n}"), work, || {
        let (dy, y, kept) = run();
        let mut dx = Buffer::zeroed(features * n);
        dropout.backward(isa, features, n, &kept, &dy, &mut dx);
        assert_eq!(*dx, *y, "dropout: the gradients of ones are what ones became");
        move || dropout.backward(isa, features, n, &kept, &dy, &mut dx)
    });
}

fn classes(suite: &mut Suite, isa: Isa, classes: usize, n: usize) {
    let len = classes * n;
    suite.kernel(isa, &format!("softmax {classes}x{n}"), Work::streams(len, 2, 2), || {
        let (x, mut y) = (integers(len, 1), Buffer::zeroed(len));
        softmax::softmax(isa, classes, n, &x, &mut y);
        assert_close("softmax", &y, &reference::softmax(classes, n, &widen(&x)), TOLERANCE);
        move || softmax::softmax(isa, classes, n, &x, &mut y)
    });
    suite.kernel(isa, &format!("log-softmax {classes}x{n}"), Work::streams(len, 2, 2), || {
        let (x, mut y) = (integers(len, 1), Buffer::zeroed(len));
        softmax::log_softmax(isa, classes, n, &x, &mut y);
        assert_close("log-softmax", &y, &reference::log_softmax(classes, n, &widen(&x)), SUM_TOLERANCE);
        move || softmax::log_softmax(isa, classes, n, &x, &mut y)
    });
    suite.kernel(isa, &format!("softmax cross-entropy {classes}x{n}"), Work::streams(len, 3, 3), || {
        let logits = integers(len, 1);
        let labels: Vec<u32> = (0..n).map(|sample| (sample % classes) as u32).collect();
        let (mut probs, mut dlogits, scale) = (Buffer::zeroed(len), Buffer::zeroed(len), 1.0 / n as f64);
        let total =
            loss::softmax_cross_entropy(isa, classes, n, &logits, &labels, scale, &mut probs, &mut dlogits);
        let wide = widen(&logits);
        let expected = reference_loss::softmax_cross_entropy(classes, n, &wide, &labels);
        assert_close("loss", &[total as f32], &[expected], SUM_TOLERANCE);
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

/// A function that returns the total loss of outputs and targets, and writes the scaled gradient.
type VectorKernel = fn(Isa, &[f32], &[f32], f64, &mut [f32]) -> f64;

/// A loss of outputs and targets: the kernel, and the naive loss and gradient.
struct VectorLoss {
    name: &'static str,
    kernel: VectorKernel,
    loss: fn(&[f64], &[f64]) -> f64,
    gradient: fn(&[f64], &[f64], f64) -> Vec<f64>,
}

const VECTOR_LOSSES: [VectorLoss; 2] = [
    VectorLoss {
        name: "binary cross-entropy",
        kernel: |_, y, t, scale, dy| loss::binary_cross_entropy(y, t, scale, Some(dy)),
        loss: |y, t| reference_loss::binary_cross_entropy(y, t, CLAMP),
        gradient: |y, t, scale| reference_loss::binary_cross_entropy_backward(y, t, scale, CLAMP),
    },
    VectorLoss {
        name: "squared error",
        kernel: |isa, y, t, scale, dy| loss::mean_squared_error(isa, y, t, scale, Some(dy)),
        loss: reference_loss::mean_squared_error,
        gradient: reference_loss::mean_squared_error_backward,
    },
];

/// The distance that the binary cross-entropy keeps probabilities from 0 and 1.
const CLAMP: f64 = f32::EPSILON as f64 / 2.0;

/// Outputs, which are whole numbers, and one-hot targets.
fn outputs_and_targets(classes: usize, n: usize) -> (Buffer, Buffer) {
    let mut t = Buffer::zeroed(classes * n);
    for sample in 0..n {
        t[sample % classes * n + sample] = 1.0;
    }
    (integers(classes * n, 1), t)
}

fn losses_of_vectors(suite: &mut Suite, isa: Isa, classes: usize, n: usize) {
    let (len, scale) = (classes * n, 1.0 / n as f64);
    for VectorLoss { name, kernel, loss, gradient } in VECTOR_LOSSES {
        suite.kernel(isa, &format!("{name} {classes}x{n}"), Work::streams(len, 3, 3), || {
            let (mut y, t) = outputs_and_targets(classes, n);
            // The numbers in -4..=4 become probabilities.
            y.iter_mut().for_each(|y| *y = (*y + 5.0) / 10.0);
            let mut dy = Buffer::zeroed(len);
            let total = kernel(isa, &y, &t, scale, &mut dy);
            let (wide, wide_t) = (widen(&y), widen(&t));
            assert_close(name, &[total as f32], &[loss(&wide, &wide_t)], 1e-6);
            assert_close("its gradient", &dy, &gradient(&wide, &wide_t, scale), TOLERANCE);
            move || {
                std::hint::black_box(kernel(isa, &y, &t, scale, &mut dy));
            }
        });
    }
    let name = format!("binary cross-entropy on logits {classes}x{n}");
    suite.kernel(isa, &name, Work::streams(len, 4, 4), || {
        let (x, t) = outputs_and_targets(classes, n);
        let (mut probs, mut dx) = (Buffer::zeroed(len), Buffer::zeroed(len));
        let total = loss::binary_cross_entropy_with_logits(isa, &x, &t, scale, &mut probs, &mut dx);
        let (wide, wide_t) = (widen(&x), widen(&t));
        let expected = reference_loss::binary_cross_entropy_with_logits(&wide, &wide_t);
        assert_close("loss", &[total as f32], &[expected], 1e-6);
        let gradient = reference_loss::binary_cross_entropy_with_logits_backward(&wide, &wide_t, scale);
        assert_close("gradient of the loss", &dx, &gradient, TOLERANCE);
        move || {
            let total = loss::binary_cross_entropy_with_logits(isa, &x, &t, scale, &mut probs, &mut dx);
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
            whole_sums(&mut suite, isa, net, len);
        }
        rows(&mut suite, isa, "simplecnn", 128, 32);
        rows(&mut suite, isa, "resnet20", 16, 32 * 32 * 32);
        dropout(&mut suite, isa, "simplecnn", 128, 32);
        dropout(&mut suite, isa, "resnet20", 16 * 32 * 32, 32);
        dropout(&mut suite, isa, "vgg11", 512, 16);
        // The classes of MNIST and CIFAR-10 with the shards of simplecnn and ResNet-20, then with those of
        // VGG-11; and the classes of ImageNet.
        for [labels, n] in [[10, 32], [10, 16], [1000, 16]] {
            classes(&mut suite, isa, labels, n);
            losses_of_vectors(&mut suite, isa, labels, n);
        }
        shards(&mut suite, isa, "simplecnn", 2, 149_210);
        shards(&mut suite, isa, "simplecnn", 8, 149_210);
    }
    suite.finish();
}
