//! Networks by name.
//!
//! A family of networks is written once, in a file of its own, and the [table](ALL) has a line for each
//! network. Where torchvision has a network, tensors have the names that they have there, so that weights go
//! both ways by name alone.

mod alexnet;
mod densenet;
mod fast;
mod googlenet;
mod inception;
mod mobilenet;
mod parts;
mod resnet;
mod small;
mod table;
mod vgg;

pub use small::{simplecnn, simplemlp};
pub use table::ALL;

use crate::error::Error;
use crate::layer::Layers;
use crate::shape::Shape;
use isograd_kernels::Element;
use table::Family;

/// A network with a name.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Model {
    /// The name.
    pub name: &'static str,
    /// The shape of a sample that it was made for.
    pub input: Shape,
    /// The number of classes that it was made for.
    pub classes: usize,
    /// Where it comes from.
    pub source: &'static str,
    family: Family,
}

impl Model {
    /// Its layers for samples of shape `input` and `classes` classes.
    ///
    /// Whether they fit the shape is found by [`Network::build`](crate::Network::build).
    pub fn layers<T: Element>(&self, input: Shape, classes: usize) -> Layers<T> {
        self.family.layers(input, classes)
    }
}

/// The network called `name`. A name without its last part is enough where it means one network: `resnet20`
/// for `resnet20_cifar10`.
///
/// ```
/// use isograd_model::{Network, zoo};
/// let model = zoo::find("resnet20")?;
/// let network = Network::<f32>::build(model.layers(model.input, model.classes))?;
/// assert_eq!((model.name, network.parameter_count()), ("resnet20_cifar10", 272_474));
/// # Ok::<(), isograd_model::Error>(())
/// ```
///
/// # Errors
///
/// When no network or more than one network is meant.
pub fn find(name: &str) -> Result<&'static Model, Error> {
    if let Some(model) = ALL.iter().find(|model| model.name == name) {
        return Ok(model);
    }
    let is_meant = |model: &&Model| model.name.rsplit_once('_').is_some_and(|(start, _)| start == name);
    let meant: Vec<&'static Model> = ALL.iter().filter(is_meant).collect();
    match meant[..] {
        [model] => Ok(model),
        [] => {
            let names: Vec<&str> = ALL.iter().map(|model| model.name).collect();
            Err(Error::unknown_name("model", name, &names))
        }
        _ => {
            let names = meant.iter().map(|model| model.name).collect::<Vec<_>>().join(", ");
            Err(Error::AmbiguousName { what: "model", name: name.to_string(), names })
        }
    }
}

/// The layers of the network called `name`, for samples of shape `input` and `classes` classes.
///
/// # Errors
///
/// As [`find`].
pub fn by_name<T: Element>(name: &str, input: Shape, classes: usize) -> Result<Layers<T>, Error> {
    Ok(find(name)?.layers(input, classes))
}
