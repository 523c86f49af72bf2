//! A network: layers and blocks, checked and planned once.
//!
//! ```text
//! layers and blocks --lower--> steps over values --fuse, addition--> fewer steps
//!                   --gradients--> who adds to what --recompute--> what is not kept
//!                   --lifetimes--> when each buffer is used
//!                   --arena--> one piece of memory a shard
//! ```
//!
//! What is left are two plain loops over a list of steps.

mod addition;
mod arena;
mod convolutions;
mod costs;
mod fold;
mod freeze;
mod fuse;
mod gradients;
mod graph;
mod lifetimes;
mod lower;
mod memory;
mod nodes;
mod pass;
mod plain;
mod predict;
mod prepare;
mod rates;
mod recompute;
mod session;
mod state;
mod storage;
mod summary;
mod views;

pub use convolutions::Convolution;
pub use nodes::LayerNode;
pub use predict::Randomness;
pub use session::Session;
pub use state::State;

pub(crate) use memory::{LastLayer, MemoryPlan, OutputAndGradient, ShardMemory};
pub(crate) use pass::{GradientMemory, SharedStep};
pub(crate) use plain::{PlainLayer, PlainStep};

use crate::error::Error;
use crate::last_layer::{self, LastLayerError, LayerOutput};
use crate::layer::{Fusible, Layers, Mode, OutputKind, Reservation, Tensor};
use crate::loss::Loss;
use crate::place::Place;
use crate::shape::Shape;
use fold::Fold;
use graph::{Graph, Inside, Step};
use isograd_kernels::Element;
use lower::{LayerInfo, Lowering};
use prepare::PreparedPlan;
use recompute::Recomputation;
use std::ops::Range;
use summary::Row;

/// A feed-forward network: a list of layers and blocks, each fed by the one before it.
///
/// It holds no numbers: parameters are in a [`State`], activations in the memory of each shard.
///
/// ```
/// use isograd_model::{Network, layer::*, layers};
/// let network = Network::<f32>::build(layers![
///     Input::new(1, 28, 28), Conv2D::new(4, 3), ReLU, MaxPool2D::new(2), Flatten, Dense::new(10), Softmax,
/// ])?;
/// assert_eq!(network.parameter_count(), 4 * 9 + 4 + 4 * 13 * 13 * 10 + 10);
/// # Ok::<(), isograd_model::Error>(())
/// ```
#[derive(Debug)]
pub struct Network<T> {
    /// All layers that are no blocks, in reading order.
    layers: Layers<T>,
    infos: Vec<LayerInfo>,
    parameters: Vec<Tensor>,
    statistics: Vec<Tensor>,
    /// The steps as the layers say, before neighbours were asked to do each other's work.
    plain: Graph,
    /// The steps before their gradients were planned: what that plan starts from when layers are frozen.
    fused: Graph,
    graph: Graph,
    /// The steps in use, where some layers do the work of those behind them.
    in_use: Graph,
    folds: Vec<Fold>,
    /// The buffer of each value's data, and of the gradient by it.
    data: Vec<Inside>,
    gradients: Vec<Inside>,
    prepared: PreparedPlan,
    /// Whether cheap outputs are computed again, and which.
    recomputes: bool,
    recomputation: Recomputation,
    /// Whether values are rounded in training.
    has_bfloat16_values: bool,
    /// The value that is the output.
    output: usize,
    rows: Vec<Row>,
}

impl<T: Element> Network<T> {
    /// Builds the layers in order; see [`layers!`](crate::layers).
    ///
    /// # Errors
    ///
    /// [`Error::NoInput`] when the first layer is not [`Input`](crate::layer::Input), [`Error::Build`] with
    /// place and type of the first layer that does not fit, or whose output has no elements.
    pub fn build(layers: Layers<T>) -> Result<Self, Error> {
        match layers.first().map(|layer| layer.kind()) {
            Some("Input") => {}
            found => return Err(Error::NoInput { found: found.unwrap_or("missing") }),
        }
        let Lowering { mut layers, infos, plan, mut graph, rows, output, .. } = Lowering::run(layers)?;
        let plain = graph.clone();
        fuse::fuse(&mut graph, &mut layers, output);
        addition::fuse(&mut graph, &layers, output);
        let mut network = Self {
            layers,
            infos,
            parameters: plan.parameters,
            statistics: plan.statistics,
            plain,
            fused: graph,
            graph: Graph::default(),
            in_use: Graph::default(),
            folds: Vec::new(),
            data: Vec::new(),
            gradients: Vec::new(),
            prepared: PreparedPlan::default(),
            recomputes: false,
            recomputation: Recomputation::default(),
            has_bfloat16_values: false,
            output,
            rows,
        };
        network.in_use = network.fused.clone();
        let parameters = network.parameter_count();
        network.folds = fold::plan(&mut network.in_use, &mut network.layers, parameters, output);
        network.plan_gradients();
        network.prepared = PreparedPlan::new(&network.layers);
        Ok(network)
    }

