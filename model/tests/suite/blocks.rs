//! Networks that branch: what blocks compute, what they are called, and what is refused.

use crate::common::{build, in_pool, labels, largest, values};
use crate::gradients::PlainReLU;
use isograd_kernels::{Element, Isa};
use isograd_model::layer::*;
use isograd_model::loss::CategoricalCrossEntropy;
use isograd_model::{BuildError, Network, Randomness, Shape, TrainConfig, Trainer, layers};
use proptest::prelude::*;

type Error = String;

fn message(layers: Layers<f32>) -> Error {
    match Network::build(layers) {
        Ok(network) => panic!("this network should not be built:\n{}", network.summary()),
        Err(error) => error.to_string(),
    }
}

/// Multiplies each channel of its input by 1, 2, 3, …
#[derive(Debug)]
struct Times(usize);

impl<T: Element> Layer<T> for Times {
    fn kind(&self) -> &'static str {
        "Times"
    }

    fn build(&mut self, input: Shape, _: &mut LayerPlan) -> Result<Shape, isograd_model::BuildError> {
        Ok(input)
    }

    fn forward(&self, _: &Context<'_, T>, x: &[T], y: &mut [T], _: Memory<'_, T>) {
        for (y, x) in y.iter_mut().zip(x) {
            *y = T::from_f64(x.to_f64() * self.0 as f64);
        }
    }

    fn backward(&self, _: &Context<'_, T>, tensors: Backward<'_, T>, _: Memory<'_, T>) {
        for (dx, dy) in tensors.dx.into_iter().flatten().zip(tensors.dy) {
            *dx = T::from_f64(dy.to_f64() * self.0 as f64);
        }
    }

    fn backward_reads(&self) -> BackwardReads {
        BackwardReads::NOTHING
    }
}

/// The outputs of two samples (1, 2) and (10, 20) of two features.
fn outputs(mut layers: Layers<f64>) -> Vec<f64> {
    layers.insert(0, Box::new(Input::vector(2)));
    layers.push(Box::new(Flatten));
    layers.push(Box::new(Times(1)));
    let network = build(layers);
    let state = network.initial_state(0).expect("memory");
    network.predict(&state, Isa::best(), &[1.0, 10.0, 2.0, 20.0], 2)
}

#[test]
fn an_addition_adds_its_paths() {
    assert_eq!(outputs(layers![Residual::new(layers![Times(2)])]), [3.0, 30.0, 6.0, 60.0]);
    let projected = Residual::new(layers![Times(2)]).projection(layers![Times(5)]);
    assert_eq!(outputs(layers![projected]), [7.0, 70.0, 14.0, 140.0]);
    let three = Addition::new([layers![], layers![Times(2), Times(2)], layers![Times(3)]]);
    assert_eq!(outputs(layers![three]), [8.0, 80.0, 16.0, 160.0]);
    let repeated = Addition::new([layers![], layers![], layers![Times(2)], layers![]]);
    assert_eq!(outputs(layers![repeated]), [5.0, 50.0, 10.0, 100.0]);
    let nested = Residual::new(layers![Residual::new(layers![Times(2)]), Residual::new(layers![Times(3)])]);
    assert_eq!(outputs(layers![nested]), [13.0, 130.0, 26.0, 260.0]);
}

#[test]
fn a_concatenation_joins_its_paths() {
    let joined = Concatenation::new([layers![], layers![Times(2)]]);
    assert_eq!(outputs(layers![joined]), [1.0, 10.0, 2.0, 20.0, 2.0, 20.0, 4.0, 40.0]);
    // The same value twice, and one that is a part of two joined values: both need a copy.
    let repeated = Concatenation::new([layers![], layers![], layers![Times(3)]]);
    assert_eq!(
        outputs(layers![repeated]),
        [1.0, 10.0, 2.0, 20.0, 1.0, 10.0, 2.0, 20.0, 3.0, 30.0, 6.0, 60.0]
    );
    let dense = |factor| Concatenation::new([layers![], layers![Times(factor)]]);
    let twice = Addition::new([layers![dense(2)], layers![dense(3)]]);
    assert_eq!(outputs(layers![twice]), [2.0, 20.0, 4.0, 40.0, 5.0, 50.0, 10.0, 100.0]);
    let deep = outputs(layers![dense(2), dense(10)]);
    assert_eq!(deep[..8], [1.0, 10.0, 2.0, 20.0, 2.0, 20.0, 4.0, 40.0]);
    assert_eq!(deep[8..], [10.0, 100.0, 20.0, 200.0, 20.0, 200.0, 40.0, 400.0]);
}

