//! The test of a run's checkpoint: which classes are taken for which, and the mistakes of which the network
//! is surest.
//!
//! A test may take long, so its result is kept in the folder of the run, with the checkpoint that it is of.

mod cache;
mod prepare;

use crate::mistakes::{self, Problem};
use base64ct::{Base64, Encoding};
use isograd_model::ConfusionMatrix;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Where the samples of a run are now, if it is not where they were.
#[derive(Debug, Default)]
pub(super) struct Samples {
    pub(super) train: Option<PathBuf>,
    pub(super) test: Option<PathBuf>,
}

/// What is known of a checkpoint by testing it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Evaluation {
    /// The name of the checkpoint's folder.
    pub(super) checkpoint: String,
    /// The samples that were tested: `test` or `validation`.
    pub(super) part: String,
    pub(super) classes: usize,
    /// None if classes have no names.
    class_names: Vec<String>,
    /// Class, class that it was taken for, samples; without cells of no samples.
    counts: Vec<(u32, u32, u64)>,
    /// Whether the outputs of the network are probabilities.
    pub(super) has_probabilities: bool,
    /// The surest first.
    pub(super) mistakes: Vec<Mistake>,
    /// What a reader should know of the test.
    pub(super) note: Option<String>,
}

/// A sample that was taken for another class than its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Mistake {
    /// The sample in words, such as the name of its file.
    pub(super) sample: String,
    pub(super) class: u32,
    pub(super) predicted: u32,
    /// The output of the network for the predicted class.
    pub(super) output: f64,
    /// The output of the network for the class.
    pub(super) output_of_class: f64,
    /// A small picture of it, if it is one: PNG in base64, height and width.
    pub(super) picture: Option<(String, [u32; 2])>,
}

impl From<mistakes::Mistake> for Mistake {
    fn from(mistake: mistakes::Mistake) -> Self {
        let mistakes::Mistake { sample, class, predicted, output, output_of_class, picture } = mistake;
        let picture = picture.map(|picture| (Base64::encode_string(&picture.png), picture.size));
        Self { sample, class, predicted, output, output_of_class, picture }
    }
}

impl Evaluation {
    /// How often each class was taken for each class.
    pub(super) fn confusion(&self) -> ConfusionMatrix {
        let mut sums = vec![0.0; self.classes * self.classes];
        for (class, predicted, samples) in &self.counts {
            sums[*class as usize * self.classes + *predicted as usize] += *samples as f64;
        }
        ConfusionMatrix::from_sums(&sums)
    }

    /// Class, class that it was taken for, samples: the cells of the matrix that have samples.
    pub(super) fn counts(&self) -> &[(u32, u32, u64)] {
        &self.counts
    }

    /// The name of a class, or its number.
    pub(super) fn class_name(&self, class: usize) -> String {
        self.class_names.get(class).cloned().unwrap_or_else(|| class.to_string())
    }

    /// Whether all numbers in it fit each other, as they do unless a file was changed by hand.
    fn is_sound(&self) -> bool {
        /// More classes than any data set here has: their square is still little memory.
        const MOST_CLASSES: usize = 1 << 13;
        /// More samples than any data set has.
        const MOST_SAMPLES: u64 = 1 << 32;
        let is_class = |class: u32| (class as usize) < self.classes;
        let samples = self.counts.iter().try_fold(0_u64, |sum, count| sum.checked_add(count.2));
        self.classes <= MOST_CLASSES
            && samples.is_some_and(|samples| samples <= MOST_SAMPLES)
            && self.counts.iter().all(|(class, predicted, _)| is_class(*class) && is_class(*predicted))
            && self.mistakes.iter().all(|mistake| is_class(mistake.class) && is_class(mistake.predicted))
    }
}

/// The test of `checkpoint`, or of the best one in the run `folder`, or of the last one: the result that was
/// kept, or a new one. Where there is none, says why.
pub(super) fn of(
    folder: &Path,
    checkpoint: Option<&Path>,
    samples: &Samples,
    threads: Option<usize>,
) -> Result<Evaluation, Problem> {
    let checkpoint = prepare::choose(folder, checkpoint)?;
    let key = cache::Key::new(&checkpoint, samples)?;
    if let Some(kept) = cache::read(folder, &key) {
        return Ok(kept);
    }
    let evaluation = prepare::test(&checkpoint, samples, threads)?;
    if let Err(error) = cache::write(folder, &key, &evaluation) {
        log::warn!("{}: cannot keep the result of the test: {error}", folder.display());
    }
    Ok(evaluation)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three samples of two classes, of which one is taken for the other class.
    pub(super) fn example() -> Evaluation {
        let (sample, picture) = ("sample 7".to_string(), None);
        let mistake =
            Mistake { sample, class: 0, predicted: 1, output: 0.75, output_of_class: 0.25, picture };
        Evaluation {
            checkpoint: "epoch-0001-step-00000002".to_string(),
            part: "test".to_string(),
            classes: 2,
            class_names: vec!["a".to_string()],
            counts: vec![(0, 1, 1), (1, 1, 2)],
            has_probabilities: true,
            mistakes: vec![mistake],
            note: None,
        }
    }

    #[test]
    fn the_matrix_is_that_of_its_cells() {
        let matrix = example().confusion();
        assert_eq!((matrix.count(0, 1), matrix.count(1, 1), matrix.samples()), (1, 2, 3));
        assert_eq!([0, 1].map(|class| example().class_name(class)), ["a", "1"]);
    }

    #[test]
    fn numbers_that_do_not_fit_are_known() {
        assert!(example().is_sound());
        let changes: [fn(&mut Evaluation); 4] = [
            |it| it.counts.push((2, 0, 1)),
            |it| it.classes = 1 << 40,
            |it| it.counts.push((0, 0, u64::MAX)),
            |it| it.mistakes[0].predicted = 2,
        ];
        for change in changes {
            let mut changed = example();
            change(&mut changed);
            assert!(!changed.is_sound(), "{changed:?}");
        }
    }
}
