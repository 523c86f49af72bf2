//! Values that are stored as bfloat16s in training: where they are rounded, what that does to gradients, and
//! the same bits however a step is run.

use crate::common::{branching, build, in_pool, labels, synchronised, values};
use crate::training::trainer;
use isograd_datasets::Synthetic;
use isograd_kernels::{Accum, Element, Isa, storage};
use isograd_model::layer::*;
use isograd_model::loss::CategoricalCrossEntropy;
use isograd_model::{BuildError, Error, Evaluation, Network, Randomness, Shape, TrainConfig, layers};

fn rounded(network: Network<f32>) -> Network<f32> {
    network.with_bfloat16_values().expect("f32")
}

/// Rounds what goes through it to bfloat16, in both directions.
#[derive(Debug)]
struct Round;

impl Round {
    fn run(isa: Isa, x: &[f32], y: &mut [f32]) {
        let mut rounded = vec![0; x.len()];
        storage::round(isa, x, &mut rounded);
        storage::widen(isa, &rounded, y);
    }
}

impl Layer<f32> for Round {
    fn kind(&self) -> &'static str {
        "Round"
    }

    fn build(&mut self, input: Shape, _: &mut LayerPlan) -> Result<Shape, BuildError> {
        Ok(input)
    }

    fn forward(&self, cx: &Context<'_, f32>, x: &[f32], y: &mut [f32], _: Memory<'_, f32>) {
        Self::run(cx.isa, x, y);
    }

    fn backward(&self, cx: &Context<'_, f32>, tensors: Backward<'_, f32>, _: Memory<'_, f32>) {
        let Backward { dy, dx: Some(dx), accum: Accum::Replace, .. } = tensors else {
            panic!("a gradient to overwrite");
        };
        Self::run(cx.isa, dy, dx);
    }

    fn backward_reads(&self) -> BackwardReads {
        BackwardReads::NOTHING
    }
}

/// A network, with the layers that `between` gives behind each layer whose output is stored: all but the
/// input and what the loss reads. The backward pass of none reads its own output, which is not what a layer
/// behind it rounds. The second path of the concatenation begins inside of a word.
fn network_with(between: impl Fn() -> Layers<f32>) -> Network<f32> {
    let mut layers = layers![Input::new(2, 9, 7)];
    let mut push = |layer: Box<dyn Layer<f32>>| {
        layers.push(layer);
        layers.extend(between());
    };
    push(Box::new(Conv2D::new(5, 3).padding(1)));
    push(Box::new(ReLU));
    push(Box::new(Residual::new(layers![Conv2D::new(5, 3).padding(1)])));
    push(Box::new(ReLU6));
    push(Box::new(Concatenation::new([layers![Conv2D::new(3, 3).padding(1)], layers![]])));
    push(Box::new(BatchNormalization::new()));
    push(Box::new(MaxPool2D::new(2)));
    push(Box::new(SiLU));
    push(Box::new(Conv2D::new(6, 3).stride(2)));
    push(Box::new(Flatten));
    push(Box::new(Dense::new(7)));
    push(Box::new(GELU::new()));
    layers.extend(layers![Dense::new(4), Softmax]);
    build(layers)
}

/// The loss and all gradients of a shard.
fn gradients(network: &Network<f32>, isa: Isa, n: usize) -> (f64, Vec<f32>) {
    let x: Vec<f32> = values(7, 1, network.input_shape().elements() * n, 1.0);
    let labels = labels(7, 2, n, network.output_shape().elements() as u32);
    let mut state = network.initial_state(3).expect("memory");
    // Initial values depend on the number of the layer, and those of biases are zeros.
    state.params_mut().copy_from_slice(&values(7, 0, network.parameter_count(), 0.3));
    let loss = CategoricalCrossEntropy::new();
    network.loss_and_gradients(&state, isa, &loss, Randomness::default(), &x, &labels[..])
}

