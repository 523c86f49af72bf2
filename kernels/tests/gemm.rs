//! `gemm` at every level against the naive f64 product.

mod common;

use common::{Guarded, assert_close, data, each_isa, rounded, widen};
use isograd_kernels::gemm::{MatMut, MatRef, gemm, gemm_bf16};
use isograd_kernels::{Accum, Element, Isa, reference};
use proptest::prelude::*;

/// The layout of a matrix in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Storage {
    Rows,
    Columns,
    /// Rows contiguous, with a gap behind each.
    GappedRows,
    /// No stride is 1.
    Scattered,
    /// The column stride is 3, and the row stride is larger than a whole row.
    ScatteredColumns,
}

const STORAGES: [Storage; 5] =
    [Storage::Rows, Storage::Columns, Storage::GappedRows, Storage::Scattered, Storage::ScatteredColumns];

impl Storage {
    fn strides(self, rows: usize, cols: usize) -> (usize, usize) {
        match self {
            Self::Rows => (cols, 1),
            Self::Columns => (1, rows),
            Self::GappedRows => (cols + 3, 1),
            Self::Scattered => (2 * cols + 5, 2),
            Self::ScatteredColumns => (3, 3 * rows + 1),
        }
    }

    /// Memory for the elements, with `gap` in the gaps between them.
    fn scatter<T: Element>(self, rows: usize, cols: usize, values: &[T], gap: f64) -> Vec<T> {
        let (row_stride, col_stride) = self.strides(rows, cols);
        let len = if values.is_empty() { 0 } else { (rows - 1) * row_stride + (cols - 1) * col_stride + 1 };
        let mut memory = vec![T::from_f64(gap); len];
        for (i, v) in values.iter().enumerate() {
            memory[i / cols * row_stride + i % cols * col_stride] = *v;
        }
        memory
    }

    fn view<T>(self, memory: &[T], rows: usize, cols: usize) -> MatRef<'_, T> {
        match self {
            Self::Rows => MatRef::row_major(memory, rows, cols),
            Self::Columns => MatRef::row_major(memory, cols, rows).t(),
            _ => {
                let (row_stride, col_stride) = self.strides(rows, cols);
                MatRef::strided(memory, rows, cols, row_stride, col_stride)
            }
        }
    }

    fn view_mut<T>(self, memory: &mut [T], rows: usize, cols: usize) -> MatMut<'_, T> {
        match self {
            Self::Rows => MatMut::row_major(memory, rows, cols),
            Self::Columns => MatMut::row_major(memory, cols, rows).t(),
            _ => {
                let (row_stride, col_stride) = self.strides(rows, cols);
                MatMut::strided(memory, rows, cols, row_stride, col_stride)
            }
        }
    }
}

/// The value in the gaps of the product. The product must not overwrite it.
const GAP: f64 = 777.0;

