//! Folding: in use, batch normalisation becomes a part of the weights in front of it. Results differ from
//! those of separate layers by rounding only.

use crate::common::{assert_close, branching, build, in_pool, synchronised, values};
use isograd_datasets::Synthetic;
use isograd_kernels::Isa;
use isograd_model::layer::*;
use isograd_model::{Element, Network, State, TrainConfig, Trainer, layers, zoo};

/// Every layer that can be folded into, in front of batch normalisations of every kind; and some that stay:
/// behind a block, behind a ReLU, behind a value that others read.
fn network<T: Element>() -> Network<T> {
    let norm = BatchNormalization::new;
    build(layers![
        Input::new(3, 9, 9),
        Conv2D::new(8, 3),
        norm(),
        ReLU,
        Conv2D::new(8, 3).groups(8).padding(1).without_bias(),
        norm().without_scale(),
        ReLU6,
        Conv2D::new(12, 1).without_bias(),
        norm().without_shift(),
        Residual::new(layers![norm(), ReLU, Conv2D::new(12, 3).padding(1).groups(2), norm().epsilon(0.01)]),
        ReLU,
        Conv2D::new(6, 3).stride(2),
        ReLU,
        norm(),
        Concatenation::new([layers![Conv2D::new(4, 1), norm(), ReLU], layers![]]),
        Flatten,
        Dense::new(7).without_bias(),
        norm(),
        ReLU,
        Dense::new(5),
        norm(),
    ])
}

/// A state with statistics and coefficients unlike the initial ones; the variances stay positive.
fn state<T: Element>(network: &Network<T>) -> State<T> {
    let mut state = network.initial_state(3).expect("a state");
    let noise: Vec<T> = values(5, 0, state.statistics().len(), 0.4);
    for (value, noise) in state.statistics_mut().iter_mut().zip(noise) {
        *value = T::from_f64(value.to_f64() + noise.to_f64());
    }
    let noise: Vec<T> = values(6, 0, state.params().len(), 0.2);
    for (value, noise) in state.params_mut().iter_mut().zip(noise) {
        *value = T::from_f64(value.to_f64() + noise.to_f64());
    }
    state
}

fn outputs<T: Element>(network: &Network<T>, n: usize) -> Vec<T> {
    let x: Vec<T> = values(7, 0, network.input_shape().elements() * n, 1.0);
    network.predict(&state(network), Isa::best(), &x, n)
}

#[test]
fn folded_layers_compute_what_separate_ones_do() {
    for (name, network) in [
        ("all kinds", network as fn() -> Network<f64>),
        ("with blocks", branching),
        ("with shared statistics", synchronised),
    ] {
        for n in [1, 5] {
            let expected: Vec<f64> = outputs(&network().without_folding(), n);
            assert_close(name, &outputs(&network(), n), &expected, 1e-9);
        }
    }
    // The rounding shows that something was folded.
    assert_ne!(outputs(&network::<f32>(), 5), outputs(&network::<f32>().without_folding(), 5));
}

#[test]
fn evaluation_is_folded_and_the_same_bits_on_any_number_of_threads() {
    let data = Synthetic { seed: 3, sample_shape: [1, 28, 28], num_classes: 10 };
    let data = data.samples(0..100).expect("a data set");
    let evaluate = |threads, network: Network<f32>| {
        in_pool(threads, || {
            let mut trainer = Trainer::new(network, TrainConfig::default()).expect("a trainer");
            trainer.train_epoch(&data, |_| ()).expect("finite losses");
            let before = trainer.state().params_sha256();
            let evaluation = trainer.evaluate(&data).expect("finite losses");
            // Training goes on with the parameters themselves.
            assert_eq!(trainer.state().params_sha256(), before);
            evaluation
        })
    };
    let expected = evaluate(1, branching());
    for threads in [2, 3] {
        assert_eq!(evaluate(threads, branching()), expected);
    }
    let separate = evaluate(1, branching().without_folding());
    assert!((separate.loss - expected.loss).abs() < 1e-5 * separate.loss, "{separate:?} and {expected:?}");
}

/// One image and few, on any number of threads, which share the layers' channels; and batches of changing
/// size in one memory.
#[test]
fn a_session_gives_the_same_bits_on_any_number_of_threads() {
    let network = branching::<f32>();
    let state = state(&network);
    let x: Vec<f32> = values(7, 0, 784 * 6, 1.0);
    for n in [1, 2, 6, 3] {
        let x = &x[..784 * n];
        let expected = in_pool(1, || network.predict(&state, Isa::best(), x, n));
        for threads in [2, 3, 8] {
            let outputs = in_pool(threads, || {
                let mut session = network.session(&state, Isa::best(), 6).expect("memory");
                let other: Vec<f32> = values(8, 0, 784 * 6, 3.0);
                session.predict(&other, 6);
                session.predict(x, n).to_vec()
            });
            assert_eq!(outputs, expected, "{n} samples on {threads} threads");
        }
    }
}

/// Layers of every kind that threads share, with images that are large enough for it.
#[test]
fn all_layers_that_threads_share_give_the_bits_of_one_thread() {
    let norm = BatchNormalization::new;
    let network: Network<f32> = build(layers![
        Input::new(3, 41, 40),
        Conv2D::new(32, 3).padding(1),
        SiLU,
        norm(),
        LeakyReLU::default(),
        Concatenation::new([layers![norm(), ReLU], layers![Conv2D::new(8, 1), Tanh]]),
        norm(),
        Conv2D::new(40, 3).padding(1),
        Addition::new([
            layers![Conv2D::new(40, 1)],
            layers![MaxPool2D::new(3).stride(1).padding(1)],
            layers![AveragePool2D::new(3).stride(1).padding(1)],
        ]),
        ReLU,
        Residual::new(layers![norm(), norm()]),
        AveragePool2D::new(2),
        Residual::new(layers![Conv2D::new(40, 3).padding(1)]),
        MaxPool2D::new(2),
        Dropout::new(0.5),
        Flatten,
        Dense::new(37),
        Residual::new(layers![Dense::new(37), norm()]),
        Dense::new(5),
    ]);
    let state = state(&network);
    for n in [1, 3] {
        let x: Vec<f32> = values(7, 0, network.input_shape().elements() * n, 1.0);
        for isa in Isa::available() {
            let predict = |threads| {
                in_pool(threads, || {
                    let mut session = network.session(&state, isa, n).expect("memory");
                    session.predict(&x, n).to_vec()
                })
            };
            let expected = predict(1);
            for threads in [2, 3, 5] {
                assert_eq!(predict(threads), expected, "{isa}, {n} samples on {threads} threads");
            }
        }
    }
}

/// One image goes through networks of the zoo on any number of threads with the same bits.
#[test]
fn zoo_networks_give_the_bits_of_one_thread() {
    for name in ["resnet20", "vgg11bn", "densenet", "mobilenetv1", "googlenet", "airbench94"] {
        let model = zoo::find(&format!("{name}_cifar10")).expect("a network of the zoo");
        let network = build(model.layers(model.input, model.classes));
        let (state, x) = (state(&network), values(7, 0, network.input_shape().elements(), 1.0));
        let predict = |threads| in_pool(threads, || network.predict(&state, Isa::best(), &x, 1));
        let expected: Vec<f32> = predict(1);
        assert!(expected.iter().all(|output| output.is_finite()), "{name}: {expected:?}");
        for threads in [2, 3] {
            assert_eq!(predict(threads), expected, "{name} on {threads} threads");
        }
    }
}
