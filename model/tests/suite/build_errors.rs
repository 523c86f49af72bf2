//! Networks that do not fit together: each is refused with its layer and its numbers.

use isograd_model::{
    BuildError, Error, Initializer, Network, Shape, layer::*, layers, loss, metric, optimizer, zoo,
};

type Layers = Vec<Box<dyn Layer<f32>>>;

fn message(layers: Layers) -> String {
    match Network::build(layers) {
        Ok(network) => panic!("this network should not be built:\n{}", network.summary()),
        Err(error) => error.to_string(),
    }
}

fn expect(expected: &str, layers: Layers) {
    assert_eq!(message(layers), expected);
}

/// `layer` as the second layer, behind 3x8x6 images.
fn behind_an_image(layer: impl Layer<f32> + 'static) -> Layers {
    layers![Input::new(3, 8, 6), layer]
}

#[test]
fn the_first_layer_must_be_input_and_no_other() {
    expect("the first layer must be Input, which gives the shape of a sample; it is missing", vec![]);
    expect(
        "the first layer must be Input, which gives the shape of a sample; it is Dense",
        layers![Dense::new(3)],
    );
    expect(
        "layer 2 (Input): only the first layer can be Input",
        layers![Input::vector(4), ReLU, Input::vector(4)],
    );
}

#[test]
fn inputs_have_elements() {
    expect("layer 0 (Input): the channels must be at least 1, it is 0", layers![Input::vector(0)]);
    expect("layer 0 (Input): the height must be at least 1, it is 0", layers![Input::new(3, 0, 2)]);
    expect("layer 0 (Input): the width must be at least 1, it is 0", layers![Input::new(3, 2, 0)]);
    expect(
        "layer 0 (Input): the layer has more elements than can be addressed",
        layers![Input::new(1 << 40, 1 << 20, 1 << 20)],
    );
}

#[test]
fn dense_takes_vectors() {
    expect(
        "layer 1 (Dense): takes a vector of features, its input is 3x8x6; put Flatten in front",
        behind_an_image(Dense::new(10)),
    );
    expect(
        "layer 2 (Dense): the number of outputs must be at least 1, it is 0",
        layers![Input::new(3, 8, 6), Flatten, Dense::new(0)],
    );
    expect(
        "layer 1 (Dense): the layer has more elements than can be addressed",
        layers![Input::vector(1 << 40), Dense::new(1 << 40)],
    );
}

#[test]
fn convolutions_fit_their_images() {
    expect(
        "layer 1 (Conv2D): convolution: a kernel of 9 (dilation 1) does not fit in an image of 8 with padding 0",
        behind_an_image(Conv2D::new(4, [9, 3])),
    );
    expect(
        "layer 1 (Conv2D): convolution: a kernel of 5 (dilation 3) does not fit in an image of 6 with padding 2",
        behind_an_image(Conv2D::new(4, [3, 5]).dilation(3).padding(2)),
    );
    for (what, layer) in [
        ("the number of filters", Conv2D::new(0, 3)),
        ("the kernel height", Conv2D::new(4, [0, 3])),
        ("the kernel width", Conv2D::new(4, [3, 0])),
        ("the stride", Conv2D::new(4, 3).stride([1, 0])),
        ("the dilation", Conv2D::new(4, 3).dilation([0, 1])),
    ] {
        expect(&format!("layer 1 (Conv2D): convolution: {what} must be at least 1"), behind_an_image(layer));
    }
    expect(
        "layer 1 (Conv2D): convolution: the shape has more elements than can be addressed",
        behind_an_image(Conv2D::new(1 << 60, 3)),
    );
    // The second convolution gets what the first leaves: 6x4.
    expect(
        "layer 3 (Conv2D): convolution: a kernel of 5 (dilation 1) does not fit in an image of 4 with padding 0",
        layers![Input::new(3, 8, 6), Conv2D::new(2, 3), ReLU, Conv2D::new(2, 5)],
    );
}

