//! The trainer: what it learns, what it reports, and when it refuses.

use crate::common::{assert_close, build, in_pool, labels, values};
use isograd_datasets::{
    Arrays, Dataset, Normalization, ReadError, Request, Sample, SampleBuffer, Synthetic, epoch_order,
};
use isograd_kernels::Isa;
use isograd_model::loss::{self, BinaryCrossEntropy, MeanSquaredError};
use isograd_model::metric::{CategoricalAccuracy, RegressionMse};
use isograd_model::optimizer::{self, Adam, AdamW, Lamb, Lars, Muon, Nadam, Optimizer, RmsProp, Scope, Sgd};
use isograd_model::{
    Element, Error, Metric, Network, NonFinite, Shape, TrainConfig, Trainer, layer::*, layers, zoo,
};
use std::sync::Arc;

const PATTERN: Synthetic = Synthetic { seed: 9, sample_shape: [1, 8, 8], num_classes: 4 };

pub(super) fn pattern(range: std::ops::Range<u64>) -> Arrays<'static> {
    PATTERN.samples(range).expect("a data set")
}

fn small<T: Element>(head: Box<dyn Layer<T>>) -> Network<T> {
    let mut layers = layers![
        Input::new(1, 8, 8),
        Conv2D::new(4, 3),
        ReLU,
        MaxPool2D::new(2),
        Flatten,
        Dense::new(16),
        ReLU,
        Dense::new(4),
    ];
    layers.push(head);
    build(layers)
}

pub(super) fn classifier() -> Network<f32> {
    small(Box::new(Softmax))
}

pub(super) fn trainer<T: Element>(network: Network<T>, config: TrainConfig<T>) -> Trainer<T> {
    Trainer::new(network, config).expect("a valid configuration")
}

/// Accuracy on samples that were not trained on, after 12 epochs of 8 steps.
fn learnt_accuracy<T: Element>(network: Network<T>, config: TrainConfig<T>) -> f64 {
    let config = TrainConfig { batch_size: 32, shard_size: 16, ..config };
    let mut trainer = trainer(network, config);
    let data = pattern(0..256);
    let mut losses = Vec::new();
    for epoch in 1..=12 {
        let report = trainer.train_epoch(&data, |_| ()).expect("finite losses");
        assert_eq!((report.epoch, report.steps, report.train.samples), (epoch, 8, 256));
        losses.push(report.train.loss);
    }
    assert!(losses[11] < 0.7 * losses[0], "the loss went from {} to {}", losses[0], losses[11]);
    trainer.evaluate(&pattern(256..512)).expect("a data set that fits").metrics[0]
}

/// Each optimizer with its usual parameters, and some with others; and a learning rate for a small network.
pub(super) fn optimizers() -> Vec<(Arc<dyn Optimizer<f32>>, f64)> {
    let by_name = |name| optimizer::by_name(name).expect("a known name");
    let mut optimizers: Vec<_> = optimizer::NAMES.into_iter().map(by_name).collect();
    optimizers.push(Arc::new(Sgd { momentum: 0.9, nesterov: true, weight_decay: 1e-3 }));
    optimizers.push(Arc::new(Adam { weight_decay: 1e-2, ..Adam::default() }));
    optimizers.push(Arc::new(Lars { scope: Scope::All, ..Lars::default() }));
    optimizers.push(Arc::new(Muon { nesterov: false, weight_decay: 0.01, ..Muon::default() }));
    let with_rate = |optimizer: Arc<dyn Optimizer<f32>>| {
        let rate = 5.0 * optimizer.default_learning_rate();
        (optimizer, rate)
    };
    let mut optimizers: Vec<_> = optimizers.into_iter().map(with_rate).collect();
    // Momentum makes a step ten times as long.
    optimizers.push((Arc::new(Sgd { momentum: 0.0, ..Sgd::default() }), 0.25));
    optimizers
}

