//! Schedules: fifty steps of each against PyTorch, what a trainer makes of them, and those that are refused.

use crate::common::assert_close;
use crate::optimizers_golden::{golden, numbers};
use crate::training::{classifier, pattern, trainer};
use isograd_model::optimizer::Sgd;
use isograd_model::schedule::{
    Chained, Constant, Cosine, Exponential, MultiStep, OneCycle, Polynomial, Schedule, Span, StepDecay,
    WarmUp,
};
use isograd_model::{Error, StepPosition, TrainConfig};
use std::sync::Arc;

/// As in the script.
const BASE_RATE: f64 = 0.1;
const STEPS_PER_EPOCH: usize = 10;
const EPOCHS: u32 = 5;

/// A configuration with ten steps in an epoch of [`pattern`]`(0..39)`.
fn config(schedule: Arc<dyn Schedule>) -> TrainConfig {
    TrainConfig {
        batch_size: 4,
        learning_rate: BASE_RATE,
        optimizer: Arc::new(Sgd::default()),
        schedule,
        max_epochs: Some(EPOCHS),
        ..TrainConfig::default()
    }
}

/// The learning rate of each step of a training run.
fn trained_rates(config: TrainConfig) -> Vec<f64> {
    let mut trainer = trainer(classifier(), config);
    let (data, mut rates) = (pattern(0..39), Vec::new());
    while !trainer.is_finished() {
        trainer.train_epoch(&data, |progress| rates.push(progress.learning_rate)).expect("finite losses");
    }
    rates
}

