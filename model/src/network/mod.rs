//! A network: layers, checked and planned once.

mod fuse;

mod memory;
mod pass;
mod predict;
mod state;
mod summary;

pub use predict::Randomness;
pub use state::State;

pub(crate) use memory::{LastLayer, OutputAndGradient, ShardMemory};
pub(crate) use pass::GradientMemory;

use crate::error::{BuildError, Error};
use crate::last_layer::{self, LastLayerError, LayerOutput};
use crate::layer::{Fusible, Layer, LayerPlan, OutputKind, Placement, Reservation, Tensor};
use crate::loss::Loss;
use crate::memory::round_up;
use crate::shape::Shape;
use fuse::Fused;
use isograd_kernels::Element;
use std::ops::Range;

/// A feed-forward network: a list of layers, each fed by the one before it.
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
    layers: Vec<Box<dyn Layer<T>>>,
    steps: Vec<Step>,
    parameters: Vec<Tensor>,
    statistics: Vec<Tensor>,
    /// Elements of all activations of one sample, each rounded up to pairs of cache lines when `n` samples
    /// are laid out.
    buffers: Vec<usize>,
    /// The first layer with parameters: no gradient is needed below it.
    first_trained: usize,
}

/// What the passes need to know of a layer.
#[derive(Debug, Clone)]
struct Step {
    shape: Shape,
    output_kind: OutputKind,
    /// Which buffers hold its input and output; the same one where the output takes the input's place.
    input: usize,
    output: usize,
    saved: Reservation,
    /// The passes do not call the layer: its output lies in place, or a neighbouring layer applies this ReLU.
    skip_forward: bool,
    skip_backward: bool,
    /// Its tensors among all of the network's.
    parameters: Range<usize>,
    /// Their elements in the flat buffer.
    elements: Range<usize>,
    /// The fewest samples of a shard that it can be trained on.
    least_samples: usize,
}

impl<T: Element> Network<T> {
    /// Builds the layers in order; see [`layers!`](crate::layers).
    ///
    /// # Errors
    ///
    /// [`Error::NoInput`] when the first layer is not [`Input`](crate::layer::Input), [`Error::Build`] with
    /// position and type of the first layer that does not fit, or whose output has no elements.
    pub fn build(mut layers: Vec<Box<dyn Layer<T>>>) -> Result<Self, Error> {
        match layers.first().map(|layer| layer.kind()) {
            Some("Input") => {}
            found => return Err(Error::NoInput { found: found.unwrap_or("missing") }),
        }
        let fused = fuse::fuse(&mut layers);
        let mut plan = LayerPlan::default();
        let mut network = Self {
            layers: Vec::new(),
            steps: Vec::new(),
            parameters: Vec::new(),
            statistics: Vec::new(),
            buffers: Vec::new(),
            first_trained: layers.len(),
        };
        for (index, (mut layer, fused)) in layers.into_iter().zip(fused).enumerate() {
            let kind = layer.kind();
            let step = network
                .plan_step(&mut *layer, fused, &mut plan, index)
                .map_err(|reason| Error::Build { index, kind, reason })?;
            network.steps.push(step);
            network.layers.push(layer);
        }
        (network.parameters, network.statistics) = (plan.parameters, plan.statistics);
        Ok(network)
    }

