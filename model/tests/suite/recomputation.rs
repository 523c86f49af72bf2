//! Outputs that are computed again in the backward pass instead of being kept: the same bits, less memory.

use crate::common::{build, synchronised};
use crate::training::trainer;
use isograd_datasets::Synthetic;
use isograd_model::layer::*;
use isograd_model::{Network, TrainConfig, layers};

/// A network with cheap layers in paths of all kinds, some of them frozen.
fn network() -> Network<f32> {
    let norm = BatchNormalization::new;
    let dense = || {
        let path = layers![norm(), ReLU, Conv2D::new(4, 3).padding(1), Dropout::new(0.2)];
        Concatenation::new([layers![], path])
    };
    build(layers![
        Input::new(1, 28, 28),
        Conv2D::new(6, 5).stride(2),
        dense(),
        dense(),
        norm(),
        SiLU,
        Conv2D::new(8, 1),
        Residual::new(layers![norm(), ReLU, Conv2D::new(8, 3).padding(1), norm()]),
        ReLU,
        Frozen::new(Sequence::new(layers![norm(), GELU::new(), Conv2D::new(8, 1)])),
        Addition::new([layers![norm(), ReLU], layers![norm(), HardSwish, norm()]]),
        AdaptiveAveragePool2D::new(2),
        Flatten,
        Dense::new(16),
        norm(),
        ReLU,
        Dense::new(10),
        Softmax,
    ])
}

fn train(network: Network<f32>) -> (f64, Vec<f32>, Vec<f32>) {
    let data = Synthetic { seed: 3, sample_shape: [1, 28, 28], num_classes: 10 };
    let data = data.samples(0..50).expect("a data set");
    let config = TrainConfig { batch_size: 20, shard_size: 8, ..TrainConfig::default() };
    let mut trainer = trainer(network, config);
    let loss = trainer.train_epoch(&data, |_| ()).expect("finite losses").train.loss;
    (loss, trainer.state().params().to_vec(), trainer.state().statistics().to_vec())
}

#[test]
fn recomputation_changes_no_bit() {
    let [kept, recomputed] =
        [network(), network().with_recomputation()].map(|network| network.shard_bytes(Mode::Train, 8));
    assert!(recomputed < kept, "{recomputed} bytes are not less than {kept}");
    let networks: [fn() -> Network<f32>; 2] = [network, synchronised];
    for network in networks {
        assert_eq!(train(network().with_recomputation()), train(network()));
    }
}

/// What is computed again depends on which backward passes there are.
#[test]
fn recomputation_follows_what_is_frozen() {
    let frozen = |mut network: Network<f32>, pattern: &str| {
        network.freeze(pattern).expect("parameters of this name");
        network
    };
    for pattern in ["conv2d1.*", "concatenation*", "*.bias"] {
        let expected = train(frozen(network(), pattern));
        assert_eq!(train(frozen(network().with_recomputation(), pattern)), expected, "{pattern}");
        assert_eq!(train(frozen(network(), pattern).with_recomputation()), expected, "{pattern}");
    }
}
