//! `isograd data check`: reads every sample once, and says what there is.
//!
//! Of a folder of images, that are the files as they are, of whatever sizes, and all that cannot be decoded
//! or trained on.

use crate::cli::data_plan::DataCheckPlan;
use crate::cli::source::{PathSource, Source};
use crate::failure::Failure;
use crate::output::Output;
use crate::system::count::count;
use crate::system::escape::one_line;
use isograd_datasets::images::{Survey, survey_parts};
use isograd_datasets::open::{Format, is_image_folder};
use isograd_datasets::{Dataset, Moments, Pixels, Request, SampleBuffer, SampleError, Target, check_sample};
use isograd_model::{DataError, Error};
use rayon::prelude::*;
use std::fmt::Write;
use std::ops::Range;

/// Reads and describes the training and the test samples.
pub(crate) fn print(plan: &DataCheckPlan, out: &mut Output) -> Result<(), Failure> {
    if let Source::Path(source) = &plan.source
        && is_image_folder(&source.path).map_err(refused)?
    {
        return print_images(source, out);
    }
    let samples = plan.source.load()?;
    for skipped in &samples.skipped {
        out.line(&format!("skipped: {}", one_line(skipped)))?;
    }
    samples.each().try_for_each(|(name, set)| out.text(&describe(name, set)?))
}

/// Decodes and describes the files of a folder of images.
fn print_images(source: &PathSource, out: &mut Output) -> Result<(), Failure> {
    source.check(Format::Images)?;
    let colour = source.options.images.colour;
    let mut parts = survey_parts(&source.path, colour).map_err(refused)?;
    if let Some(path) = &source.test_path {
        parts.retain(|(name, _)| *name != "test");
        parts.push(("test", Survey::of(path, colour).map_err(refused)?));
    }
    let (mut broken, mut files) = (0, 0);
    for (name, survey) in &parts {
        out.text(&describe_images(name, survey))?;
        (broken, files) = (broken + survey.broken.len(), files + survey.broken.len() + survey.images());
    }
    match (broken, parts.into_iter().find_map(|(_, survey)| survey.problem)) {
        (0, None) => Ok(()),
        (0, Some(problem)) => Err(refused(problem.into())),
        (broken, _) => Err(Failure::BrokenFiles { broken, files }),
    }
}

/// Count, classes, sizes, mean and deviation, and the files that are broken, a line each.
fn describe_images(name: &str, survey: &Survey) -> String {
    let Survey { classes, sizes, moments, broken, problem } = survey;
    let mut text = format!("{name}: {}\n  classes: {}\n", count(survey.images(), "image"), classes.len());
    for (class, images) in classes {
        _ = writeln!(text, "    {}: {images}", one_line(class));
    }
    let area = |size: &&[usize; 2]| (size[0] * size[1], **size);
    if let (Some([h, w]), Some([height, width])) =
        (sizes.keys().min_by_key(area), sizes.keys().max_by_key(area))
    {
        let shapes = count(sizes.len(), "size");
        _ = writeln!(text, "  sizes: {shapes}, from {w}x{h} to {width}x{height} (width x height)");
        text.push_str(&mean_and_deviation(moments, 255.0));
    }
    if !broken.is_empty() {
        _ = writeln!(text, "  broken: {}", count(broken.len(), "file"));
        broken.iter().for_each(|error| _ = writeln!(text, "    {}", one_line(&error.to_string())));
    }
    if let Some(problem) = problem {
        _ = writeln!(text, "  problem: {}", one_line(&problem.to_string()));
    }
    text
}

fn refused(source: isograd_datasets::Error) -> Failure {
    Failure::Data { option: "--dataset", source }
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
    text.push_str(&mean_and_deviation(&moments, scale));
    Ok(text)
}

/// Of values that are divided by `scale`.
fn mean_and_deviation(moments: &Moments, scale: f64) -> String {
    let list = |numbers: Vec<f64>| {
        numbers.iter().map(|number| format!("{:.4}", number / scale)).collect::<Vec<_>>().join(",")
    };
    format!("  mean: {}\n  deviation: {}\n", list(moments.mean()), list(moments.std()))
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
