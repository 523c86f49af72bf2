//! Batch normalisation of vectors, of which a sample has one value in each channel: shards need at least two
//! samples.

use crate::common::{assert_close, build, synchronised, values};
use crate::training::trainer;
use isograd_datasets::{Arrays, Synthetic, epoch_order};
use isograd_kernels::Isa;
use isograd_model::layer::*;
use isograd_model::loss::CategoricalCrossEntropy;
use isograd_model::optimizer::Sgd;
use isograd_model::{Element, Network, Randomness, TrainConfig, layers};
use std::sync::Arc;

fn network<T: Element>() -> Network<T> {
    build(layers![Input::vector(1), BatchNormalization::new().momentum(0.75), Dense::new(2), Softmax])
}

fn config<T: Element>(batch_size: usize, shard_size: usize) -> TrainConfig<T> {
    TrainConfig { batch_size, shard_size, ..TrainConfig::default() }
}

/// Powers of two, so that no two samples are alike.
fn data(samples: usize) -> Arrays<'static> {
    let pixels: Vec<f32> = (0..samples).map(|i| 1.125f32.powi(i as i32)).collect();
    let labels = (0..samples).map(|i| i as u32 % 2).collect::<Vec<_>>();
    Arrays::from_f32(pixels, labels, [1, 1, 1], 2).expect("a data set")
}

#[test]
fn shards_of_one_value_are_refused_before_the_first_step() {
    let refuse = |samples, batch_size, shard_size, rest: &str| {
        let mut trainer = trainer(network::<f32>(), config(batch_size, shard_size));
        let error = trainer.train_epoch(&data(samples), |_| ()).expect_err("one value in a channel");
        let start = "layer 1 (BatchNormalization) needs at least 2 samples in each shard, but a batch of ";
        assert_eq!(error.to_string(), format!("{start}{rest}"));
        assert_eq!(trainer.steps(), 0);
        // In use, no shard is too small.
        trainer.evaluate(&data(samples)).expect("finite losses");
    };
    refuse(8, 1, 32, "1 in shards of 1 has a shard of 1; use batches of at least 2 samples");
    refuse(1, 8, 4, "1 in shards of 4 has a shard of 1; use batches of at least 2 samples");
    refuse(8, 4, 1, "4 in shards of 1 has a shard of 1; use shards of at least 2 samples");
    refuse(8, 3, 2, "3 in shards of 2 has a shard of 1; use shards of at least 3 samples");
}

#[test]
fn images_of_several_pixels_have_several_values() {
    let layers = layers![Input::new(1, 1, 2), BatchNormalization::new(), Flatten, Dense::new(2), Softmax];
    let pixels: Vec<f32> = values(3, 0, 2 * 5, 1.0);
    let data = Arrays::from_f32(pixels, vec![0, 1, 0, 1, 0], [1, 1, 2], 2).expect("a data set");
    let report = trainer(build::<f32>(layers), config(1, 1)).train_epoch(&data, |_| ());
    assert_eq!(report.expect("finite losses").steps, 5);
}

/// Mean and unbiased variance of `shard`, or `running` where it is a single value.
fn statistics(shard: &[f64], running: [f64; 2]) -> [f64; 2] {
    if shard.len() == 1 {
        return running;
    }
    let n = shard.len() as f64;
    let mean = shard.iter().sum::<f64>() / n;
    [mean, shard.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0)]
}

