//! Paths of convolutions by their shapes, as a user or a measurement has chosen them.

use isograd_kernels::conv::{Conv2dShape, ConvError, Paths};

/// The paths of convolutions by their shapes, for
/// [`Network::with_conv_table`](crate::Network::with_conv_table). It holds only paths that serve their shape.
///
/// ```
/// use isograd_kernels::conv::{Conv2dShape, Path, Paths};
/// use isograd_model::layer::ConvTable;
/// let [stride, padding, dilation] = [1, 1, 1].map(Into::into);
/// let shape = Conv2dShape { c: 8, h: 6, w: 6, f: 8, kh: 3, kw: 3, stride, padding, dilation, groups: 1 };
/// let mut table = ConvTable::new();
/// table.set(shape, Paths::all(Path::WinogradF2))?;
/// assert_eq!(table.get(&shape), Some(Paths::all(Path::WinogradF2)));
/// # Ok::<(), isograd_kernels::conv::ConvError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConvTable(Vec<(Conv2dShape, Paths)>);

impl ConvTable {
    /// A table without shapes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives convolutions of `shape` the paths `paths`, in the place of those that they have.
    ///
    /// # Errors
    ///
    /// As [`Paths::check`]: when the shape is no convolution, or a path does not serve it.
    pub fn set(&mut self, shape: Conv2dShape, paths: Paths) -> Result<(), ConvError> {
        paths.check(&shape)?;
        match self.0.iter_mut().find(|(known, _)| *known == shape) {
            Some((_, old)) => *old = paths,
            None => self.0.push((shape, paths)),
        }
        Ok(())
    }

    /// The paths of convolutions of `shape`, if the table has some.
    pub fn get(&self, shape: &Conv2dShape) -> Option<Paths> {
        self.iter().find(|(known, _)| *known == shape).map(|(_, paths)| *paths)
    }

    /// Shapes and paths, in the order in which the shapes were set.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Conv2dShape, &Paths)> {
        self.0.iter().map(|(shape, paths)| (shape, paths))
    }
}