/// The schedules of the script.
fn schedules() -> [(&'static str, Arc<dyn Schedule>); 13] {
    let step_decay = StepDecay { every: Span::Epochs(2.0), gamma: 0.5 };
    let warm_up = WarmUp { over: Span::Epochs(1.5), from: 0.25, ..WarmUp::default() };
    let milestones = vec![Span::Steps(40), Span::Epochs(1.0), Span::Steps(15)];
    let other_cycle =
        OneCycle { rise: 0.5, div_factor: 10.0, final_div_factor: 100.0, ..OneCycle::default() };
    let chained = Chained::first(StepDecay { every: Span::Steps(5), gamma: 0.7 }, Span::Epochs(1.5))
        .last(Cosine { lowest: 0.02, ..Cosine::default() });
    [
        ("constant", Arc::new(Constant)),
        ("warm_up", Arc::new(warm_up.clone())),
        ("warm_up_of_step_decay", Arc::new(WarmUp { then: Arc::new(step_decay), ..warm_up })),
        ("step_decay", Arc::new(step_decay)),
        ("multi_step", Arc::new(MultiStep { milestones, gamma: 0.3 })),
        ("exponential", Arc::new(Exponential { gamma: 0.8, ..Exponential::default() })),
        ("exponential_by_step", Arc::new(Exponential { gamma: 0.97, every: Span::Steps(1) })),
        ("polynomial", Arc::new(Polynomial { power: 2.0, ..Polynomial::default() })),
        ("line", Arc::new(Polynomial { over: Span::Steps(30), power: 1.0 })),
        ("cosine", Arc::new(Cosine { lowest: 0.01, ..Cosine::default() })),
        ("one_cycle", Arc::new(OneCycle::default())),
        ("one_cycle_other", Arc::new(other_cycle)),
        ("chained", Arc::new(chained)),
    ]
}

/// PyTorch computes a rate from the one before it: fifty roundings or more.
#[test]
fn fifty_steps_are_those_of_pytorch() {
    let golden = golden();
    for (name, schedule) in schedules() {
        let expected = numbers(&golden["schedules"][name]);
        assert_eq!(expected.len(), EPOCHS as usize * STEPS_PER_EPOCH);
        let rates = trained_rates(config(schedule));
        assert_close(name, &rates, &expected, 100.0 * f64::EPSILON * BASE_RATE);
    }
}

/// Where training is cut short, the schedule ends with it.
#[test]
fn the_end_is_that_of_the_first_limit() {
    let rates = |max_steps, max_epochs| {
        let schedule = Arc::new(Polynomial::default());
        trained_rates(TrainConfig { max_steps, max_epochs, ..config(schedule) })
    };
    let line = |steps: u32| (0..steps).map(move |i| BASE_RATE * (1.0 - f64::from(i) / f64::from(steps)));
    for (max_steps, max_epochs, steps) in
        [(Some(25), None, 25), (None, Some(3), 30), (Some(25), Some(3), 25), (Some(99), Some(2), 20)]
    {
        let expected: Vec<f64> = line(steps).collect();
        let what = format!("{max_steps:?} steps, {max_epochs:?} epochs");
        assert_close(&what, &rates(max_steps, max_epochs), &expected, 4.0 * f64::EPSILON * BASE_RATE);
    }
}

#[test]
fn rates_stay_behind_the_end_of_a_schedule() {
    let at =
        |schedule: &dyn Schedule, step| schedule.learning_rate(&StepPosition::new(step, 10, 1.0).of(100));
    for step in [100, 101, 10_000, u64::MAX] {
        assert_eq!(at(&Cosine { lowest: 0.25, ..Cosine::default() }, step), 0.25);
        assert_eq!(at(&Polynomial::default(), step), 0.0);
        assert_close("cycle", &[at(&OneCycle::default(), step)], &[1.0 / 25.0 / 1e4], 1e-18);
        assert_eq!(at(&WarmUp::default(), step), 1.0);
    }
    // Without an end, the whole run never ends.
    let endless = StepPosition::new(1000, 10, 1.0);
    assert_eq!(Cosine::default().learning_rate(&endless), 1.0);
    // A run of one step: the first rate of a line or a cosine, the last one of a cycle.
    let only = StepPosition::new(0, 1, 1.0).of(1);
    assert_eq!(
        [Cosine::default().learning_rate(&only), Polynomial::default().learning_rate(&only)],
        [1.0; 2]
    );
    assert_close("cycle", &[OneCycle::default().learning_rate(&only)], &[1.0 / 25.0 / 1e4], 1e-18);
}

/// A rate that is fine until some step.
#[derive(Debug)]
struct Until(u64, f64);

impl Schedule for Until {
    fn learning_rate(&self, at: &StepPosition) -> f64 {
        if at.step < self.0 { at.base_learning_rate } else { self.1 }
    }
}

#[test]
fn a_rate_that_is_none_ends_training_before_its_step() {
    for (rate, shown) in [(-0.5, "-0.5"), (f64::NAN, "NaN"), (f64::INFINITY, "inf")] {
        let mut stopped = trainer(classifier(), config(Arc::new(Until(13, rate))));
        let data = pattern(0..39);
        stopped.train_epoch(&data, |_| ()).expect("finite losses");
        let error = stopped.train_epoch(&data, |_| ()).expect_err("no learning rate");
        assert!(matches!(error, Error::LearningRate { step: 14, epoch: 2, .. }), "{error:?}");
        let expected = format!(
            "the schedule gives step 14 (epoch 2) the learning rate {shown}; it must be a number of at least 0"
        );
        assert_eq!(error.to_string(), expected);

        let config = TrainConfig { max_steps: Some(13), ..config(Arc::new(Constant)) };
        let mut expected = trainer(classifier(), config);
        (0..2).for_each(|_| drop(expected.train_epoch(&data, |_| ()).expect("finite losses")));
        assert_eq!(stopped.steps(), 13);
        assert_eq!(stopped.state().params_sha256(), expected.state().params_sha256());
    }
}

#[test]
fn schedules_out_of_range_are_refused() {
    let refuse = |expected: &str, schedule: Arc<dyn Schedule>| {
        let error = isograd_model::Trainer::new(classifier(), config(schedule)).expect_err("out of range");
        assert_eq!(error.to_string(), expected);
    };
    refuse(
        "the length of the warm-up must be a number above 0, it is 0",
        Arc::new(WarmUp { over: Span::Epochs(0.0), ..WarmUp::default() }),
    );
    refuse(
        "the factor that the warm-up starts from must be a number of at least 0, it is -1",
        Arc::new(WarmUp { from: -1.0, ..WarmUp::default() }),
    );
    let wrong_gamma = StepDecay { gamma: 0.0, ..StepDecay::default() };
    refuse("gamma must be a number above 0, it is 0", Arc::new(wrong_gamma));
    refuse(
        "gamma must be a number above 0, it is 0",
        Arc::new(WarmUp { then: Arc::new(wrong_gamma), ..WarmUp::default() }),
    );
    refuse(
        "gamma must be a number above 0, it is 0",
        Arc::new(Chained::first(Constant, Span::Steps(1)).then(wrong_gamma, Span::Steps(2))),
    );
    refuse(
        "the length of a chained schedule must be a number above 0, it is 0",
        Arc::new(Chained::first(Constant, Span::Steps(0))),
    );
    refuse(
        "the time between two decays of the learning rate must be a number above 0, it is NaN",
        Arc::new(Exponential { every: Span::Epochs(f64::NAN), ..Exponential::default() }),
    );
    refuse(
        "a milestone must be a number above 0, it is -1",
        Arc::new(MultiStep { milestones: vec![Span::Steps(3), Span::Epochs(-1.0)], gamma: 0.1 }),
    );
    refuse(
        "the lowest learning rate must be a number of at least 0, it is inf",
        Arc::new(Cosine { lowest: f64::INFINITY, ..Cosine::default() }),
    );
    refuse(
        "the power must be a number of at least 0, it is -2",
        Arc::new(Polynomial { power: -2.0, ..Polynomial::default() }),
    );
    refuse(
        "the rising share of the cycle must be between 0 and 1, it is 1.5",
        Arc::new(OneCycle { rise: 1.5, ..OneCycle::default() }),
    );
    refuse(
        "the base rate over the first one must be a number above 0, it is 0",
        Arc::new(OneCycle { div_factor: 0.0, ..OneCycle::default() }),
    );
}

#[test]
fn a_schedule_of_the_whole_run_needs_its_end() {
    let endless: [Arc<dyn Schedule>; 5] = [
        Arc::new(Cosine::default()),
        Arc::new(Polynomial::default()),
        Arc::new(OneCycle::default()),
        Arc::new(WarmUp { then: Arc::new(Cosine::default()), ..WarmUp::default() }),
        Arc::new(Chained::first(Constant, Span::Steps(1)).last(Cosine::default())),
    ];
    for schedule in endless {
        let config = TrainConfig { max_epochs: None, ..config(schedule) };
        let error = isograd_model::Trainer::new(classifier(), config).expect_err("no end");
        let expected = "the schedule depends on when training ends: set the number of epochs or of steps";
        assert_eq!(error.to_string(), expected);
    }
    let config = TrainConfig { max_epochs: None, max_steps: Some(3), ..config(Arc::new(Cosine::default())) };
    assert_eq!(trained_rates(config).len(), 3);
}

/// A run that goes on after two epochs elsewhere: with the order of the samples and the rates of the third.
#[test]
fn epoch_and_learning_rate_can_be_set() {
    let data = pattern(0..39);
    let cosine = || config(Arc::new(Cosine::default()));
    let mut all = Vec::new();
    let mut whole = trainer(classifier(), cosine());
    while !whole.is_finished() {
        whole.train_epoch(&data, |progress| all.push(progress.learning_rate)).expect("finite losses");
    }
    let mut rest = trainer(classifier(), cosine());
    rest.set_epoch(2);
    let mut rates = Vec::new();
    let report = rest.train_epoch(&data, |progress| rates.push(progress.learning_rate)).expect("an epoch");
    assert_eq!((report.epoch, rest.epochs(), rest.steps()), (3, 3, 10));
    assert_eq!(rates, all[20..30]);

    rest.set_learning_rate(0.5 * BASE_RATE).expect("a learning rate");
    rates.clear();
    rest.train_epoch(&data, |progress| rates.push(progress.learning_rate)).expect("an epoch");
    let halves: Vec<f64> = all[30..40].iter().map(|rate| 0.5 * rate).collect();
    assert_close("rates", &rates, &halves, 4.0 * f64::EPSILON * BASE_RATE);
    for rate in [-1.0, f64::NAN, f64::INFINITY] {
        let error = rest.set_learning_rate(rate).expect_err("no learning rate").to_string();
        assert_eq!(error, format!("the learning rate must be a number of at least 0, it is {rate}"));
    }
    assert_eq!(rest.config().learning_rate, 0.5 * BASE_RATE);
    rest.train_epoch(&data, |_| ()).expect("an epoch");
    assert!(rest.is_finished(), "after five epochs, two of them elsewhere");
}