/// A product of matrices.
type Product<T> = fn(Isa, MatRef<'_, T>, MatRef<'_, T>, Accum, MatMut<'_, T>);

fn check<T: Element>(isa: Isa, shape: [usize; 3], storages: [Storage; 3]) {
    check_product::<T>(gemm, <[T]>::to_vec, isa, shape, storages);
}

/// Checks `run`, which rounds its factors as `round` does.
fn check_product<T: Element>(
    run: Product<T>,
    round: fn(&[T]) -> Vec<T>,
    isa: Isa,
    [m, n, k]: [usize; 3],
    [sa, sb, sc]: [Storage; 3],
) {
    let (a, b, start) = (data::<T>(m * k, 1), data::<T>(k * n, 2), data::<T>(m * n, 3));
    let (a64, b64, start64) = (widen(&round(&a)), widen(&round(&b)), widen(&start));
    let product = reference::gemm::gemm(m, n, k, &a64, &b64);
    let abs = |x: &[f64]| x.iter().map(|x| x.abs()).collect::<Vec<_>>();
    let size = reference::gemm::gemm(m, n, k, &abs(&a64), &abs(&b64));

    let a = sa.scatter(m, k, &a, f64::NAN);
    let b = sb.scatter(k, n, &b, f64::NAN);
    for accum in [Accum::Replace, Accum::Add] {
        let what = format!("{isa} {} {m}x{n}x{k} {sa:?} {sb:?} {sc:?} {accum:?}", T::NAME);
        // Replace must not read the old values.
        let before = if accum == Accum::Add { start.clone() } else { vec![T::from_f64(f64::NAN); m * n] };
        let mut c = Guarded::new(&sc.scatter(m, n, &before, GAP));
        run(isa, sa.view(&a, m, k), sb.view(&b, k, n), accum, sc.view_mut(c.slice(), m, n));

        let (row_stride, col_stride) = sc.strides(m, n);
        let mut memory = c.check().to_vec();
        let mut result = Vec::new();
        for i in 0..m * n {
            let at = i / n * row_stride + i % n * col_stride;
            result.push(std::mem::replace(&mut memory[at], T::from_f64(GAP)));
        }
        assert!(memory.iter().all(|v| v.to_f64() == GAP), "{what}: a gap was overwritten");

        let added = |i: usize| if accum == Accum::Add { start64[i] } else { 0.0 };
        let expected: Vec<f64> = product.iter().enumerate().map(|(i, p)| p + added(i)).collect();
        assert_close(&what, &result, &expected, |i| {
            (k + 4) as f64 * T::EPSILON.to_f64() * (size[i] + added(i).abs())
        });
    }
}

fn check_all(shape: [usize; 3], storages: [Storage; 3]) {
    each_isa(|isa| {
        check::<f32>(isa, shape, storages);
        check::<f64>(isa, shape, storages);
        check_product::<f32>(gemm_bf16, rounded, isa, shape, storages);
    });
}

#[test]
fn every_storage_of_every_operand() {
    for i in 0..125 {
        let storages = [STORAGES[i / 25], STORAGES[i / 5 % 5], STORAGES[i % 5]];
        check_all([13, 21, 10], storages);
    }
}

#[test]
fn sizes_around_the_tiles() {
    const SIZES: [usize; 16] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 15, 16, 17, 31, 33, 50];
    for (i, m) in SIZES.into_iter().enumerate() {
        for (j, n) in SIZES.into_iter().enumerate() {
            let storages = [STORAGES[(i + j) % 5], STORAGES[(i + 2 * j) % 5], STORAGES[i * j % 5]];
            check_all([m, n, SIZES[(3 * i + 5 * j) % 16]], storages);
        }
    }
}

#[test]
fn several_blocks_of_each_dimension() {
    const SHAPES: [[usize; 3]; 10] = [
        [3, 5, 600],
        [19, 300, 7],
        [150, 33, 70],
        [13, 520, 257],
        [300, 17, 513],
        [1, 1, 1025],
        [9, 1, 530],
        [1075, 6, 290],
        [545, 290, 11],
        [545, 520, 20],
    ];
    for (i, shape) in SHAPES.into_iter().enumerate() {
        for a in [Storage::Rows, Storage::Columns, Storage::Scattered] {
            for b in [Storage::Rows, Storage::Columns, Storage::Scattered] {
                check_all(shape, [a, b, STORAGES[i % 5]]);
            }
        }
    }
}

#[test]
fn empty_dimensions() {
    for shape in [[0, 4, 3], [4, 0, 3], [4, 3, 0], [0, 0, 0], [9, 17, 0]] {
        for storage in [Storage::Rows, Storage::Columns] {
            check_all(shape, [storage; 3]);
        }
    }
}

/// The rows of an input may overlap, for example a repeated vector or the windows of a signal.
#[test]
fn inputs_may_overlap() {
    each_isa(|isa| {
        let signal = [1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0];
        let filter = [1.0f32, 10.0, 100.0];
        let mut c = [0.0f32; 4];
        let windows = MatRef::strided(&signal, 4, 3, 1, 1);
        gemm(isa, windows, MatRef::row_major(&filter, 3, 1), Accum::Replace, MatMut::row_major(&mut c, 4, 1));
        assert_eq!(c, [321.0, 432.0, 543.0, 654.0], "{isa}");

        let mut c = [0.0f32; 4];
        let repeated = MatRef::strided(&signal, 2, 3, 0, 1);
        gemm(
            isa,
            repeated,
            MatRef::strided(&filter, 3, 2, 1, 0),
            Accum::Replace,
            MatMut::row_major(&mut c, 2, 2),
        );
        assert_eq!(c, [321.0; 4], "{isa}");
    });
}

/// The stride of a single row or a single column may be any number.
#[test]
fn single_rows_and_columns() {
    each_isa(|isa| {
        let (a, b) = ([1.0f32, 2.0, 3.0], [1.0f32, 10.0, 100.0]);
        let (row, column) = (MatRef::strided(&a, 1, 3, 0, 1), MatRef::strided(&b, 3, 1, 1, 0));
        let mut c = [0.0f32; 3];
        gemm(isa, MatRef::strided(&a, 1, 1, 0, 1), row, Accum::Replace, MatMut::strided(&mut c, 1, 3, 0, 1));
        assert_eq!(c, a, "{isa}");
        gemm(
            isa,
            column,
            MatRef::strided(&a, 1, 1, 1, 0),
            Accum::Replace,
            MatMut::strided(&mut c, 3, 1, 1, 0),
        );
        assert_eq!(c, b, "{isa}");
        gemm(isa, row, column, Accum::Replace, MatMut::strided(&mut c, 1, 1, 0, 0));
        assert_eq!(c[0], 321.0, "{isa}");
    });
}