#[test]
fn pooling_windows_fit_their_images() {
    expect(
        "layer 1 (MaxPool2D): a pooling window spans 7 elements of the width, which has only 6, padding included",
        behind_an_image(MaxPool2D::new([2, 7])),
    );
    expect(
        "layer 1 (AveragePool2D): a pooling window spans 9 elements of the height, which has only 8, padding included",
        behind_an_image(AveragePool2D::new(3).dilation([4, 1])),
    );
    expect(
        "layer 1 (MaxPool2D): pooling with padding 2 of the height: it must be less than the 2 elements that the window spans",
        behind_an_image(MaxPool2D::new(2).padding([2, 0])),
    );
    expect(
        "layer 1 (AveragePool2D): pooling with stride 1x0 and dilation 1x1: each number must be at least 1",
        behind_an_image(AveragePool2D::new(2).stride([1, 0])),
    );
}

/// A layer of a user: what it returns, where its output lies, and what it reserves.
#[derive(Debug, Clone)]
struct Own {
    output: Shape,
    placement: Placement,
    reserve: fn(&mut LayerPlan) -> Result<std::ops::Range<usize>, BuildError>,
}

impl Own {
    fn returns(output: Shape) -> Self {
        Self { output, placement: Placement::Own, reserve: |_| Ok(0..0) }
    }

    fn reserves(reserve: fn(&mut LayerPlan) -> Result<std::ops::Range<usize>, BuildError>) -> Self {
        Self { reserve, ..Self::returns(Shape::vector(1)) }
    }
}

impl Layer<f32> for Own {
    fn kind(&self) -> &'static str {
        "Own"
    }

    fn build(&mut self, _: Shape, plan: &mut LayerPlan) -> Result<Shape, BuildError> {
        (self.reserve)(plan)?;
        Ok(self.output)
    }

    fn placement(&self) -> Placement {
        self.placement
    }

    fn forward(&self, _: &Context<'_, f32>, _: &[f32], _: &mut [f32], _: Memory<'_, f32>) {}

    fn backward(&self, _: &Context<'_, f32>, _: Backward<'_, f32>, _: Memory<'_, f32>) {}
}

#[test]
fn outputs_of_a_users_layer_have_elements() {
    for (output, shown) in [
        (Shape::vector(0), "0x1x1"),
        (Shape::image(2, 0, 3), "2x0x3"),
        (Shape::image(2, 3, 0), "2x3x0"),
        (Shape::image(0, usize::MAX, usize::MAX), "0x18446744073709551615x18446744073709551615"),
    ] {
        let expected = format!(
            "layer 1 (Own): its output {shown} has no elements: each of channels, height and width must be at least 1"
        );
        expect(&expected, behind_an_image(Own::returns(output)));
    }
    expect(
        "layer 1 (Own): the layer has more elements than can be addressed",
        behind_an_image(Own::returns(Shape::image(1 << 40, 1 << 20, 1 << 20))),
    );
    let in_place = |output| Own { placement: Placement::InPlace, ..Own::returns(output) };
    expect(
        "layer 1 (Own): its output 2x8x6 takes the place of its input 3x8x6, which has another number of elements",
        behind_an_image(in_place(Shape::image(2, 8, 6))),
    );
    Network::build(behind_an_image(in_place(Shape::image(8, 3, 6)))).expect("as many elements");
}

#[test]
fn tensors_of_a_users_layer_have_elements_and_names_of_their_own() {
    let expect = |expected: &str, reserve| {
        expect(&format!("layer 1 (Own): {expected}"), behind_an_image(Own::reserves(reserve)));
    };
    expect("its tensor 'w' has the dimensions [3, 0], which hold no element", |plan| {
        plan.parameter("w", &[3, 0], Initializer::Zeros, Fans::ELEMENTWISE)
    });
    expect("its tensor 's' has the dimensions [0], which hold no element", |plan| {
        plan.statistic("s", &[0], Initializer::Zeros, 0.5)
    });
    expect("there are two tensors called 'own1.w'", |plan| {
        plan.parameter("w", &[3], Initializer::Zeros, Fans::ELEMENTWISE)?;
        plan.statistic("w", &[3], Initializer::Zeros, 0.5)
    });
    expect("each fan of a tensor must be at least 1, it is 0", |plan| {
        plan.parameter("w", &[3], Initializer::HeNormal, Fans { inputs: 0, outputs: 3 })
    });
    expect("the momentum must be between 0 and 1, it is NaN", |plan| {
        plan.statistic("s", &[3], Initializer::Zeros, f64::NAN)
    });
}

