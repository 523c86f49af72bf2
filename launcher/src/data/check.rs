//! `isograd data check`: reads every sample once, and says what there is.

use crate::cli::data_plan::DataCheckPlan;
use crate::failure::Failure;
use crate::output::Output;
use crate::system::count::count;
use crate::system::escape::one_line;
use isograd_datasets::{Dataset, Moments, Pixels, Request, SampleBuffer, SampleError, Target, check_sample};
use isograd_model::{DataError, Error};
use rayon::prelude::*;
use std::fmt::Write;
use std::ops::Range;

/// Reads and describes the training and the test samples.
pub(crate) fn print(plan: &DataCheckPlan, out: &mut Output) -> Result<(), Failure> {
    let samples = plan.source.load()?;
    for skipped in &samples.skipped {
        out.line(&format!("skipped: {}", one_line(skipped)))?;
    }
    samples.each().try_for_each(|(name, set)| out.text(&describe(name, set)?))
}

/// What is counted of some samples.
#[derive(Default)]
struct Tally {
    moments: Moments,
    /// Samples of each class.
    classes: Vec<usize>,
    is_bytes: bool,
}

impl Tally {
    fn of(set: &dyn Dataset, samples: Range<usize>) -> Result<Self, SampleError> {
        let mut tally = Self { classes: vec![0; set.num_classes()], is_bytes: true, ..Self::default() };
        let mut buffer = SampleBuffer::new();
        for index in samples {
            let read = set.read(Request::new(index), &mut buffer);
            let sample = read.map_err(|reason| SampleError::Read { sample: set.describe(index), reason })?;
            check_sample(set, index, &sample)?;
            if let Target::Class(class) = sample.target {
                tally.classes[class as usize] += 1;
            }
            tally.is_bytes &= matches!(sample.pixels, Pixels::U8(_));
            tally.moments.add_sample(set.sample_shape(), sample.pixels);
        }
        Ok(tally)
    }

    fn add(mut self, other: &Self) -> Self {
        self.moments.add(&other.moments);
        self.classes.iter_mut().zip(&other.classes).for_each(|(sum, samples)| *sum += samples);
        self.is_bytes &= other.is_bytes;
        self
    }
}

/// Count, shape, classes, mean and deviation, a line each.
fn describe(name: &str, set: &dyn Dataset) -> Result<String, Failure> {
    let blocks: Vec<_> = Moments::blocks(set.len()).collect();
    let parts: Result<Vec<_>, _> = blocks.into_par_iter().map(|block| Tally::of(set, block)).collect();
    let parts = parts.map_err(|error| Error::Data(DataError::Sample(error)))?;
    let empty = Tally { classes: vec![0; set.num_classes()], is_bytes: true, ..Tally::default() };
    let Tally { moments, classes, is_bytes } = parts.iter().fold(empty, Tally::add);

    let [c, h, w] = set.sample_shape();
    let element = if is_bytes { "bytes" } else { "floats" };
    let mut text = format!("{name}: {} of {c}x{h}x{w} {element}\n", count(set.len(), "sample"));
    match set.target_values() {
        Some(values) => _ = writeln!(text, "  targets: {}", count(values, "number")),
        None => {
            _ = writeln!(text, "  classes: {}", classes.len());
            for (class, samples) in classes.iter().enumerate() {
                let label = set.class_names().get(class).map_or_else(|| class.to_string(), String::clone);
                _ = writeln!(text, "    {}: {samples}", one_line(&label));
            }
        }
    }
    // Bytes on the scale that --normalize takes.
    let scale = if is_bytes { 255.0 } else { 1.0 };
    let list = |numbers: Vec<f64>| {
        numbers.iter().map(|number| format!("{:.4}", number / scale)).collect::<Vec<_>>().join(",")
    };
    _ = writeln!(text, "  mean: {}\n  deviation: {}", list(moments.mean()), list(moments.std()));
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use isograd_datasets::Arrays;

    #[test]
    fn samples_classes_and_moments_are_listed() {
        let set = Arrays::from_u8(vec![0, 255, 255, 255, 0, 255], vec![1, 0, 1], [1, 1, 2], 3).unwrap();
        let expected = "training: 3 samples of 1x1x2 bytes\n  classes: 3\n    0: 1\n    1: 2\n    2: 0\n  \
                        mean: 0.6667\n  deviation: 0.4714\n";
        assert_eq!(describe("training", &set).unwrap(), expected);
        let set = Arrays::from_f32_with_values(vec![0.0, 2.0], vec![1.0; 4], [1, 1, 1], 2).unwrap();
        let expected =
            "test: 2 samples of 1x1x1 floats\n  targets: 2 numbers\n  mean: 1.0000\n  deviation: 1.0000\n";
        assert_eq!(describe("test", &set).unwrap(), expected);
    }
}
