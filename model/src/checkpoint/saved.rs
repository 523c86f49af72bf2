//! A saved network: its parameters, and enough to build it again.

use super::header::quote;
use super::state_dict::StateDict;
use super::{CheckpointError, InputInfo, RunFolder, RunInfo, Unmatched, import};
use super::{folder, manifest::Manifest};
use crate::error::Error;
use crate::layer::Layers;
use crate::network::{Network, State};
use crate::shape::Shape;
use crate::zoo;
use isograd_kernels::Element;
use std::path::{Path, PathBuf};

/// A network in a file or a folder, with what is known of it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SavedNetwork {
    /// The file with its parameters.
    pub file: PathBuf,
    /// What is known of it. The name of the network is empty if it is not known.
    pub info: RunInfo,
    /// Whether the file tells of the input; otherwise it is what the network was made for.
    pub tells_input: bool,
}

impl SavedNetwork {
    /// Finds the network at `path`: a file of parameters, a checkpoint, or the folder of a run, which stands
    /// for its [best checkpoint, or else its newest](RunFolder::to_use). A checkpoint stands for the averages
    /// of the parameters, if it has some, since they are what was evaluated.
    ///
    /// # Errors
    ///
    /// [`Error::Checkpoint`] and [`Error::Folder`] when it cannot be read or is damaged.
    pub fn find(path: &Path) -> Result<Self, Error> {
        if !path.is_dir() {
            let info = StateDict::open(path).map_err(|error| error.at(path))?.info();
            let tells_input = info.input.is_some();
            return Ok(Self { file: path.to_path_buf(), info, tells_input });
        }
        let checkpoint = RunFolder::to_use(path)?;
        let info = RunInfo::read(&checkpoint)?;
        let has_averages = checkpoint.join(folder::AVERAGES).exists();
        let name = if has_averages { folder::AVERAGES } else { folder::MODEL };
        let check = || Manifest::read(&checkpoint)?.check(&checkpoint, name);
        check().map_err(|error| error.at(&checkpoint))?;
        let tells_input = info.input.is_some();
        Ok(Self { file: checkpoint.join(name), info, tells_input })
    }

    /// Says which network it is, where that is not known or known better, and what it takes, if that is
    /// known.
    #[must_use]
    pub fn with_model(mut self, model: &str, input: Option<InputInfo>) -> Self {
        if input.is_some() || self.info.model != model {
            self.info.input = input;
        }
        self.info.model = model.to_string();
        self
    }

    /// What the network takes and gives: what the file tells, or what a network of the zoo of this name was
    /// made for, with as many outputs as the file has parameters for.
    ///
    /// # Errors
    ///
    /// [`Error::Checkpoint`] when the file does not tell which network it is of.
    pub fn input(&self) -> Result<InputInfo, Error> {
        if let Some(input) = &self.info.input {
            return Ok(input.clone());
        }
        let unknown = |reason: String| CheckpointError::UnknownNetwork { reason }.at(&self.file);
        if self.info.model.is_empty() {
            return Err(unknown("the file does not tell which network it is of".to_string()));
        }
        let Ok(model) = zoo::find(&self.info.model) else {
            let name = quote(&self.info.model);
            return Err(unknown(format!(
                "it is of the network '{name}', which is not in the zoo, and tells no more of it"
            )));
        };
        let Shape { c, h, w } = model.input;
        let network = Network::<f32>::build(model.layers(model.input, model.classes))?;
        let file = StateDict::open(&self.file).map_err(|error| error.at(&self.file))?;
        let last = network.parameters().last().and_then(|tensor| file.shape(&tensor.name)?.first().copied());
        Ok(InputInfo::new([c, h, w], last.unwrap_or(model.classes)))
    }

    /// The layers of the network.
    ///
    /// # Errors
    ///
    /// As [`input`](Self::input); those of the network's file.
    pub fn layers<T: Element>(&self) -> Result<Layers<T>, Error> {
        let input = self.input()?;
        let [c, h, w] = input.shape;
        match &input.network {
            #[cfg(feature = "files")]
            Some(text) => crate::file::layers(text),
            #[cfg(not(feature = "files"))]
            Some(_) => {
                let reason = "its network is described in a file, for which this program was built without \
                              the feature 'files'";
                Err(CheckpointError::UnknownNetwork { reason: reason.to_string() }.at(&self.file))
            }
            None => zoo::by_name(&self.info.model, Shape { c, h, w }, input.outputs),
        }
    }

    /// Builds the network and loads its parameters, converted to `T`.
    ///
    /// # Errors
    ///
    /// As [`layers`](Self::layers) and [`import`].
    pub fn load<T: Element>(&self) -> Result<(Network<T>, State<T>), Error> {
        let network = Network::build(self.layers()?)?;
        let (state, _) = import(&self.file, &network, Unmatched::Refuse)?;
        Ok((network, state))
    }
}
