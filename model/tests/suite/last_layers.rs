//! What the last layers give and what the loss takes: a trainer refuses what could not be learnt.

use crate::common::build;
use isograd_model::layer::*;
use isograd_model::loss::{self, Loss, LossInput, Takes};
use isograd_model::{BuildError, Shape, TrainConfig, Trainer, layers};
use std::sync::Arc;

type Layers = Vec<Box<dyn Layer<f32>>>;

fn try_trainer(loss: &str, layers: Layers) -> Result<(), String> {
    let config = TrainConfig { loss: loss::by_name(loss).expect("a known name"), ..TrainConfig::default() };
    Trainer::new(build(layers), config).map(|_| ()).map_err(|error| error.to_string())
}

fn refuse(loss: &str, layers: Layers, expected: &str) {
    let message = try_trainer(loss, layers).expect_err("a network that cannot learn");
    assert_eq!(message, expected);
}

fn accept(loss: &str, layers: Layers) {
    try_trainer(loss, layers).unwrap_or_else(|error| panic!("{error}"));
}

/// Three numbers, and `layers` behind them.
macro_rules! behind_dense {
    ($($layer:expr),* $(,)?) => { layers![Input::vector(5), Dense::new(3) $(, $layer)*] };
}

/// An image of three channels, and `layers` behind it.
macro_rules! behind_conv {
    ($($layer:expr),* $(,)?) => { layers![Input::new(1, 4, 4), Conv2D::new(3, 3) $(, $layer)*] };
}

#[test]
fn a_cross_entropy_on_categories_takes_a_softmax() {
    let takes = "categorical_cross_entropy takes probabilities that add up to 1, as Softmax gives them, but the last layer, ";
    let expect = |layers, rest: &str| refuse("categorical_cross_entropy", layers, &format!("{takes}{rest}"));
    let scores = "gives numbers of any size; add Softmax behind it";
    expect(behind_dense!(), &format!("layer 1 (Dense), {scores}"));
    expect(behind_dense!(ReLU), &format!("layer 2 (ReLU), {scores}"));
    let bounded = "gives numbers within bounds that are no probabilities; put Softmax in its place";
    expect(behind_dense!(Tanh), &format!("layer 2 (Tanh), {bounded}"));
    expect(behind_dense!(LogSigmoid), &format!("layer 2 (LogSigmoid), {bounded}"));
    expect(behind_dense!(BatchNormalization::new()), &format!("layer 2 (BatchNormalization), {scores}"));
    expect(behind_conv!(Flatten), &format!("layer 2 (Flatten), {scores}"));
    expect(behind_conv!(MaxPool2D::new(2)), &format!("layer 2 (MaxPool2D), {scores}"));
    // A softmax further inside is not the network's output.
    expect(behind_dense!(Softmax, Dense::new(3)), &format!("layer 3 (Dense), {scores}"));
    expect(
        behind_dense!(Softmax, Dropout::new(0.5)),
        "layer 3 (Dropout), gives numbers of any size; make Softmax the last layer",
    );
    expect(
        behind_dense!(Sigmoid),
        "layer 2 (Sigmoid), gives a probability for each output on its own; put Softmax in the place of Sigmoid, or use \
         binary_cross_entropy",
    );
    expect(
        behind_conv!(Softmax),
        "layer 2 (Softmax), gives probabilities that add up to 1 at each pixel; put Flatten in front of Softmax, and \
         Softmax last",
    );
    expect(
        behind_conv!(Softmax, Flatten),
        "layer 3 (Flatten), gives a probability for each output on its own; put Flatten in front of Softmax, and Softmax last",
    );

    expect(
        behind_dense!(HardSigmoid),
        "layer 2 (HardSigmoid), gives a probability for each output on its own; put Softmax in its place, or use \
         binary_cross_entropy",
    );
    expect(behind_dense!(GELU::new()), &format!("layer 2 (GELU), {scores}"));
    // Zeros among the pixels take from the sum.
    expect(
        behind_conv!(Softmax, AveragePool2D::new(4).padding(2).stride(8).count_padding()),
        "layer 3 (AveragePool2D), gives a probability for each output on its own; put Flatten in front of Softmax, and \
         Softmax last",
    );

    accept("categorical_cross_entropy", behind_dense!(Softmax));
    accept("categorical_cross_entropy", behind_dense!(ReLU, Softmax));
    accept("categorical_cross_entropy", behind_dense!(Softmax, Dense::new(4), Softmax));
    accept("categorical_cross_entropy", behind_dense!(Softmax, Flatten));
    accept("categorical_cross_entropy", behind_conv!(Flatten, Softmax));
    // The mean of the pixels' distributions is one.
    accept("categorical_cross_entropy", behind_conv!(Softmax, AveragePool2D::new(0)));
    accept("categorical_cross_entropy", behind_conv!(Softmax, AveragePool2D::global()));
    accept("categorical_cross_entropy", behind_conv!(Softmax, AdaptiveAveragePool2D::new(1)));
    accept("categorical_cross_entropy", behind_conv!(AveragePool2D::new(0), Softmax));
    accept("categorical_cross_entropy", behind_conv!(Sigmoid, Flatten, Dense::new(3), Softmax));
}

