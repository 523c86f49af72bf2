//! Batch normalisation of ResNet-20's activations, for 32 samples.
//!
//! The statistics need all values before the first value can be normalised. So training reads `x` twice, and
//! the backward pass reads `x` and `dy` twice.

use isograd_benches::{Buffer, Suite, Work, assert_close, integers, widen};
use isograd_kernels::batch_norm::{
    Affine, AffineGradient, BatchStatistics, InputGradient, Normalisation, RunningStatistics,
    SavedStatistics, batch_norm_backward, batch_norm_eval, batch_norm_train,
};
use isograd_kernels::reference::batch_norm as reference;
use isograd_kernels::{Accum, Activation, Isa};

const EPS: f64 = 1e-5;

/// The tolerance is far above the rounding errors of the sums (about 64 additions) and far below the effect
/// of a mistake.
const TOLERANCE: f64 = 2e-5;

/// The number of channels, and the number of values in each: `H * W * N`.
const SHAPES: [[usize; 2]; 3] = [[16, 32 * 32 * 32], [32, 16 * 16 * 32], [64, 8 * 8 * 32]];

/// The tensors of all passes.
struct Tensors {
    x: Buffer,
    /// The result, which is `y` or `dx`.
    out: Buffer,
    dy: Buffer,
    gamma: Buffer,
    beta: Buffer,
    mean: Buffer,
    inv_std: Buffer,
    var: Buffer,
    dgamma: Buffer,
    dbeta: Buffer,
}

impl Tensors {
    /// Tensors of integers, and the statistics of `x`.
    fn new([c, m]: [usize; 2]) -> Self {
        let zeros = || Buffer::zeroed(c);
        let mut tensors = Self {
            x: integers(c * m, 1),
            out: Buffer::zeroed(c * m),
            dy: integers(c * m, 2),
            gamma: integers(c, 3),
            beta: integers(c, 4),
            mean: zeros(),
            inv_std: zeros(),
            var: zeros(),
            dgamma: zeros(),
            dbeta: zeros(),
        };
        tensors.train(Isa::best());
        tensors
    }

    fn train(&mut self, isa: Isa) {
        let Self { x, out, gamma, beta, mean, inv_std, var, .. } = self;
        let affine = Affine { gamma: Some(&**gamma), beta: Some(&**beta) };
        let statistics = BatchStatistics { mean, var, inv_std };
        batch_norm_train(isa, x, affine, EPS, Activation::Identity, out, statistics);
    }

    fn eval(&mut self, isa: Isa) {
        let Self { x, out, gamma, beta, mean, var, .. } = self;
        let affine = Affine { gamma: Some(&**gamma), beta: Some(&**beta) };
        let running = RunningStatistics { mean, var };
        batch_norm_eval(isa, x, affine, running, EPS, Activation::Relu, out);
    }

    fn backward(&mut self, isa: Isa) {
        let Self { x, out, dy, gamma, mean, inv_std, dgamma, dbeta, .. } = self;
        let (accum, saved) = (Accum::Replace, SavedStatistics { mean, inv_std });
        let gradient = AffineGradient { accum, dgamma: Some(&mut **dgamma), dbeta: Some(&mut **dbeta) };
        let dx = Some(InputGradient { accum, dx: out });
        let affine = Affine { gamma: Some(&**gamma), beta: None };
        let forward = Normalisation { affine, saved, activation: Activation::Identity };
        batch_norm_backward(isa, x, dy, forward, dx, gradient);
    }

    fn widened(&self) -> [Vec<f64>; 7] {
        let Self { x, dy, gamma, beta, mean, inv_std, var, .. } = self;
        [x, dy, gamma, beta, mean, inv_std, var].map(|tensor| widen(tensor))
    }
}

fn passes(suite: &mut Suite, isa: Isa, shape: [usize; 2]) {
    let [c, m] = shape;
    suite.kernel(isa, &format!("train {c}x{m}"), Work::streams(c * m, 3, 2), || {
        let mut tensors = Tensors::new(shape);
        tensors.train(isa);
        let [x, _, gamma, beta, ..] = tensors.widened();
        let expected = reference::train(c, &x, &gamma, &beta, EPS).y;
        assert_close("batch normalisation", &tensors.out, &expected, TOLERANCE);
        move || tensors.train(isa)
    });
    suite.kernel(isa, &format!("eval {c}x{m}"), Work::streams(c * m, 2, 2), || {
        let mut tensors = Tensors::new(shape);
        tensors.eval(isa);
        let [x, _, gamma, beta, mean, _, var] = tensors.widened();
        let expected = reference::eval(&x, &gamma, &beta, &mean, &var, EPS, Activation::Relu);
        assert_close("batch normalisation in evaluation", &tensors.out, &expected, TOLERANCE);
        move || tensors.eval(isa)
    });
    suite.kernel(isa, &format!("backward {c}x{m}"), Work::streams(c * m, 5, 3), || {
        let mut tensors = Tensors::new(shape);
        tensors.backward(isa);
        let [x, dy, gamma, _, mean, inv_std, _] = tensors.widened();
        let reference::Gradients { dx, dbeta, .. } = reference::backward(&x, &dy, &gamma, &mean, &inv_std);
        assert_close("gradient of batch normalisation", &tensors.out, &dx, TOLERANCE);
        assert_close("gradient of beta", &tensors.dbeta, &dbeta, 0.0);
        move || tensors.backward(isa)
    });
}

fn main() {
    let mut suite = Suite::new("norm");
    for isa in suite.levels() {
        for shape in SHAPES {
            passes(&mut suite, isa, shape);
        }
    }
    suite.finish();
}