/// Trains on batches that are cut as `cuts` says, and compares the running statistics with those of the
/// definition.
fn expect_cut(batch_size: usize, shard_size: usize, cuts: &[&[usize]]) {
    let samples = cuts.iter().copied().flatten().sum();
    let data = data(samples);
    let config = TrainConfig { learning_rate: 0.0, ..config(batch_size, shard_size) };
    let mut trainer = trainer(network::<f64>(), config);
    trainer.train_epoch(&data, |_| ()).expect("finite losses");

    let mut order = vec![0; samples];
    epoch_order(0, 0, &mut order);
    let mut rest = order.iter().map(|index| f64::from(1.125f32.powi(*index as i32)));
    let [mut mean, mut variance] = [0.0, 1.0];
    for batch in cuts {
        let batch_len = batch.iter().sum::<usize>() as f64;
        let [mut batch_mean, mut batch_variance] = [0.0; 2];
        for len in *batch {
            let shard: Vec<f64> = rest.by_ref().take(*len).collect();
            let share = *len as f64 / batch_len;
            let [shard_mean, shard_variance] = statistics(&shard, [mean, variance]);
            batch_mean += share * shard_mean;
            batch_variance += share * shard_variance;
        }
        mean = 0.75 * mean + 0.25 * batch_mean;
        variance = 0.75 * variance + 0.25 * batch_variance;
    }
    let bound = |value: f64| 256.0 * f64::EPSILON * value;
    let got = trainer.state().statistics();
    assert_close("mean", &got[..1], &[mean], bound(mean));
    assert_close("variance", &got[1..], &[variance], bound(variance));
}

#[test]
fn a_rest_of_one_sample_shares_with_the_shard_before_it() {
    expect_cut(33, 32, &[&[17, 16]]);
    expect_cut(33, 32, &[&[17, 16], &[32]]);
    expect_cut(65, 32, &[&[32, 17, 16]]);
    expect_cut(40, 8, &[&[8, 8, 8, 8, 8], &[8, 5, 4]]);
    // Two are enough.
    expect_cut(34, 32, &[&[32, 2]]);
}

#[test]
fn the_last_sample_of_an_epoch_adds_nothing_to_the_running_statistics() {
    expect_cut(32, 16, &[&[16, 16], &[1]]);
    expect_cut(4, 2, &[&[2, 2], &[2, 1]]);
    let variance = |samples| {
        let mut trainer = trainer(network::<f32>(), config(32, 16));
        trainer.train_epoch(&data(samples), |_| ()).expect("finite losses");
        trainer.state().statistics()[1]
    };
    assert!(variance(33) > 1.0, "{}", variance(33));
}

/// A single sample is normalised with the running statistics, which do not depend on it.
#[test]
fn gradients_of_one_value_are_central_differences() {
    const H: f64 = 1.0 / (1u64 << 18) as f64;
    let layers =
        || layers![Input::vector(3), Dense::new(4), BatchNormalization::new(), Tanh, Dense::new(2), Softmax];
    let network = build::<f64>(layers());
    let mut state = network.initial_state(0).expect("memory");
    state.params_mut().copy_from_slice(&values(7, 0, network.parameter_count(), 1.0));
    state.statistics_mut()[..4].copy_from_slice(&[0.25, -0.5, 0.125, 1.0]);
    state.statistics_mut()[4..].copy_from_slice(&[0.5, 2.0, 0.75, 1.5]);
    let x = [0.5, -0.75, 1.0];
    for isa in Isa::available() {
        let mut loss_of = |w: Option<(usize, f64)>| {
            let before = w.map(|(i, w)| (i, std::mem::replace(&mut state.params_mut()[i], w)));
            let (loss, randomness) = (CategoricalCrossEntropy::new(), Randomness::default());
            let result = network.loss_and_gradients(&state, isa, &loss, randomness, &x, &[1]);
            if let Some((i, w)) = before {
                state.params_mut()[i] = w;
            }
            result
        };
        let (_, gradient) = loss_of(None);
        let params: Vec<f64> = values(7, 0, gradient.len(), 1.0);
        for (i, gradient) in gradient.iter().enumerate() {
            let difference =
                (loss_of(Some((i, params[i] + H))).0 - loss_of(Some((i, params[i] - H))).0) / (2.0 * H);
            assert!(
                (gradient - difference).abs() < 1e-8,
                "{isa}, parameter {i}: {gradient}, not {difference}"
            );
        }
        assert!(
            gradient[..12].iter().any(|g| g.abs() > 1e-3),
            "no gradient passes through the normalisation"
        );
    }
}

