//! What the outputs of a shard should be.

use isograd_kernels::Element;

/// The targets of a shard's samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Targets<'a, T> {
    /// The class of each sample.
    Classes(&'a [u32]),
    /// A number for each output, `[outputs, n]`, samples innermost.
    Values(&'a [T]),
}

impl<'a, T> Targets<'a, T> {
    /// The number of samples of a network of `outputs` outputs.
    pub fn samples(&self, outputs: usize) -> usize {
        match self {
            Self::Classes(labels) => labels.len(),
            Self::Values(values) => values.len() / outputs,
        }
    }

    /// The class of each sample.
    ///
    /// # Panics
    ///
    /// When the targets are values. A trainer gives values to no loss and no metric that does not take them.
    pub fn classes(&self) -> &'a [u32] {
        match self {
            Self::Classes(labels) => labels,
            Self::Values(values) => panic!("{} values for a loss or metric of classes", values.len()),
        }
    }
}

impl<'a, T: Element> Targets<'a, T> {
    /// The targets as numbers, `[outputs, n]`: values as they are; of classes 1 at the class of each sample
    /// and 0 elsewhere, or, where there is a single output, the class. Classes are written to `scratch`.
    ///
    /// # Panics
    ///
    /// When `scratch` has not `outputs` elements for each of the classes, or a class has no output.
    pub fn dense<'s>(self, outputs: usize, scratch: &'s mut [T]) -> &'s [T]
    where
        'a: 's,
    {
        let labels = match self {
            Self::Classes(labels) => labels,
            Self::Values(values) => return values,
        };
        let (n, len) = (labels.len(), scratch.len());
        assert_eq!(len, outputs * n, "{len} elements for the targets of {n} samples of {outputs} outputs");
        if outputs == 1 {
            for (target, label) in scratch.iter_mut().zip(labels) {
                assert!(*label < 2, "label {label} for a network with one output");
                *target = if *label == 1 { T::ONE } else { T::ZERO };
            }
            return scratch;
        }
        scratch.fill(T::ZERO);
        for (sample, label) in labels.iter().enumerate() {
            scratch[*label as usize * n + sample] = T::ONE;
        }
        scratch
    }
}

impl<'a, T> From<&'a [u32]> for Targets<'a, T> {
    fn from(labels: &'a [u32]) -> Self {
        Self::Classes(labels)
    }
}

impl<'a, T> From<&'a Vec<u32>> for Targets<'a, T> {
    fn from(labels: &'a Vec<u32>) -> Self {
        Self::Classes(labels)
    }
}

impl<'a, T, const N: usize> From<&'a [u32; N]> for Targets<'a, T> {
    fn from(labels: &'a [u32; N]) -> Self {
        Self::Classes(labels)
    }
}
