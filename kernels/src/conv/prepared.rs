//! Weights in the form that the Winograd passes read: transformed once, for any number of passes.

use super::Conv2d;
use super::winograd;
use crate::element::Element;
use crate::isa::Isa;
use std::ops::Range;

/// The weights of a pass. A plain slice converts to weights that are not prepared.
#[derive(Debug, Clone, Copy)]
pub struct Weights<'a, T> {
    /// The weights `[F, C/groups, KH, KW]`.
    pub plain: &'a [T],
    /// The same weights as [`Conv2d::prepare_forward`] or [`Conv2d::prepare_input_gradient`] has prepared
    /// them for the pass, at its level; empty on paths that need no prepared weights.
    pub prepared: &'a [T],
}

impl<'a, T, W: AsRef<[T]> + ?Sized> From<&'a W> for Weights<'a, T> {
    fn from(plain: &'a W) -> Self {
        Self { plain: plain.as_ref(), prepared: &[] }
    }
}

impl Conv2d {
    /// Several threads can prepare weights: each takes filters or channels from a multiple of this number on,
    /// and the part of the prepared weights that is theirs in proportion.
    pub const PREPARED_CHANNELS: usize = winograd::PANELS;

    /// The number of elements of the [prepared](Self::prepare_forward) weights that
    /// [`forward`](Self::forward) needs; 0 where it needs none.
    pub fn forward_prepared_len(&self) -> usize {
        self.shape.f * self.winograd.filter_len()
    }

    /// The number of elements of the [prepared](Self::prepare_input_gradient) weights that
    /// [`input_gradient`](Self::input_gradient) needs; 0 where it needs none.
    pub fn input_gradient_prepared_len(&self) -> usize {
        self.shape.c * self.winograd.channel_len()
    }

    /// Prepares the weights `w` `[F, C, 3, 3]` for [`forward`](Self::forward) at the level `isa`: overwrites
    /// `prepared` with those of the filters `filters`. Does nothing where `forward` needs no prepared
    /// weights.
    ///
    /// # Panics
    ///
    /// When `filters` do not begin at a multiple of [`PREPARED_CHANNELS`](Self::PREPARED_CHANNELS) and end at
    /// another one or at the last filter, when a slice has another length, and as
    /// [`forward`](Self::forward) for f64.
    pub fn prepare_forward<T: Element>(&self, isa: Isa, filters: Range<usize>, w: &[T], prepared: &mut [T]) {
        self.check_part(&filters, self.shape.f, self.winograd.filter_len(), w.len(), prepared.len());
        self.winograd.prepare_forward(isa, filters, w, prepared);
    }

    /// As [`prepare_forward`](Self::prepare_forward), for [`input_gradient`](Self::input_gradient) and the
    /// channels `channels` of the image.
    ///
    /// # Panics
    ///
    /// As `prepare_forward`.
    pub fn prepare_input_gradient<T: Element>(
        &self,
        isa: Isa,
        channels: Range<usize>,
        w: &[T],
        prepared: &mut [T],
    ) {
        self.check_part(&channels, self.shape.c, self.winograd.channel_len(), w.len(), prepared.len());
        self.winograd.prepare_input_gradient(isa, channels, w, prepared);
    }

    fn check_part(&self, part: &Range<usize>, all: usize, len: usize, weights: usize, prepared: usize) {
        let is_edge = |channel: usize| channel.is_multiple_of(Self::PREPARED_CHANNELS) || channel == all;
        assert!(
            part.start <= part.end && part.end <= all && is_edge(part.start) && is_edge(part.end),
            "channels {part:?} of {all} cannot be prepared apart from the others"
        );
        let weight_len = self.weight_len();
        assert_eq!(weights, weight_len, "there are {weights} weights, but the shape needs {weight_len}");
        check_prepared(prepared, part.len() * len);
    }
}

/// Panics if prepared weights do not have the length that a pass needs.
pub(super) fn check_prepared(len: usize, needed: usize) {
    assert_eq!(len, needed, "the prepared weights have {len} elements, but {needed} are needed");
}
