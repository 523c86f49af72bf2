//! The convolutions of a network, and the choice of their paths.

use super::Network;
use super::graph::{GradientWrite, Op};
use super::prepare::PreparedPlan;
use crate::error::Error;
use crate::layer::{ConvPath, ConvTable, Tensor};
use crate::place::Place;
use isograd_kernels::Element;
use isograd_kernels::conv::{Conv2dShape, Paths, Precision};

/// A convolution of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Convolution {
    /// Where its layer stands.
    pub place: Place,
    /// Its shape.
    pub shape: Conv2dShape,
    /// The path of each pass.
    pub paths: Paths,
    /// Whether training computes the gradient by its input: a first layer has none.
    pub has_input_gradient: bool,
    /// Whether training computes the gradient by its weights: a frozen layer has none.
    pub has_weight_gradient: bool,
}

impl<T: Element> Network<T> {
    /// All convolutions, in the order of the forward pass.
    pub fn convolutions(&self) -> Vec<Convolution> {
        let of_step = |step: &super::Step| {
            let Op::Layer(layer) = step.op else { return None };
            let convolution = self.layers[layer].convolution()?;
            let info = &self.infos[layer];
            Some(Convolution {
                place: info.place.clone(),
                shape: *convolution.shape(),
                paths: convolution.paths(),
                has_input_gradient: !step.skip_backward
                    && step.gradients.iter().any(|gradient| *gradient != GradientWrite::Unneeded),
                has_weight_gradient: !step.skip_backward && !info.frozen,
            })
        };
        self.graph.steps.iter().filter_map(of_step).collect()
    }

    /// The convolution that reads the input of the network, if its first layer is one, with its weights and
    /// perhaps its bias.
    pub(crate) fn first_convolution(&self) -> Option<(&Place, &Conv2dShape, &[Tensor])> {
        let Op::Layer(layer) = self.plain.steps.first()?.op else { return None };
        let info = &self.infos[layer];
        let convolution = self.layers[layer].convolution()?;
        Some((&info.place, convolution.shape(), &self.parameters[info.parameters.clone()]))
    }

    /// Computes convolutions by `path`, those that it serves, with factors of `precision`. Results of other
    /// paths differ by rounding.
    ///
    /// In bfloat16, convolutions are faster on CPUs that have instructions for it (AVX512-BF16), and slower
    /// on others, with the same bits at one level; sums, parameters, activations and all other layers keep
    /// their type. With [`ConvPath::Auto`], passes that are no faster in it multiply in full; on the direct
    /// path, all do.
    ///
    /// # Errors
    ///
    /// [`Error::NoConvPath`] when the path serves no layer, and [`Error::NoBfloat16`] when the factors are to
    /// be bfloat16 and the elements are not f32.
    pub fn with_conv_path(mut self, path: ConvPath, precision: Precision) -> Result<Self, Error> {
        if precision == Precision::Bfloat16 && T::NAME != f32::NAME {
            return Err(Error::NoBfloat16 { dtype: T::NAME });
        }
        self.take_paths(&|shape| ConvPath::Auto.paths(shape, precision));
        let taken = self.take_paths(&|shape| path.paths(shape, precision));
        if taken == 0 && path != ConvPath::Auto {
            return Err(Error::NoConvPath { path });
        }
        Ok(self)
    }

    /// Computes each convolution on the paths that `table` has for its shape. Results of other paths differ
    /// by rounding.
    ///
    /// # Errors
    ///
    /// [`Error::NoConvChoice`] when the table lacks the shape of a convolution: then it is of another
    /// network, or of images of another size. [`Error::NoBfloat16`] when a choice multiplies in bfloat16 and
    /// the elements are not f32.
    pub fn with_conv_table(mut self, table: &ConvTable) -> Result<Self, Error> {
        let convolutions = self.convolutions();
        if let Some(Convolution { place, shape, .. }) =
            convolutions.into_iter().find(|convolution| table.get(&convolution.shape).is_none())
        {
            return Err(Error::NoConvChoice { place, shape: Box::new(shape) });
        }
        let rounds = |paths: &Paths| paths.precisions().contains(&Precision::Bfloat16);
        if T::NAME != f32::NAME && table.iter().any(|(_, paths)| rounds(paths)) {
            return Err(Error::NoBfloat16 { dtype: T::NAME });
        }
        self.take_paths(&|shape| table.get(shape));
        Ok(self)
    }

    /// Asks all layers to take the paths that `by_shape` gives. Returns how many do.
    fn take_paths(&mut self, by_shape: &dyn Fn(&Conv2dShape) -> Option<Paths>) -> usize {
        let taken =
            self.layers.iter_mut().map(|layer| layer.take_paths(by_shape)).filter(|taken| *taken).count();
        self.prepared = PreparedPlan::new(&self.layers);
        taken
    }
}
