//! `fit` and its callbacks: when they are called, what they decide, and that they go on after a break.

use crate::common::build;
use crate::training::pattern;
use isograd_model::callback::*;
use isograd_model::layer::*;
use isograd_model::{Error, Evaluation, FitEpoch, Network, Progress, TrainConfig, Trainer, layers};

fn network() -> Network<f32> {
    build(layers![Input::new(1, 8, 8), Flatten, Dense::new(4), BatchNormalization::new(), Softmax])
}

fn trainer(config: TrainConfig<f32>) -> Trainer<f32> {
    Trainer::new(network(), TrainConfig { batch_size: 20, ..config }).expect("a valid configuration")
}

/// Notes what is called, and stops at the call whose text is given.
#[derive(Debug, Default)]
struct Recorder {
    calls: Vec<String>,
    stop_at: &'static str,
}

impl Recorder {
    fn note(&mut self, call: String) -> Decision {
        let decision = Decision::stop_if(call == self.stop_at);
        self.calls.push(call);
        decision
    }
}

impl Callback<f32> for Recorder {
    fn name(&self) -> &'static str {
        "Recorder"
    }

    fn on_train_begin(&mut self, _: &mut Trainer<f32>) -> Result<Decision, Error> {
        Ok(self.note("train".to_string()))
    }

    fn on_epoch_begin(&mut self, trainer: &mut Trainer<f32>) -> Result<Decision, Error> {
        Ok(self.note(format!("epoch {}", trainer.epochs() + 1)))
    }

    fn on_step_end(&mut self, progress: &Progress<'_>) -> Decision {
        self.note(format!("{} of {}", progress.samples, progress.epoch_samples))
    }

    fn on_validation_end(
        &mut self,
        _: &mut Trainer<f32>,
        validation: &Evaluation,
    ) -> Result<Decision, Error> {
        Ok(self.note(format!("validated {}", validation.samples)))
    }

    fn on_epoch_end(&mut self, trainer: &mut Trainer<f32>, epoch: &FitEpoch) -> Result<Decision, Error> {
        assert_eq!(trainer.epochs(), epoch.report.epoch);
        Ok(self.note(format!("end of epoch {}", epoch.report.epoch)))
    }

    fn on_train_end(&mut self, _: &mut Trainer<f32>) -> Result<(), Error> {
        self.note("end".to_string());
        Ok(())
    }
}

/// The calls of a run of two epochs, which ends at the call `stop_at`.
fn calls(stop_at: &'static str) -> Vec<String> {
    let (mut recorder, mut other) = (Recorder { stop_at, ..Recorder::default() }, Recorder::default());
    let (data, validation) = (pattern(0..40), pattern(40..50));
    let mut trainer = trainer(TrainConfig::default());
    trainer.fit(&data, Some(&validation), 2, &mut [&mut recorder, &mut other]).expect("finite losses");
    // A callback behind the one that stops is called as well.
    assert_eq!(other.calls, recorder.calls);
    recorder.calls
}

#[test]
fn callbacks_are_called_in_order_and_can_stop_at_each_call() {
    let of_epoch = ["20 of 40", "40 of 40", "validated 10"];
    let mut all = vec!["train"];
    all.extend(["epoch 1"].iter().chain(&of_epoch).chain(&["end of epoch 1"]));
    all.extend(["epoch 2"].iter().chain(&of_epoch).chain(&["end of epoch 2"]));
    all.push("end");
    assert_eq!(calls("never"), all);
    assert_eq!(calls("train"), ["train", "end"]);
    assert_eq!(calls("epoch 2"), [&all[..7], &all[11..]].concat());
    // A step that stops ends its epoch, which is validated.
    assert_eq!(calls("20 of 40"), ["train", "epoch 1", "20 of 40", "validated 10", "end of epoch 1", "end"]);
    for last in ["validated 10", "end of epoch 1"] {
        assert_eq!(calls(last), [&all[..6], &all[11..]].concat(), "{last}");
    }
}

