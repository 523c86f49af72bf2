//! What a checkpoint tells of its run beside the numbers.

use super::{FolderError, InputInfo, folder, manifest::Manifest};
use crate::error::Error;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// What a checkpoint tells of its run beside the numbers: the caller knows it, the trainer does not.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RunInfo {
    /// The name of the network, as [`save`](crate::save) writes it.
    pub model: String,
    /// The names of the classes, if they have names.
    pub class_names: Vec<String>,
    /// What the network takes and gives; checkpoints of older versions do not tell.
    #[serde(default)]
    pub input: Option<InputInfo>,
    /// The name of the data set that it was trained on; `None` if it was files, or is not known.
    #[serde(default)]
    pub dataset: Option<String>,
    /// What a run must have in common with the saved one to go on with it, as a digest of its samples: names
    /// and values. Network and configuration are compared in any case.
    pub must_agree: Vec<(String, String)>,
    /// What else is to be kept.
    pub notes: BTreeMap<String, String>,
    /// What else is to be kept with saved parameters, too: how the network is used and tested.
    #[serde(default)]
    pub notes_of_use: BTreeMap<String, String>,
}

impl RunInfo {
    /// That of a network called `model`, and nothing else.
    pub fn new(model: &str) -> Self {
        Self { model: model.to_string(), ..Self::default() }
    }

    /// That of the checkpoint in `folder`. Its numbers are not looked at.
    ///
    /// # Errors
    ///
    /// [`Error::Folder`] when it cannot be read, or is damaged.
    pub fn read(folder: &Path) -> Result<Self, Error> {
        let read = || {
            let manifest = Manifest::read(folder)?;
            manifest.check(folder, folder::RUN)?;
            Ok(folder::RunFile::read(folder)?.info)
        };
        read().map_err(|error: FolderError| error.at(folder))
    }

    /// What must be equal, with the names of network and classes.
    pub(super) fn facts(&self) -> Vec<(String, String)> {
        let mut facts = self.must_agree.clone();
        facts.push(("name of the network".to_string(), self.model.clone()));
        facts.push(("names of classes".to_string(), format!("{:?}", self.class_names)));
        facts
    }
}