#[test]
fn every_optimizer_learns() {
    for (optimizer, learning_rate) in optimizers() {
        let config = TrainConfig { optimizer: optimizer.clone(), learning_rate, ..TrainConfig::default() };
        let accuracy = learnt_accuracy(classifier(), config);
        assert!(accuracy > 90.0, "{optimizer:?}: {accuracy}%");
    }
}

#[test]
fn every_loss_is_learnt_at_every_level_and_in_both_types() {
    fn learn<T: Element>(isa: Isa) {
        let heads: [(&str, Box<dyn Layer<T>>); 6] = [
            ("categorical_cross_entropy", Box::new(Softmax)),
            ("binary_cross_entropy", Box::new(Sigmoid)),
            ("mean_squared_error", Box::new(Softmax)),
            ("mean_absolute_error", Box::new(Softmax)),
            ("huber", Box::new(Softmax)),
            ("categorical_hinge", Box::new(Flatten)),
        ];
        for (name, head) in heads {
            let (kind, loss) = (head.kind(), loss::by_name(name).expect("a known name"));
            let config = TrainConfig { isa, loss, learning_rate: 0.005, ..TrainConfig::default() };
            let accuracy = learnt_accuracy(small(head), config);
            assert!(accuracy >= 90.0, "{isa}, {}, {name} of {kind}: {accuracy}%", T::NAME);
        }
    }
    for isa in Isa::available() {
        learn::<f32>(isa);
        learn::<f64>(isa);
    }
}

#[test]
fn a_learning_rate_of_zero_changes_no_weight() {
    for (optimizer, _) in optimizers() {
        let config =
            TrainConfig { optimizer: optimizer.clone(), learning_rate: 0.0, ..TrainConfig::default() };
        let mut trainer = trainer(classifier(), config);
        let before = trainer.state().params_sha256();
        trainer.train_epoch(&pattern(0..100), |_| ()).expect("finite losses");
        assert_eq!(trainer.steps(), 2);
        assert_eq!(trainer.state().params_sha256(), before, "{optimizer:?}");
    }
}

/// With plain gradient descent at learning rate 1, the step is the gradient.
#[test]
fn clipped_gradients_have_the_norm_of_the_limit() {
    let step = |clip_norm| {
        let optimizer = Arc::new(Sgd { momentum: 0.0, ..Sgd::default() });
        let config = TrainConfig {
            optimizer,
            learning_rate: 1.0,
            clip_norm,
            max_steps: Some(1),
            ..TrainConfig::default()
        };
        let mut trainer = trainer(small::<f64>(Box::new(Softmax)), config);
        let before = trainer.state().params().to_vec();
        trainer.train_epoch(&pattern(0..50), |_| ()).expect("finite losses");
        let after = trainer.state().params();
        let step: Vec<f64> = before.iter().zip(after).map(|(before, after)| before - after).collect();
        let norm = step.iter().map(|dw| dw * dw).sum::<f64>().sqrt();
        (step, norm)
    };
    let (whole, norm) = step(None);
    // Roundings of weights of the order of 1, and those of the sums.
    let bound = 1e-12;
    for part in [0.5, 0.01] {
        let (clipped, clipped_norm) = step(Some(part * norm));
        assert_close("norm", &[clipped_norm], &[part * norm], bound);
        let expected: Vec<f64> = whole.iter().map(|dw| part * dw).collect();
        assert_close("step", &clipped, &expected, bound);
    }
    assert_eq!(step(Some(1.5 * norm)).0, whole, "a shorter gradient stays");
}

