//! Runs a network over samples and counts what it takes them for.
//!
//! Each thread has a contiguous range of the samples and goes through it in batches of a fixed size. Counts
//! are sums of ones, and mistakes are ordered by output and index, so the result does not depend on the
//! number of threads.

use super::surest::{Candidate, Surest};
use super::{Mistake, Problem, Thumbnail};
use isograd_datasets::{Dataset, Pixels, Request, Sample, SampleBuffer, SampleError, Target, check_sample};
use isograd_kernels::Isa;
use isograd_kernels::layout::{self, Channels, Scaling};
use isograd_model::{Element, Network, Session, State, TestTime};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::ops::Range;

/// Samples of a batch.
const BATCH: usize = 32;
/// How far probabilities may be from a sum of 1.
const ROUNDING: f64 = 1e-3;

/// What is tested.
pub(crate) struct Tested<'t, T> {
    pub(crate) network: &'t Network<T>,
    pub(crate) state: &'t State<T>,
    pub(crate) isa: Isa,
    /// The views of each sample.
    pub(crate) test_time: TestTime,
    /// Its targets are classes.
    pub(crate) set: &'t dyn Dataset,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Class, class that it was taken for, samples; without cells of no samples.
    pub(crate) counts: Vec<(u32, u32, u64)>,
    /// Whether the outputs of the network are probabilities.
    pub(crate) has_probabilities: bool,
    /// The surest first.
    pub(crate) mistakes: Vec<Mistake>,
}

/// What came of some of the samples.
struct Part {
    counts: BTreeMap<(u32, u32), u64>,
    has_probabilities: bool,
    surest: Surest,
}

/// Tests all samples, on all threads of the current pool.
pub(crate) fn test<T: Element>(tested: &Tested<'_, T>) -> Result<Outcome, Problem> {
    let threads = rayon::current_num_threads();
    let len = tested.set.len();
    let each = len.div_ceil(threads).next_multiple_of(BATCH);
    let ranges: Vec<Range<usize>> =
        (0..len).step_by(each).map(|start| start..(start + each).min(len)).collect();
    let parts: Vec<Result<Part, Problem>> = ranges.into_par_iter().map(|range| tested.part(range)).collect();
    let mut whole = Part { counts: BTreeMap::new(), has_probabilities: true, surest: Surest::default() };
    for part in parts {
        let part = part?;
        part.counts.iter().for_each(|(cell, samples)| *whole.counts.entry(*cell).or_default() += samples);
        whole.has_probabilities &= part.has_probabilities;
        whole.surest.join(part.surest);
    }
    let mistakes = whole.surest.sorted().into_iter().map(|candidate| tested.mistake(candidate));
    Ok(Outcome {
        counts: whole
            .counts
            .into_iter()
            .map(|((class, predicted), samples)| (class, predicted, samples))
            .collect(),
        has_probabilities: whole.has_probabilities,
        mistakes: mistakes.collect::<Result<_, Problem>>()?,
    })
}