#[test]
fn nan_and_infinity_reach_the_sums_they_enter() {
    each_isa(|isa| {
        for k in [5, 40] {
            let (mut a, mut b) = (vec![1.0f32; 9 * k], vec![1.0f32; k * 19]);
            a[3 * k + k - 1] = f32::NAN;
            b[2 * 19 + 18] = f32::INFINITY;
            let mut c = vec![0.0; 9 * 19];
            gemm(
                isa,
                MatRef::row_major(&a, 9, k),
                MatRef::row_major(&b, k, 19),
                Accum::Replace,
                MatMut::row_major(&mut c, 9, 19),
            );
            for (i, c) in c.into_iter().enumerate() {
                match (i / 19, i % 19) {
                    (3, _) => assert!(c.is_nan(), "{isa}: row 3 has {c}"),
                    (_, 18) => assert!(c == f32::INFINITY, "{isa}: column 18 has {c}"),
                    _ => assert!(c == k as f32, "{isa}: element {i} is {c}"),
                }
            }
        }
    });
}

#[test]
fn the_same_bits_at_any_alignment() {
    each_isa(|isa| {
        for [m, n, k] in [[21, 37, 300], [1, 37, 300], [21, 1, 300], [1, 1, 300], [21, 37, 1]] {
            let (a, b) = (data::<f32>(m * k, 1), data::<f32>(k * n, 2));
            let product = |shift: usize, column_major: bool| {
                let [a, b] = [&a, &b].map(|x| [&vec![0.0; shift], &**x].concat());
                let (a, b) = (&a[shift..], &b[shift..]);
                let (a, b) = match column_major {
                    true => (MatRef::row_major(a, k, m).t(), MatRef::row_major(b, n, k).t()),
                    false => (MatRef::row_major(a, m, k), MatRef::row_major(b, k, n)),
                };
                let mut c = vec![0.0; shift + m * n];
                gemm(isa, a, b, Accum::Replace, MatMut::row_major(&mut c[shift..], m, n));
                c[shift..].iter().map(|c| c.to_bits()).collect::<Vec<_>>()
            };
            for column_major in [false, true] {
                let first = product(0, column_major);
                assert!(
                    (1..16).all(|shift| product(shift, column_major) == first),
                    "{isa}, {m}x{n}x{k}, column-major: {column_major}"
                );
            }
        }
    });
}

/// A product made of blocks of rows, as by several threads.
#[test]
fn blocks_of_rows_make_up_the_product() {
    each_isa(|isa| {
        let (m, n, k) = (13, 21, 10);
        let (a, b) = (data::<f32>(m * k, 1), data::<f32>(k * n, 2));
        for storage in STORAGES {
            let memory = storage.scatter(m, k, &a, GAP);
            let a = storage.view(&memory, m, k);
            let b = MatRef::row_major(&b, k, n);
            let (mut whole, mut blocks) = (vec![0.0; m * n], vec![0.0; m * n]);
            gemm(isa, a, b, Accum::Replace, MatMut::row_major(&mut whole, m, n));
            for (first, block) in (0..m).step_by(5).zip(blocks.chunks_mut(5 * n)) {
                let rows = first..(first + 5).min(m);
                let c = MatMut::row_major(block, rows.len(), n);
                gemm(isa, a.rows(rows), b, Accum::Replace, c);
            }
            let expected: Vec<f64> = widen(&whole);
            let bound = 2.0 * (k + 4) as f64 * f64::from(f32::EPSILON) * k as f64;
            assert_close(&format!("{isa}, {storage:?}"), &blocks, &expected, |_| bound);
            gemm(isa, a.rows(m..m), b, Accum::Replace, MatMut::row_major(&mut [], 0, n));
        }
    });
}

#[test]
#[should_panic(expected = "rows 2..4 of a matrix with 3")]
fn rows_behind_the_last() {
    let _ = MatRef::row_major(&[0.0f32; 6], 3, 2).rows(2..4);
}

#[test]
#[should_panic(expected = "shapes do not match: a 2 x 3 result for 2 x 4 times 5 x 3")]
fn shapes_that_do_not_fit() {
    let (a, b, mut c) = ([0.0f32; 8], [0.0f32; 15], [0.0f32; 6]);
    gemm(
        Isa::best(),
        MatRef::row_major(&a, 2, 4),
        MatRef::row_major(&b, 5, 3),
        Accum::Replace,
        MatMut::row_major(&mut c, 2, 3),
    );
}

