//! Zero padding: every element by its formula, and the gradient as the adjoint.

mod common;

use common::{Guarded, data};
use isograd_kernels::Element;
use isograd_kernels::padding::Padding2d;
use proptest::prelude::*;

/// `y[c, i, j, s]` for each element in memory order.
fn expected<T: Element>(shape: &Padding2d, n: usize, x: &[T]) -> Vec<T> {
    let Padding2d { c, h, w, top, bottom, left, right } = *shape;
    let mut y = Vec::new();
    for channel in 0..c {
        for i in 0..top + h + bottom {
            for j in 0..left + w + right {
                for s in 0..n {
                    let inside = (top..top + h).contains(&i) && (left..left + w).contains(&j);
                    y.push(if inside {
                        x[((channel * h + i - top) * w + j - left) * n + s]
                    } else {
                        T::ZERO
                    });
                }
            }
        }
    }
    y
}

fn check<T: Element>(shape: &Padding2d, n: usize) {
    let x = Guarded::new(&data::<T>(shape.c * shape.h * shape.w * n, 1));
    let expected_y = expected(shape, n, x.check());
    let mut y = Guarded::<T>::nan(expected_y.len());
    shape.forward(n, x.check(), y.slice());
    assert_eq!(y.check(), expected_y, "{shape:?}, {n} samples");

    // What lies on the zeros is dropped, so the gradient of a padded image is the image.
    let mut marked = expected_y;
    let ones = expected(shape, n, &vec![T::ONE; x.check().len()]);
    marked.iter_mut().zip(ones).filter(|(_, inside)| *inside == T::ZERO).for_each(|(y, _)| {
        *y = T::from_f64(7.0);
    });
    let mut dx = Guarded::<T>::nan(x.check().len());
    shape.backward(n, Guarded::new(&marked).check(), dx.slice());
    assert_eq!(dx.check(), x.check(), "{shape:?}, {n} samples");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_padding(
        (c, h, w) in (1usize..4, 1usize..5, 1usize..5),
        [top, bottom, left, right] in [0usize..4, 0usize..4, 0usize..4, 0usize..4],
        n in 0usize..9,
    ) {
        let shape = Padding2d { c, h, w, top, bottom, left, right };
        check::<f32>(&shape, n);
        check::<f64>(&shape, n);
    }
}

#[test]
fn sizes_that_overflow_are_none() {
    let shape = Padding2d { c: 2, h: 3, w: 4, top: 1, bottom: 2, left: 3, right: 4 };
    assert_eq!(shape.output(), Some([6, 11]));
    assert_eq!(Padding2d { top: usize::MAX, ..shape }.output(), None);
    assert_eq!(Padding2d { right: usize::MAX / 8, ..shape }.output(), None);
}

#[test]
#[should_panic(expected = "padding: the padded image has 17 elements, but [1, 3, 3, 2] needs 18")]
fn wrong_length_panics_with_both() {
    let shape = Padding2d { c: 1, h: 1, w: 1, top: 1, bottom: 1, left: 1, right: 1 };
    shape.forward(2, &[0f32; 2], &mut [0f32; 17]);
}