/// In the mean of an epoch at learning rate 0, every sample counts once: it is the evaluation, up to the
/// order of addition.
#[test]
fn the_reported_loss_is_the_mean_over_samples() {
    let metrics: Vec<Arc<dyn Metric<f64>>> = vec![Arc::new(CategoricalAccuracy), Arc::new(RegressionMse)];
    let config =
        TrainConfig { metrics, learning_rate: 0.0, batch_size: 30, shard_size: 7, ..TrainConfig::default() };
    let mut trainer = trainer(small::<f64>(Box::new(Softmax)), config);
    let data = pattern(0..101);
    let mut progress = Vec::new();
    let report = trainer
        .train_epoch(&data, |p| progress.push((p.samples, p.epoch_samples, p.loss, p.metrics.to_vec())));
    let train = report.expect("finite losses").train;
    let evaluation = trainer.evaluate(&data).expect("a data set that fits");
    assert_eq!((train.samples, evaluation.samples), (101, 101));
    let bound = 101.0 * f64::EPSILON;
    assert_close("loss", &[train.loss], &[evaluation.loss], bound * evaluation.loss);
    assert_close("metrics", &train.metrics, &evaluation.metrics, bound * 100.0);

    let samples: Vec<_> = progress.iter().map(|(samples, all, ..)| (*samples, *all)).collect();
    assert_eq!(samples, [(30, 101), (60, 101), (90, 101), (101, 101)]);
    let (_, _, loss, metrics) = progress.pop().expect("four steps");
    assert_eq!((loss, metrics), (train.loss, train.metrics));
}

/// The running statistics are the blend of the initial ones and of those of the only step.
#[test]
fn running_statistics_are_blended_over_shards() {
    let layers = layers![Input::vector(1), BatchNormalization::new().momentum(0.75), Dense::new(2), Softmax];
    let config = TrainConfig { batch_size: 8, shard_size: 3, learning_rate: 0.0, ..TrainConfig::default() };
    let mut trainer = trainer::<f64>(build(layers), config);
    let x = [1.0f32, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0];
    let data = Arrays::from_f32(&x[..], vec![0; 8], [1, 1, 1], 2).expect("a data set");
    trainer.train_epoch(&data, |_| ()).expect("finite losses");

    let mut order = [0; 8];
    epoch_order(0, 0, &mut order);
    let shuffled = order.map(|index| f64::from(x[index as usize]));
    let (mut mean, mut variance) = (0.0, 0.0);
    for shard in shuffled.chunks(3) {
        let n = shard.len() as f64;
        let shard_mean = shard.iter().sum::<f64>() / n;
        mean += n / 8.0 * shard_mean;
        variance += n / 8.0 * shard.iter().map(|x| (x - shard_mean).powi(2)).sum::<f64>() / (n - 1.0);
    }
    let expected = [0.25 * mean, 0.75 + 0.25 * variance];
    assert_close("statistics", trainer.state().statistics(), &expected, 16.0 * f64::EPSILON * expected[1]);
}

#[test]
fn training_stops_after_the_given_steps() {
    let config = TrainConfig { batch_size: 10, max_steps: Some(7), ..TrainConfig::default() };
    let mut trainer = trainer(classifier(), config);
    let data = pattern(0..45);
    let first = trainer.train_epoch(&data, |_| ()).expect("finite losses");
    assert_eq!((first.steps, first.train.samples, trainer.is_finished()), (5, 45, false));
    let second = trainer.train_epoch(&data, |_| ()).expect("finite losses");
    assert_eq!((second.steps, second.train.samples, trainer.is_finished()), (2, 20, true));
    assert_eq!(trainer.steps(), 7);
}

/// Batches and shards larger than what there is are as large as what there is.
#[test]
fn sizes_beyond_the_data_mean_all_of_it() {
    let data = pattern(0..40);
    let hash = |batch_size, shard_size| {
        let mut trainer =
            trainer(classifier(), TrainConfig { batch_size, shard_size, ..TrainConfig::default() });
        let report = trainer.train_epoch(&data, |_| ()).expect("finite losses");
        assert_eq!(report.steps, 40u64.div_ceil(batch_size as u64));
        // All 40 samples in one pass, whatever the size of a batch.
        assert_eq!(trainer.evaluate(&data).expect("a data set that fits").samples, 40);
        trainer.state().params_sha256()
    };
    assert_eq!(hash(usize::MAX, 16), hash(40, 16));
    assert_eq!(hash(40, 64), hash(40, 40));
    assert_eq!(hash(8, 1000), hash(8, 8));
}

