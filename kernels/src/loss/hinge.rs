//! The categorical hinge loss.

use super::categorical::check_labels;
use super::check_len;
use crate::element::Element;
use crate::isa::Isa;
use crate::simd::{Kernel, Level};
use crate::softmax::Columns;

struct Hinge<'a, T> {
    classes: usize,
    n: usize,
    scores: &'a [T],
    labels: &'a [u32],
    gradient: Option<(T, &'a mut [T])>,
}

impl<T: Element> Kernel for Hinge<'_, T> {
    type Output = f64;

    #[inline(always)]
    fn run<S: Level>(mut self, s: S) -> f64 {
        let mut total = 0.0;
        for first in (0..self.n).step_by(T::lanes::<S>()) {
            let columns = Columns::at::<T, S>(self.classes, self.n, first);
            let mut label = [T::zero(s)];
            for (lane, sample) in lanes_mut::<T, S>(&mut label)[..columns.width].iter_mut().zip(first..) {
                *lane = class_number(self.labels[sample] as usize);
            }
            let rival = self.rival(s, columns, label[0]);
            let (mut best, mut step) = ([rival.score], [T::zero(s)]);
            let lanes = lanes_mut::<T, S>(&mut step).iter_mut().zip(lanes_mut::<T, S>(&mut best));
            for ((step, best), sample) in lanes.take(columns.width).zip(first..) {
                let own = self.scores[self.labels[sample] as usize * self.n + sample];
                let margin = 1.0 + best.to_f64() - own.to_f64();
                if margin.is_nan() {
                    total += margin;
                    *step = T::from_f64(margin);
                } else if margin > 0.0 {
                    total += margin;
                    *step = T::ONE;
                }
            }
            if let Some((scale, dscores)) = &mut self.gradient {
                let step = T::vmul(s, T::splat(s, *scale), step[0]);
                for class in 0..self.classes {
                    let k = T::splat(s, class_number(class));
                    let up = T::select(s, T::equal(s, k, rival.class), step, T::zero(s));
                    let dx = T::select(s, T::equal(s, k, label[0]), T::vneg(s, step), up);
                    columns.store(s, dscores, class, dx);
                }
            }
        }
        total
    }
}

/// The best class beside the label, of several samples.
#[derive(Clone, Copy)]
struct Rival<S: Level, T: Element> {
    score: T::V<S>,
    class: T::V<S>,
}

impl<T: Element> Hinge<'_, T> {
    /// The first of the largest scores beside that of the label, or the first NaN. Where all of them are
    /// minus infinity, or there is no other class, the class is -1.
    #[inline(always)]
    fn rival<S: Level>(&self, s: S, columns: Columns, label: T::V<S>) -> Rival<S, T> {
        let lowest = T::splat(s, T::from_f64(f64::NEG_INFINITY));
        let mut best = Rival { score: lowest, class: T::splat(s, -T::ONE) };
        for candidate in 0..self.classes {
            let k = T::splat(s, class_number(candidate));
            let score = T::select(s, T::equal(s, k, label), lowest, columns.load(s, self.scores, candidate));
            let keep = T::less_or_equal(s, score, best.score);
            let next = Rival::<S, T> {
                score: T::select(s, keep, best.score, score),
                class: T::select(s, keep, best.class, k),
            };
            let number = T::equal(s, best.score, best.score);
            best = Rival {
                score: T::select(s, number, next.score, best.score),
                class: T::select(s, number, next.class, best.class),
            };
        }
        best
    }
}

/// The number of a class as an element, exact because there are at most 2^24 classes.
#[inline(always)]
fn class_number<T: Element>(class: usize) -> T {
    T::from_f64(f64::from(class as u32))
}

#[inline(always)]
fn lanes_mut<T: Element, S: Level>(vector: &mut [T::V<S>; 1]) -> &mut [T] {
    bytemuck::cast_slice_mut(vector)
}

/// The categorical hinge loss: the loss of a sample is `max(0, 1 + max over k != label of scores[k] -
/// scores[label])`, so that the score of the label should exceed every other by 1.
///
/// `scores` and `dscores` are `[classes, n]`; `labels` are `n` class indices. Where the loss is above 0,
/// overwrites `dscores`, if given, with `-scale` at the label and `scale` at the best other class (the first
/// of them, if several are equal), and with 0 elsewhere. Returns the sum of the `n` losses, which is not
/// scaled, added up in f64 in the order of the samples. A NaN score makes the sum NaN, and the gradient of
/// its sample at the label.
///
/// # Panics
/// When a length does not fit, a label is not below `classes`, or there are more than 2^24 classes.
///
/// # Source
/// Crammer, Singer: "On the algorithmic implementation of multiclass kernel-based vector machines", JMLR 2,
/// 2001. Keras' `categorical_hinge` differs where all other scores are negative: there it takes 0 for the
/// best of them.
pub fn categorical_hinge<T: Element>(
    isa: Isa,
    classes: usize,
    n: usize,
    scores: &[T],
    labels: &[u32],
    scale: f64,
    dscores: Option<&mut [T]>,
) -> f64 {
    assert!(classes <= 1 << 24, "categorical_hinge: {classes} classes are more than 16777216");
    let len = classes.saturating_mul(n);
    check_len("categorical_hinge", "scores", scores, len);
    check_labels("categorical_hinge", classes, n, labels);
    if let Some(dscores) = &dscores {
        check_len("categorical_hinge", "dscores", dscores, len);
    }
    let gradient = dscores.map(|dscores| (T::from_f64(scale), dscores));
    isa.run(Hinge { classes, n, scores, labels, gradient })
}