#[test]
fn parameters_carry_the_path_of_names() {
    let conv = || Conv2D::new(2, 3).padding(1).without_bias();
    let network = build::<f32>(layers![
        Input::new(2, 4, 4),
        named("conv1", conv()),
        ReLU,
        named(
            "layer1",
            Sequence::new(layers![
                named("0", Residual::new(layers![named("conv1", conv()), ReLU, named("conv2", conv())])),
                named(
                    "1",
                    Residual::new(layers![named("conv1", conv())])
                        .projection(layers![named("downsample", Sequence::new(layers![named("0", conv())]))])
                ),
            ])
        ),
        Concatenation::new([layers![conv()], layers![ReLU, conv()]]),
        named("", Concatenation::new([layers![], layers![named("beside", conv())]])),
        Flatten,
        named("outer", named("inner", Dense::new(2).without_bias())),
    ]);
    let names: Vec<_> = network.parameters().iter().map(|tensor| tensor.name.as_str()).collect();
    let expected = [
        "conv1.weight",
        "layer1.0.conv1.weight",
        "layer1.0.conv2.weight",
        "layer1.1.conv1.weight",
        "layer1.1.downsample.0.weight",
        "concatenation1.conv2d1.weight",
        "concatenation1.conv2d2.weight",
        "beside.weight",
        "outer.weight",
    ];
    assert_eq!(names, expected);
}

#[test]
fn blocks_that_do_not_fit_are_refused_with_their_place() {
    let expect = |expected: &str, layer: Box<dyn Layer<f32>>| {
        let mut layers = layers![Input::new(3, 8, 6)];
        layers.push(layer);
        layers.push(Box::new(Flatten));
        assert_eq!(message(layers), expected);
    };
    expect(
        "layer 1 (Residual): the outputs of its paths must have one shape to be added up, they are 4x6x4, 3x8x6",
        Box::new(Residual::new(layers![Conv2D::new(4, 3)])),
    );
    expect(
        "layer 1 (Addition): the outputs of its paths must have one shape to be added up, they are 3x8x6, 144",
        Box::new(Addition::new([layers![ReLU], layers![Flatten]])),
    );
    expect(
        "layer 1 (Concatenation): the outputs of its paths must have images of one size to be joined, they are 4x6x4, 3x8x6",
        Box::new(Concatenation::new([layers![Conv2D::new(4, 3)], layers![]])),
    );
    for block in [
        Box::new(Addition::new([])) as Box<dyn Layer<f32>>,
        Box::new(Addition::new([layers![], layers![]])),
        Box::new(Concatenation::new([])),
        Box::new(Residual::new(layers![])),
        Box::new(Sequence::new(layers![])),
    ] {
        let expected = format!("layer 1 ({}): it has no layers", block.kind());
        expect(&expected, block);
    }
    expect(
        "layer 1 (Residual), path 0, layer 1 (Conv2D 'second'): convolution: the number of filters must be at least 1",
        Box::new(Residual::new(layers![ReLU, named("second", Conv2D::new(0, 3))])),
    );
    expect(
        "layer 1 (Sequence 'stage'), layer 0 (Concatenation), path 1, layer 0 (Dense): takes a vector of features, its \
         input is 3x8x6; put Flatten in front",
        Box::new(named(
            "stage",
            Sequence::new(layers![Concatenation::new([layers![ReLU], layers![Dense::new(2)]])]),
        )),
    );
    expect(
        "layer 1 (Residual), path 0, layer 0 (Input): only the first layer can be Input",
        Box::new(Residual::new(layers![Input::new(3, 8, 6)])),
    );
    for name in ["", "a b", "a\n"] {
        expect(
            &format!(
                "layer 1 (ReLU '{name}'): the name {name:?} is empty or has blanks or control characters in it"
            ),
            Box::new(named(name, ReLU)),
        );
    }
    expect(
        "layer 1 (Sequence), layer 1 (Conv2D 'same'): there are two tensors called 'sequence1.same.weight'",
        Box::new(Sequence::new(layers![named("same", Conv2D::new(1, 1)), named("same", Conv2D::new(1, 1))])),
    );
}

