//! What a layer says of itself, so that a network can be written to a file.

use super::{Sides, Size2};
use crate::initializer::Initializer;

/// The options of a layer, by the names that they have in network files.
///
/// An option that has its default value may be left out.
///
/// ```
/// use isograd_model::layer::{Conv2D, Layer, Options};
/// let layer = Conv2D::new(16, [3, 1]).without_bias();
/// let expected = Options::new().with("filters", 16usize).with("kernel", [3, 1]).with("bias", false);
/// assert_eq!(Layer::<f32>::options(&layer), Some(expected));
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Options(Vec<(&'static str, OptionValue)>);

/// The value of an option.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum OptionValue {
    /// A whole number.
    Count(usize),
    /// A number.
    Number(f64),
    /// Yes or no.
    Switch(bool),
    /// A height and a width.
    Size(Size2),
    /// A number for each side of an image.
    Sides(Sides),
    /// Dimensions, outermost first.
    Dims(Vec<usize>),
    /// A distribution of initial values.
    Initializer(Initializer),
}

impl Options {
    /// No options.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the option `name`.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<OptionValue>) -> Self {
        self.0.push((name, value.into()));
        self
    }

    /// Adds the option `name` unless its value is `default`.
    #[must_use]
    pub fn with_unless<V: Into<OptionValue> + PartialEq>(
        self,
        name: &'static str,
        value: V,
        default: V,
    ) -> Self {
        if value == default { self } else { self.with(name, value) }
    }

    /// Names and values, in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &OptionValue)> {
        self.0.iter().map(|(name, value)| (*name, value))
    }
}

/// Implements the conversion of a type to the variant that holds it.
macro_rules! value {
    ($($type:ty => $variant:ident),+) => {
        $(
            impl From<$type> for OptionValue {
                fn from(value: $type) -> Self {
                    Self::$variant(value)
                }
            }
        )+
    };
}

value!(
    usize => Count, f64 => Number, bool => Switch, Size2 => Size, Sides => Sides, Vec<usize> => Dims,
    Initializer => Initializer
);

impl From<[usize; 2]> for OptionValue {
    fn from(size: [usize; 2]) -> Self {
        Self::Size(size.into())
    }
}
