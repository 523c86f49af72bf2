//! The network of a command: one of the library's, or one in a file.

use crate::failure::Failure;
use crate::system::text_file;
use isograd_model::layer::Layers;
use isograd_model::zoo::{self, Model};
use isograd_model::{Element, RunInfo, Shape, file};
use std::path::PathBuf;

/// What `--model` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ModelName {
    /// A network of the library, by its full name.
    Zoo(&'static str),
    /// A network file.
    File(PathBuf),
    /// The text of a network file, as a configuration has it.
    Text(String),
}

/// A network that can be built.
#[derive(Debug)]
pub(crate) enum NetworkPlan {
    /// One of the library, for any shape and any number of classes.
    Zoo(&'static Model),
    /// One in a file.
    File(NetworkFile),
}

/// A network file that has been read and makes a network.
#[derive(Debug)]
pub(crate) struct NetworkFile {
    path: PathBuf,
    text: String,
    input: Shape,
    /// The elements of the output.
    outputs: usize,
}

impl NetworkPlan {
    /// Finds the network, and checks it if it is in a file.
    pub(super) fn new(name: ModelName) -> Result<Self, Failure> {
        match name {
            ModelName::Zoo(name) => Ok(Self::Zoo(zoo::find(name)?)),
            ModelName::File(path) => NetworkFile::read(path).map(Self::File),
            // It is called as in the file that has it: `[model]`.
            ModelName::Text(text) => NetworkFile::of_text(PathBuf::from("model"), text).map(Self::File),
        }
    }

    /// The network called `name` that a file of this `text` describes.
    pub(super) fn of_text(name: &str, text: &str) -> Result<Self, Failure> {
        NetworkFile::of_text(PathBuf::from(format!("{name}.toml")), text.to_string()).map(Self::File)
    }

    /// The name for checkpoints and messages; that of a file without folder and ending.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Zoo(model) => model.name.to_string(),
            Self::File(file) => file.path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        }
    }

    /// Whether it is the network that `info` tells.
    pub(super) fn is_told_by(&self, info: &RunInfo) -> bool {
        let text = info.input.as_ref().and_then(|input| input.network.as_deref());
        match self {
            Self::Zoo(model) => text.is_none() && info.model == model.name,
            Self::File(file) => text == Some(file.text()),
        }
    }

    /// What the network was called on the command line.
    pub(crate) fn argument(&self) -> String {
        match self {
            Self::Zoo(model) => model.name.to_string(),
            Self::File(file) => file.path.display().to_string(),
        }
    }

    /// The shape of a sample and the number of classes that the network was made for.
    pub(crate) fn made_for(&self) -> (Shape, usize) {
        match self {
            Self::Zoo(model) => (model.input, model.classes),
            Self::File(file) => (file.input, file.outputs),
        }
    }
}

impl NetworkFile {
    fn read(path: PathBuf) -> Result<Self, Failure> {
        let failure = |problem: String| Failure::NetworkFile { path: path.clone(), problem };
        let text = text_file::read(&path).map_err(|error| failure(format!("cannot read: {error}")))?;
        Self::of_text(path, text)
    }

    fn of_text(path: PathBuf, text: String) -> Result<Self, Failure> {
        let failure = |problem: String| Failure::NetworkFile { path: path.clone(), problem };
        let network = file::network::<f32>(&text).map_err(|error| failure(error.to_string()))?;
        let (input, outputs) = (network.input_shape(), network.output_shape().elements());
        Ok(Self { path, text, input, outputs })
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The network's layers, for elements of type `T`.
    pub(crate) fn layers<T: Element>(&self) -> Result<Layers<T>, Failure> {
        file::layers(&self.text)
            .map_err(|error| Failure::NetworkFile { path: self.path.clone(), problem: error.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(text: &[u8]) -> Result<NetworkPlan, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("my.net.toml");
        std::fs::write(&path, text).unwrap();
        let start = format!("--model {}: ", path.display());
        NetworkPlan::new(ModelName::File(path)).map_err(|failure| failure.to_string().replace(&start, ""))
    }

    #[test]
    fn a_file_has_a_name_a_shape_and_classes() {
        let plan = plan(b"input = [3, 8, 8]\nlayers = ['Flatten', { type = 'Dense', outputs = 7 }]").unwrap();
        assert_eq!((plan.name(), plan.made_for()), ("my.net".to_string(), (Shape::image(3, 8, 8), 7)));
        assert!(plan.argument().ends_with("/my.net.toml"));
    }

    #[test]
    fn a_file_that_is_no_network_is_refused() {
        for (text, expected) in [
            (&b"input = 3\nlayers = ['ReLu']"[..], "line 2, column 11: unknown type 'ReLu'; known are "),
            (b"input = 3\nlayers = [", "line 2, column "),
            (b"input = 3 # \xff", "cannot read: line 1 is not UTF-8"),
            (
                b"input = [3, 8, 8]\nlayers = [{ type = 'Dense', outputs = 7 }]",
                "line 2, column 11: layer 1 (Dense): takes a vector of features",
            ),
        ] {
            let problem = plan(text).unwrap_err();
            assert!(problem.starts_with(expected), "{problem}");
        }
        let missing = NetworkPlan::new(ModelName::File("/nowhere/x.toml".into())).unwrap_err();
        assert!(missing.to_string().starts_with("--model /nowhere/x.toml: cannot read: "), "{missing}");
    }
}
