//! Optimizers from outside this crate: what they are given, and what they may not ask for. And averages of
//! the parameters, whichever optimizer trains them.

use crate::common::{assert_close, in_pool, simplecnn_with_dropout_and_batch_norm};
use crate::training::{classifier, pattern, trainer};
use isograd_datasets::Synthetic;
use isograd_kernels::{Isa, elementwise};
use isograd_model::layer::Tensor;
use isograd_model::optimizer::{Extent, MAX_SLOTS, Optimizer, Part, Sgd, StepNumbers, norm};
use isograd_model::{Element, Evaluation, Schedule, StepPosition, TrainConfig, Trainer};
use std::sync::Arc;
use std::sync::Mutex;

/// Momentum by hand, in any range or in whole tensors; the velocity is the second slot, so that the first one
/// shows whether slots are mixed up.
#[derive(Debug)]
struct Momentum {
    share: f64,
    extent: Extent,
}

impl<T: Element> Optimizer<T> for Momentum {
    fn slots(&self, tensor: &Tensor) -> usize {
        // Other tensors have other numbers of slots.
        2 + tensor.dims.len() % 2
    }

    fn extent(&self, _: &Tensor) -> Extent {
        self.extent
    }

    fn constants(&self, step: u64) -> [f64; 4] {
        [step as f64, self.share, 0.0, 0.0]
    }

    fn update(&self, step: &StepNumbers, mut part: Part<'_, T>) {
        let [count, share, ..] = step.constants;
        assert_eq!((count as u64, share), (step.step, self.share));
        let tensor = part.tensor;
        let elements: usize = tensor.dims.iter().product();
        assert!(part.range.end <= elements && part.weights.len() == part.range.len(), "{part:?}");
        match self.extent {
            Extent::Whole { scratch } => {
                assert_eq!((part.range.clone(), part.scratch.len()), (0..elements, scratch));
                part.scratch.fill(T::from_f64(f64::NAN));
            }
            Extent::Range => assert!(part.scratch.is_empty()),
        }
        let [steps, velocity, third, none] = part.slots();
        assert_eq!((third.len(), none.len()), (part.weights.len() * (tensor.dims.len() % 2), 0));
        for (i, w) in part.weights.iter_mut().enumerate() {
            steps[i] += T::ONE;
            assert_eq!(steps[i].to_f64(), count, "the first slot of '{}', element {i}", tensor.name);
            velocity[i] = velocity[i] * T::from_f64(share) + part.gradient[i];
            *w += velocity[i] * T::from_f64(-step.learning_rate);
        }
    }
}

/// The state after an epoch of nine steps.
fn trained(optimizer: Arc<dyn Optimizer<f64>>, threads: usize) -> Vec<f64> {
    in_pool(threads, || {
        let config = TrainConfig { optimizer, batch_size: 12, learning_rate: 0.01, ..TrainConfig::default() };
        let data = Synthetic { seed: 3, sample_shape: [1, 28, 28], num_classes: 10 };
        let data = data.samples(0..100).expect("a data set");
        let mut trainer = trainer(simplecnn_with_dropout_and_batch_norm(), config);
        trainer.train_epoch(&data, |_| ()).expect("finite losses");
        trainer.state().params().to_vec()
    })
}

/// Ranges and whole tensors are the same numbers, and so is momentum in this crate, up to its rounding.
#[test]
fn ranges_and_whole_tensors_are_updated_alike() {
    let momentum = |extent| Arc::new(Momentum { share: 0.9, extent });
    let ranges = trained(momentum(Extent::Range), 1);
    for threads in [1, 2, 3] {
        assert_eq!(trained(momentum(Extent::Range), threads), ranges, "{threads} threads");
        assert_eq!(trained(momentum(Extent::Whole { scratch: 3 }), threads), ranges, "{threads} threads");
    }
    let ours = trained(Arc::new(Sgd::default()), 2);
    assert_close("momentum", &ours, &ranges, 1e-12);
}

/// An optimizer that changes nothing, and remembers what it was asked.
#[derive(Debug, Default)]
struct Watcher(Mutex<Vec<(String, usize, usize)>>);

impl<T: Element> Optimizer<T> for Watcher {
    fn slots(&self, _: &Tensor) -> usize {
        0
    }

