//! Outputs of steps that need not run again.

use super::component::{Component, Port};
use super::error::WorkflowError;
use super::value::{Value, Values};
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};
use std::io::Write;
use std::path::{Path, PathBuf};

/// A folder with the outputs of steps, each under a key of its inputs, code and configuration.
#[derive(Debug, Clone)]
pub struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// The cache in `folder`, which need not exist.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// The key of a step; `None` if it cannot be cached.
    pub(super) fn key(component: &dyn Component, inputs: &Values) -> Option<String> {
        let text = format!("{}\0{}", component.fingerprint()?, inputs.to_json()?);
        Some(Sha256::digest(text).iter().take(16).map(|byte| format!("{byte:02x}")).collect())
    }

    /// The outputs of the step under `key`, if they are there and fit its `ports`. A file that is damaged is
    /// as if it were not there.
    pub(super) fn get(&self, step: &str, key: &str, ports: &[Port]) -> Option<Values> {
        let text = std::fs::read_to_string(self.path(step, key)).ok()?;
        let entry: Json = serde_json::from_str(&text).ok()?;
        let outputs = entry.get("outputs").filter(|_| entry.get("key") == Some(&json!(key)))?.as_array()?;
        let values = ports
            .iter()
            .zip(outputs)
            .map(|(port, json)| Some((port.name.clone(), Value::from_json(&port.kind, json.clone())?)));
        values.collect::<Option<Values>>().filter(|_| outputs.len() == ports.len())
    }

    /// Keeps the outputs of a step, if all of them are JSON.
    pub(super) fn put(&self, step: &str, key: &str, outputs: &Values) -> Result<(), WorkflowError> {
        let values = outputs.iter().map(|(_, value)| value.json().cloned()).collect::<Option<Vec<_>>>();
        let Some(values) = values else { return Ok(()) };
        let path = self.path(step, key);
        let text = json!({ "step": step, "key": key, "outputs": values }).to_string();
        self.write(&path, &text).map_err(|source| WorkflowError::Cache { path, source })
    }

    /// A kill in between leaves the old file or the new one, never a part.
    fn write(&self, path: &Path, text: &str) -> std::io::Result<()> {
        std::fs::create_dir_all(&self.folder)?;
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(path).map(drop).map_err(|error| error.error)
    }

    fn path(&self, step: &str, key: &str) -> PathBuf {
        let clean: String = step.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
        self.folder.join(format!("{clean}-{key}.json"))
    }
}