/// Of a convolution that is computed block by block, 56 samples fill more of a block than the 64 of a full
/// shard.
#[test]
fn a_smaller_last_shard_fits_in_the_memory_of_a_full_one() {
    let network =
        build::<f32>(layers![Input::new(4096, 8, 1), Conv2D::new(2, [3, 1]).padding([1, 0]), Flatten]);
    let config = TrainConfig { shard_size: 64, loss: Arc::new(MeanSquaredError), ..TrainConfig::default() };
    let data = Synthetic { seed: 1, sample_shape: [4096, 8, 1], num_classes: 4 }
        .samples(0..120)
        .expect("a data set");
    let report = trainer(network, config).train_epoch(&data, |_| ()).expect("finite losses");
    assert_eq!((report.steps, report.train.samples), (2, 120));
}

/// A data set whose sample `bad` is not a number, and the step that it comes in.
fn poisoned(seed: u64, batch_size: usize, bad: usize) -> (Arrays<'static>, u64) {
    let samples = 60;
    let mut pixels: Vec<f32> = values(1, 0, samples * 64, 1.0);
    pixels[bad * 64 + 5] = f32::NAN;
    let data = Arrays::from_f32(pixels, labels(1, 1, samples, 4), [1, 8, 8], 4).expect("a data set");
    let mut order = vec![0; samples];
    epoch_order(seed, 0, &mut order);
    let position = order.iter().position(|index| *index as usize == bad).expect("an order of all samples");
    (data, (position / batch_size) as u64)
}

#[test]
fn a_loss_that_is_no_number_names_its_step_and_leaves_the_state_before_it() {
    for bad in [3, 30, 59] {
        let (batch_size, seed) = (10, 4);
        let (data, bad_step) = poisoned(seed, batch_size, bad);
        let config = TrainConfig { seed, batch_size, ..TrainConfig::default() };
        let mut stopped = trainer(classifier(), config.clone());
        let mut last = 0;
        let error = stopped.train_epoch(&data, |p| last = p.samples).expect_err("a loss that is NaN");
        assert!(
            matches!(&error, Error::NonFinite(NonFinite::Loss { epoch: 1, step, bad_sample: Some(_), .. }) if *step == bad_step + 1),
            "{error}"
        );
        let message = format!(
            "the loss became NaN in step {} (epoch 1); sample {bad} holds an infinite value or NaN",
            bad_step + 1
        );
        assert_eq!(error.to_string(), message);
        assert_eq!((stopped.steps(), last as u64), (bad_step, 10 * bad_step));

        let mut expected = trainer(classifier(), TrainConfig { max_steps: Some(bad_step), ..config });
        expected.train_epoch(&data, |_| ()).expect("finite losses before that step");
        assert_eq!(stopped.state().params_sha256(), expected.state().params_sha256());
    }
}

#[test]
fn a_loss_that_overflows_stops_the_training() {
    let config =
        TrainConfig { optimizer: Arc::new(Sgd::default()), learning_rate: 1e30, ..TrainConfig::default() };
    let error =
        trainer(classifier(), config).train_epoch(&pattern(0..200), |_| ()).expect_err("no finite loss");
    assert!(
        matches!(error, Error::NonFinite(NonFinite::Loss { step: 1.., epoch: 1, loss, bad_sample: None }) if !loss.is_finite()),
        "{error}"
    );
}

/// A data set that claims to be of some shape, and has no samples.
struct Empty {
    sample_shape: [usize; 3],
    num_classes: usize,
    normalization: Normalization,
}

impl Dataset for Empty {
    fn len(&self) -> usize {
        0
    }

    fn sample_shape(&self) -> [usize; 3] {
        self.sample_shape
    }

    fn num_classes(&self) -> usize {
        self.num_classes
    }

    fn normalization(&self) -> &Normalization {
        &self.normalization
    }

    fn read<'a>(&'a self, request: Request, _: &'a mut SampleBuffer) -> Result<Sample<'a>, ReadError> {
        panic!("there is no sample {}", request.index)
    }
}