#[test]
fn numbers_are_in_their_ranges() {
    expect(
        "layer 1 (Dropout): the rate must be between 0 and 1, it is 1.5",
        behind_an_image(Dropout::new(1.5)),
    );
    expect(
        "layer 1 (Dropout): the rate must be between 0 and 1, it is NaN",
        behind_an_image(Dropout::new(f64::NAN)),
    );
    expect(
        "layer 1 (BatchNormalization): the momentum must be between 0 and 1, it is -0.1",
        behind_an_image(BatchNormalization::new().momentum(-0.1)),
    );
    for (epsilon, shown) in [(0.0, "0"), (f64::NAN, "NaN"), (f64::INFINITY, "inf")] {
        expect(
            &format!("layer 1 (BatchNormalization): epsilon must be a positive number, it is {shown}"),
            behind_an_image(BatchNormalization::new().epsilon(epsilon)),
        );
    }
}

#[test]
fn further_layers_check_their_numbers() {
    let out_of_range = |what: &str, layer: Box<dyn Layer<f32>>| {
        let kind = layer.kind();
        expect(&format!("layer 1 ({kind}): {what}"), vec![Box::new(Input::new(3, 8, 6)), layer]);
    };
    let lrn = LocalResponseNormalization::new;
    let at_least_0 = "must be a number of at least 0, it is";
    out_of_range(&format!("the slope {at_least_0} -0.1"), Box::new(LeakyReLU::new(-0.1)));
    out_of_range(&format!("the slope {at_least_0} NaN"), Box::new(LeakyReLU::new(f64::NAN)));
    out_of_range(&format!("alpha {at_least_0} inf"), Box::new(ELU::new(f64::INFINITY)));
    out_of_range("the size must be at least 1, it is 0", Box::new(lrn().size(0)));
    out_of_range(&format!("alpha {at_least_0} -1"), Box::new(lrn().alpha(-1.0)));
    out_of_range(&format!("beta {at_least_0} NaN"), Box::new(lrn().beta(f64::NAN)));
    out_of_range("k must be a positive number, it is 0", Box::new(lrn().k(0.0)));
    out_of_range(
        "pooling to an image of 2x0: each number must be at least 1",
        Box::new(AdaptiveAveragePool2D::new([2, 0])),
    );
    out_of_range(
        "pooling to an image of 0x0: each number must be at least 1",
        Box::new(AdaptiveMaxPool2D::new(0)),
    );
    out_of_range(
        "the layer has more elements than can be addressed",
        Box::new(ZeroPadding2D::new([usize::MAX, 0, 0, 0])),
    );
    out_of_range(
        "a pooling window spans 11 elements of the height, which has only 8, padding included",
        Box::new(MaxPool2D::new([11, 2]).stride(3).ceil_mode()),
    );
}

#[test]
fn unknown_names_are_answered_with_known_ones() {
    let shape = Shape::image(1, 28, 28);
    let errors = [
        (
            zoo::by_name::<f32>("simplecn", shape, 10).expect_err("no such model"),
            "model 'simplecn'",
            Some("simplecnn"),
        ),
        (optimizer::by_name::<f32>("Adma").expect_err("no such optimizer"), "optimizer 'Adma'", Some("adam")),
        (
            loss::by_name::<f32>("mean_square_error").expect_err("no such loss"),
            "loss 'mean_square_error'",
            Some("mean_squared_error"),
        ),
        (metric::by_name::<f32>("accuracy").expect_err("no such metric"), "metric 'accuracy'", None),
        (
            "henormal".parse::<Initializer>().expect_err("no such initializer"),
            "initializer 'henormal'",
            Some("he_normal"),
        ),
        (zoo::by_name::<f32>("xyz", shape, 10).expect_err("no such model"), "model 'xyz'", None),
    ];
    for (error, what, nearest) in errors {
        let message = error.to_string();
        assert!(message.starts_with(&format!("unknown {what}; known are ")), "{message}");
        match nearest {
            Some(name) => assert!(message.ends_with(&format!("; did you mean '{name}'?")), "{message}"),
            None => assert!(matches!(error, Error::UnknownName { .. }), "{message}"),
        }
    }
}