/// The bits are those of a network in full with a layer between the others that rounds.
#[test]
fn a_value_is_rounded_once_when_it_is_stored() {
    for isa in Isa::available() {
        let expected = gradients(&network_with(|| layers![Round]), isa, 5);
        assert!(gradients(&rounded(network_with(Vec::new)), isa, 5) == expected, "{isa}");
        assert!(gradients(&network_with(Vec::new), isa, 5) != expected, "{isa}");
    }
}

/// With every block and most layers, statistics over the whole batch among them.
#[test]
fn gradients_are_near_those_in_full() {
    let networks: [fn() -> Network<f32>; 2] = [branching, synchronised];
    for network in networks {
        let (loss, expected) = gradients(&network(), Isa::best(), 64);
        let (rounded_loss, got) = gradients(&rounded(network()), Isa::best(), 64);
        assert!((rounded_loss - loss).abs() < 0.02 * loss, "{rounded_loss}, not {loss}");
        let norm =
            |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>().sqrt();
        let size = norm(&mut expected.iter().map(|value| value.to_f64()));
        let difference = norm(&mut got.iter().zip(&expected).map(|(a, b)| a.to_f64() - b.to_f64()));
        assert!(difference < 0.15 * size, "the gradients differ by {difference} of {size}");
    }
}

/// Of two epochs: evaluations, parameters and statistics.
type Outcome = (Vec<Evaluation>, Vec<f32>, Vec<f32>);

fn train(network: Network<f32>, threads: usize, isa: Isa) -> Outcome {
    let data = Synthetic { seed: 3, sample_shape: [1, 28, 28], num_classes: 10 };
    let data = data.samples(0..53).expect("a data set");
    in_pool(threads, || {
        let config = TrainConfig { isa, batch_size: 40, shard_size: 9, ..TrainConfig::default() };
        let mut trainer = trainer(network, config);
        let mut evaluations = Vec::new();
        for _ in 0..2 {
            evaluations.push(trainer.train_epoch(&data, |_| ()).expect("finite losses").train);
            evaluations.push(trainer.evaluate(&data).expect("finite losses"));
        }
        (evaluations, trainer.state().params().to_vec(), trainer.state().statistics().to_vec())
    })
}

#[test]
fn threads_change_no_bit() {
    let networks: [fn() -> Network<f32>; 2] = [branching, synchronised];
    for (isa, network) in Isa::available().into_iter().flat_map(|isa| networks.map(|network| (isa, network)))
    {
        let expected = train(rounded(network()), 1, isa);
        assert!(train(network(), 1, isa) != expected, "{isa}");
        for threads in [2, 3, 8] {
            assert!(train(rounded(network()), threads, isa) == expected, "{isa}, {threads} threads");
        }
    }
}

/// Whichever of the two is asked for first.
#[test]
fn recomputation_changes_no_bit() {
    let networks: [fn() -> Network<f32>; 2] = [branching, synchronised];
    for network in networks {
        let expected = train(rounded(network()), 2, Isa::best());
        assert!(train(rounded(network()).with_recomputation(), 2, Isa::best()) == expected);
        assert!(train(rounded(network().with_recomputation()), 2, Isa::best()) == expected);
    }
}

#[test]
fn nothing_is_rounded_in_use() {
    let [full, rounded] = [branching(), rounded(branching())];
    let state = full.initial_state(3).expect("memory");
    let x: Vec<f32> = values(7, 1, 784 * 3, 1.0);
    let [expected, got] = [&full, &rounded].map(|network| network.predict(&state, Isa::best(), &x, 3));
    assert_eq!(got, expected);
    assert_eq!(rounded.shard_bytes(Mode::Eval, 32), full.shard_bytes(Mode::Eval, 32));
}

#[test]
fn doubles_are_not_rounded() {
    let network: Network<f64> = build(layers![Input::vector(3), Dense::new(2), Softmax]);
    let error = network.with_bfloat16_values().unwrap_err();
    assert!(matches!(error, Error::NoBfloat16 { dtype: "float64" }));
    assert_eq!(error.to_string(), "only float32 is rounded to bfloat16, and the elements are float64");
}