#[test]
#[should_panic(expected = "overlap")]
fn a_destination_with_two_elements_in_one_place() {
    MatMut::strided(&mut [0.0f32; 6], 3, 4, 1, 1);
}

#[test]
#[should_panic(expected = "elements of a 3 x 1 matrix with strides 0 and 1 overlap")]
fn a_destination_column_in_one_place() {
    MatMut::strided(&mut [0.0f32; 6], 3, 1, 0, 1);
}

#[test]
#[should_panic(expected = "a 3 x 4 matrix with strides 4 and 1 needs 12 elements, but the slice has 11")]
fn a_matrix_that_reaches_too_far() {
    MatRef::strided(&[0.0f32; 11], 3, 4, 4, 1);
}

#[test]
#[should_panic(
    expected = "a 4294967296 x 4294967296 matrix needs 18446744073709551615 elements, but the slice has 0"
)]
#[cfg(target_pointer_width = "64")]
fn a_matrix_whose_size_overflows() {
    MatRef::<f32>::row_major(&[], 1 << 32, 1 << 32);
}

#[test]
#[should_panic(expected = "needs 18446744073709551615 elements, but the slice has 1")]
#[cfg(target_pointer_width = "64")]
fn a_matrix_whose_reach_overflows() {
    MatRef::strided(&[0.0f32], 3, 1, 1 << 63, 1);
}

/// In bfloat16, too, NaN and infinities reach the sums that they enter, and the zeros that fill the last pair
/// of an odd number of terms hide neither.
#[test]
fn nan_and_infinity_in_bfloat16() {
    for k in [1, 2, 33] {
        for bad in [f32::NAN, f32::INFINITY, f32::MAX] {
            let (mut a, b) = (vec![1.0f32; 3 * k], vec![1.0f32; k * 18]);
            a[2 * k - 1] = bad;
            each_isa(|isa| {
                let mut c = vec![0.0; 3 * 18];
                let (a, b) = (MatRef::row_major(&a, 3, k), MatRef::row_major(&b, k, 18));
                gemm_bf16(isa, a, b, Accum::Replace, MatMut::row_major(&mut c, 3, 18));
                for (i, c) in c.iter().enumerate() {
                    // The largest number is nearer to infinity than to the largest bfloat16.
                    assert_eq!(c.is_finite(), i / 18 != 1, "{isa}, {k} terms, {bad}: element {i} is {c}");
                }
            });
        }
    }
}

#[test]
#[should_panic(expected = "only f32 is rounded to bfloat16")]
fn f64_is_not_multiplied_in_bfloat16() {
    let (a, mut c) = ([1.0f64], [0.0]);
    let a = MatRef::row_major(&a, 1, 1);
    gemm_bf16(Isa::best(), a, a, Accum::Replace, MatMut::row_major(&mut c, 1, 1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn random_shapes(
        shape in [0usize..40, 0usize..70, 0usize..90],
        storages in [0usize..5, 0usize..5, 0usize..5],
    ) {
        check_all(shape, storages.map(|i| STORAGES[i]));
    }
}

/// Dense layers and convolutions are split among threads by the rows of a product.
#[test]
fn parts_of_the_rows_give_the_bits_of_the_whole() {
    let runs: [Product<f32>; 2] = [gemm, gemm_bf16];
    for (isa, run) in Isa::available().into_iter().flat_map(|isa| runs.map(|run| (isa, run))) {
        for (m, k) in [(16, 3), (40, 27), (37, 600), (100, 1025), (512, 64)] {
            for n in [1, 2, 5, 16, 33] {
                let (a, b): (Vec<f32>, Vec<f32>) = (data(m * k, 1), data(k * n, 2));
                let product = |rows: std::ops::Range<usize>| {
                    let mut c = vec![0.0; rows.len() * n];
                    let a = MatRef::row_major(&a[rows.start * k..rows.end * k], rows.len(), k);
                    let (b, into) = (MatRef::row_major(&b, k, n), MatMut::row_major(&mut c, rows.len(), n));
                    run(isa, a, b, Accum::Replace, into);
                    c
                };
                let whole = product(0..m);
                for part in [8, 16, 24] {
                    let ends = (0..m).step_by(part).map(|first| first..(first + part).min(m));
                    let parts: Vec<f32> = ends.flat_map(&product).collect();
                    assert_eq!(parts, whole, "{isa}: {m} x {k} times {k} x {n} in parts of {part} rows");
                }
            }
        }
    }
}