impl<T: Element> Tested<'_, T> {
    fn part(&self, samples: Range<usize>) -> Result<Part, Problem> {
        let mut part = Part { counts: BTreeMap::new(), has_probabilities: true, surest: Surest::default() };
        let session = self.network.session(self.state, self.isa, BATCH)?;
        let mut session = session.with_test_time(self.test_time)?;
        let mut buffers = vec![SampleBuffer::new(); BATCH];
        let mut input = Vec::new();
        for start in samples.clone().step_by(BATCH) {
            let batch = start..(start + BATCH).min(samples.end);
            self.batch(batch, &mut session, &mut buffers, &mut input, &mut part)?;
        }
        Ok(part)
    }

    fn batch(
        &self,
        batch: Range<usize>,
        session: &mut Session<'_, T>,
        buffers: &mut [SampleBuffer],
        input: &mut Vec<T>,
        part: &mut Part,
    ) -> Result<(), Problem> {
        let samples: Vec<Sample<'_>> = batch
            .clone()
            .zip(buffers)
            .map(|(index, buffer)| self.read(index, buffer))
            .collect::<Result<_, SampleError>>()?;
        self.lay_out(&samples, batch.start, input)?;
        let n = samples.len();
        let outputs = session.predict(input, n);
        for (place, sample) in samples.iter().enumerate() {
            let index = batch.start + place;
            let Target::Class(class) = sample.target else { unreachable!("checked by reading") };
            let column: Vec<f64> =
                outputs.iter().skip(place).step_by(n).map(|output| output.to_f64()).collect();
            if let Some(output) = column.iter().find(|output| !output.is_finite()) {
                return Err(Problem(format!("the network gives {output} for {}", self.set.describe(index))));
            }
            part.has_probabilities &= is_distribution(&column);
            let (predicted, output) = answer(&column);
            *part.counts.entry((class, predicted)).or_default() += 1;
            if predicted != class {
                let output_of_class = output_of(&column, class);
                part.surest.add(Candidate { index, class, predicted, output, output_of_class });
            }
        }
        Ok(())
    }

    /// Normalises samples, the first of which is that at `start`, and lays them out as the network takes
    /// them: `[C, H, W, N]`.
    fn lay_out(&self, samples: &[Sample<'_>], start: usize, input: &mut Vec<T>) -> Result<(), Problem> {
        let [_, h, w] = self.set.sample_shape();
        let normalization = self.set.normalization();
        let narrow = |values: &[f64]| values.iter().map(|value| T::from_f64(*value)).collect::<Vec<T>>();
        let (scale, shift) = (narrow(normalization.scale()), narrow(normalization.shift()));
        let scaling = Scaling { scale: &scale, shift: &shift };
        let (n, first) = (samples.len(), samples[0].pixels);
        input.resize(first.len() * n, T::ZERO);
        if let Some(other) = samples.iter().position(|sample| sample.pixels.element() != first.element()) {
            let [sample, other_sample] = [start + other, start].map(|index| self.set.describe(index));
            let (got, expected) = (samples[other].pixels.element(), first.element());
            return Err(SampleError::ElementType { sample, got, other: other_sample, expected }.into());
        }
        let same = "the samples have the same element type";
        match first {
            Pixels::U8(_) => {
                let sample = |i: usize| samples[i].pixels.bytes().expect(same);
                layout::gather_u8(self.isa, Channels::First, h * w, n, scaling, sample, input);
            }
            Pixels::F32(_) => {
                let sample = |i: usize| samples[i].pixels.floats().expect(same);
                layout::gather_float(self.isa, Channels::First, h * w, n, scaling, sample, input);
            }
        }
        Ok(())
    }

    fn read<'b>(&'b self, index: usize, buffer: &'b mut SampleBuffer) -> Result<Sample<'b>, SampleError> {
        let read = self.set.read(Request::new(index), buffer);
        let sample = read.map_err(|reason| SampleError::Read { sample: self.set.describe(index), reason })?;
        check_sample(self.set, index, &sample)?;
        Ok(sample)
    }

    fn mistake(&self, candidate: Candidate) -> Result<Mistake, Problem> {
        let Candidate { index, class, predicted, output, output_of_class } = candidate;
        let mut buffer = SampleBuffer::new();
        let sample = self.read(index, &mut buffer)?;
        let picture = Thumbnail::of(sample.pixels, self.set.sample_shape());
        Ok(Mistake { sample: self.set.describe(index), class, predicted, output, output_of_class, picture })
    }
}

/// The class with the largest output, the first of several, and that output. A single output is the
/// probability of class 1 of two.
fn answer(outputs: &[f64]) -> (u32, f64) {
    if let [output] = outputs {
        return if *output > 0.5 { (1, *output) } else { (0, 1.0 - *output) };
    }
    let largest =
        outputs.iter().enumerate().reduce(|best, other| if other.1 > best.1 { other } else { best });
    largest.map_or((0, 0.0), |(class, output)| (class as u32, *output))
}