    /// Builds layer `index` behind those that have been built, and gives its output a buffer where it needs
    /// one.
    fn plan_step(
        &mut self,
        layer: &mut dyn Layer<T>,
        fused: Fused,
        plan: &mut LayerPlan,
        index: usize,
    ) -> Result<Step, BuildError> {
        plan.start_layer(index, layer.kind());
        let first_parameter = plan.parameters.len();
        let first_element = plan.parameters.last().map_or(0, |tensor| tensor.range.end);
        let before = self.steps.last();
        let input_shape = before.map_or(Shape::vector(0), |step| step.shape);
        let input_kind = before.map_or(OutputKind::Unknown, |step| step.output_kind);
        let shape = layer.build(input_shape, plan)?;
        if [shape.c, shape.h, shape.w].contains(&0) {
            return Err(BuildError::EmptyOutput { output: shape });
        }
        let elements = shape.c.checked_mul(shape.h).and_then(|e| e.checked_mul(shape.w));
        let elements = elements.ok_or(BuildError::TooLarge)?;

        let in_place = layer.placement() == Placement::InPlace;
        if in_place && index > 0 && elements != input_shape.elements() {
            return Err(BuildError::NotInPlace { input: input_shape, output: shape });
        }
        let input = self.buffers.len().saturating_sub(1);
        if index == 0 || !in_place && !fused.forward {
            self.buffers.push(elements);
        }
        if plan.parameters.len() > first_parameter {
            self.first_trained = self.first_trained.min(index);
        }
        Ok(Step {
            shape,
            output_kind: layer.output_kind(input_kind, input_shape),
            input,
            output: self.buffers.len() - 1,
            saved: plan.saved,
            skip_forward: in_place || fused.forward,
            skip_backward: in_place || fused.backward,
            parameters: first_parameter..plan.parameters.len(),
            elements: first_element..plan.parameters.last().map_or(0, |tensor| tensor.range.end),
            least_samples: plan.least_samples,
        })
    }

    /// Checks that `loss` takes the network's output.
    pub(crate) fn check_loss(&self, loss: Loss) -> Result<(), LastLayerError> {
        let output = |step: &Step| LayerOutput {
            kind: step.output_kind,
            shape: step.shape,
            has_parameters: !step.parameters.is_empty(),
        };
        last_layer::check(loss, &self.layers, &self.steps.iter().map(output).collect::<Vec<_>>())
    }

    /// The fewest samples of a shard that all layers can be trained on.
    pub(crate) fn least_samples(&self) -> usize {
        self.steps.iter().map(|step| step.least_samples).max().unwrap_or(1)
    }

    /// Position and type of the first layer that needs [`least_samples`](Self::least_samples).
    pub(crate) fn layer_of_least_samples(&self) -> (usize, &'static str) {
        let least = self.least_samples();
        let index = self.steps.iter().position(|step| step.least_samples == least).unwrap_or(0);
        (index, self.layers[index].kind())
    }

    /// Shape of a sample.
    pub fn input_shape(&self) -> Shape {
        self.steps[0].shape
    }

    /// Shape of the output of one sample.
    pub fn output_shape(&self) -> Shape {
        self.steps[self.steps.len() - 1].shape
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

    /// The range of each layer's parameters, in layer order; they tile the flat buffer.
    pub(crate) fn layer_parameters(&self) -> impl DoubleEndedIterator<Item = Range<usize>> {
        self.steps.iter().map(|step| step.elements.clone())
    }

    /// The function of the last layer, if a loss can compute it.
    pub(crate) fn last_function(&self) -> Option<Fusible> {
        let last = self.layers.last().and_then(|layer| layer.fusible());
        // A softmax over the channels of an image is one for each pixel, not one over all outputs.
        last.filter(|function| *function != Fusible::Softmax || self.output_shape().is_vector())
    }

    /// Shape of the input of layer `index`.
    fn input_of(&self, index: usize) -> Shape {
        self.steps[index.saturating_sub(1)].shape
    }

    /// The number of layers without the last one.
    pub(crate) fn without_last(&self) -> usize {
        self.layers.len() - 1
    }

    /// The number of layers.
    pub(crate) fn all(&self) -> usize {
        self.layers.len()
    }

    /// Where each activation starts in a shard of at most `n` samples, and the end of the last.
    fn activation_offsets(&self, n: usize) -> Vec<usize> {
        offsets::<T>(self.buffers.iter().map(|elements| elements * n))
    }
}

/// Starts of buffers of these lengths one after the other, each on a pair of cache lines, and the end of the
/// last.
fn offsets<T>(lens: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut offsets = vec![0];
    for len in lens {
        offsets.push(offsets[offsets.len() - 1] + round_up::<T>(len));
    }
    offsets
}
