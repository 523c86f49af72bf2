//! The algorithms of convolutions in whole networks: the same bits on any number of threads and of parts,
//! gradients of each path, and the choice.

use crate::common::{assert_close, build, in_pool, labels, values};
use isograd_datasets::Synthetic;
use isograd_kernels::conv::Precision;
use isograd_kernels::{Element, Isa};
use isograd_model::layer::*;
use isograd_model::loss::CategoricalCrossEntropy;
use isograd_model::{Error, Evaluation, Network, Randomness, TrainConfig, Trainer, layers};

/// Convolutions on the Winograd paths: F(4, 3) with few and with many channels, in a residual block and
/// folded with batch normalisation, and F(2, 3) on 2x2 pixels.
fn network<T: Element>() -> Network<T> {
    build(layers![
        Input::new(2, 8, 8),
        Conv2D::new(17, 3).padding(1).without_bias(),
        BatchNormalization::new(),
        ReLU,
        Residual::new(layers![
            Conv2D::new(17, 3).padding(1),
            ReLU,
            Conv2D::new(17, 3).padding(1).without_bias(),
            BatchNormalization::new(),
        ]),
        ReLU,
        Conv2D::new(40, 3),
        ReLU,
        MaxPool2D::new(2),
        Conv2D::new(34, 3).padding(1),
        ReLU,
        MaxPool2D::new(2),
        Flatten,
        Dense::new(4),
        Softmax,
    ])
}

fn paths(network: &Network<f32>) -> Vec<String> {
    let summary = network.summary();
    let rows = summary.lines().filter(|line| line.contains("Conv2D"));
    rows.map(|line| line.split_whitespace().last().expect("a path").to_string()).collect()
}

#[test]
fn the_summary_shows_the_paths() {
    let chosen = paths(&network());
    assert_eq!(chosen, ["direct", "winograd4", "winograd4", "winograd4", "winograd4"]);
}

#[test]
fn a_path_is_taken_where_it_serves_the_shape() {
    let of = |path| paths(&network().with_conv_path(path, Precision::Full).expect("a path that serves"));
    assert!(of(ConvPath::Direct).iter().all(|path| path == "direct"));
    assert!(of(ConvPath::Im2col).iter().all(|path| path == "im2col"));
    assert_eq!(of(ConvPath::Winograd)[0], "winograd4", "with few channels, too");
    assert_eq!(of(ConvPath::Auto), paths(&network()));

    let strided = || build::<f32>(layers![Input::new(1, 8, 8), Conv2D::new(2, 3).stride(2), Flatten]);
    let error = strided().with_conv_path(ConvPath::Winograd, Precision::Full).unwrap_err();
    assert!(matches!(error, Error::NoConvPath { path: ConvPath::Winograd }));
    assert_eq!(
        error.to_string(),
        "no layer of the network can take the path winograd: it is for convolutions with kernels of 3x3, stride 1, \
         dilation 1, one group and padding of at most 2"
    );
    let dense = build::<f32>(layers![Input::vector(3), Dense::new(2)]);
    let error = dense.with_conv_path(ConvPath::Direct, Precision::Full).unwrap_err();
    assert_eq!(error.to_string(), "no layer of the network can take the path direct: it has no convolution");
}

/// Training, evaluation and prediction: `n` is no multiple of a vector, and the last shard is small.
fn outcome(network: Network<f32>, threads: usize, isa: Isa) -> (String, Vec<Evaluation>, Vec<f32>) {
    let data = Synthetic { seed: 3, sample_shape: [2, 8, 8], num_classes: 4 };
    let data = data.samples(0..53).expect("a data set");
    in_pool(threads, || {
        let config = TrainConfig { isa, batch_size: 40, shard_size: 9, ..TrainConfig::default() };
        let mut trainer = Trainer::new(network, config).expect("a trainer");
        let mut evaluations = Vec::new();
        for _ in 0..2 {
            evaluations.push(trainer.train_epoch(&data, |_| ()).expect("finite losses").train);
            evaluations.push(trainer.evaluate(&data).expect("finite losses"));
        }
        let (network, state, _) = trainer.into_parts();
        let x: Vec<f32> = values(7, 0, 128 * 9, 1.0);
        (state.params_sha256(), evaluations, network.predict(&state, isa, &x, 9))
    })
}

#[test]
fn the_same_bits_on_any_number_of_threads() {
    for isa in Isa::available().into_iter().filter(|isa| *isa != Isa::portable()) {
        let rounded = || network::<f32>().with_conv_path(ConvPath::Winograd, Precision::Bfloat16);
        let rounded = || rounded().expect("paths that serve");
        let [expected, of_rounded] = [outcome(network(), 1, isa), outcome(rounded(), 1, isa)];
        assert_ne!(expected, of_rounded);
        for threads in [2, 3, 8] {
            assert_eq!(outcome(network(), threads, isa), expected, "{isa}, {threads} threads");
            assert_eq!(outcome(rounded(), threads, isa), of_rounded, "{isa}, {threads} threads, bfloat16");
        }
    }
}