#[test]
fn fit_is_epochs_in_a_row() {
    let (data, validation) = (pattern(0..60), pattern(60..80));
    let mut fitted = trainer(TrainConfig::default());
    let epochs = fitted.fit(&data, Some(&validation), 3, &mut []).expect("finite losses");
    let mut expected = trainer(TrainConfig::default());
    for epoch in &epochs {
        let report = expected.train_epoch(&data, |_| ()).expect("finite losses");
        assert_eq!((epoch.report.epoch, &epoch.report.train), (report.epoch, &report.train));
        assert_eq!(epoch.validation.as_ref(), Some(&expected.evaluate(&validation).expect("finite losses")));
    }
    assert_eq!(fitted.state().params_sha256(), expected.state().params_sha256());
    // It ends where the trainer is finished, too.
    let mut short = trainer(TrainConfig { max_epochs: Some(2), ..TrainConfig::default() });
    assert_eq!(short.fit(&data, None, 5, &mut []).expect("finite losses").len(), 2);
}

/// A learning rate of 0 never makes anything better, up to the roundings of the running statistics.
fn stuck() -> Trainer<f32> {
    trainer(TrainConfig { learning_rate: 0.0, ..TrainConfig::default() })
}

fn epochs_of(trainer: &mut Trainer<f32>, epochs: u32, callback: &mut dyn Callback<f32>) -> usize {
    trainer.fit(&pattern(0..60), None, epochs, &mut [callback]).expect("finite losses").len()
}

#[test]
fn training_that_does_not_get_better_is_stopped() {
    for patience in [1, 2, 4] {
        // Nothing is better than the first epoch by a loss of 10.
        let mut stopping = EarlyStopping::new(patience).least_change(10.0);
        assert_eq!(epochs_of(&mut stuck(), 9, &mut stopping), 1 + patience as usize);
        let accuracy = Quantity::metric("categorical_accuracy");
        let mut stopping = EarlyStopping::new(patience).watch(accuracy).least_change(100.0).restore_best();
        assert_eq!(epochs_of(&mut stuck(), 9, &mut stopping), 1 + patience as usize);
        assert!(stopping.best().expect("an epoch") < 100.0);
    }
    // A loss that falls in each epoch.
    let mut learning = trainer(TrainConfig { learning_rate: 0.01, ..TrainConfig::default() });
    assert_eq!(epochs_of(&mut learning, 6, &mut EarlyStopping::new(2)), 6);
}

/// The first epoch learns; what comes behind it destroys what was learnt.
#[test]
fn the_best_state_is_restored() {
    #[derive(Debug)]
    struct Ruin;

    impl Callback<f32> for Ruin {
        fn name(&self) -> &'static str {
            "Ruin"
        }

        fn on_epoch_end(&mut self, trainer: &mut Trainer<f32>, _: &FitEpoch) -> Result<Decision, Error> {
            trainer.state_mut().params_mut().fill(0.0);
            trainer.set_learning_rate(0.0)?;
            Ok(Decision::Go)
        }
    }

    let (data, validation) = (pattern(0..200), pattern(200..240));
    for ema in [None, Some(0.5)] {
        let config = TrainConfig { learning_rate: 0.01, ema, ..TrainConfig::default() };
        let mut ruined = trainer(config.clone());
        let mut stopping = EarlyStopping::new(2).restore_best();
        let callbacks: &mut [&mut dyn Callback<f32>] = &mut [&mut stopping, &mut Ruin];
        let epochs = ruined.fit(&data, Some(&validation), 9, callbacks).expect("finite losses");
        let losses: Vec<f64> =
            epochs.iter().filter_map(|epoch| Some(epoch.validation.as_ref()?.loss)).collect();
        let best = losses.iter().copied().fold(f64::INFINITY, f64::min);
        assert!(losses.len() < 9 && losses[losses.len() - 1] > best, "{losses:?}");
        assert_eq!(stopping.best(), Some(best));
        assert_eq!(ruined.evaluate(&validation).expect("finite losses").loss, best, "{losses:?}");
    }
}