#[test]
fn data_that_do_not_fit_are_refused() {
    let mut trainer = trainer(classifier(), TrainConfig::default());
    let mut refuse = |sample_shape: [usize; 3], num_classes, expected: &str| {
        let data =
            Empty { sample_shape, num_classes, normalization: Normalization::identity(sample_shape[0]) };
        let training = trainer.train_epoch(&data, |_| ()).expect_err("data that do not fit").to_string();
        let evaluation = trainer.evaluate(&data).expect_err("data that do not fit").to_string();
        assert_eq!([training.as_str(), evaluation.as_str()], [expected; 2]);
    };
    refuse([3, 8, 8], 4, "the network takes samples of 1x8x8, the data set has samples of 3x8x8");
    refuse([1, 8, 9], 4, "the network takes samples of 1x8x8, the data set has samples of 1x8x9");
    refuse([1, 8, 8], 5, "the network has 4 outputs, the data set has 5 classes");
    refuse([1, 8, 8], 4, "the data set has no samples");

    let network = build::<f32>(layers![Input::vector(1), Dense::new(1), Sigmoid]);
    let config = TrainConfig { loss: Arc::new(BinaryCrossEntropy), ..TrainConfig::default() };
    let data = Empty { sample_shape: [1, 1, 1], num_classes: 3, normalization: Normalization::identity(1) };
    let error = Trainer::new(network, config).expect("a configuration").evaluate(&data);
    let expected = "the network has 1 output, the data set has 3 classes";
    assert_eq!(error.expect_err("too many classes").to_string(), expected);
}

#[test]
fn configurations_out_of_range_are_refused() {
    let refuse = |expected: &str, config: TrainConfig| {
        let error = Trainer::new(classifier(), config).expect_err("a configuration out of range");
        assert_eq!(error.to_string(), expected);
    };
    let default = TrainConfig::default;
    refuse("the batch size must be at least 1, it is 0", TrainConfig { batch_size: 0, ..default() });
    refuse("the shard size must be at least 1, it is 0", TrainConfig { shard_size: 0, ..default() });
    for (learning_rate, shown) in [(-0.1, "-0.1"), (f64::NAN, "NaN"), (f64::INFINITY, "inf")] {
        let expected = format!("the learning rate must be a number of at least 0, it is {shown}");
        refuse(&expected, TrainConfig { learning_rate, ..default() });
    }
    for (clip_norm, shown) in [(0.0, "0"), (f64::NAN, "NaN"), (f64::INFINITY, "inf")] {
        let expected = format!("the norm to clip gradients to must be a number above 0, it is {shown}");
        refuse(&expected, TrainConfig { clip_norm: Some(clip_norm), ..default() });
    }
    for ema in [-0.1, 1.0, f64::NAN] {
        let expected = format!("the decay of the averages must be at least 0 and below 1, it is {ema}");
        refuse(&expected, TrainConfig { ema: Some(ema), ..default() });
    }
    let (sgd, adam) = (Sgd::default(), Adam::default());
    let optimizers: [(&str, Arc<dyn Optimizer<f32>>); 12] = [
        ("momentum must be at least 0 and below 1, it is 1", Arc::new(Sgd { momentum: 1.0, ..sgd })),
        (
            "weight decay must be a number of at least 0, it is -1",
            Arc::new(Sgd { weight_decay: -1.0, ..sgd }),
        ),
        (
            "rho must be at least 0 and below 1, it is NaN",
            Arc::new(RmsProp { rho: f64::NAN, ..RmsProp::default() }),
        ),
        ("beta1 must be at least 0 and below 1, it is -0.5", Arc::new(Adam { beta1: -0.5, ..adam })),
        ("beta2 must be at least 0 and below 1, it is 2", Arc::new(Nadam { beta2: 2.0, ..Nadam::default() })),
        ("epsilon must be a number of at least 0, it is inf", Arc::new(Adam { eps: f64::INFINITY, ..adam })),
        (
            "weight decay must be a number of at least 0, it is -1",
            Arc::new(AdamW { weight_decay: -1.0, ..AdamW::default() }),
        ),
        (
            "the trust coefficient must be a number of at least 0, it is NaN",
            Arc::new(Lars { trust_coefficient: f64::NAN, ..Lars::default() }),
        ),
        (
            "momentum must be at least 0 and below 1, it is 1",
            Arc::new(Lars { momentum: 1.0, ..Lars::default() }),
        ),
        ("epsilon must be a number of at least 0, it is -1", Arc::new(Lamb { eps: -1.0, ..Lamb::default() })),
        (
            "the learning rate of other tensors must be a number of at least 0, it is -1",
            Arc::new(Muon { others_rate: -1.0, ..Muon::default() }),
        ),
        (
            "beta1 must be at least 0 and below 1, it is 1",
            Arc::new(Muon { others: AdamW { beta1: 1.0, ..AdamW::default() }, ..Muon::default() }),
        ),
    ];
    for (expected, optimizer) in optimizers {
        refuse(expected, TrainConfig { optimizer, ..default() });
    }
}