#[test]
fn bfloat16_is_taken_where_it_is_faster() {
    let network = build::<f32>(layers![
        Input::new(64, 8, 8),
        Conv2D::new(128, 1),
        Conv2D::new(128, 3).padding(1),
        Conv2D::new(256, 3).padding(1).stride(2),
        Conv2D::new(256, 3).padding(1),
        Conv2D::new(260, 3).padding(1),
        Conv2D::new(260, 3).padding(1).groups(260),
        Flatten,
        Dense::new(4),
        Softmax,
    ]);
    let network = network.with_conv_path(ConvPath::Auto, Precision::Bfloat16).expect("f32");
    let two = "winograd2-bf16";
    let chosen = [
        "im2col-bf16/im2col-bf16/im2col",
        &format!("{two}/{two}/winograd4"),
        "im2col-bf16",
        two,
        &format!("{two}/{two}/im2col-bf16"),
        "direct",
    ];
    assert_eq!(paths(&network), chosen);
    let network = network.with_conv_path(ConvPath::Direct, Precision::Bfloat16).expect("f32");
    assert!(paths(&network).iter().all(|path| path == "direct"), "which does not round");
    let network = network.with_conv_path(ConvPath::Auto, Precision::Full).expect("f32");
    assert!(paths(&network).iter().all(|path| !path.contains("bf16")), "{:?}", paths(&network));

    let error = self::network::<f64>().with_conv_path(ConvPath::Auto, Precision::Bfloat16).unwrap_err();
    let text = "only float32 is rounded to bfloat16, and the elements are float64";
    assert_eq!(error.to_string(), text);
}

/// The gradients in bfloat16 are those in full but for the rounding of factors.
#[test]
fn gradients_in_bfloat16_are_near_those_in_full() {
    let n = 9;
    let x: Vec<f32> = values(7, 1, 128 * n, 1.0);
    let labels = labels(7, 2, n, 4);
    let gradients = |path, precision| {
        let network = network::<f32>().with_conv_path(path, precision).expect("a path that serves");
        let mut state = network.initial_state(0).expect("memory");
        state.params_mut().copy_from_slice(&values(7, 0, network.parameter_count(), 0.3));
        let loss = CategoricalCrossEntropy::new();
        network.loss_and_gradients(&state, Isa::best(), &loss, Randomness::default(), &x, &labels[..])
    };
    let (loss, expected) = gradients(ConvPath::Im2col, Precision::Full);
    let norm = |x: &[f32]| x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
    for (path, limit) in [(ConvPath::Im2col, 0.05), (ConvPath::Winograd, 0.15)] {
        let (other, gradients) = gradients(path, Precision::Bfloat16);
        let difference: Vec<f32> = gradients.iter().zip(&expected).map(|(a, b)| a - b).collect();
        let (error, relative) = ((other - loss).abs() / loss, norm(&difference) / norm(&expected));
        assert!(error < 0.02 && relative > 1e-5 && relative < limit, "{path}: {error}, {relative}");
    }
}

/// In f64 all paths give the gradients of the direct one, which the other tests compare with central
/// differences, but for rounding.
#[test]
fn all_paths_have_the_same_gradients() {
    let n = 9;
    let x: Vec<f64> = values(7, 1, 128 * n, 1.0);
    let labels = labels(7, 2, n, 4);
    let gradients = |path| {
        let network = network::<f64>().with_conv_path(path, Precision::Full).expect("a path that serves");
        let mut state = network.initial_state(0).expect("memory");
        state.params_mut().copy_from_slice(&values(7, 0, network.parameter_count(), 0.3));
        let loss = CategoricalCrossEntropy::new();
        network.loss_and_gradients(&state, Isa::best(), &loss, Randomness::default(), &x, &labels[..])
    };
    let (loss, expected) = gradients(ConvPath::Direct);
    let largest = expected.iter().fold(0.0, |a: f64, b| a.max(b.abs()));
    for path in [ConvPath::Auto, ConvPath::Winograd, ConvPath::Im2col] {
        let (other, gradients) = gradients(path);
        assert!((other - loss).abs() < 1e-10 * loss, "{path}: {other} and {loss}");
        assert_close(path.name(), &gradients, &expected, 1e-9 * largest);
    }
}

/// Central differences in f64 of a network all of whose convolutions are on the Winograd paths.
#[test]
fn gradients_are_central_differences() {
    let network = build::<f64>(layers![
        Input::new(2, 5, 6),
        Conv2D::new(3, 3).padding(1),
        Tanh,
        Conv2D::new(4, 3),
        Tanh,
        Flatten,
        Dense::new(3),
        Softmax,
    ]);
    let network = network.with_conv_path(ConvPath::Winograd, Precision::Full).expect("a path that serves");
    let mut state = network.initial_state(0).expect("memory");
    state.params_mut().copy_from_slice(&values(7, 0, network.parameter_count(), 0.5));
    let (x, labels): (Vec<f64>, _) = (values(7, 1, 60 * 3, 1.0), labels(7, 2, 3, 3));
    let loss = CategoricalCrossEntropy::new();
    let evaluate = |state: &_| {
        network.loss_and_gradients(state, Isa::best(), &loss, Randomness::default(), &x, &labels[..])
    };
    let (_, gradients) = evaluate(&state);
    let step = 1e-5;
    let mut differences = Vec::new();
    for index in 0..network.parameter_count() {
        let old = state.params()[index];
        state.params_mut()[index] = old + step;
        let above = evaluate(&state).0;
        state.params_mut()[index] = old - step;
        differences.push((above - evaluate(&state).0) / (2.0 * step));
        state.params_mut()[index] = old;
    }
    assert_close("gradients", &gradients, &differences, 1e-8);
}
