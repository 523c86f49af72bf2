//! From the sums of a step to its effect: on the parameters, on the optimizer's moments, on the running statistics.

use super::{Element, TrainConfig};
use crate::memory::{Aligned, round_up};
use crate::network::{Network, State};
use isograd_kernels::elementwise;
use rayon::prelude::*;
use std::ops::Range;

/// Parameters that a thread takes through the sum and the update at a time, so that they stay in its first-level cache.
const BLOCK: usize = 2048;

/// What an update depends on.
pub(super) struct Update<'a, T> {
    pub(super) network: &'a Network<T>,
    pub(super) config: &'a TrainConfig,
    /// The step, from 1.
    pub(super) step: u64,
}

impl<T: Element> Update<'_, T> {
    /// Applies the gradient, in parallel over about `threads` ranges. `sum(range, g)` overwrites `g` with those elements of the summed
    /// gradient with the statistics behind it.
    pub(super) fn apply(
        &self,
        state: &mut State<T>,
        [m, v]: &mut [Aligned<T>; 2],
        threads: usize,
        sum: impl Fn(Range<usize>, &mut [T]) + Sync,
    ) {
        let Self { network, config, step } = self;
        let (isa, update) = (config.isa, config.optimizer.at_step(config.learning_rate, *step));
        let scale = config.clip_norm.and_then(|limit| clip_scale(limit, state.params.len(), &sum));
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
        for tensor in network.statistics() {
            let mut shares = [T::ZERO; BLOCK];
            for start in tensor.range.clone().step_by(BLOCK) {
                let block = start..(start + BLOCK).min(tensor.range.end);
                let shares = &mut shares[..block.len()];
                sum(first + block.start..first + block.end, shares);
                let statistics = &mut state.statistics[block];
                elementwise::scale(isa, T::from_f64(tensor.retained), statistics);
                elementwise::axpy(isa, T::from_f64(1.0 - tensor.retained), shares, statistics);
            }
        }
    }
}

/// What to multiply a gradient of `len` elements with so that its norm is at most `limit`; `None` if it is already. The squares are
/// added in f64, block by block: the same bits however many threads there are.
fn clip_scale<T: Element>(
    limit: f64,
    len: usize,
    sum: &(impl Fn(Range<usize>, &mut [T]) + Sync),
) -> Option<f64> {
    let block_squares = |block: usize| {
        let range = block * BLOCK..((block + 1) * BLOCK).min(len);
        let mut g = [T::ZERO; BLOCK];
        let g = &mut g[..range.len()];
        sum(range, g);
        g.iter().map(|g| g.to_f64() * g.to_f64()).sum::<f64>()
    };
    let squares: Vec<f64> = (0..len.div_ceil(BLOCK)).into_par_iter().map(block_squares).collect();
    let norm = squares.iter().sum::<f64>().sqrt();
    (norm > limit).then(|| limit / norm)
}
