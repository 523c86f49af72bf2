//! Learning rates of some parameters alone.

use crate::training::{classifier, pattern, trainer};
use isograd_model::optimizer::{self, Sgd};
use isograd_model::{Network, TrainConfig};
use std::sync::Arc;

/// The parameters after one step, and their start.
fn stepped(network: Network<f32>, config: TrainConfig) -> [Vec<f32>; 2] {
    let mut trainer = trainer(network, TrainConfig { max_steps: Some(1), ..config });
    let before = trainer.state().params().to_vec();
    trainer.train_epoch(&pattern(0..64), |_| ()).expect("a finite loss");
    [before, trainer.state().params().to_vec()]
}

#[test]
fn a_factor_is_of_the_tensors_that_match() {
    for name in optimizer::NAMES {
        let config =
            || TrainConfig { optimizer: optimizer::by_name(name).expect("known"), ..TrainConfig::default() };
        let mut scaled = classifier();
        assert_eq!(scaled.scale_learning_rate("*.bias", 0.0).expect("a match"), 3);
        let tensors = scaled.parameters().to_vec();
        let ([before, plain], [_, scaled]) = (stepped(classifier(), config()), stepped(scaled, config()));
        for tensor in tensors {
            let range = tensor.range;
            let expected = if tensor.name.ends_with(".bias") { &before } else { &plain };
            assert_eq!(scaled[range.clone()], expected[range.clone()], "{name}: {}", tensor.name);
            assert_ne!(before[range.clone()], plain[range], "{name}: {}", tensor.name);
        }
    }
}

/// A factor for all is another learning rate, weight decay included; factors multiply.
#[test]
fn a_factor_for_all_is_another_rate() {
    let sgd = Arc::new(Sgd { weight_decay: 0.1, ..Sgd::default() });
    let config =
        |learning_rate| TrainConfig { optimizer: sgd.clone(), learning_rate, ..TrainConfig::default() };
    let mut network = classifier();
    for pattern in ["*", "conv2d*", "dense*"] {
        network.scale_learning_rate(pattern, 2.0).expect("a match");
    }
    assert_eq!(stepped(network, config(0.01)), stepped(classifier(), config(0.04)));
}

#[test]
fn factors_that_are_none_are_refused() {
    let mut network = classifier();
    for factor in [-1.0, f64::NAN, f64::INFINITY] {
        let error = network.scale_learning_rate("*", factor).expect_err("no factor").to_string();
        assert!(error.starts_with("the factor of a learning rate must be a number of at least 0"), "{error}");
    }
    let error = network.scale_learning_rate("dens1.weight", 1.0).expect_err("no match").to_string();
    assert!(error.ends_with("did you mean 'dense1.weight'?"), "{error}");
    assert!(network.parameters().iter().all(|tensor| tensor.rate_factor == 1.0));
}
