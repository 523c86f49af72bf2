//! A network: layers, checked and planned once.

mod fuse;

mod memory;
mod pass;
mod predict;
mod state;
mod summary;

pub use state::State;

pub(crate) use memory::{LastLayer, OutputAndGradient, ShardMemory};
pub(crate) use pass::GradientMemory;

use crate::error::{BuildError, Error};
use crate::layer::{Fusible, Layer, LayerPlan, Placement, Reservation, Tensor};
use crate::memory::round_up;
use crate::shape::Shape;
use isograd_kernels::Element;

/// A feed-forward network: a list of layers, each fed by the one before it.
///
/// It holds no numbers: parameters are in a [`State`], activations in the memory of each shard.
///
/// ```
/// use isograd_model::{Network, layer::*, layers};
/// let network = Network::<f32>::build(layers![
///     Input::new(1, 28, 28), Conv2D::new(4, 3), ReLU, MaxPool2D::new(2).stride(2), Flatten, Dense::new(10), Softmax,
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
    /// Elements of all activations of one sample, each rounded up to pairs of cache lines when `n` samples are laid out.
    buffers: Vec<usize>,
    /// The first layer with parameters: no gradient is needed below it.
    first_trained: usize,
}

/// A layer's place in a shard's memory.
#[derive(Debug, Clone)]
struct Step {
    shape: Shape,
    /// Which buffers hold its input and output; the same one where the output takes the input's place.
    input: usize,
    output: usize,
    saved: Reservation,
    /// The ReLU that this layer is has been taken over by a neighbour.
    skip_forward: bool,
    skip_backward: bool,
    /// Its tensors among all of the network's.
    parameters: std::ops::Range<usize>,
    /// Their elements in the flat buffer.
    elements: std::ops::Range<usize>,
}

impl<T: Element> Network<T> {
    /// Builds the layers in order; see [`layers!`](crate::layers).
    ///
    /// # Errors
    ///
    /// [`Error::NoInput`] when the first layer is no [`Input`](crate::layer::Input), [`Error::Build`] with position and type of
    /// the first layer that does not fit.
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
        let mut shape = Shape::vector(0);
        for (index, (mut layer, fused)) in layers.into_iter().zip(fused).enumerate() {
            let kind = layer.kind();
            let in_layer = |source| Error::Build { index, kind, source };
            plan.start_layer(index, kind);
            let first_parameter = plan.parameters.len();
            let first_element = plan.parameters.last().map_or(0, |tensor| tensor.range.end);
            shape = layer.build(shape, &mut plan).map_err(in_layer)?;
            let elements = shape.c.checked_mul(shape.h).and_then(|e| e.checked_mul(shape.w));
            let elements = elements.ok_or(in_layer(BuildError::TooLarge))?;

            let input = network.buffers.len().saturating_sub(1);
            if index == 0 || layer.placement() == Placement::Own && !fused.forward {
                network.buffers.push(elements);
            }
            if plan.parameters.len() > first_parameter {
                network.first_trained = network.first_trained.min(index);
            }
            network.steps.push(Step {
                shape,
                input,
                output: network.buffers.len() - 1,
                saved: plan.saved,
                skip_forward: layer.placement() == Placement::InPlace || fused.forward,
                skip_backward: layer.placement() == Placement::InPlace || fused.backward,
                parameters: first_parameter..plan.parameters.len(),
                elements: first_element..plan.parameters.last().map_or(0, |tensor| tensor.range.end),
            });
            network.layers.push(layer);
        }
        (network.parameters, network.statistics) = (plan.parameters, plan.statistics);
        Ok(network)
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
    pub(crate) fn layer_parameters(&self) -> impl DoubleEndedIterator<Item = std::ops::Range<usize>> {
        self.steps.iter().map(|step| step.elements.clone())
    }

    /// Which function of all outputs the last layer is, if it is one that a loss can take over.
    pub(crate) fn last_function(&self) -> Option<Fusible> {
        let last = self.layers.last().and_then(|layer| layer.fusible());
        // Over the channels of an image, there is a softmax for each pixel.
        last.filter(|function| *function != Fusible::Softmax || self.output_shape().is_vector())
    }

    /// Shape of the input of layer `index`.
    fn input_of(&self, index: usize) -> Shape {
        self.steps[index.saturating_sub(1)].shape
    }

    /// The layers without the last one.
    pub(crate) fn without_last(&self) -> usize {
        self.layers.len() - 1
    }

    /// All layers.
    pub(crate) fn all(&self) -> usize {
        self.layers.len()
    }

    /// Where each activation starts in a shard of at most `n` samples, and the end of the last.
    fn activation_offsets(&self, n: usize) -> Vec<usize> {
        offsets::<T>(self.buffers.iter().map(|elements| elements * n))
    }
}

/// Starts of buffers of these lengths one after the other, each on a pair of cache lines, and the end of the last.
fn offsets<T>(lens: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut offsets = vec![0];
    for len in lens {
        offsets.push(offsets[offsets.len() - 1] + round_up::<T>(len));
    }
    offsets
}