#[test]
fn a_block_is_neither_first_nor_last() {
    assert_eq!(
        message(layers![Residual::new(layers![ReLU])]),
        "the first layer must be Input, which gives the shape of a sample; it is Residual"
    );
    for block in [
        Box::new(Residual::new(layers![ReLU])) as Box<dyn Layer<f32>>,
        Box::new(Sequence::new(layers![Residual::new(layers![ReLU])])),
    ] {
        let expected =
            format!("layer 1 ({}): a block of paths cannot be last; put a layer behind it", block.kind());
        let mut layers = layers![Input::vector(3)];
        layers.push(block);
        assert_eq!(message(layers), expected);
    }
    build::<f32>(layers![Input::vector(3), named("head", Sequence::new(layers![Dense::new(2), Softmax]))]);
}

#[test]
fn the_summary_is_a_tree() {
    let network = build::<f32>(layers![
        Input::new(2, 4, 4),
        named(
            "block",
            Residual::new(layers![Conv2D::new(2, 3).padding(1).without_bias(), BatchNormalization::new()])
        ),
        Concatenation::new([layers![], layers![Conv2D::new(3, 1)]]),
        Flatten,
    ]);
    let expected = "
layer  type                    parameters  output shape  weight shape  padding  stride  path
----------------------------------------------------------------------------------------------
    0  Input                            0  2x4x4
    1  block: Residual                     2x4x4
  1.0    path 0
1.0.0      Conv2D                      36  2x4x4         2x2x3x3             1       1  direct
1.0.1      BatchNormalization           4  2x4x4
  1.1    path 1: identity                  2x4x4
    2  Concatenation                       5x4x4
  2.0    path 0: identity                  2x4x4
  2.1    path 1
2.1.0      Conv2D                       9  3x4x4         3x2x1x1             0       1  direct
    3  Flatten                          0  80
parameters: 49
";
    assert_eq!(network.summary(), expected[1..]);
}

/// A residual block whose input is used on three ways, with dropout on one of them.
fn diamond() -> Layers<f64> {
    layers![
        Input::new(1, 3, 3),
        Conv2D::new(2, 3).padding(1),
        Addition::new([
            layers![Dropout::new(0.5), Conv2D::new(2, 3).padding(1), Tanh],
            layers![],
            layers![Concatenation::new([
                layers![Conv2D::new(1, 1)],
                layers![Tanh, Conv2D::new(1, 3).padding(1)]
            ])],
        ]),
        Flatten,
        Dense::new(3),
        Softmax,
    ]
}

#[test]
fn a_diamond_with_dropout_on_one_side_has_its_gradient() {
    for isa in Isa::available() {
        check_gradient(isa, "diamond", diamond(), 5);
    }
}

/// The loss and gradient of `network` in a state in which nothing is symmetric.
fn evaluate<T: Element>(isa: Isa, layers: Layers<T>, n: usize, moved: Option<(usize, f64)>) -> (f64, Vec<T>) {
    let network = build(layers);
    let mut state = network.initial_state(0).expect("memory");
    state.params_mut().copy_from_slice(&values(7, 0, network.parameter_count(), 0.5));
    if let Some((index, by)) = moved {
        state.params_mut()[index] = T::from_f64(state.params()[index].to_f64() + by);
    }
    let x = values(7, 1, network.input_shape().elements() * n, 1.0);
    let labels = labels(7, 2, n, 3);
    let loss = CategoricalCrossEntropy::new();
    network.loss_and_gradients(&state, isa, &loss, Randomness::default(), &x, &labels)
}