#[test]
fn a_binary_cross_entropy_takes_probabilities() {
    let takes = "binary_cross_entropy takes probabilities, as Sigmoid gives them, but the last layer, ";
    let expect = |layers, rest: &str| refuse("binary_cross_entropy", layers, &format!("{takes}{rest}"));
    expect(behind_dense!(), "layer 1 (Dense), gives numbers of any size; add Sigmoid behind it");
    expect(
        behind_dense!(Tanh),
        "layer 2 (Tanh), gives numbers within bounds that are no probabilities; put Sigmoid in its place",
    );
    expect(
        behind_dense!(Softmax, Dropout::new(0.5)),
        "layer 3 (Dropout), gives numbers of any size; make Softmax the last layer",
    );
    expect(
        behind_dense!(Sigmoid, Dropout::new(0.5)),
        "layer 3 (Dropout), gives numbers of any size; make Sigmoid the last layer",
    );
    accept("binary_cross_entropy", behind_dense!(Sigmoid));
    accept("binary_cross_entropy", behind_dense!(Softmax));
    accept("binary_cross_entropy", behind_dense!(Softmax, Dropout::new(0.0)));
    accept("binary_cross_entropy", behind_dense!(HardSigmoid));
    accept("binary_cross_entropy", behind_conv!(Sigmoid));
    accept("binary_cross_entropy", behind_conv!(Softmax, ZeroPadding2D::new(1)));
    accept("binary_cross_entropy", behind_conv!(Sigmoid, MaxPool2D::new(0), Flatten));
}

#[test]
fn a_loss_of_distances_takes_anything() {
    for loss in ["mean_squared_error", "mean_absolute_error", "huber", "categorical_hinge"] {
        for layers in [behind_dense!(), behind_dense!(Tanh), behind_dense!(Sigmoid), behind_dense!(Softmax)] {
            accept(loss, layers);
        }
    }
}

/// A loss of a user that takes scores alone.
#[derive(Debug)]
struct OfScores;

impl Loss<f32> for OfScores {
    fn name(&self) -> &'static str {
        "of_scores"
    }

    fn takes(&self) -> Takes {
        Takes::Scores
    }

    fn evaluate(&self, _: LossInput<'_, f32>) -> f64 {
        unreachable!("nothing is trained")
    }
}

#[test]
fn a_loss_of_scores_takes_no_probabilities() {
    let try_trainer = |layers| {
        let config = TrainConfig { loss: Arc::new(OfScores), ..TrainConfig::default() };
        Trainer::new(build(layers), config).map(|_| ()).map_err(|error| error.to_string())
    };
    for layers in [behind_dense!(), behind_dense!(Tanh), behind_dense!(Own(None))] {
        try_trainer(layers).unwrap_or_else(|error| panic!("{error}"));
    }
    assert_eq!(
        try_trainer(behind_dense!(Sigmoid)).expect_err("probabilities"),
        "of_scores takes numbers of any size, but the last layer, layer 2 (Sigmoid), gives probabilities; remove what \
         makes them probabilities"
    );
}

