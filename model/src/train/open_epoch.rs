//! The epoch that has begun and not ended: what an interrupted run goes on from.

use super::DataError;
use super::report::{SumLayout, Sums};

/// How far an epoch has come.
#[derive(Debug, Clone)]
pub(super) struct OpenEpoch {
    /// Samples that are done: the place in the epoch's order. 0 between two epochs.
    pub(super) position: usize,
    /// All samples of the epoch.
    pub(super) samples: usize,
    /// Of the samples that are done.
    pub(super) sums: Sums,
}

impl OpenEpoch {
    pub(super) fn new(layout: &SumLayout) -> Self {
        Self { position: 0, samples: 0, sums: Sums::new(layout) }
    }

    /// Whether an epoch has begun.
    pub(super) fn is_open(&self) -> bool {
        self.position > 0
    }

    /// Begins an epoch of `samples` samples, or goes on in it.
    pub(super) fn begin(&mut self, samples: usize) -> Result<(), DataError> {
        if self.is_open() && self.samples != samples {
            return Err(DataError::OtherEpoch { begun: self.samples, samples });
        }
        self.samples = samples;
        Ok(())
    }

    /// The next epoch begins at its start.
    pub(super) fn close(&mut self) {
        self.position = 0;
        self.sums.clear();
    }
}
