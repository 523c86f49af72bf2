//! Blocks: layers that are made of layers.
//!
//! A block computes nothing itself. [`Network::build`](crate::Network::build) takes its layers out and runs
//! them in its place, so that a network is a plain list of steps, however deep its blocks are nested.

use super::{Layer, LayerPlan, Layers, Options};
use crate::error::BuildError;
use crate::shape::Shape;
use isograd_kernels::Element;

/// What a block is made of.
#[derive(Debug)]
#[non_exhaustive]
pub enum Block<T> {
    /// A layer that goes by a name.
    Named(String, Box<dyn Layer<T>>),
    /// A layer that is not trained.
    Frozen(Box<dyn Layer<T>>),
    /// Layers in a row.
    Sequence(Layers<T>),
    /// Paths from one input, whose outputs are added up. An empty path is the identity.
    Addition(Vec<Layers<T>>),
    /// Paths from one input, whose outputs are joined along the channels. An empty path is the identity.
    Concatenation(Vec<Layers<T>>),
}

/// Implements [`Layer`] for a block that gives out its content once. `$lists` are its lists of layers.
macro_rules! block {
    ($name:ident, $self:ident, $content:expr, $lists:expr) => {
        impl<T: Element> Layer<T> for $name<T> {
            fn kind(&self) -> &'static str {
                stringify!($name)
            }

            fn build(&mut self, _: Shape, _: &mut LayerPlan) -> Result<Shape, BuildError> {
                Err(BuildError::EmptyBlock)
            }

            fn take_block(&mut $self) -> Option<Block<T>> {
                Some($content)
            }

            fn options(&self) -> Option<Options> {
                Some(Options::new())
            }

            fn sync_stats(&mut $self) -> usize {
                $lists.iter_mut().map(|layers| sync_stats(layers)).sum()
            }
        }
    };
}

/// A residual block: the output of its layers plus its input.
///
/// `y = body(x) + x`, or `y = body(x) + projection(x)` where the body changes the shape.
///
/// ```
/// use isograd_model::{Network, layer::*, layers};
/// let network = Network::<f32>::build(layers![
///     Input::new(16, 8, 8),
///     Residual::new(layers![Conv2D::new(16, 3).padding(1), ReLU, Conv2D::new(16, 3).padding(1)]),
///     ReLU,
///     Residual::new(layers![Conv2D::new(32, 3).stride(2).padding(1)])
///         .projection(layers![Conv2D::new(32, 1).stride(2)]),
///     Flatten,
/// ])?;
/// assert_eq!(network.output_shape().elements(), 32 * 4 * 4);
/// # Ok::<(), isograd_model::Error>(())
/// ```
///
/// # Source
///
/// He et al.: "Deep residual learning for image recognition", CVPR 2016.
#[derive(Debug)]
pub struct Residual<T> {
    body: Layers<T>,
    projection: Layers<T>,
}

impl<T> Residual<T> {
    /// Adds its input to the output of `body`.
    pub fn new(body: Layers<T>) -> Self {
        Self { body, projection: Vec::new() }
    }

    /// Adds the output of `projection` instead of the input itself.
    #[must_use]
    pub fn projection(self, projection: Layers<T>) -> Self {
        Self { projection, ..self }
    }
}

block!(
    Residual,
    self,
    Block::Addition(vec![std::mem::take(&mut self.body), std::mem::take(&mut self.projection)]),
    [&mut self.body, &mut self.projection]
);

/// The sum of the outputs of its paths, which all have the block's input; an empty path is the identity. All
/// outputs must have the same shape.
///
/// The outputs are added in the order of the paths.
#[derive(Debug)]
pub struct Addition<T> {
    paths: Vec<Layers<T>>,
}

impl<T> Addition<T> {
    /// Adds up the outputs of `paths`.
    pub fn new(paths: impl IntoIterator<Item = Layers<T>>) -> Self {
        Self { paths: paths.into_iter().collect() }
    }
}

block!(Addition, self, Block::Addition(std::mem::take(&mut self.paths)), self.paths);

/// The outputs of its paths, one after the other along the channels. The paths have the block's input; an
/// empty path is the identity. All outputs must have images of the same size.
///
/// No data are copied for it: each path writes its channels where the joined output has them.
///
/// # Source
///
/// Szegedy et al.: "Going deeper with convolutions", CVPR 2015; Huang et al.: "Densely connected
/// convolutional networks", CVPR 2017.
#[derive(Debug)]
pub struct Concatenation<T> {
    paths: Vec<Layers<T>>,
}

impl<T> Concatenation<T> {
    /// Joins the outputs of `paths`.
    pub fn new(paths: impl IntoIterator<Item = Layers<T>>) -> Self {
        Self { paths: paths.into_iter().collect() }
    }
}

