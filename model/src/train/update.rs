//! The update: what the sums of a step change in the parameters, the optimizer's moments and the running
//! statistics.

use super::{NonFinite, TrainConfig};
use crate::error::Error;
use crate::memory::{Aligned, round_up};
use crate::network::{Network, State};
use isograd_kernels::Element;
use isograd_kernels::elementwise;
use rayon::prelude::*;
use std::ops::Range;

/// Parameters that a thread takes through the sum and the update at a time, so that they stay in its
/// first-level cache.
const BLOCK: usize = 2048;

/// What an update depends on.
pub(super) struct Update<'a, T> {
    pub(super) network: &'a Network<T>,
    pub(super) config: &'a TrainConfig,
    /// The step, from 1.
    pub(super) step: u64,
    /// The epoch, from 1.
    pub(super) epoch: u32,
}

impl<T: Element> Update<'_, T> {
    /// Applies the gradient, in parallel over about `threads` ranges. `sum(range, g)` overwrites `g` with
    /// those elements of the summed gradient with the statistics behind it. `squares` is kept from step to
    /// step: room for sums of squares, where gradients are clipped.
    ///
    /// # Errors
    ///
    /// [`NonFinite::Gradient`], before anything has changed.
    pub(super) fn apply(
        &self,
        state: &mut State<T>,
        [m, v]: &mut [Aligned<T>; 2],
        squares: &mut Vec<f64>,
        threads: usize,
        sum: impl Fn(Range<usize>, &mut [T]) + Sync,
    ) -> Result<(), Error> {
        let Self { network, config, step, .. } = self;
        let (isa, update) = (config.isa, config.optimizer.at_step(config.learning_rate, *step));
        let scale = match config.clip_norm {
            Some(limit) => self.clip_scale(limit, squares, &sum)?,
            None => None,
        };
        let chunk = round_up::<T>(state.params.len().div_ceil(threads)).max(BLOCK);
        let chunks =
            state.params.par_chunks_mut(chunk).zip(m.par_chunks_mut(chunk)).zip(v.par_chunks_mut(chunk));
        chunks.with_max_len(1).enumerate().for_each(|(index, ((w, m), v))| {
            let mut g = [T::ZERO; BLOCK];
            for first in (0..w.len()).step_by(BLOCK) {
                let block = first..(first + BLOCK).min(w.len());
                let g = &mut g[..block.len()];
                sum(index * chunk + block.start..index * chunk + block.end, g);
                if let Some(scale) = scale {
                    elementwise::scale(isa, T::from_f64(scale), g);
                }
                update.apply(isa, &mut w[block.clone()], g, &mut m[block.clone()], &mut v[block]);
            }
        });

        let first = network.parameter_count();
        for tensor in network.statistics().iter().filter(|tensor| !tensor.frozen) {
            let mut shares = [T::ZERO; BLOCK];
            for start in tensor.range.clone().step_by(BLOCK) {
                let block = start..(start + BLOCK).min(tensor.range.end);
                let shares = &mut shares[..block.len()];
                sum(first + block.start..first + block.end, shares);
                let statistics = &mut state.statistics[block];
                elementwise::scale(isa, T::from_f64(tensor.momentum), statistics);
                elementwise::axpy(isa, T::from_f64(1.0 - tensor.momentum), shares, statistics);
            }
        }
        Ok(())
    }

    /// What to multiply the gradient with so that its norm is at most `limit`; `None` if it is already. The
    /// squares are added in f64, block by block: the same bits however many threads there are.
    fn clip_scale(
        &self,
        limit: f64,
        squares: &mut Vec<f64>,
        sum: &(impl Fn(Range<usize>, &mut [T]) + Sync),
    ) -> Result<Option<f64>, Error> {
        let len = self.network.parameter_count();
        squares.resize(len.div_ceil(BLOCK), 0.0);
        squares.par_iter_mut().enumerate().for_each(|(block, square)| {
            let range = block * BLOCK..((block + 1) * BLOCK).min(len);
            let mut g = [T::ZERO; BLOCK];
            let g = &mut g[..range.len()];
            sum(range, g);
            *square = g.iter().map(|g| g.to_f64() * g.to_f64()).sum();
        });
        let norm = squares.iter().sum::<f64>().sqrt();
        if !norm.is_finite() {
            return Err(NonFinite::Gradient { step: self.step, epoch: self.epoch, norm }.into());
        }
        Ok((norm > limit).then(|| limit / norm))
    }
}
