//! Losses that are a sum of a function of two numbers, an output and its target.

use super::check_len;
use crate::element::Element;
use crate::elementwise::{Lanewise, update};
use crate::isa::Isa;
use crate::simd::{Kernel, Level};

/// The loss of one output `y` with the target `t`.
pub(super) trait PairLoss: Copy {
    fn of(self, y: f64, t: f64) -> f64;
}

struct Total<'a, T, L> {
    loss: L,
    y: &'a [T],
    t: &'a [T],
}

impl<T: Element, L: PairLoss> Kernel for Total<'_, T, L> {
    type Output = f64;

    #[inline(always)]
    fn run<S: Level>(self, _: S) -> f64 {
        // This plain loop has eight independent sums, so that the compiler can vectorise it.
        let (y, y_rest) = self.y.as_chunks::<8>();
        let (t, t_rest) = self.t.as_chunks::<8>();
        let mut sums = [0.0; 8];
        for (y, t) in y.iter().zip(t) {
            for lane in 0..8 {
                sums[lane] += self.loss.of(y[lane].to_f64(), t[lane].to_f64());
            }
        }
        for (sum, (y, t)) in sums.iter_mut().zip(y_rest.iter().zip(t_rest)) {
            *sum += self.loss.of(y.to_f64(), t.to_f64());
        }
        let [a, b, c, d, e, f, g, h] = sums;
        ((a + b) + (c + d)) + ((e + f) + (g + h))
    }
}

/// The sum of `loss` over all elements, with element `i` in partial sum `i mod 8`. Overwrites `dy`, if given,
/// with what `gradient` computes from `y` and `t`.
///
/// The sums are in f64 and have the same bits at every level.
pub(super) fn run<T: Element>(
    isa: Isa,
    what: &str,
    loss: impl PairLoss,
    gradient: impl Lanewise<T, 1, 2>,
    [y, t]: [&[T]; 2],
    dy: Option<&mut [T]>,
) -> f64 {
    check_len(what, "t", t, y.len());
    if let Some(dy) = dy {
        update(isa, what, gradient, [dy], [y, t]);
    }
    isa.run(Total { loss, y, t })
}
