//! Folding: in use, batch normalisation becomes a part of the weights and the bias of the layer in front
//! of it.
//!
//! ```text
//! activation(factor * (w x + b) + addend) = activation((factor * w) x + (factor * b + addend))
//! ```
//!
//! The folded parameters are computed once for an evaluation; the passes then have one step less and move
//! less data. Results differ from those of the separate layers by rounding.

use super::graph::{Graph, Op, Step};
use super::{Network, State};
use crate::error::Error;
use crate::layer::{Coefficients, Foldable, Layer};
use crate::memory::{self, Aligned};
use isograd_kernels::Element;
use std::ops::Range;

/// A layer that does the work of the layer behind it.
#[derive(Debug, Clone)]
pub(super) struct Fold {
    /// The layer that is folded.
    from: usize,
    /// The parameters of the layer in front of it.
    into: Foldable,
    /// The bias of the two, among the folded parameters.
    bias: Range<usize>,
}

/// Plans what is folded, and changes the steps of the passes in use, which `graph` has as they are in
/// training. Folded biases lie behind the `parameters` parameters of the network.
pub(super) fn plan<T: Element>(
    graph: &mut Graph,
    layers: &mut [Box<dyn Layer<T>>],
    parameters: usize,
    output: usize,
) -> Vec<Fold> {
    let (readers, producers) = (graph.readers(), graph.producers());
    let mut end = parameters;
    let mut folds = Vec::new();
    for index in 0..graph.steps.len() {
        let Step { op: Op::Layer(from), input, writes, skip_forward: false, .. } = graph.steps[index] else {
            continue;
        };
        let Some(activation) = layers[from].affine_in_use() else { continue };
        let value = graph.steps[index].reads[0];
        // The value between the two layers is not computed any more, so nobody else may read it.
        if readers[value][..] != [index] || value == output || graph.values[value].data.is_some() {
            continue;
        }
        let Some(in_front) = producers[value].filter(|step| !graph.steps[*step].skip_forward) else {
            continue;
        };
        let Op::Layer(layer) = graph.steps[in_front].op else { continue };
        let addend = graph.steps[index].addend;
        if addend.is_some() && !layers[layer].can_add_to_y() {
            continue;
        }
        let bias = end..end + input.c;
        let Some(into) = layers[layer].fold(activation, bias.clone()) else { continue };
        end = bias.end;
        (graph.steps[in_front].writes, graph.steps[in_front].addend) = (writes, addend);
        graph.steps[index].skip_forward = true;
        folds.push(Fold { from, into, bias });
    }
    folds
}

impl<T: Element> Network<T> {
    /// Keeps all layers separate in use. Results then differ from those of folded layers by rounding.
    ///
    /// Otherwise, in use, a convolution or dense layer does the work of a batch normalisation behind it, by
    /// other weights and another bias.
    #[must_use]
    pub fn without_folding(mut self) -> Self {
        self.folds.clear();
        self.in_use = self.fused.clone();
        self
    }

    /// The parameters for passes in use, of a network in `state`: weights multiplied by the factors of the
    /// layers that are folded, and their biases behind all parameters. `None` if nothing is folded.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfMemory`].
    pub(crate) fn folded_parameters(&self, state: &State<T>) -> Result<Option<Aligned<T>>, Error> {
        let Some(last) = self.folds.last() else { return Ok(None) };
        let len = last.bias.end;
        memory::check(|| format!("{len} folded parameters"), len as u128 * size_of::<T>() as u128)?;
        let mut params = Aligned::zeroed(len);
        params[..state.params.len()].copy_from_slice(&state.params);
        for Fold { from, into, bias } in &self.folds {
            let Coefficients { factors, addends } =
                self.layers[*from].coefficients(&state.params, &state.statistics);
            let of_filter = into.weight.len() / factors.len();
            let filters = params[into.weight.clone()].chunks_exact_mut(of_filter);
            for (weights, factor) in filters.zip(&factors) {
                weights.iter_mut().for_each(|weight| *weight = T::from_f64(weight.to_f64() * factor));
            }
            for (filter, (factor, addend)) in factors.iter().zip(&addends).enumerate() {
                let own = into.bias.as_ref().map_or(0.0, |own| params[own.start + filter].to_f64());
                params[bias.start + filter] = T::from_f64(own * factor + addend);
            }
        }
        Ok(Some(params))
    }
}