#[test]
fn rates_are_reduced() {
    let rates = |callback: &mut dyn Callback<f32>, epochs| {
        let mut trainer = trainer(TrainConfig { learning_rate: 0.5, ..TrainConfig::default() });
        let mut rates = Vec::new();
        for _ in 0..epochs {
            epochs_of(&mut trainer, 1, callback);
            rates.push(trainer.config().learning_rate);
        }
        rates
    };
    let every = rates(&mut ReduceEvery { epochs: 2, factor: 0.5, least_rate: 0.0 }, 5);
    assert_eq!(every, [0.5, 0.25, 0.25, 0.125, 0.125]);
    let every = rates(&mut ReduceEvery { epochs: 1, factor: 0.5, least_rate: 0.2 }, 3);
    assert_eq!(every, [0.25, 0.2, 0.2]);
    let plateau = || ReduceOnPlateau::new(0.5, 2).least_change(100.0);
    assert_eq!(rates(&mut plateau(), 6), [0.5, 0.5, 0.25, 0.25, 0.125, 0.125]);
    let paused = rates(&mut plateau().pause(1), 7);
    assert_eq!(paused, [0.5, 0.5, 0.25, 0.25, 0.25, 0.125, 0.125]);
    assert_eq!(rates(&mut plateau().least_rate(0.2), 5), [0.5, 0.5, 0.25, 0.25, 0.2]);
    assert_eq!(rates(&mut plateau().least_rate(0.9), 5), [0.5; 5]);
}

/// The loss of the training samples falls below its goal before that of the validation does.
#[test]
fn training_samples_can_be_watched_although_there_is_a_validation() {
    let (data, validation) = (pattern(0..60), pattern(60..80));
    let epochs = |quantity: Quantity| {
        let mut trainer = trainer(TrainConfig { learning_rate: 0.01, ..TrainConfig::default() });
        let mut goal = StopAt { quantity: quantity.clone(), goal: 0.3 };
        let epochs = trainer.fit(&data, Some(&validation), 99, &mut [&mut goal]).expect("finite losses");
        let last = &epochs[epochs.len() - 1];
        let (value, _) = quantity.of(&trainer, last).expect("a loss");
        assert!(value <= 0.3, "{quantity:?}: {value}");
        (value == last.report.train.loss, epochs.len())
    };
    assert!(epochs(Quantity::TrainLoss).0 && !epochs(Quantity::Loss).0);
    let accuracy = Quantity::TrainMetric("categorical_accuracy".to_string());
    accuracy.check(&trainer(TrainConfig::default())).expect("a metric of the trainer");
}

#[test]
fn training_ends_at_a_goal() {
    let goal = |goal| StopAt { quantity: Quantity::metric("categorical_accuracy"), goal };
    assert_eq!(epochs_of(&mut stuck(), 4, &mut goal(0.0)), 1);
    assert_eq!(epochs_of(&mut stuck(), 4, &mut goal(100.5)), 4);
    assert_eq!(epochs_of(&mut stuck(), 4, &mut StopAt { quantity: Quantity::Loss, goal: 1e3 }), 1);
    assert_eq!(epochs_of(&mut stuck(), 4, &mut StopAt { quantity: Quantity::Loss, goal: 0.0 }), 4);
}

/// Patience goes on where it was, and with it the best state.
#[test]
fn states_are_restored() {
    let new = || EarlyStopping::<f32>::new(4).least_change(10.0).restore_best();
    let mut first = new();
    let mut whole = stuck();
    assert_eq!(epochs_of(&mut whole, 3, &mut first), 3);
    let bytes = Callback::<f32>::state(&first);
    let mut second = new();
    Callback::<f32>::restore(&mut second, &bytes).expect("its own state");
    assert_eq!(Callback::<f32>::state(&second), bytes);
    let mut later = stuck();
    assert_eq!(epochs_of(&mut later, 9, &mut second), 2, "two of four epochs have passed");
    assert_eq!(epochs_of(&mut whole, 9, &mut first), 2);
    // The state of the first epoch of all, in both.
    assert_eq!(later.state().statistics(), whole.state().statistics());

    let mut plateau = ReduceOnPlateau::new(0.5, 3).least_change(100.0);
    epochs_of(&mut stuck(), 3, &mut plateau);
    let bytes = Callback::<f32>::state(&plateau);
    let mut restored = ReduceOnPlateau::new(0.5, 3).least_change(100.0);
    Callback::<f32>::restore(&mut restored, &bytes).expect("its own state");
    let mut trainer = trainer(TrainConfig { learning_rate: 1.0, ..TrainConfig::default() });
    epochs_of(&mut trainer, 1, &mut restored);
    assert_eq!(trainer.config().learning_rate, 0.5);
}

