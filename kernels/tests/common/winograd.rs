//! Bounds for the errors of the Winograd passes: their sums over absolute values, as the documentation of the
//! crate's module `conv::winograd` derives them. Naive, in f64, from matrices that are made of the points.

use isograd_kernels::conv::Conv2dShape;

/// The matrices of F(m, 3), rows first, without signs.
struct Matrices {
    m: usize,
    /// `(m+2) x (m+2)`.
    b: Vec<Vec<f64>>,
    /// `(m+2) x 3`.
    g: Vec<Vec<f64>>,
    /// `(m+2) x m`.
    a: Vec<Vec<f64>>,
}

impl Matrices {
    /// Toom and Cook's construction: `A` and `G` evaluate polynomials at the points, `B` has the coefficients
    /// of the products of `(x - point)` over the other points.
    fn new(m: usize) -> Self {
        let points: &[f64] = if m == 2 { &[0.0, 1.0, -1.0] } else { &[0.0, 0.625, -0.625, 1.25, -1.25] };
        let size = m + 2;
        let powers = |x: f64, count: usize| (0..count).map(|k| x.powi(k as i32)).collect::<Vec<_>>();
        let others = |i: usize| points.iter().enumerate().filter(move |(k, _)| *k != i).map(|(_, p)| *p);
        let polynomial = |roots: &mut dyn Iterator<Item = f64>| {
            let mut coefficients = vec![0.0; size];
            coefficients[0] = 1.0;
            for root in roots {
                for k in (0..size).rev() {
                    let below = if k > 0 { coefficients[k - 1] } else { 0.0 };
                    coefficients[k] = below - root * coefficients[k];
                }
            }
            coefficients
        };
        let last = |len: usize| (0..len).map(|k| f64::from(u8::from(k + 1 == len))).collect::<Vec<_>>();
        let (mut a, mut b, mut g) = (Vec::new(), Vec::new(), Vec::new());
        for (i, point) in points.iter().enumerate() {
            let scale: f64 = others(i).map(|other| point - other).product();
            a.push(powers(*point, m));
            g.push(powers(*point, 3).iter().map(|x| x / scale).collect());
            b.push(polynomial(&mut others(i)));
        }
        a.push(last(m));
        g.push(last(3));
        b.push(polynomial(&mut points.iter().copied()));
        let absolute = |rows: Vec<Vec<f64>>| -> Vec<Vec<f64>> {
            rows.into_iter().map(|row| row.into_iter().map(f64::abs).collect()).collect()
        };
        Self { m, a: absolute(a), b: absolute(b), g: absolute(g) }
    }
}

/// `l x l^T`, of the square `x`.
fn two_sided(l: &[Vec<f64>], x: &[f64]) -> Vec<f64> {
    let (rows, size) = (l.len(), l[0].len());
    let mut y = vec![0.0; rows * rows];
    for i in 0..rows {
        for j in 0..rows {
            for k in 0..size {
                y[i * rows + j] += (0..size).map(|q| l[i][k] * x[k * size + q] * l[j][q]).sum::<f64>();
            }
        }
    }
    y
}

fn transposed(l: &[Vec<f64>]) -> Vec<Vec<f64>> {
    (0..l[0].len()).map(|j| l.iter().map(|row| row[j]).collect()).collect()
}

/// The square of `size x size` absolute values of a plane, from `origin` on, of the sample `sample` of `n`.
fn patch(x: &[f64], image: [usize; 2], origin: [isize; 2], size: usize, [sample, n]: [usize; 2]) -> Vec<f64> {
    let mut patch = Vec::new();
    for i in 0..size as isize {
        for j in 0..size as isize {
            let [row, column] = [origin[0] + i, origin[1] + j];
            let inside = row >= 0 && column >= 0 && row < image[0] as isize && column < image[1] as isize;
            patch.push(if inside {
                x[(row as usize * image[1] + column as usize) * n + sample].abs()
            } else {
                0.0
            });
        }
    }
    patch
}

/// The tiles of an image: row and column of their first pixel.
fn tiles([h, w]: [usize; 2], m: usize) -> impl Iterator<Item = [usize; 2]> {
    (0..h).step_by(m).flat_map(move |i| (0..w).step_by(m).map(move |j| [i, j]))
}