#[test]
fn what_no_machine_has_memory_for_is_an_error() {
    let fails = |network: Network<f32>, config: TrainConfig| {
        in_pool(2, || Trainer::new(network, config)).expect_err("more than any memory").to_string()
    };
    // Beyond what 64-bit processors can address; and with a product beyond 64 bits.
    for shard_size in [1 << 44, usize::MAX] {
        let config = TrainConfig { batch_size: shard_size, shard_size, ..TrainConfig::default() };
        let message = fails(classifier(), config);
        let start = format!("no memory for shards of {shard_size} samples, 2 at a time: ");
        assert!(message.starts_with(&start) && message.ends_with(" bytes"), "{message}");
    }
    let huge = build(zoo::simplecnn(Shape::image(1, 1_000_000, 1_000_000), 10));
    let weights = 128 * 8 * 499_998usize.pow(2);
    let parameters = huge.parameter_count();
    let expected = format!(
        "no memory for {parameters} parameters, of which 'dense1.weight' has {weights}: {} bytes",
        4 * parameters
    );
    assert_eq!(fails(huge, TrainConfig::default()), expected);
}

/// A network without parameters has nothing to learn, and does nothing wrong.
#[test]
fn networks_without_parameters_can_be_evaluated() {
    let network = build::<f32>(layers![Input::vector(3), Softmax]);
    let mut trainer = in_pool(2, || trainer(network, TrainConfig::default()));
    let data = Arrays::from_f32(vec![0.0; 9], vec![0, 1, 2], [3, 1, 1], 3).expect("a data set");
    let report = trainer.train_epoch(&data, |_| ()).expect("finite losses");
    // The logarithm of 3, within the rounding of f32 in none of its steps: loss and sum are f64.
    assert_close("loss", &[report.train.loss], &[3f64.ln()], 4.0 * f64::EPSILON);
    assert_eq!(trainer.evaluate(&data).expect("a data set that fits"), report.train);
}

#[test]
fn the_summary_of_simplecnn_is_its_table() {
    let network = build::<f32>(zoo::simplecnn(Shape::image(1, 28, 28), 10));
    assert_eq!(network.parameter_count(), 149_210);
    let expected = "\
layer  type       parameters  output shape  weight shape  padding  stride  path
---------------------------------------------------------------------------------
    0  Input               0  1x28x28
    1  Conv2D             40  4x26x26       4x1x3x3             0       1  direct
    2  ReLU                0  4x26x26
    3  Conv2D            296  8x24x24       8x4x3x3             0       1  direct
    4  ReLU                0  8x24x24
    5  MaxPool2D           0  8x12x12                           0       2
    6  Flatten             0  1152
    7  Dense          147584  128           128x1152
    8  ReLU                0  128
    9  Dense            1290  10            10x128
   10  Softmax             0  10
parameters: 149210
";
    assert_eq!(network.summary(), expected, "the summary is now\n{}", network.summary());
}
