//! What layers reserve while a network is built.

use crate::error::BuildError;
use crate::initializer::Initializer;
use std::collections::HashSet;
use std::ops::Range;

/// A named tensor in a flat buffer: a parameter, or a running statistic.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Tensor {
    /// The names of the blocks around the layer and of the layer itself, and then the tensor's own:
    /// `layer1.0.conv1.weight`. A layer without a name goes by its type and its number among those of this
    /// type in its list: `conv2d1.weight`. Unique in the network.
    pub name: String,
    /// Dimensions, outermost first.
    pub dims: Vec<usize>,
    /// Its place in the flat buffer.
    pub range: Range<usize>,
    /// Initial values.
    pub initializer: Initializer,
    /// The inputs and outputs that it joins.
    pub fans: Fans,
    /// The share of its old value that a running statistic keeps in a step; 0 of a parameter.
    pub momentum: f64,
    /// Whether training leaves it as it is.
    pub frozen: bool,
    /// What the learning rate of a step is multiplied with for this tensor; 1 unless the network was told
    /// [otherwise](crate::Network::scale_learning_rate).
    pub rate_factor: f64,
}

/// How many inputs and outputs a tensor of weights joins; for a convolution, channels times kernel elements.
/// The variance of initial values depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fans {
    /// Inputs of each output.
    pub inputs: usize,
    /// Outputs of each input.
    pub outputs: usize,
}

impl Fans {
    /// Of a tensor that scales or shifts each element on its own.
    pub const ELEMENTWISE: Self = Self { inputs: 1, outputs: 1 };
}

/// Takes the reservations of one layer after the other.
#[derive(Debug, Default)]
pub struct LayerPlan {
    index: usize,
    /// What the names of the layer's tensors begin with.
    prefix: String,
    frozen: bool,
    /// The names of all tensors.
    names: HashSet<String>,
    pub(crate) parameters: Vec<Tensor>,
    pub(crate) statistics: Vec<Tensor>,
    pub(crate) saved: Reservation,
    /// The fewest samples of a shard that the layer works on.
    pub(crate) least_samples: usize,
}

/// Elements that grow with the samples of a shard, and elements that do not.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reservation {
    pub(crate) per_sample: usize,
    pub(crate) fixed: usize,
}

impl Reservation {
    pub(crate) fn elements(&self, n: usize) -> usize {
        self.per_sample * n + self.fixed
    }
}

impl LayerPlan {
    /// The plan of the next layer: nothing saved, the same flat buffers.
    pub(crate) fn start_layer(&mut self, index: usize, prefix: &str, frozen: bool) {
        (self.index, self.prefix, self.frozen) = (index, prefix.to_string(), frozen);
        self.saved = Reservation::default();
        self.least_samples = 1;
    }

    /// The layer's number in the network, from 0 in reading order, blocks not counted: what makes its random
    /// stream, if it needs one, its own.
    ///
    /// ```
    /// use isograd_model::kernels::philox::{Purpose, Rng};
    /// # fn stream(cx: &isograd_model::layer::Context<'_, f32>, index: usize) -> Rng {
    /// Rng::new(cx.seed, Purpose::Dropout).epoch(cx.epoch).layer(index as u32)
    /// # }
    /// ```
    pub fn index(&self) -> usize {
        self.index
    }

    /// Reserves a tensor of trained parameters and returns its range in the flat buffer.
    ///
    /// # Errors
    ///
    /// When a dimension or a fan is 0, when the network has a tensor of this name already, or when the number
    /// of elements overflows.
    pub fn parameter(
        &mut self,
        name: &str,
        dims: &[usize],
        initializer: Initializer,
        fans: Fans,
    ) -> Result<Range<usize>, BuildError> {
        if fans.inputs == 0 || fans.outputs == 0 {
            return Err(BuildError::OutOfRange {
                name: "each fan of a tensor",
                expected: "at least 1",
                value: 0.0,
            });
        }
        let tensor = self.tensor(name, dims, initializer)?;
        reserve(&mut self.parameters, Tensor { fans, ..tensor })
    }

    /// Reserves a tensor of running statistics and returns its range in their flat buffer. A step keeps the
    /// share `momentum` of the old value and takes the rest from the new values that the shards hand in.
    ///
    /// # Errors
    ///
    /// When a dimension is 0, when `momentum` is not between 0 and 1, when the layer has a tensor of this
    /// name already, or when the number of elements overflows.
    pub fn statistic(
        &mut self,
        name: &str,
        dims: &[usize],
        initializer: Initializer,
        momentum: f64,
    ) -> Result<Range<usize>, BuildError> {
        if !(0.0..=1.0).contains(&momentum) {
            let name = "the momentum";
            return Err(BuildError::OutOfRange { name, expected: "between 0 and 1", value: momentum });
        }
        let tensor = self.tensor(name, dims, initializer)?;
        reserve(&mut self.statistics, Tensor { momentum, ..tensor })
    }

    /// Reserves memory in each shard that survives from the forward to the backward pass: `per_sample`
    /// elements for each sample and `fixed` ones.
    pub fn save(&mut self, per_sample: usize, fixed: usize) {
        self.saved = Reservation { per_sample, fixed };
    }

    /// Says that the layer needs `samples` samples in each shard of a training step, as a layer does that
    /// takes statistics over them.
    ///
    /// A batch whose last shard would have fewer shares that shard's samples with the shard before it, half
    /// and half; a configuration in which a whole batch leaves a smaller shard is an error. Only the last
    /// batch of an epoch can be so small that the layer still gets fewer samples; it must cope with that.
    pub fn require_samples(&mut self, samples: usize) {
        self.least_samples = samples;
    }

    /// A tensor of the layer that has no place yet.
    fn tensor(&mut self, name: &str, dims: &[usize], initializer: Initializer) -> Result<Tensor, BuildError> {
        if dims.contains(&0) {
            return Err(BuildError::EmptyTensor { name: name.to_string(), dims: dims.to_vec() });
        }
        let full_name = format!("{}{name}", self.prefix);
        if !self.names.insert(full_name.clone()) {
            return Err(BuildError::DuplicateTensor { name: full_name });
        }
        let (dims, fans, frozen) = (dims.to_vec(), Fans::ELEMENTWISE, self.frozen);
        Ok(Tensor {
            name: full_name,
            dims,
            range: 0..0,
            initializer,
            fans,
            momentum: 0.0,
            frozen,
            rate_factor: 1.0,
        })
    }
}

/// Puts `tensor` behind the others in `buffer`.
fn reserve(buffer: &mut Vec<Tensor>, mut tensor: Tensor) -> Result<Range<usize>, BuildError> {
    let start = buffer.last().map_or(0, |last| last.range.end);
    let end = tensor
        .dims
        .iter()
        .try_fold(1usize, |a, b| a.checked_mul(*b))
        .and_then(|len| start.checked_add(len))
        .ok_or(BuildError::TooLarge)?;
    tensor.range = start..end;
    buffer.push(tensor);
    Ok(start..end)
}
