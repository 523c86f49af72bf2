//! What layers reserve while a network is built.

use crate::error::BuildError;
use crate::initializer::Initializer;
use std::ops::Range;

/// A named tensor in a flat buffer: a parameter, or a running statistic.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// `<layer index>.<layer type>.<name>`, unique in the network.
    pub name: String,
    /// Dimensions, outermost first.
    pub dims: Vec<usize>,
    /// Its place in the flat buffer.
    pub range: Range<usize>,
    /// Initial values.
    pub initializer: Initializer,
    /// Inputs and outputs that it joins.
    pub fans: [usize; 2],
    /// Of a running statistic, the share of its old value that a step retains.
    pub momentum: f64,
}

/// Takes the reservations of one layer after the other.
#[derive(Debug, Default)]
pub struct LayerPlan {
    index: usize,
    pub(crate) kind: &'static str,
    pub(crate) parameters: Vec<Tensor>,
    pub(crate) statistics: Vec<Tensor>,
    pub(crate) saved: Reservation,
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
    pub(crate) fn start_layer(&mut self, index: usize, kind: &'static str) {
        (self.index, self.kind) = (index, kind);
        self.saved = Reservation::default();
    }

    /// The layer's position in the network, from 0: what makes its random stream, if it needs one, its own.
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

    /// Reserves a tensor of trained parameters and returns its range in the flat buffer. `fans` are the inputs and outputs
    /// that it joins.
    ///
    /// # Errors
    ///
    /// When the number of elements overflows.
    pub fn parameter(
        &mut self,
        name: &str,
        dims: &[usize],
        initializer: Initializer,
        fans: [usize; 2],
    ) -> Result<Range<usize>, BuildError> {
        let name = self.full_name(name);
        let dims = dims.to_vec();
        reserve(&mut self.parameters, Tensor { name, dims, range: 0..0, initializer, fans, momentum: 0.0 })
    }

    /// Reserves a tensor of running statistics and returns its range in their flat buffer. A step keeps the share `momentum`
    /// of the old value and takes the rest from what the shards hand in.
    ///
    /// # Errors
    ///
    /// When the number of elements overflows.
    pub fn statistic(
        &mut self,
        name: &str,
        dims: &[usize],
        initializer: Initializer,
        momentum: f64,
    ) -> Result<Range<usize>, BuildError> {
        let name = self.full_name(name);
        let dims = dims.to_vec();
        reserve(&mut self.statistics, Tensor { name, dims, range: 0..0, initializer, fans: [1, 1], momentum })
    }

    /// Reserves memory in each shard that survives from the forward to the backward pass: `per_sample` elements for each
    /// sample and `fixed` ones.
    pub fn save(&mut self, per_sample: usize, fixed: usize) {
        self.saved = Reservation { per_sample, fixed };
    }

    fn full_name(&self, name: &str) -> String {
        format!("{}.{}.{name}", self.index, self.kind.to_lowercase())
    }
}

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
