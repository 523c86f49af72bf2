//! The folder for what steps write, and for what need not run again.

use crate::failure::Failure;
use isograd_model::workflow::Cache;
use serde_json::{Value, json};
use std::fs::{File, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// The file that says whose results a folder holds.
const MARK: &str = "workflow.json";

/// The folder of a workflow.
pub(super) struct Results {
    pub(super) folder: PathBuf,
    file: String,
    pipe: String,
}

impl Results {
    /// The folder `given`, or the one that is called as the workflow file.
    pub(super) fn at(given: Option<PathBuf>, file: &Path, pipe: &str) -> Self {
        let stem = file.file_stem().unwrap_or_default();
        let folder = given.unwrap_or_else(|| Path::new("runs").join(stem));
        let file = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self { folder, file, pipe: pipe.to_string() }
    }

    pub(super) fn cache(&self) -> Cache {
        Cache::new(self.folder.join("done"))
    }

    /// Makes the folder, and locks it while the returned file is open. One of another workflow, or with other
    /// files, is refused.
    pub(super) fn open(&self) -> Result<File, Failure> {
        let path = self.folder.join(MARK);
        let wrong = |problem: String| Failure::Usage {
            problem: format!("--results {}: {problem}", self.folder.display()),
            hint: Some("--results FOLDER names another folder".to_string()),
        };
        let unwritable = |source| Failure::Write { option: "--results", path: path.clone(), source };
        let has_files = std::fs::read_dir(&self.folder).is_ok_and(|mut files| files.next().is_some());
        if has_files && !path.exists() {
            return Err(wrong("it has files, and is no results folder".to_string()));
        }
        std::fs::create_dir_all(&self.folder).map_err(unwritable)?;
        let mut file = File::options().create(true).truncate(false).read(true).write(true).open(&path);
        let file = file.as_mut().map_err(|error| unwritable(std::io::Error::from(error.kind())))?;
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            return Err(wrong("another run writes to it".to_string()));
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(unwritable)?;
        let own = json!({ "file": self.file, "pipe": self.pipe });
        // An empty file is left by a kill, before anything else was written.
        if text.is_empty() {
            file.write_all(format!("{own}\n").as_bytes()).map_err(unwritable)?;
        } else if serde_json::from_str::<Value>(&text).ok().as_ref() != Some(&own) {
            let of = |key: &str| {
                let mark: Option<Value> = serde_json::from_str(&text).ok();
                mark.and_then(|mark| Some(mark.get(key)?.as_str()?.to_string())).unwrap_or_default()
            };
            return Err(wrong(format!(
                "it holds the results of {} (--pipe {}), not of {} (--pipe {})",
                of("file"),
                of("pipe"),
                self.file,
                self.pipe
            )));
        }
        file.try_clone().map_err(unwritable)
    }
}