    fn update(&self, _: &StepNumbers, part: Part<'_, T>) {
        let at = part.range;
        self.0.lock().expect("no panic").push((part.tensor.name.clone(), at.start, at.end));
    }
}

/// Each element once, in parts of at most a block.
#[test]
fn the_parts_tile_all_tensors() {
    for threads in [1, 2, 5] {
        let watcher = Arc::new(Watcher::default());
        let network = in_pool(threads, || {
            let optimizer = watcher.clone();
            let mut trainer = trainer(
                simplecnn_with_dropout_and_batch_norm::<f32>(),
                TrainConfig { optimizer, max_steps: Some(1), ..TrainConfig::default() },
            );
            let data = Synthetic { seed: 3, sample_shape: [1, 28, 28], num_classes: 10 };
            trainer.train_epoch(&data.samples(0..20).expect("a data set"), |_| ()).expect("finite losses");
            simplecnn_with_dropout_and_batch_norm::<f32>()
        });
        let mut parts = watcher.0.lock().expect("no panic").clone();
        parts.sort();
        for tensor in network.parameters() {
            let mut end = 0;
            for (_, first, last) in parts.iter().filter(|(name, ..)| *name == tensor.name) {
                assert!(*first == end && last - first <= 2048, "{} {first}..{last} after {end}", tensor.name);
                end = *last;
            }
            assert_eq!(end, tensor.range.len(), "{} with {threads} threads", tensor.name);
        }
    }
}

#[derive(Debug)]
struct Greedy;

impl<T: Element> Optimizer<T> for Greedy {
    fn slots(&self, _: &Tensor) -> usize {
        MAX_SLOTS + 1
    }

    fn update(&self, _: &StepNumbers, _: Part<'_, T>) {
        unreachable!("a trainer that is refused takes no step")
    }
}

#[derive(Debug)]
struct Boundless;

impl<T: Element> Optimizer<T> for Boundless {
    fn slots(&self, _: &Tensor) -> usize {
        0
    }

    fn extent(&self, _: &Tensor) -> Extent {
        Extent::Whole { scratch: usize::MAX / 2 }
    }

    fn update(&self, _: &StepNumbers, _: Part<'_, T>) {
        unreachable!("a trainer that is refused takes no step")
    }
}

#[test]
fn what_no_trainer_can_give_is_refused() {
    let refused = |optimizer: Arc<dyn Optimizer<f32>>| {
        let config = TrainConfig { optimizer, ..TrainConfig::default() };
        Trainer::new(classifier(), config).expect_err("too much").to_string()
    };
    assert_eq!(
        refused(Arc::new(Greedy)),
        "the number of slots that the optimizer keeps for a parameter must be at most 4, it is 5"
    );
    let message = refused(Arc::new(Boundless));
    assert!(message.starts_with("no memory for what the optimizer keeps: "), "{message}");
}

/// Normalised gradients with a rate of their own schedule: both from outside.
#[derive(Debug)]
struct Normalised;

impl<T: Element> Optimizer<T> for Normalised {
    fn slots(&self, _: &Tensor) -> usize {
        0
    }

    fn extent(&self, _: &Tensor) -> Extent {
        Extent::Whole { scratch: 0 }
    }

    fn update(&self, step: &StepNumbers, part: Part<'_, T>) {
        let scale = -step.learning_rate / (norm(step.isa, part.gradient) + 1e-12);
        elementwise::axpy(step.isa, T::from_f64(scale), part.gradient, part.weights);
    }
}

#[derive(Debug)]
struct Sawtooth;

impl Schedule for Sawtooth {
    fn learning_rate(&self, at: &StepPosition) -> f64 {
        at.base_learning_rate * (1.0 - (at.step % at.steps_per_epoch) as f64 / at.steps_per_epoch as f64)
    }
}