block!(Concatenation, self, Block::Concatenation(std::mem::take(&mut self.paths)), self.paths);

/// Layers in a row, where one layer is expected. With a name of its own, it groups the names of what is in
/// it.
#[derive(Debug)]
pub struct Sequence<T> {
    layers: Layers<T>,
}

impl<T> Sequence<T> {
    /// Runs `layers` one after the other.
    pub fn new(layers: Layers<T>) -> Self {
        Self { layers }
    }
}

block!(Sequence, self, Block::Sequence(std::mem::take(&mut self.layers)), [&mut self.layers]);

/// A layer or block with a name; made by [`named`].
#[derive(Debug)]
pub struct Named<T> {
    kind: &'static str,
    content: Option<(String, Box<dyn Layer<T>>)>,
}

/// Gives a layer or block a name, which its parameters' names begin with. Where a layer has no name, its type
/// and its number among those of this type take the place of one. A block with an empty name adds nothing to
/// the names of what is in it. Of several names for one layer, the outermost counts.
///
/// ```
/// use isograd_model::{Network, layer::*, layers};
/// let network = Network::<f32>::build(layers![
///     Input::vector(2),
///     named("features", Sequence::new(layers![Dense::new(3), ReLU, named("last", Dense::new(3))])),
///     Dense::new(1).without_bias(),
/// ])?;
/// let names: Vec<_> = network.parameters().iter().map(|tensor| tensor.name.as_str()).collect();
/// assert_eq!(names, [
///     "features.dense1.weight",
///     "features.dense1.bias",
///     "features.last.weight",
///     "features.last.bias",
///     "dense1.weight",
/// ]);
/// # Ok::<(), isograd_model::Error>(())
/// ```
pub fn named<T: Element>(name: impl Into<String>, layer: impl Layer<T> + 'static) -> Named<T> {
    Named::boxed(name, Box::new(layer))
}

impl<T: Element> Named<T> {
    /// As [`named`], for a layer in a box.
    pub fn boxed(name: impl Into<String>, layer: Box<dyn Layer<T>>) -> Self {
        Self { kind: layer.kind(), content: Some((name.into(), layer)) }
    }
}

/// A layer or block that is not trained: its parameters stay as they are, and dropout and batch normalisation
/// in it work as in use.
///
/// [`Network::freeze`](crate::Network::freeze) does the same to layers by their names.
#[derive(Debug)]
pub struct Frozen<T> {
    kind: &'static str,
    layer: Option<Box<dyn Layer<T>>>,
}

impl<T: Element> Frozen<T> {
    /// Keeps `layer` as it is.
    pub fn new(layer: impl Layer<T> + 'static) -> Self {
        Self::boxed(Box::new(layer))
    }

    /// As [`new`](Self::new), for a layer in a box.
    pub fn boxed(layer: Box<dyn Layer<T>>) -> Self {
        Self { kind: layer.kind(), layer: Some(layer) }
    }
}

/// Implements [`Layer`] for a block around a single layer, `$layer` if it has not been taken out.
macro_rules! wrapper {
    ($name:ident, $self:ident, $content:expr, $layer:expr) => {
        impl<T: Element> Layer<T> for $name<T> {
            fn kind(&self) -> &'static str {
                self.kind
            }

            fn build(&mut self, _: Shape, _: &mut LayerPlan) -> Result<Shape, BuildError> {
                Err(BuildError::EmptyBlock)
            }

            fn take_block(&mut $self) -> Option<Block<T>> {
                $content
            }

            fn sync_stats(&mut $self) -> usize {
                $layer.map_or(0, |layer| layer.sync_stats())
            }
        }
    };
}

wrapper!(
    Named,
    self,
    self.content.take().map(|(name, layer)| Block::Named(name, layer)),
    self.content.as_mut().map(|(_, layer)| layer)
);
wrapper!(Frozen, self, self.layer.take().map(Block::Frozen), self.layer.as_mut());

/// Lets all layers in `layers` that take statistics over a shard, in blocks of any depth, take them over the
/// whole batch; see [`BatchNormalization::sync_stats`](super::BatchNormalization::sync_stats). Returns how
/// many there are.
///
/// ```
/// use isograd_model::{Network, layer::{self, *}, layers, zoo};
/// let model = zoo::find("resnet20_cifar10")?;
/// let mut layers = model.layers::<f32>(model.input, model.classes);
/// assert_eq!(layer::sync_stats(&mut layers), 21);
/// let network = Network::build(layers)?;
/// # Ok::<(), isograd_model::Error>(())
/// ```
pub fn sync_stats<T: Element>(layers: &mut [Box<dyn Layer<T>>]) -> usize {
    layers.iter_mut().map(|layer| layer.sync_stats()).sum()
}
