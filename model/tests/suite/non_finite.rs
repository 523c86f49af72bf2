//! Numbers that overflow: training and evaluation end with the step, and never take such a result for a good
//! one.

use crate::common::{build, in_pool};
use crate::training::{classifier, pattern, trainer};
use isograd_datasets::Arrays;
use isograd_model::loss::MeanSquaredError;
use isograd_model::optimizer::Sgd;
use isograd_model::{Error, NonFinite, TrainConfig, layer::*, layers};
use std::sync::Arc;

fn sgd(weight_decay: f64) -> Arc<Sgd> {
    Arc::new(Sgd { momentum: 0.0, nesterov: false, weight_decay })
}

/// The loss of the step is finite, what the step does to the parameters is not. That of the next step is not
/// finite either, but the state before it is no better.
#[test]
fn parameters_that_overflow_are_found() {
    for (threads, max_steps) in [(1, Some(1)), (2, None), (3, Some(1))] {
        let config = TrainConfig {
            optimizer: sgd(1e10),
            learning_rate: 1e38,
            batch_size: 20,
            max_steps,
            ..TrainConfig::default()
        };
        in_pool(threads, || {
            let mut trainer = trainer(classifier(), config);
            let mut progress = 0;
            let error =
                trainer.train_epoch(&pattern(0..100), |_| progress += 1).expect_err("infinite parameters");
            let expected = "parameters became infinite or NaN by the end of step 1 (epoch 1), first in 'conv2d1.weight'; \
                            a smaller learning rate may help";
            assert_eq!(error.to_string(), expected);
            assert_eq!((trainer.steps(), progress), (1, 1));
        });
    }
}

/// A variance beyond the range of f32, of samples that are within it.
#[test]
fn running_statistics_that_overflow_are_found() {
    let network = build::<f32>(layers![Input::vector(1), BatchNormalization::new(), Dense::new(2), Softmax]);
    let x: Vec<f32> = (0..8).map(|i| if i % 2 == 0 { 3e19 } else { -3e19 }).collect();
    let data = Arrays::from_f32(x, vec![0; 8], [1, 1, 1], 2).expect("a data set");
    let error = trainer(network, TrainConfig::default())
        .train_epoch(&data, |_| ())
        .expect_err("an infinite variance");
    assert!(
        matches!(&error, Error::NonFinite(NonFinite::Parameters { tensor, step: 1, epoch: 1 }) if tensor == "batchnormalization1.running_var"),
        "{error}"
    );
}

#[test]
fn an_evaluation_without_a_finite_loss_is_an_error() {
    let mut trainer = trainer(classifier(), TrainConfig::default());
    for value in [f32::INFINITY, f32::NAN] {
        trainer.state_mut().params_mut()[3] = value;
        let error = trainer.evaluate(&pattern(0..70)).expect_err("no finite loss");
        assert!(
            matches!(error, Error::NonFinite(NonFinite::Evaluation { samples: 70, loss, bad_sample: None }) if !loss.is_finite()),
            "{error}"
        );
        assert_eq!(error.to_string(), "the mean loss of 70 evaluated samples is NaN");
    }
}

/// Samples so large that the loss is finite and the gradient is not.
#[test]
fn a_gradient_without_a_norm_cannot_be_clipped() {
    let network = || build::<f32>(layers![Input::vector(4), Dense::new(4)]);
    let config = TrainConfig {
        optimizer: sgd(0.0),
        learning_rate: 0.0,
        loss: Arc::new(MeanSquaredError),
        clip_norm: Some(1.0),
        ..TrainConfig::default()
    };
    let data = Arrays::from_f32(vec![3e25; 32], vec![0; 8], [4, 1, 1], 4).expect("a data set");
    let mut trainer = trainer(network(), config);
    let before = trainer.state().params_sha256();
    let error = trainer.train_epoch(&data, |_| ()).expect_err("an infinite gradient");
    assert!(
        matches!(error, Error::NonFinite(NonFinite::Gradient { step: 1, epoch: 1, norm }) if !norm.is_finite()),
        "{error}"
    );
    assert_eq!((trainer.steps(), trainer.state().params_sha256()), (0, before), "the step was not done");
}