#[test]
fn an_optimizer_and_a_schedule_from_outside_learn() {
    let config = TrainConfig {
        optimizer: Arc::new(Normalised),
        schedule: Arc::new(Sawtooth),
        learning_rate: 0.05,
        batch_size: 32,
        shard_size: 16,
        ..TrainConfig::default()
    };
    let mut trainer = trainer(classifier(), config);
    let data = pattern(0..256);
    let mut rates = Vec::new();
    for _ in 0..12 {
        rates.clear();
        trainer.train_epoch(&data, |p| rates.push(p.learning_rate)).expect("finite losses");
    }
    assert_close(
        "rates",
        &rates,
        &[1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125].map(|r| 0.05 * r),
        1e-16,
    );
    let accuracy = trainer.evaluate(&pattern(256..512)).expect("a data set that fits").metrics[0];
    assert!(accuracy > 90.0, "{accuracy}%");
}

/// With an optimizer alone, without a trainer.
#[test]
fn a_part_can_be_made_by_hand() {
    let network = classifier();
    let tensor = &network.parameters()[0];
    let (mut w, mut g, mut v) = ([1.0f32, 2.0], [0.5, 0.25], [0.0; 2]);
    let optimizer = Sgd { momentum: 0.5, ..Sgd::default() };
    for step in 1..=2 {
        let numbers = StepNumbers::new(step, 1.0, Isa::best(), Optimizer::<f32>::constants(&optimizer, step));
        optimizer.update(&numbers, Part::new(tensor, 3..5, &mut w, &mut g, [&mut v], &mut []));
    }
    assert_eq!((w, v), ([-0.25, 1.375], [0.75, 0.375]));
}

#[test]
#[should_panic(expected = "3 elements of the 2 of 'conv2d1.weight' in 3..5")]
fn a_part_with_slices_of_other_lengths() {
    let network = classifier();
    let tensor = &network.parameters()[0];
    Part::new(tensor, 3..5, &mut [0f32; 2], &mut [0.0; 2], [&mut [0.0; 3]], &mut []);
}

/// Evaluation uses the averages; training does not.
#[test]
fn averages_are_evaluated_and_change_no_bit_of_the_training() {
    let data = pattern(0..100);
    let run = |ema| {
        let config = TrainConfig { ema, batch_size: 20, learning_rate: 0.01, ..TrainConfig::default() };
        let mut trainer = trainer(classifier(), config);
        (0..3).for_each(|_| drop(trainer.train_epoch(&data, |_| ()).expect("finite losses")));
        trainer
    };
    let evaluate =
        |trainer: &mut Trainer<f32>| -> Evaluation { trainer.evaluate(&data).expect("finite losses") };
    let (mut plain, mut averaged) = (run(None), run(Some(0.9)));
    assert!(plain.averaged_state().is_none());
    assert_eq!(plain.state().params_sha256(), averaged.state().params_sha256());
    assert_ne!(evaluate(&mut plain), evaluate(&mut averaged));

    let state = averaged.averaged_state().expect("averages");
    let (params, statistics) = (state.params().to_vec(), state.statistics().to_vec());
    plain.state_mut().params_mut().copy_from_slice(&params);
    plain.state_mut().statistics_mut().copy_from_slice(&statistics);
    assert_eq!(evaluate(&mut plain), evaluate(&mut averaged));
    // With a decay of 0, nothing is averaged.
    let unaveraged = run(Some(0.0));
    let averages = unaveraged.averaged_state().expect("averages").params().to_vec();
    assert_eq!(averages, unaveraged.state().params());
}

/// New parameters, as those of a checkpoint, are tested as they are, and the averages begin with the step
/// after them.
#[test]
fn averages_begin_anew_with_new_parameters() {
    let data = pattern(0..40);
    let config = TrainConfig { ema: Some(0.99), learning_rate: 0.01, ..TrainConfig::default() };
    let mut trainer = trainer(classifier(), config);
    for _ in 0..2 {
        let untrained = trainer.averaged_state().expect("averages").params_sha256();
        assert_eq!(untrained, trainer.state().params_sha256());
        trainer.train_epoch(&data, |_| ()).expect("finite losses");
        assert_eq!(trainer.steps() % 2, 1, "one step an epoch, and one below");
        let averages = trainer.averaged_state().expect("averages").params_sha256();
        assert_eq!(averages, trainer.state().params_sha256(), "the first step is in them alone");
        trainer.train_epoch(&data, |_| ()).expect("finite losses");
        let averages = trainer.averaged_state().expect("averages").params_sha256();
        assert_ne!(averages, trainer.state().params_sha256());
        trainer.state_mut().params_mut().fill(0.01);
    }
}
