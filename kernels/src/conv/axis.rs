//! One spatial axis of a convolution: which kernel elements connect which input and output positions.
//!
//! Kernel element `k` connects output position `i` to input position `i*stride - padding + k*dilation`. The
//! plans of all passes follow from this one formula.

use super::ConvError;

/// A spatial axis.
#[derive(Debug, Clone)]
pub(super) struct Axis {
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) kernel: usize,
    pub(super) stride: usize,
    pub(super) padding: usize,
    pub(super) dilation: usize,
}

/// The kernel elements that contribute to a position: `count` of them, from `first_k` on, `k_step` apart. The
/// first one reads position `source`, and each further one reads `source_step` positions beyond the one
/// before it. All [`Taps`] of one axis have the same two steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Taps {
    pub(super) first_k: usize,
    pub(super) count: usize,
    pub(super) source: usize,
}

impl Axis {
    pub(super) fn new(
        inputs: usize,
        kernel: usize,
        stride: usize,
        padding: usize,
        dilation: usize,
    ) -> Result<Self, ConvError> {
        let extent =
            (kernel - 1).checked_mul(dilation).and_then(|e| e.checked_add(1)).ok_or(ConvError::TooLarge)?;
        let padded = padding.checked_mul(2).and_then(|p| p.checked_add(inputs)).ok_or(ConvError::TooLarge)?;
        if extent > padded {
            return Err(ConvError::KernelTooLarge { kernel, dilation, image: inputs, padding });
        }
        Ok(Self { inputs, outputs: (padded - extent) / stride + 1, kernel, stride, padding, dilation })
    }

    /// An axis on which each of `len` outputs reads the input of the same place.
    pub(super) fn unit(len: usize) -> Self {
        Self { inputs: len, outputs: len, kernel: 1, stride: 1, padding: 0, dilation: 1 }
    }

    /// The input position that kernel element `k` connects to output position `i`, if it lies in the image.
    pub(super) fn input(&self, i: usize, k: usize) -> Option<usize> {
        (i * self.stride + k * self.dilation).checked_sub(self.padding).filter(|p| *p < self.inputs)
    }

    /// The output position that kernel element `k` connects to input position `p`, if there is one.
    pub(super) fn output(&self, p: usize, k: usize) -> Option<usize> {
        let distance = (p + self.padding).checked_sub(k * self.dilation)?;
        (distance % self.stride == 0).then_some(distance / self.stride).filter(|i| *i < self.outputs)
    }

    /// For each output position, the input positions that it reads.
    pub(super) fn forward(&self) -> Vec<Taps> {
        (0..self.outputs).map(|i| collect(self.kernel, |k| self.input(i, k))).collect()
    }

    /// For each input position, the output positions that read it.
    pub(super) fn transposed(&self) -> Vec<Taps> {
        (0..self.inputs).map(|p| collect(self.kernel, |k| self.output(p, k))).collect()
    }

    /// The output positions `[start, end)` for which kernel element `k` reads inside the image.
    pub(super) fn outputs_of(&self, k: usize) -> std::ops::Range<usize> {
        let inside = |i: &usize| self.input(*i, k).is_some();
        let start = (0..self.outputs).find(inside).unwrap_or(0);
        start..(start..self.outputs).take_while(inside).last().map_or(start, |last| last + 1)
    }

    /// `k_step` and `source_step` of [`forward`](Self::forward).
    pub(super) fn forward_steps(&self) -> (usize, isize) {
        (1, self.dilation as isize)
    }

    /// `k_step` and `source_step` of [`transposed`](Self::transposed). Only every `stride / gcd`-th kernel
    /// element connects an input position to an output position, and a later kernel element connects it to an
    /// earlier output position.
    pub(super) fn transposed_steps(&self) -> (usize, isize) {
        let gcd = gcd(self.stride, self.dilation);
        (self.stride / gcd, -((self.dilation / gcd) as isize))
    }
}

fn collect(kernel: usize, source: impl Fn(usize) -> Option<usize>) -> Taps {
    let mut taps = Taps { first_k: 0, count: 0, source: 0 };
    for (k, source) in (0..kernel).filter_map(|k| source(k).map(|s| (k, s))) {
        if taps.count == 0 {
            taps = Taps { first_k: k, count: 0, source };
        }
        taps.count += 1;
    }
    taps
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}
