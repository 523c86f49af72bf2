//! Matrix products: the dense layers of the networks in their three passes, and squares; the squares and
//! convolutions of one element in bfloat16, too, where the CPU has instructions for it.

use isograd_benches::{Buffer, Suite, Work, integers};
use isograd_kernels::gemm::{MatMut, MatRef, gemm, gemm_bf16};
use isograd_kernels::{Accum, Isa};

/// A dense layer, `y = W x` with `W` `[outputs, inputs]` and `x` `[inputs, n]`.
struct Dense {
    name: &'static str,
    inputs: usize,
    outputs: usize,
    n: usize,
}

const LAYERS: [Dense; 7] = [
    Dense { name: "simplecnn dense1", inputs: 1152, outputs: 128, n: 32 },
    Dense { name: "simplecnn dense2", inputs: 128, outputs: 10, n: 32 },
    Dense { name: "simplemlp dense1", inputs: 784, outputs: 512, n: 32 },
    Dense { name: "simplemlp dense2", inputs: 512, outputs: 512, n: 32 },
    Dense { name: "simplemlp dense4", inputs: 512, outputs: 10, n: 32 },
    Dense { name: "resnet20 dense", inputs: 64, outputs: 10, n: 32 },
    Dense { name: "vgg11 dense", inputs: 512, outputs: 10, n: 16 },
];

const SQUARES: [usize; 4] = [64, 128, 256, 512];

/// Convolutions of one element of ResNet-50 over eight images: channels, filters, and outputs of a filter.
const CONVOLUTIONS: [(usize, usize, usize); 3] =
    [(512, 128, 8 * 28 * 28), (256, 1024, 8 * 14 * 14), (2048, 512, 8 * 7 * 7)];

/// A factor of a product: a `rows x cols` matrix of integers, stored with contiguous rows, or as its
/// transpose.
struct Factor {
    data: Buffer,
    rows: usize,
    cols: usize,
    transposed: bool,
}

impl Factor {
    fn new(rows: usize, cols: usize, transposed: bool, seed: u64) -> Self {
        Self { data: integers(rows * cols, seed), rows, cols, transposed }
    }

    fn view(&self) -> MatRef<'_, f32> {
        if self.transposed {
            MatRef::row_major(&self.data, self.cols, self.rows).t()
        } else {
            MatRef::row_major(&self.data, self.rows, self.cols)
        }
    }

    /// The product of the matrix with a vector.
    fn times(&self, v: &[f64]) -> Vec<f64> {
        let at =
            |i, j| if self.transposed { self.data[j * self.rows + i] } else { self.data[i * self.cols + j] };
        (0..self.rows).map(|i| (0..self.cols).map(|j| f64::from(at(i, j)) * v[j]).sum()).collect()
    }
}

fn product(suite: &mut Suite, isa: Isa, name: &str, sizes: [usize; 3], transposed: [bool; 2]) {
    measure(suite, isa, name, Work::Flops, gemm, sizes, transposed);
}

/// The product in bfloat16, which is exact for the integers of the factors.
fn product_bf16(suite: &mut Suite, isa: Isa, name: &str, sizes: [usize; 3], transposed: [bool; 2]) {
    if isa.has_bf16() {
        measure(suite, isa, &format!("bfloat16 {name}"), Work::Bf16Flops, gemm_bf16, sizes, transposed);
    }
}

fn measure(
    suite: &mut Suite,
    isa: Isa,
    name: &str,
    work: fn(usize) -> Work,
    run: fn(Isa, MatRef<'_, f32>, MatRef<'_, f32>, Accum, MatMut<'_, f32>),
    [m, k, n]: [usize; 3],
    transposed: [bool; 2],
) {
    suite.kernel(isa, name, work(2 * m * k * n), || {
        let (a, b) = (Factor::new(m, k, transposed[0], 1), Factor::new(k, n, transposed[1], 2));
        let mut c = Factor { data: Buffer::zeroed(m * n), rows: m, cols: n, transposed: false };
        let multiply = |c: &mut [f32], a: &Factor, b: &Factor| {
            run(isa, a.view(), b.view(), Accum::Replace, MatMut::row_major(c, m, n));
        };
        multiply(&mut c.data, &a, &b);
        // Freivalds' check: C v = A (B v). With integers, both sides are exact.
        let v = isograd_benches::widen(&integers(n, 3));
        assert_eq!(c.times(&v), a.times(&b.times(&v)), "gemm {name}: C v is not A (B v)");
        move || multiply(&mut c.data, &a, &b)
    });
}

fn main() {
    let mut suite = Suite::new("gemm");
    for isa in suite.levels() {
        for Dense { name, inputs, outputs, n } in LAYERS {
            let shape = format!("{name} {inputs}->{outputs} n={n}");
            let pass = |pass: &str| format!("{pass} {shape}");
            product(&mut suite, isa, &pass("forward"), [outputs, inputs, n], [false, false]);
            product(&mut suite, isa, &pass("dx"), [inputs, outputs, n], [true, false]);
            product(&mut suite, isa, &pass("dw"), [outputs, n, inputs], [false, true]);
        }
        for size in SQUARES {
            product(&mut suite, isa, &format!("square {size}"), [size; 3], [false, false]);
            product_bf16(&mut suite, isa, &format!("square {size}"), [size; 3], [false, false]);
        }
        for (inputs, outputs, n) in CONVOLUTIONS {
            let name = |pass: &str| format!("{pass} 1x1 {inputs}->{outputs} n={n}");
            product_bf16(&mut suite, isa, &name("forward"), [outputs, inputs, n], [false, false]);
            product_bf16(&mut suite, isa, &name("dx"), [inputs, outputs, n], [true, false]);
            product_bf16(&mut suite, isa, &name("dw"), [outputs, n, inputs], [false, true]);
        }
    }
    suite.finish();
}