/// Compares the gradient with central differences along twelve parameters.
fn check_gradient(isa: Isa, what: &str, layers: Layers<f64>, n: usize) {
    const H: f64 = 1.0 / (1u64 << 17) as f64;
    let network = build(layers);
    let mut state = network.initial_state(0).expect("memory");
    state.params_mut().copy_from_slice(&values(7, 0, network.parameter_count(), 0.5));
    let x = values(7, 1, network.input_shape().elements() * n, 1.0);
    let labels = labels(7, 2, n, 3);
    let mut loss = |index: usize, by: f64| {
        let old = state.params()[index];
        state.params_mut()[index] = old + by;
        let loss = CategoricalCrossEntropy::new();
        let result = network.loss_and_gradients(&state, isa, &loss, Randomness::default(), &x, &labels);
        state.params_mut()[index] = old;
        result
    };
    let (value, gradient) = loss(0, 0.0);
    let bound = 512.0 * f64::EPSILON * value.max(1.0) / H + 1e4 * H * H * largest(&gradient).max(1.0);
    let step = (gradient.len() / 12).max(1);
    for index in (0..gradient.len()).step_by(step) {
        let difference = (loss(index, H).0 - loss(index, -H).0) / (2.0 * H);
        assert!(
            (gradient[index] - difference).abs() <= bound,
            "{isa}, {what}: the gradient by parameter {index} is {}, the difference quotient {difference}, the bound \
             {bound:e}",
            gradient[index]
        );
    }
}

/// A random piece of a network, which keeps height and width.
#[derive(Debug, Clone)]
enum Piece {
    Conv(usize),
    Smooth,
    Normalise,
    Rectify,
    Drop,
    Add(Vec<Vec<Piece>>),
    Join(Vec<Vec<Piece>>),
}

fn pieces() -> impl Strategy<Value = Vec<Piece>> {
    let leaf = prop_oneof![
        (1usize..4).prop_map(Piece::Conv),
        Just(Piece::Smooth),
        Just(Piece::Normalise),
        Just(Piece::Rectify),
        Just(Piece::Drop),
    ];
    let piece = leaf.prop_recursive(3, 16, 3, |inner| {
        let path = prop::collection::vec(inner, 0..3);
        prop_oneof![
            prop::collection::vec(path.clone(), 1..4).prop_map(Piece::Add),
            prop::collection::vec(path, 1..4).prop_map(Piece::Join),
        ]
    });
    prop::collection::vec(piece, 1..5)
}

/// What layers pieces become.
#[derive(Debug, Clone, Copy)]
struct Style<R> {
    /// The layer of each ReLU.
    relu: R,
    /// So many channels for each filter of a piece.
    width: usize,
    /// Whether each path of an addition ends in a step that changes nothing, so that the layer in front of it
    /// cannot do the addition; otherwise it ends in a layer without a step.
    apart: bool,
}

/// Its output is its input.
#[derive(Debug)]
struct Through;

impl<T: Element> Layer<T> for Through {
    fn kind(&self) -> &'static str {
        "Through"
    }

    fn build(&mut self, input: Shape, _: &mut LayerPlan) -> Result<Shape, BuildError> {
        Ok(input)
    }

    fn placement(&self) -> Placement {
        Placement::InPlace
    }
}

/// The layers of `pieces` from `channels` channels on, and the channels behind them.
fn layers_of<T: Element, R: Layer<T> + Copy + 'static>(
    pieces: &[Piece],
    channels: usize,
    style: Style<R>,
) -> (Layers<T>, usize) {
    let (mut layers, mut channels) = (Vec::<Box<dyn Layer<T>>>::new(), channels);
    for piece in pieces {
        match piece {
            Piece::Conv(filters) => {
                channels = filters * style.width;
                layers.push(Box::new(Conv2D::new(channels, 3).padding(1)));
            }
            Piece::Smooth => layers.push(Box::new(Tanh)),
            Piece::Normalise => layers.push(Box::new(BatchNormalization::new().epsilon(0.1))),
            Piece::Rectify => layers.push(Box::new(style.relu)),
            Piece::Drop => layers.push(Box::new(Dropout::new(0.25))),
            Piece::Add(paths) => {
                // A convolution behind each path that changes the channels makes the shapes equal.
                let mut fitted = Vec::new();
                for path in paths {
                    let (mut path, out) = layers_of(path, channels, style);
                    if out != channels {
                        path.push(Box::new(Conv2D::new(channels, 1)));
                    }
                    path.push(if style.apart { Box::new(LeakyReLU::new(1.0)) } else { Box::new(Through) });
                    fitted.push(path);
                }
                if fitted.iter().any(|path| path.len() > 1) {
                    layers.push(Box::new(Addition::new(fitted)));
                }
            }
            Piece::Join(paths) => {
                let built: Vec<_> = paths.iter().map(|path| layers_of(path, channels, style)).collect();
                if built.iter().any(|(path, _)| !path.is_empty()) {
                    channels = built.iter().map(|(_, out)| out).sum();
                    layers.push(Box::new(Concatenation::new(built.into_iter().map(|(path, _)| path))));
                }
            }
        }
    }
    (layers, channels)
}