    /// The steps of a pass in `mode`, forward.
    fn steps(&self, mode: Mode) -> &[Step] {
        match mode {
            Mode::Train => &self.graph.steps,
            Mode::Eval => &self.in_use.steps,
        }
    }

    /// Plans the backward pass, given which layers are frozen.
    fn plan_gradients(&mut self) {
        let mut graph = self.fused.clone();
        gradients::plan(&mut graph, &self.layers, &self.infos, self.output);
        self.data = (0..graph.values.len()).map(|value| graph.data(value)).collect();
        self.gradients = (0..graph.values.len()).map(|value| graph.gradient(value)).collect();
        self.graph = graph;
        if self.recomputes {
            self.recomputation = self.plan_recomputation();
        }
    }

    /// Checks that `loss` takes the network's output.
    pub(crate) fn check_loss(&self, loss: &dyn Loss<T>) -> Result<(), LastLayerError> {
        // The layers behind the last block: a block gives numbers of any size.
        let mut chain = Vec::new();
        let mut next = Some(self.layers.len() - 1);
        while let Some(index) = next {
            let info = &self.infos[index];
            chain.push(LayerOutput {
                place: info.place.clone(),
                function: self.layers[index].fusible(),
                kind: info.output_kind,
                shape: info.shape,
                has_parameters: !info.parameters.is_empty(),
            });
            next = info.input_layer;
        }
        chain.reverse();
        last_layer::check(loss.name(), loss.takes(), &chain)
    }

    /// What the output is.
    pub fn output_kind(&self) -> OutputKind {
        self.infos[self.infos.len() - 1].output_kind
    }

    /// The fewest samples of a shard that all layers can be trained on.
    pub(crate) fn least_samples(&self) -> usize {
        self.trained().map(|info| info.least_samples).max().unwrap_or(1)
    }

    /// Place of the first layer that needs [`least_samples`](Self::least_samples).
    pub(crate) fn layer_of_least_samples(&self) -> &Place {
        let least = self.least_samples();
        let first = self.trained().find(|info| info.least_samples == least);
        &first.unwrap_or(&self.infos[0]).place
    }

    /// The layers that are not frozen.
    fn trained(&self) -> impl Iterator<Item = &LayerInfo> {
        self.infos.iter().filter(|info| !info.frozen)
    }

    /// Shape of a sample.
    pub fn input_shape(&self) -> Shape {
        self.infos[0].shape
    }

    /// The places of the layers that share sums over all shards of a step.
    pub(crate) fn places_of_shared_sums(&self) -> impl Iterator<Item = &Place> {
        let with_layers = self.layers.iter().zip(&self.infos);
        with_layers.filter(|(layer, _)| layer.shared_sums() > 0).map(|(_, info)| &info.place)
    }

    /// Shape of the output of one sample.
    pub fn output_shape(&self) -> Shape {
        self.infos[self.infos.len() - 1].shape
    }

    /// All trained parameters, in layer order; their ranges tile the flat buffer.
    pub fn parameters(&self) -> &[Tensor] {
        &self.parameters
    }

    /// All running statistics, in layer order; their ranges tile a flat buffer of their own.
    pub fn statistics(&self) -> &[Tensor] {
        &self.statistics
    }

    /// The number of trained parameters.
    pub fn parameter_count(&self) -> usize {
        self.parameters.last().map_or(0, |last| last.range.end)
    }

    /// The number of running statistics.
    pub fn statistics_count(&self) -> usize {
        self.statistics.last().map_or(0, |last| last.range.end)
    }

    /// Multiplications with an addition that the forward pass of one sample does in convolutions and dense
    /// layers.
    pub fn multiply_adds(&self) -> u64 {
        self.layers.iter().map(|layer| layer.multiply_adds()).fold(0, u64::saturating_add)
    }

    /// The range of each layer's parameters, in layer order; they tile the flat buffer.
    pub(crate) fn layer_parameters(&self) -> impl DoubleEndedIterator<Item = Range<usize>> {
        self.infos.iter().map(|info| info.elements.clone())
    }

    /// The function of the last layer, if a loss can compute it.
    pub(crate) fn last_function(&self) -> Option<Fusible> {
        let last = self.layers.last().and_then(|layer| layer.fusible());
        // A softmax over the channels of an image is one for each pixel, not one over all outputs.
        last.filter(|function| *function != Fusible::Softmax || self.output_shape().is_vector())
    }

    /// The number of steps without the last one.
    pub(crate) fn without_last(&self) -> usize {
        self.graph.steps.len() - 1
    }

    /// The number of steps.
    pub(crate) fn all(&self) -> usize {
        self.graph.steps.len()
    }
}

#[cfg(test)]
mod tests;
