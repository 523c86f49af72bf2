//! One stream of data that feeds several trainers, each with an evaluation that runs beside it.
//!
//! The trainers are logistic regressions with different learning rates, small enough to read. Each gets every
//! mini-batch, in the order of the stream, so each has the bits of a run of its own. Loading and decoding
//! happen once.
//!
//! A trainer is a stage that emits a snapshot of its weights every few mini-batches; the evaluation is the
//! sink behind it. The evaluation works while the training goes on, and a slow one holds the training up
//! instead of falling behind.

use std::sync::Arc;

use isograd_datasets::pipeline::{
    Branch, Cause, Outlet, Pipeline, PipelineError, Rebatch, Samples, Stream, Transform,
};
use isograd_datasets::{Dataset, Error, Synthetic};

/// `[C, H, W]` of a sample.
const SHAPE: [usize; 3] = [1, 8, 8];
const FEATURES: usize = 64;

fn main() -> Result<(), Error> {
    let rates = [1e-1, 1e-2, 1e-3];
    let together = run(&rates)?;
    for (rate, trained) in rates.iter().zip(&together) {
        println!("learning rate {rate}: accuracy {:.3?}", trained.accuracies);
        // The same bits as without the others.
        let alone = run(&[*rate])?;
        assert!(alone[0].weights.iter().zip(&trained.weights).all(|(a, b)| a.to_bits() == b.to_bits()));
    }
    Ok(())
}

/// What became of a trainer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trained {
    /// Of each snapshot.
    pub(crate) accuracies: Vec<f64>,
    /// The last ones.
    pub(crate) weights: Vec<f32>,
}

/// Trains with each learning rate, from one stream.
pub(crate) fn run(rates: &[f32]) -> Result<Vec<Trained>, Error> {
    let names: Vec<String> = rates.iter().map(|rate| format!("evaluate {rate}")).collect();
    let branches: Vec<_> =
        rates.iter().zip(&names).map(|(rate, name)| trainer(*rate, name.clone())).collect();
    let mut out = Pipeline::new()
        .source("chunks", 0..20_u64)
        .stage("decode", decode)
        .workers(2)
        .regulate("mini-batches", Rebatch::new(64))
        .fan_out(branches)
        .build()?
        .run()?;
    Ok(names.iter().map(|name| out.take(name)).collect::<Result<_, PipelineError>>()?)
}

/// Chunk number `chunk`, 100 samples of two classes. A real one would read a file.
fn decode(chunk: u64) -> Result<Samples, Error> {
    let set =
        Synthetic { seed: 7, sample_shape: SHAPE, num_classes: 2 }.samples(chunk * 100..(chunk + 1) * 100)?;
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for index in 0..set.len() {
        let sample = set.sample(index);
        pixels.extend(
            sample.pixels.bytes().unwrap_or_default().iter().map(|byte| f32::from(*byte) / 127.5 - 1.0),
        );
        labels.extend(sample.target.class());
    }
    Samples::from_f32(pixels, labels, SHAPE, 2)
}

/// A trainer and its evaluation.
fn trainer(rate: f32, name: String) -> Branch<Arc<Samples>> {
    Branch::new(move |batches: Stream<Arc<Samples>>| {
        let start = move |_: &_| Ok(Trainer { rate, weights: vec![0.0; FEATURES + 1], steps: 0 });
        let evaluate = |trained: &mut Trained, weights: Vec<f32>| {
            trained.accuracies.push(accuracy(&weights)?);
            trained.weights = weights;
            Ok::<_, Cause>(())
        };
        // One snapshot may wait; with more, the evaluation would lag behind.
        batches.transform(format!("train {rate}"), start).buffer(1).fold(name, Trained::default(), evaluate)
    })
}

struct Trainer {
    rate: f32,
    /// One for each pixel, and the bias.
    weights: Vec<f32>,
    steps: u32,
}

impl Transform<Arc<Samples>> for Trainer {
    type Output = Vec<f32>;

    fn process(&mut self, batch: Arc<Samples>, out: &mut Outlet<'_, Vec<f32>>) -> Result<(), Cause> {
        let set = batch.as_arrays()?;
        for index in 0..set.len() {
            let sample = set.sample(index);
            let (pixels, label) = (sample.pixels.floats().unwrap_or_default(), sample.target.class());
            let error = predict(&self.weights, pixels) - if label == Some(1) { 1.0 } else { 0.0 };
            for (weight, x) in self.weights.iter_mut().zip(pixels.iter().chain([&1.0])) {
                *weight -= self.rate * error * x;
            }
        }
        self.steps += 1;
        if self.steps.is_multiple_of(8) {
            out.emit(self.weights.clone())?;
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Outlet<'_, Vec<f32>>) -> Result<(), Cause> {
        Ok(out.emit(self.weights.clone())?)
    }
}

/// A sigmoid by arithmetic alone, for the same bits on every machine.
fn predict(weights: &[f32], pixels: &[f32]) -> f32 {
    let sum: f32 = weights.iter().zip(pixels.iter().chain([&1.0])).map(|(w, x)| w * x).sum();
    0.5 + 0.5 * sum / (1.0 + sum.abs())
}

/// The share of right answers for samples that are not in the stream.
fn accuracy(weights: &[f32]) -> Result<f64, Cause> {
    let samples = decode(1000)?;
    let set = samples.as_arrays()?;
    let is_right = |index: &usize| {
        let sample = set.sample(*index);
        let answer = predict(weights, sample.pixels.floats().unwrap_or_default()) > 0.5;
        sample.target.class() == Some(u32::from(answer))
    };
    Ok((0..set.len()).filter(is_right).count() as f64 / set.len() as f64)
}