fn network_of<T: Element, R: Layer<T> + Copy + 'static>(pieces: &[Piece], relu: R) -> Layers<T> {
    styled_network(pieces, Style { relu, width: 1, apart: false }, [3, 2])
}

fn styled_network<T: Element, R: Layer<T> + Copy + 'static>(
    pieces: &[Piece],
    style: Style<R>,
    [height, width]: [usize; 2],
) -> Layers<T> {
    let channels = 2 * style.width;
    let mut layers = layers![Input::new(2, height, width), Conv2D::new(channels, 1)];
    layers.extend(layers_of(pieces, channels, style).0);
    layers.extend(layers![Flatten, Dense::new(3), Softmax]);
    layers
}

/// The outputs of a network for `n` samples, in use on `threads` threads.
fn in_use(layers: Layers<f32>, n: usize, threads: usize) -> Vec<f32> {
    let network = build(layers);
    let mut state = network.initial_state(5).expect("a state");
    let noise: Vec<f32> = values(6, 0, state.statistics().len(), 0.4);
    state.statistics_mut().iter_mut().zip(noise).for_each(|(value, noise)| *value += noise);
    let x: Vec<f32> = values(7, 0, network.input_shape().elements() * n, 1.0);
    in_pool(threads, || network.predict(&state, Isa::best(), &x, n))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// Rectified pieces are left out: at their kinks there is no derivative.
    #[test]
    fn gradients_of_random_networks_are_central_differences(pieces in pieces()) {
        check_gradient(Isa::best(), &format!("{pieces:?}"), network_of(&pieces, Tanh), 4);
    }

    /// Neither what a ReLU or an addition is fused with nor how buffers share memory changes a bit.
    #[test]
    fn fusion_changes_nothing_in_random_networks(pieces in pieces(), n in 2usize..20) {
        let isa = Isa::best();
        let fused = evaluate::<f32>(isa, network_of(&pieces, ReLU), n, None);
        let plain = evaluate::<f32>(isa, network_of(&pieces, PlainReLU::UNBOUNDED), n, None);
        prop_assert_eq!(&fused, &plain);
        let (relu, width) = (ReLU, 1);
        let apart = Style { relu, width, apart: true };
        // Gradients of one value are added in another order where there are further steps.
        let plain = evaluate::<f32>(isa, styled_network(&pieces, apart, [3, 2]), n, None);
        prop_assert_eq!(fused.0, plain.0);
        let apart = in_use(styled_network(&pieces, apart, [3, 2]), n, 1);
        prop_assert_eq!(in_use(network_of(&pieces, ReLU), n, 1), apart);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    /// Threads share layers of every kind, with additions and without.
    #[test]
    fn random_networks_give_the_bits_of_one_thread(pieces in pieces(), n in 1usize..4) {
        let network = || styled_network(&pieces, Style { relu: ReLU, width: 8, apart: false }, [40, 41]);
        let expected = in_use(network(), n, 1);
        for threads in [2, 3] {
            prop_assert_eq!(&in_use(network(), n, threads), &expected);
        }
    }
}

/// The gradient of the identity path reaches a part of what the ReLU is applied to, but not through it.
#[test]
fn a_relu_of_joined_paths_masks_its_own_gradient_alone() {
    let path = vec![Piece::Join(vec![vec![], vec![Piece::Conv(1)]]), Piece::Rectify];
    let pieces = [Piece::Add(vec![path, vec![]])];
    for isa in Isa::available() {
        let fused = evaluate::<f64>(isa, network_of(&pieces, ReLU), 5, None);
        assert_eq!(fused, evaluate::<f64>(isa, network_of(&pieces, PlainReLU::UNBOUNDED), 5, None), "{isa}");
    }
}

/// Pools have nothing that could be frozen, and a frozen dropout is none. The gradient goes through them to
/// the convolution in front.
#[test]
fn gradients_go_through_frozen_layers_without_parameters() {
    let data = isograd_datasets::Synthetic { seed: 1, sample_shape: [2, 6, 6], num_classes: 4 };
    let data = data.samples(0..48).expect("a data set");
    let train = |layer: Box<dyn Layer<f32>>| {
        let mut layers =
            layers![Input::new(2, 6, 6), Conv2D::new(3, 3).padding(1), Flatten, Dense::new(4), Softmax];
        layers.insert(2, layer);
        let config = TrainConfig { batch_size: 16, shard_size: 8, ..TrainConfig::default() };
        let mut trainer = Trainer::new(build(layers), config).expect("a trainer");
        trainer.train_epoch(&data, |_| ()).expect("finite losses");
        trainer.state().params_sha256()
    };
    let frozen = |layer: Box<dyn Layer<f32>>| train(Box::new(Frozen::boxed(layer)));
    assert_eq!(frozen(Box::new(MaxPool2D::new(2))), train(Box::new(MaxPool2D::new(2))));
    assert_eq!(frozen(Box::new(AdaptiveMaxPool2D::new(4))), train(Box::new(AdaptiveMaxPool2D::new(4))));
    assert_eq!(frozen(Box::new(Dropout::new(0.5))), train(Box::new(Dropout::new(0.0))));
}

#[test]
fn frozen_layers_stay_as_they_are() {
    let layers = || {
        layers![
            Input::new(1, 4, 4),
            Frozen::new(Sequence::new(layers![
                Conv2D::new(2, 3).padding(1),
                BatchNormalization::new(),
                ReLU
            ])),
            Residual::new(layers![Conv2D::new(2, 3).padding(1), BatchNormalization::new()]),
            ReLU,
            Flatten,
            Dense::new(4),
            Softmax,
        ]
    };
    let data = isograd_datasets::Synthetic { seed: 1, sample_shape: [1, 4, 4], num_classes: 4 };
    let data = data.samples(0..48).expect("a data set");
    let train = |network: Network<f32>| {
        let config = TrainConfig { batch_size: 16, shard_size: 8, ..TrainConfig::default() };
        let mut trainer = Trainer::new(network, config).expect("a trainer");
        let before = (trainer.state().params().to_vec(), trainer.state().statistics().to_vec());
        trainer.train_epoch(&data, |_| ()).expect("finite losses");
        let after = (trainer.state().params().to_vec(), trainer.state().statistics().to_vec());
        let network = trainer.network();
        for (tensors, before, after) in
            [(network.parameters(), before.0, after.0), (network.statistics(), before.1, after.1)]
        {
            for tensor in tensors {
                let is_equal = before[tensor.range.clone()] == after[tensor.range.clone()];
                assert_eq!(is_equal, tensor.frozen, "{}", tensor.name);
            }
        }
        trainer.state().params_sha256()
    };
    let wrapped = build(layers());
    assert_eq!(wrapped.parameters().iter().filter(|tensor| tensor.frozen).count(), 4);
    let mut named = build(layers());
    // Both ways to freeze give the same bits.
    assert_eq!(named.freeze("sequence1.*").expect("such names"), 4);
    assert_eq!(train(wrapped), train(named));

    let mut part = build(layers());
    assert_eq!(part.freeze("residual1.*.bias").expect("such names"), 2);
    let (_, gradients) = part.loss_and_gradients(
        &part.initial_state(0).expect("memory"),
        Isa::best(),
        &CategoricalCrossEntropy::new(),
        Randomness::default(),
        &values(7, 1, 16 * 4, 1.0),
        &[0, 1, 2, 3],
    );
    for tensor in part.parameters() {
        let has_any = gradients[tensor.range.clone()].iter().any(|g| *g != 0.0);
        assert!(!(has_any && tensor.frozen), "{} has a gradient", tensor.name);
    }
    train(part);
    let error = build(layers()).freeze("sequenze1.conv2d1.weight").expect_err("no such name").to_string();
    assert_eq!(
        error,
        "no parameter's name matches 'sequenze1.conv2d1.weight'; did you mean 'sequence1.conv2d1.weight'?"
    );
}
