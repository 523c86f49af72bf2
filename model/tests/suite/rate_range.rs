//! The learning-rate range test.

use crate::resume::{config, network};
use crate::training::pattern;
use isograd_model::{RateRange, TrainConfig, Trainer};

#[test]
fn a_range_test_leaves_the_run_as_it_was() {
    let data = pattern(0..400);
    let new = || Trainer::new(network(), TrainConfig { max_epochs: Some(3), ..config() });
    let mut tested = new().expect("a valid configuration");
    let mut plain = new().expect("a valid configuration");
    for trainer in [&mut tested, &mut plain] {
        trainer.train_epoch(&data, |_| ()).expect("finite losses");
    }
    let curve = tested.find_learning_rate(&data, RateRange { from: 1e-4, to: 1.0 }).expect("a range");
    let rates: Vec<f64> = curve.iter().map(|point| point.learning_rate).collect();
    assert_eq!(rates[0], 1e-4);
    assert!(rates.windows(2).all(|pair| pair[1] > pair[0]) && curve.len() <= 20, "{rates:?}");
    let ratio = rates[1] / rates[0];
    assert!((ratio - 1e4f64.powf(1.0 / 19.0)).abs() < 1e-9, "{ratio}");
    assert_eq!(curve[0].loss, curve[0].smoothed_loss);
    let suggested = Trainer::<f32>::suggest_learning_rate(&curve).expect("a loss that falls");
    assert!(rates.contains(&suggested), "{suggested} in {rates:?}");
    assert_eq!(Trainer::<f32>::suggest_learning_rate(&curve[..1]), None);

    assert_eq!((tested.steps(), tested.epochs()), (plain.steps(), plain.epochs()));
    for trainer in [&mut tested, &mut plain] {
        trainer.train_epoch(&data, |_| ()).expect("finite losses");
    }
    assert_eq!(tested.state().params_sha256(), plain.state().params_sha256());
    let [averages, expected] = [&tested, &plain].map(|trainer| trainer.averaged_state().expect("averages"));
    assert_eq!(averages.params_sha256(), expected.params_sha256());
}

/// The rate grows until nothing is left of the parameters.
#[test]
fn a_range_test_ends_where_the_loss_explodes() {
    let data = pattern(0..400);
    let mut trainer = Trainer::new(network(), config()).expect("a valid configuration");
    let before = trainer.state().params_sha256();
    let curve = trainer.find_learning_rate(&data, RateRange { from: 1e-3, to: 1e30 }).expect("a range");
    assert!(curve.len() < 20, "{curve:?}");
    assert_eq!((trainer.state().params_sha256(), trainer.steps()), (before, 0));
    for range in [RateRange { from: 0.0, to: 1.0 }, RateRange { from: 1.0, to: 1.0 }] {
        let error = trainer.find_learning_rate(&data, range).expect_err("no range").to_string();
        assert!(error.starts_with("the range of learning rates must be from a number above 0"), "{error}");
    }
}