/// The output for a class: 0 of a class that the network does not know.
fn output_of(outputs: &[f64], class: u32) -> f64 {
    match (outputs, class) {
        ([output], 0) => 1.0 - output,
        _ => outputs.get(class as usize - usize::from(outputs.len() == 1)).copied().unwrap_or(0.0),
    }
}

fn is_distribution(outputs: &[f64]) -> bool {
    let is_share = outputs.iter().all(|output| (-ROUNDING..=1.0 + ROUNDING).contains(output));
    is_share && (outputs.len() == 1 || (outputs.iter().sum::<f64>() - 1.0).abs() <= ROUNDING)
}

#[cfg(test)]
mod tests {
    use super::*;
    use isograd_datasets::Synthetic;
    use isograd_model::layer::*;
    use isograd_model::layers;

    #[test]
    fn the_answer_is_the_first_of_the_largest_outputs() {
        assert_eq!(answer(&[0.2, 0.4, 0.4]), (1, 0.4));
        assert_eq!((answer(&[0.75]), answer(&[0.25])), ((1, 0.75), (0, 0.75)));
        assert_eq!(
            (output_of(&[0.75], 0), output_of(&[0.75], 1), output_of(&[0.1, 0.9], 2)),
            (0.25, 0.75, 0.0)
        );
        assert!(is_distribution(&[0.5, 0.5]) && is_distribution(&[0.3]));
        assert!(!is_distribution(&[0.5, 0.6]) && !is_distribution(&[1.5, -0.5]));
    }

    #[test]
    fn threads_and_batches_do_not_change_the_result() {
        let set = Synthetic { seed: 3, sample_shape: [1, 6, 6], num_classes: 5 }.samples(0..333).unwrap();
        let network =
            Network::<f32>::build(layers![Input::new(1, 6, 6), Flatten, Dense::new(5), Softmax]).unwrap();
        let state = network.initial_state(1).unwrap();
        let (isa, test_time) = (Isa::best(), TestTime::Plain);
        let tested = Tested { network: &network, state: &state, isa, test_time, set: &set };
        let outcome = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let Outcome { counts, has_probabilities, mistakes } = pool.install(|| test(&tested)).unwrap();
            assert!(has_probabilities);
            (counts, mistakes)
        };
        let (counts, mistakes) = outcome(1);
        assert_eq!(counts.iter().map(|cell| cell.2).sum::<u64>(), 333);
        // As a batch of all samples gives it.
        let mut expected = BTreeMap::new();
        let (mut buffer, mut wrong) = (SampleBuffer::new(), Vec::new());
        for index in 0..set.len() {
            let sample = set.read(Request::new(index), &mut buffer).unwrap();
            let x: Vec<f32> =
                sample.pixels.bytes().unwrap().iter().map(|byte| f32::from(*byte) / 255.0).collect();
            let y: Vec<f64> =
                network.predict(&state, Isa::best(), &x, 1).iter().map(|y| f64::from(*y)).collect();
            let (class, (predicted, output)) = (sample.target.class().unwrap(), answer(&y));
            *expected.entry((class, predicted)).or_insert(0) += 1;
            if class != predicted {
                wrong.push(output);
            }
        }
        assert_eq!(counts, expected.into_iter().map(|((a, b), n)| (a, b, n)).collect::<Vec<_>>());
        wrong.sort_by(|a, b| b.total_cmp(a));
        assert!(wrong.len() > mistakes.len() && !mistakes.is_empty());
        for (mistake, expected) in mistakes.iter().zip(wrong) {
            assert!((mistake.output - expected).abs() < 1e-5 && mistake.output >= mistake.output_of_class);
            assert!(mistake.picture.is_some());
        }
        for threads in [2, 3, 7] {
            assert_eq!(outcome(threads), (counts.clone(), mistakes.clone()), "{threads} threads");
        }
    }
}