#[test]
fn states_that_are_none_are_refused() {
    let mut stopping = EarlyStopping::<f32>::new(4).restore_best();
    epochs_of(&mut stuck(), 1, &mut stopping);
    let bytes = Callback::<f32>::state(&stopping);
    let longer = [&bytes[..], &[0]].concat();
    for broken in [&bytes[..bytes.len() - 1], &bytes[..3], &[], &[7; 40], &longer[..]] {
        let error = Callback::<f32>::restore(&mut stopping, broken).expect_err("no state").to_string();
        let expected =
            format!("the saved state of the callback EarlyStopping, of {} bytes, does not fit", broken.len());
        assert_eq!(error, expected);
        assert_eq!(Callback::<f32>::state(&stopping), bytes, "it stays as it was");
    }
    // The state of another network.
    let other = build::<f32>(layers![Input::new(1, 8, 8), Flatten, Dense::new(4), Softmax]);
    let mut other = Trainer::new(other, TrainConfig::default()).expect("a valid configuration");
    let error = other.fit(&pattern(0..60), None, 1, &mut [&mut stopping]).expect_err("another network");
    assert!(error.to_string().starts_with("the saved state of the callback EarlyStopping, of "), "{error}");
    // A callback without a state.
    Callback::<f32>::restore(&mut ReduceEvery { epochs: 1, factor: 0.5, least_rate: 0.0 }, &[])
        .expect("nothing");
    Callback::<f32>::restore(&mut ReduceEvery { epochs: 1, factor: 0.5, least_rate: 0.0 }, &[1])
        .expect_err("something");
}

#[test]
fn callbacks_out_of_range_are_refused() {
    let refuse = |callback: &mut dyn Callback<f32>, expected: &str| {
        let mut trainer = stuck();
        let error = trainer.fit(&pattern(0..60), None, 1, &mut [callback]).expect_err("out of range");
        assert_eq!((error.to_string().as_str(), trainer.steps()), (expected, 0));
    };
    refuse(&mut EarlyStopping::new(0), "the patience of early stopping must be at least 1 epoch, it is 0");
    refuse(
        &mut EarlyStopping::new(1).least_change(-1.0),
        "the least change of a callback must be a number of at least 0, it is -1",
    );
    refuse(
        &mut EarlyStopping::new(1).watch(Quantity::metric("categorical_acuracy")),
        "unknown metric 'categorical_acuracy'; known are categorical_accuracy; did you mean 'categorical_accuracy'?",
    );
    for factor in [0.0, 1.0, f64::NAN] {
        let expected = format!("the factor of the learning rate must be above 0 and below 1, it is {factor}");
        refuse(&mut ReduceOnPlateau::new(factor, 1), &expected);
        refuse(&mut ReduceEvery { epochs: 1, factor, least_rate: 0.0 }, &expected);
    }
    refuse(
        &mut ReduceOnPlateau::new(0.5, 0),
        "the patience before a reduction must be at least 1 epoch, it is 0",
    );
    refuse(
        &mut ReduceEvery { epochs: 0, factor: 0.5, least_rate: 0.0 },
        "the time between two reductions must be at least 1 epoch, it is 0",
    );
}

/// Network, state and configuration make an equal trainer.
#[test]
fn a_trainer_is_taken_apart() {
    let data = pattern(0..60);
    let mut trained = trainer(TrainConfig::default());
    trained.train_epoch(&data, |_| ()).expect("finite losses");
    let evaluation = trained.evaluate(&data).expect("finite losses");
    let (network, state, config) = trained.into_parts();
    let mut again = Trainer::new(network, config).expect("a valid configuration");
    *again.state_mut() = state.clone();
    assert_eq!(again.evaluate(&data).expect("finite losses"), evaluation);
    assert_eq!(state.params_sha256(), again.state().params_sha256());
}
