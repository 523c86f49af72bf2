//! The file in the folder of a run that keeps the result of a test.

use super::{Evaluation, Samples};
use crate::mistakes::Problem;
use crate::system::whole_file;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::io;
use std::path::{Path, PathBuf};

/// Its name.
const FILE: &str = "evaluation.json";
/// More bytes than any such file has.
const MOST_BYTES: u64 = 256 << 20;
/// The file of a checkpoint that has the digests of all others.
const MANIFEST: &str = "manifest.json";

/// What a result depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Key {
    /// The version of the program, which may test in another way.
    version: String,
    checkpoint: String,
    /// That of the checkpoint's manifest.
    digest: String,
    /// Where the samples are, if that was said.
    train: Option<PathBuf>,
    test: Option<PathBuf>,
}

impl Key {
    /// That of a test of `checkpoint`.
    pub(super) fn new(checkpoint: &Path, samples: &Samples) -> Result<Self, Problem> {
        let manifest = std::fs::read(checkpoint.join(MANIFEST));
        let manifest = manifest
            .map_err(|error| Problem(format!("{}: cannot read {MANIFEST}: {error}", checkpoint.display())))?;
        let hex: String = Sha256::digest(&manifest).iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self {
            version: env!("CARGO_PKG_VERSION").to_string(),
            checkpoint: super::prepare::name(checkpoint),
            digest: format!("sha256:{hex}"),
            train: samples.train.clone(),
            test: samples.test.clone(),
        })
    }
}

#[derive(Serialize, Deserialize)]
struct Kept<E> {
    of: Key,
    evaluation: E,
}

/// The result that is kept in `folder`, if it is one of `key`. A file that is damaged is as good as none.
pub(super) fn read(folder: &Path, key: &Key) -> Option<Evaluation> {
    let path = folder.join(FILE);
    let is_readable = path.metadata().is_ok_and(|file| file.is_file() && file.len() <= MOST_BYTES);
    let text = is_readable.then(|| std::fs::read(path).ok())??;
    let Kept { of, evaluation } = serde_json::from_slice::<Kept<Evaluation>>(&text).ok()?;
    (of == *key && evaluation.is_sound()).then_some(evaluation)
}

/// Keeps `evaluation`; what was kept before stays if that fails.
pub(super) fn write(folder: &Path, key: &Key, evaluation: &Evaluation) -> io::Result<()> {
    let text = serde_json::to_vec(&Kept { of: key.clone(), evaluation })?;
    whole_file::write(&folder.join(FILE), text)
}

#[cfg(test)]
mod tests {
    use super::super::tests::example;
    use super::*;

    #[test]
    fn a_result_is_that_of_its_checkpoint_and_samples() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = folder.path().join("epoch-0001-step-00000002");
        std::fs::create_dir(&checkpoint).unwrap();
        std::fs::write(checkpoint.join(MANIFEST), "{}").unwrap();
        let key = || Key::new(&checkpoint, &Samples::default()).unwrap();
        assert_eq!(read(folder.path(), &key()), None);
        write(folder.path(), &key(), &example()).unwrap();
        assert_eq!(read(folder.path(), &key()), Some(example()));
        let elsewhere = Samples { test: Some("x".into()), train: None };
        assert_eq!(read(folder.path(), &Key::new(&checkpoint, &elsewhere).unwrap()), None);
        std::fs::write(checkpoint.join(MANIFEST), "{ }").unwrap();
        assert_eq!(read(folder.path(), &key()), None, "another checkpoint of the same name");
        std::fs::write(folder.path().join(FILE), "{\"of\":").unwrap();
        assert_eq!(read(folder.path(), &key()), None, "a damaged file");
        assert!(
            Key::new(folder.path(), &Samples::default()).unwrap_err().0.contains("cannot read manifest.json")
        );
    }

    #[test]
    fn outputs_that_are_not_finite_are_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(MANIFEST), "{}").unwrap();
        let key = Key::new(folder.path(), &Samples::default()).unwrap();
        let mut evaluation = example();
        evaluation.mistakes[0].output = f64::NAN;
        write(folder.path(), &key, &evaluation).unwrap();
        assert_eq!(read(folder.path(), &key), None);
    }
}
