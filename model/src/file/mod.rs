//! Networks in files, and the choices of a [tuner](Tuning).
//!
//! A network file is TOML: the shape of a sample and a list of layers, under the names and with the defaults
//! that they have in [`layer`](crate::layer). A layer is a table, or only its type if it needs no option.
//!
//! ```toml
//! input = [3, 32, 32]                     # channels, height, width; one number for a vector
//!
//! [variables]
//! width = 16
//! depth = 3
//!
//! [[layers]]
//! type = "Conv2D"
//! filters = "width"
//! kernel = 3                              # or [height, width]
//! padding = 1
//!
//! [[layers]]                              # a list of layers, repeated
//! repeat = "depth"
//! index = "unit"                          # 0, 1, 2
//! layers = [
//!     { type = "Residual", name = "unit{unit + 1}", layers = [
//!         { type = "Conv2D", filters = "width", kernel = 3, padding = 1, bias = false },
//!         "BatchNormalization",
//!     ] },
//!     "ReLU",
//! ]
//! # …
//! ```
//!
//! - *Options* are called as the methods of the layers: `stride`, `padding`, `ceil_mode`. Where a method
//!   leaves something out, the option says whether it is there: `bias = false` is `without_bias`. `Conv2D`
//!   and `Dense` have a `weight_initializer` and a `bias_initializer`, such as `"he_normal"`. Any layer may
//!   have a `name` and be `frozen = true`.
//! - *Blocks* have lists of layers: a `Sequence` has `layers`; a `Residual` has `layers` and may have a
//!   `projection`; `Addition` and `Concatenation` have `paths`, a list of lists, where an empty list is the
//!   identity.
//! - *Whole numbers* may be strings with an expression of variables: `"4 * (width + 1)"`. It can have `+`,
//!   `-`, `*`, `/` without a remainder, and parentheses; names may have some in braces. Variables can be
//!   defined by each other, but not in a circle.
//!
//! [`network`] and [`layers`] read such a text; [`to_toml`] writes one. Nothing is read that takes more
//! memory than a network of [`MAX_LAYERS`] layers, and lists can be [`MAX_DEPTH`] deep in each other.

mod error;
mod expression;
mod read;
mod table;
mod tuning;
mod types;
mod variables;
mod write;

pub use error::{FileError, FileProblem};
pub use tuning::{MAX_TUNING_BYTES, Tuning};

use crate::error::Error;
use crate::layer::Layers;
use crate::network::Network;
use error::Mistake;
use isograd_kernels::Element;
use read::Contents;

/// The most bytes of a network file.
pub const MAX_BYTES: usize = 16 << 20;

/// The most layers and paths of a network in a file, with all repetitions.
pub const MAX_LAYERS: usize = 100_000;

/// How deep lists of layers can be in each other.
///
/// TOML's parser takes brackets that are 80 deep in each other; a block with paths has three.
pub const MAX_DEPTH: usize = 24;

/// The largest whole number that an option can have.
pub const MAX_COUNT: u64 = 1 << 31;

/// The types of the blocks of files.
const BLOCKS: [&str; 4] = ["Residual", "Addition", "Concatenation", "Sequence"];

/// The layers that the network file `text` describes, for [`Network::build`].
///
/// ```
/// use isograd_model::{Network, file};
/// let text = r#"
///     input = [1, 28, 28]
///     layers = ["Flatten", { type = "Dense", outputs = 10 }, "Softmax"]
/// "#;
/// let network = Network::<f32>::build(file::layers(text)?)?;
/// assert_eq!(network.parameter_count(), 28 * 28 * 10 + 10);
/// # Ok::<(), isograd_model::Error>(())
/// ```
///
/// # Errors
///
/// [`FileError::Text`] with line and column of the first mistake, [`FileError::TooLong`].
pub fn layers<T: Element>(text: &str) -> Result<Layers<T>, Error> {
    Ok(read::read(text)?.layers)
}

/// The network that the file `text` describes.
///
/// # Errors
///
/// As [`layers`], and as [`Network::build`]; the error for a layer has its line and column, too.
pub fn network<T: Element>(text: &str) -> Result<Network<T>, Error> {
    let Contents { layers, offsets } = read::read(text)?;
    Network::build(layers).map_err(|error| match error {
        Error::Build { place, reason } => match offsets.get(&place.position()) {
            Some(offset) => Mistake::new(*offset, FileProblem::Build { place, reason }).of(text).into(),
            None => Error::Build { place, reason },
        },
        other => other,
    })
}

/// The text of a network file for `layers`, from which [`layers`] makes the same ones.
///
/// ```
/// use isograd_model::{file, layer::*, layers};
/// let text = file::to_toml::<f32>(layers![Input::vector(4), named("fc", Dense::new(2)), Softmax])?;
/// assert_eq!(text, "\
/// input = 4
/// layers = [
///     { type = \"Dense\", name = \"fc\", outputs = 2 },
///     \"Softmax\",
/// ]
/// ");
/// # Ok::<(), isograd_model::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::NoInput`] when the first layer is not [`Input`](crate::layer::Input), [`FileError::Unwritable`]
/// for a layer of another crate, [`FileError::TooDeep`] for blocks that are nested too deeply.
pub fn to_toml<T: Element>(layers: Layers<T>) -> Result<String, Error> {
    write::write(layers)
}