/// With the statistics of the whole batch, shards of any size compute what one shard with the whole batch
/// does, up to rounding: parameters, running statistics and losses.
#[test]
fn shared_statistics_are_those_of_one_large_shard() {
    let data = Synthetic { seed: 3, sample_shape: [1, 28, 28], num_classes: 10 };
    let data = data.samples(0..100).expect("a data set");
    let run = |shard_size| {
        let config = TrainConfig {
            optimizer: Arc::new(Sgd::default()),
            learning_rate: 0.05,
            ..config(40, shard_size)
        };
        let mut trainer = trainer(synchronised::<f64>(), config);
        let losses: Vec<f64> =
            (0..2).map(|_| trainer.train_epoch(&data, |_| ()).expect("finite losses").train.loss).collect();
        (losses, trainer.into_parts().1)
    };
    let (losses, state) = run(40);
    for shard_size in [13, 7, 1] {
        let (other_losses, other) = run(shard_size);
        assert_close("losses", &other_losses, &losses, 1e-9);
        assert_close("parameters", other.params(), state.params(), 1e-9);
        assert_close("statistics", other.statistics(), state.statistics(), 1e-9);
    }
}

/// The gradient of a mean over the whole batch, by central differences.
#[test]
fn shared_statistics_have_the_gradients_of_one_shard() {
    let gradients = |sync: bool| {
        let norm = || if sync { BatchNormalization::new().sync_stats() } else { BatchNormalization::new() };
        let network = build::<f64>(layers![
            Input::new(2, 3, 3),
            Conv2D::new(3, 2),
            norm(),
            ReLU,
            Flatten,
            Dense::new(4),
            norm(),
            Dense::new(3),
            Softmax
        ]);
        let state = network.initial_state(5).expect("a state");
        let x: Vec<f64> = values(3, 0, 18 * 6, 1.0);
        let labels = [0u32, 1, 2, 0, 1, 2];
        let loss = CategoricalCrossEntropy::new();
        network.loss_and_gradients(&state, Isa::best(), &loss, Randomness::default(), &x, &labels)
    };
    let (loss, expected) = gradients(false);
    let (shared_loss, shared) = gradients(true);
    assert_close("loss", &[shared_loss], &[loss], 1e-12);
    assert_close("gradients", &shared, &expected, 1e-10);
}

/// In blocks of every kind, and around layers that were asked for it before.
#[test]
fn all_layers_of_a_list_can_share_statistics() {
    let layers = |norm: fn() -> BatchNormalization| {
        let body = || layers![Conv2D::new(2, 3).padding(1), norm()];
        layers![
            Input::new(2, 4, 4),
            named("first", norm()),
            Residual::new(body()).projection(body()),
            Addition::new([body(), layers![]]),
            Concatenation::new([body(), layers![Frozen::new(Sequence::new(body()))]]),
            Flatten,
            Dense::new(3),
            Softmax,
        ]
    };
    let mut listed = layers(BatchNormalization::new);
    assert_eq!(sync_stats(&mut listed), 6);
    assert_eq!(sync_stats(&mut listed), 6);
    let data = Synthetic { seed: 3, sample_shape: [2, 4, 4], num_classes: 3 };
    let data = data.samples(0..24).expect("a data set");
    let run = |layers| {
        let mut trainer = trainer(build::<f32>(layers), config(12, 3));
        let report = trainer.train_epoch(&data, |_| ()).expect("finite losses");
        (report.train.loss, trainer.state().params_sha256())
    };
    let expected = run(layers(|| BatchNormalization::new().sync_stats()));
    assert_eq!(run(listed), expected);
    assert_ne!(run(layers(BatchNormalization::new)), expected);
}

/// A checkpoint of the one is not gone on with as the other.
#[test]
fn shared_statistics_belong_to_a_checkpoint() {
    let network = |norm| build::<f32>(layers![Input::vector(4), norm, Dense::new(2), Softmax]);
    let new = |norm| trainer(network(norm), config(4, 2));
    let snapshot = new(BatchNormalization::new()).snapshot(&[]).expect("memory");
    new(BatchNormalization::new()).restore(Some(&snapshot), &mut []).expect("the same network");
    let error = new(BatchNormalization::new().sync_stats()).restore(Some(&snapshot), &mut []);
    let error = error.expect_err("another network").to_string();
    assert!(error.contains("network"), "{error}");
}