#[test]
fn probabilities_are_not_squashed_again() {
    let expect = |loss, layers, index, kind, first, first_kind| {
        let expected = format!(
            "layer {index} ({kind}) takes numbers of any size, but layer {first} ({first_kind}) gives probabilities; \
             remove one of the two"
        );
        refuse(loss, layers, &expected);
    };
    for loss in ["categorical_cross_entropy", "binary_cross_entropy", "mean_squared_error"] {
        expect(loss, behind_dense!(Softmax, Softmax), 3, "Softmax", 2, "Softmax");
        expect(loss, behind_dense!(Sigmoid, Softmax), 3, "Softmax", 2, "Sigmoid");
        expect(loss, behind_dense!(Sigmoid, Flatten, Softmax), 4, "Softmax", 2, "Sigmoid");
        expect(loss, behind_dense!(Softmax, ReLU, Softmax, Flatten), 4, "Softmax", 2, "Softmax");
        // What lies between changes the probabilities, but not their size.
        expect(loss, behind_dense!(Softmax, Dropout::new(0.5), Softmax), 4, "Softmax", 2, "Softmax");
        expect(loss, behind_dense!(Softmax, Tanh, Softmax), 4, "Softmax", 2, "Softmax");
    }
    expect("binary_cross_entropy", behind_dense!(Softmax, Sigmoid), 3, "Sigmoid", 2, "Softmax");
}

#[test]
fn a_softmax_has_several_outputs() {
    let expected = "layer 2 (Softmax) has one output, which is always 1; use one output for each class, or Sigmoid with \
                    binary_cross_entropy";
    for loss in ["categorical_cross_entropy", "binary_cross_entropy", "mean_squared_error"] {
        refuse(loss, layers![Input::vector(5), Dense::new(1), Softmax], expected);
    }
}

/// A layer of a user that hands its input on, and says what its output is, or nothing.
#[derive(Debug)]
struct Own(Option<OutputKind>);

impl Layer<f32> for Own {
    fn kind(&self) -> &'static str {
        "Own"
    }

    fn build(&mut self, input: Shape, _: &mut LayerPlan) -> Result<Shape, BuildError> {
        Ok(input)
    }

    fn output_kind(&self, _: OutputKind, _: Shape) -> OutputKind {
        self.0.unwrap_or(OutputKind::Unknown)
    }

    fn forward(&self, _: &Context<'_, f32>, x: &[f32], y: &mut [f32], _: Memory<'_, f32>) {
        y.copy_from_slice(x);
    }

    fn backward(&self, _: &Context<'_, f32>, tensors: Backward<'_, f32>, _: Memory<'_, f32>) {
        if let Some(dx) = tensors.dx {
            dx.copy_from_slice(tensors.dy);
        }
    }
}

#[test]
fn layers_of_a_user_are_believed() {
    for loss in ["categorical_cross_entropy", "binary_cross_entropy", "mean_squared_error"] {
        accept(loss, behind_dense!(Own(None)));
        accept(loss, behind_dense!(Own(Some(OutputKind::Distribution))));
        accept(loss, behind_dense!(Softmax, Own(None)));
    }
    refuse(
        "categorical_cross_entropy",
        behind_dense!(Softmax, Own(Some(OutputKind::Scores))),
        "categorical_cross_entropy takes probabilities that add up to 1, as Softmax gives them, but the last layer, layer 3 (Own), \
         gives numbers of any size; make Softmax the last layer",
    );
    refuse(
        "mean_squared_error",
        behind_dense!(Own(Some(OutputKind::Distribution)), Softmax),
        "layer 3 (Softmax) takes numbers of any size, but layer 2 (Own) gives probabilities; remove one of the two",
    );
}
