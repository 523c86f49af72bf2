//! Whole steps of a network whose convolutions take other paths.

use super::table::{change, milliseconds};
use super::times::{Bench, median};
use isograd_datasets::Synthetic;
use isograd_model::layer::OutputKind;
use isograd_model::{Element, Error, Network, TrainConfig, Trainer, loss};
use std::time::{Duration, Instant};

/// Rounds in which each network is measured once.
const ROUNDS: usize = 7;
/// A measurement takes at least so long: steps are repeated until it does.
const LEAST: Duration = Duration::from_millis(50);
const MOST_STEPS: u32 = 200;

/// Measures steps and evaluations of a batch, by shape and as chosen, in turn; says what is won.
pub(super) fn compare<T: Element>(
    networks: [Network<T>; 2],
    bench: &Bench,
    batch_size: usize,
    outputs: usize,
) -> Result<String, Error> {
    let name = match networks[0].output_kind() {
        OutputKind::Distribution => "categorical_cross_entropy",
        OutputKind::Probabilities => "binary_cross_entropy",
        _ => "mean_squared_error",
    };
    let shape = networks[0].input_shape();
    let data = Synthetic { seed: 0, sample_shape: [shape.c, shape.h, shape.w], num_classes: outputs };
    let data = data.samples(0..batch_size as u64).map_err(|error| Error::OutOfRange {
        name: "the number of outputs",
        expected: "one that synthetic samples can have",
        value: error.to_string(),
    })?;
    let mut trainers = Vec::new();
    for network in networks {
        let config = TrainConfig {
            isa: bench.isa,
            batch_size,
            shard_size: bench.n,
            loss: loss::by_name(name)?,
            metrics: Vec::new(),
            // Parameters that stay as they are stay finite.
            learning_rate: 0.0,
            ..TrainConfig::default()
        };
        trainers.push(Trainer::new(network, config)?);
    }
    let step = |trainer: &mut Trainer<T>| trainer.train_epoch(&data, |_| ()).map(drop);
    let evaluation = |trainer: &mut Trainer<T>| trainer.evaluate(&data).map(drop);
    Ok([
        line(&format!("a step of {batch_size} samples"), in_turn(&mut trainers, step)?),
        line(&format!("an evaluation of {batch_size} samples"), in_turn(&mut trainers, evaluation)?),
    ]
    .concat())
}

fn line(what: &str, [before, after]: [f64; 2]) -> String {
    let (by_shape, tuned) = (milliseconds(before), milliseconds(after));
    format!("{what}: {by_shape} by shape, {tuned} as chosen ({})\n", change(before, after))
}

/// The median seconds of `work` with the first trainer and with the second one.
fn in_turn<T: Element>(
    trainers: &mut [Trainer<T>],
    work: impl Fn(&mut Trainer<T>) -> Result<(), Error>,
) -> Result<[f64; 2], Error> {
    let measure = |trainer: &mut Trainer<T>, repetitions: u32| {
        let start = Instant::now();
        for _ in 0..repetitions {
            work(trainer)?;
        }
        Ok::<f64, Error>(start.elapsed().as_secs_f64() / f64::from(repetitions))
    };
    let mut once = f64::INFINITY;
    for trainer in trainers.iter_mut() {
        measure(trainer, 1)?;
        once = once.min(measure(trainer, 1)?);
    }
    let repetitions = (LEAST.as_secs_f64() / once).ceil().clamp(1.0, f64::from(MOST_STEPS)) as u32;
    let mut seconds = [Vec::new(), Vec::new()];
    for round in 0..ROUNDS {
        for turn in 0..2 {
            let index = (round + turn) % 2;
            seconds[index].push(measure(&mut trainers[index], repetitions)?);
        }
    }
    Ok(seconds.map(|seconds| median(&seconds)))
}