/// The sums over absolute values of a correlation of `x` `[c, source, n]` to `[f, target, n]`, where `kernel`
/// gives the kernel of each pair `(f, c)`.
fn correlation(
    m: usize,
    n: usize,
    [c, f]: [usize; 2],
    [source, target]: [[usize; 2]; 2],
    padding: [usize; 2],
    x: &[f64],
    kernel: impl Fn(usize, usize) -> Vec<f64>,
) -> Vec<f64> {
    let matrices = Matrices::new(m);
    let u: Vec<Vec<f64>> = (0..f * c)
        .map(|pair| {
            let kernel: Vec<f64> = kernel(pair / c, pair % c).into_iter().map(f64::abs).collect();
            two_sided(&matrices.g, &kernel)
        })
        .collect();
    let (a, size) = (transposed(&matrices.a), matrices.m + 2);
    let mut y = vec![0.0; f * target[0] * target[1] * n];
    for [i, j] in tiles(target, m) {
        let origin = [i as isize - padding[0] as isize, j as isize - padding[1] as isize];
        for sample in 0..n {
            let plane = source[0] * source[1] * n;
            let v: Vec<Vec<f64>> = (0..c)
                .map(|c| two_sided(&matrices.b, &patch(&x[c * plane..], source, origin, size, [sample, n])))
                .collect();
            for f in 0..f {
                let product = |point: usize| (0..c).map(|k| u[f * c + k][point] * v[k][point]).sum();
                let products: Vec<f64> = (0..size * size).map(product).collect();
                let outputs = two_sided(&a, &products);
                for p in 0..m.min(target[0] - i) {
                    for q in 0..m.min(target[1] - j) {
                        y[((f * target[0] + i + p) * target[1] + j + q) * n + sample] = outputs[p * m + q];
                    }
                }
            }
        }
    }
    y
}

/// The sums over absolute values, with tiles of `m`, of the forward pass without bias.
pub fn forward(
    m: usize,
    shape: &Conv2dShape,
    [oh, ow]: [usize; 2],
    n: usize,
    x: &[f64],
    w: &[f64],
) -> Vec<f64> {
    let Conv2dShape { c, f, h, w: width, padding, .. } = *shape;
    let kernel = |f: usize, k: usize| w[(f * c + k) * 9..][..9].to_vec();
    correlation(m, n, [c, f], [[h, width], [oh, ow]], [padding.h, padding.w], x, kernel)
}

/// Those of the input gradient.
pub fn input_gradient(
    m: usize,
    shape: &Conv2dShape,
    [oh, ow]: [usize; 2],
    n: usize,
    dy: &[f64],
    w: &[f64],
) -> Vec<f64> {
    let Conv2dShape { c, f, h, w: width, padding, .. } = *shape;
    let kernel = |k: usize, f: usize| w[(f * c + k) * 9..][..9].iter().rev().copied().collect();
    let padding = [2 - padding.h, 2 - padding.w];
    correlation(m, n, [f, c], [[oh, ow], [h, width]], padding, dy, kernel)
}

/// Those of the weight gradient.
pub fn weight_gradient(
    m: usize,
    shape: &Conv2dShape,
    [oh, ow]: [usize; 2],
    n: usize,
    x: &[f64],
    dy: &[f64],
) -> Vec<f64> {
    let Conv2dShape { c, f, h, w, padding, .. } = *shape;
    let matrices = Matrices::new(m);
    let (g, size) = (transposed(&matrices.g), m + 2);
    let mut sums = vec![vec![0.0; size * size]; f * c];
    for [i, j] in tiles([oh, ow], m) {
        let origin = [i as isize - padding.h as isize, j as isize - padding.w as isize];
        for sample in 0..n {
            let of = |all: &[f64], plane: [usize; 2], k: usize, origin, size| {
                patch(&all[k * plane[0] * plane[1] * n..], plane, origin, size, [sample, n])
            };
            let v: Vec<_> = (0..c).map(|k| two_sided(&matrices.b, &of(x, [h, w], k, origin, size))).collect();
            let corner = [i as isize, j as isize];
            let d: Vec<_> = (0..f).map(|k| two_sided(&matrices.a, &of(dy, [oh, ow], k, corner, m))).collect();
            for (pair, sums) in sums.iter_mut().enumerate() {
                for (point, sum) in sums.iter_mut().enumerate() {
                    *sum += d[pair / c][point] * v[pair % c][point];
                }
            }
        }
    }
    sums.iter().flat_map(|sums| two_sided(&g, sums)).collect()
}

/// The number of tiles of an image of `target` pixels.
pub fn tile_count(m: usize, target: [usize; 2]) -> usize {
    tiles(target, m).count()
}
