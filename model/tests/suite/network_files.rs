//! Networks in files: what is written is read back, and every mistake is found at its place.

use isograd_kernels::{Accum, Size2};
use isograd_model::file::{self, FileError, MAX_BYTES, MAX_DEPTH, MAX_LAYERS};
use isograd_model::layer::*;
use isograd_model::{BuildError, Error, Initializer, Network, Shape, layers, zoo};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

const EXAMPLE: &str = include_str!("../../examples/net.toml");

/// A layer in a box, as strategies make them.
type Boxed = Box<dyn Layer<f32>>;

fn boxed(layer: impl Layer<f32> + 'static) -> Boxed {
    Box::new(layer)
}

/// The message for the mistake in `text`.
#[track_caller]
fn message(text: &str) -> String {
    match file::network::<f32>(text) {
        Ok(_) => panic!("no mistake in:\n{text}"),
        Err(error) => error.to_string(),
    }
}

/// The message for a file with `entry` as its second layer, which begins at line 4, column 2.
#[track_caller]
fn message_of(entry: &str) -> String {
    message(&format!("input = [3, 8, 8]\nvariables = {{ width = 16 }}\nlayers = [ 'ReLU',\n {entry} ]\n"))
}

#[test]
fn the_example_is_a_network() {
    let network = file::network::<f32>(EXAMPLE).unwrap_or_else(|error| panic!("{error}"));
    let names: Vec<&str> = network.parameters().iter().map(|tensor| tensor.name.as_str()).collect();
    assert_eq!(names[..3], ["stem.weight", "stem.bias", "stage1.first.conv2d1.weight"]);
    for name in ["stage1.first.shortcut.bias", "stage2.unit0.conv2d1.weight", "classifier.weight"] {
        assert!(names.contains(&name), "'{name}' is not in {names:?}");
    }
    let classifier = &network.parameters()[names.len() - 2];
    assert_eq!((&classifier.dims[..], classifier.initializer), (&[10, 16 + 4][..], Initializer::HeNormal));
    assert_eq!((network.input_shape(), network.output_shape()), (Shape::image(3, 32, 32), Shape::vector(10)));
}

/// The example with all repetitions written out.
#[test]
fn repetitions_and_variables_are_what_they_stand_for() {
    let unit = |filters: usize| {
        layers![Conv2D::new(filters, 3).padding(1).without_bias(), BatchNormalization::new()]
    };
    let mut expected: Layers<f32> =
        layers![Input::new(3, 32, 32), named("stem", Conv2D::new(8, 3).padding(1))];
    for (stage, filters) in [(1, 8), (2, 16)] {
        let mut body: Layers<f32> = layers![
            Conv2D::new(filters, 3).stride(2).padding(1).without_bias(),
            BatchNormalization::new(),
            ReLU,
        ];
        body.extend(unit(filters));
        let shortcut = layers![named("shortcut", Conv2D::new(filters, 1).stride(2))];
        expected.extend(layers![
            named(format!("stage{stage}.first"), Residual::new(body).projection(shortcut)),
            ReLU,
            named(format!("stage{stage}.unit0"), Residual::new(unit(filters))),
            ReLU,
        ]);
    }
    expected.extend(layers![
        Concatenation::new([layers![], layers![Conv2D::new(4, 1), ReLU]]),
        AveragePool2D::global(),
        Flatten,
        named("classifier", Dense::new(10).initializers(Initializer::HeNormal, Initializer::Zeros)),
        Softmax,
    ]);
    let read = file::layers::<f32>(EXAMPLE).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(format!("{read:#?}"), format!("{expected:#?}"));
}

#[test]
fn every_network_of_the_zoo_is_read_back_as_it_was_written() {
    /// A network with more parameters has its initial state left out.
    const SMALL: usize = 1_000_000;
    for model in &zoo::ALL {
        let layers = || model.layers::<f32>(model.input, model.classes);
        let text = file::to_toml(layers()).unwrap_or_else(|error| panic!("{}: {error}", model.name));
        let read = file::layers::<f32>(&text).unwrap_or_else(|error| panic!("{}: {error}", model.name));
        // Debug shows all that a layer holds before it is built.
        assert!(format!("{read:?}") == format!("{:?}", layers()), "{} differs:\n{text}", model.name);
        let (read, built) = (file::network::<f32>(&text), Network::build(layers()));
        let (read, built) = (read.expect("it was read before"), built.expect("a network of the zoo"));
        assert_eq!(read.parameters(), built.parameters(), "{}", model.name);
        assert_eq!(read.statistics(), built.statistics(), "{}", model.name);
        assert_eq!(read.summary(), built.summary(), "{}", model.name);
        if built.parameter_count() < SMALL {
            let hash = |network: &Network<f32>| network.initial_state(7).expect("memory").params_sha256();
            assert_eq!(hash(&read), hash(&built), "{}", model.name);
        }
    }
}

fn size() -> impl Strategy<Value = Size2> {
    [0usize..5, 0usize..5].prop_map(Size2::from)
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![any::<f64>(), Just(0.5), Just(f64::INFINITY), Just(f64::NAN)]
}

fn initializers() -> impl Strategy<Value = [Initializer; 2]> {
    let one = || select(&Initializer::NAMES[..]).prop_map(|name| name.parse().expect("a known name"));
    [one(), one()]
}

fn convolution() -> impl Strategy<Value = Boxed> {
    let sizes = (size(), size(), size(), size());
    (0usize..1 << 31, sizes, 1usize..9, any::<bool>(), initializers()).prop_map(
        |(filters, (kernel, stride, padding, dilation), groups, has_bias, [weights, biases])| {
            let layer = Conv2D::new(filters, kernel).stride(stride).padding(padding).dilation(dilation);
            let layer = layer.groups(groups).initializers(weights, biases);
            boxed(if has_bias { layer } else { layer.without_bias() })
        },
    )
}

fn pooling() -> impl Strategy<Value = Boxed> {
    let rest = (proptest::option::of(size()), size(), size(), any::<[bool; 2]>());
    (any::<bool>(), size(), rest).prop_map(|(is_max, size, (stride, padding, dilation, [up, counts]))| {
        macro_rules! pool {
            ($type:ident) => {{
                let layer = $type::new(size).padding(padding).dilation(dilation);
                let layer = if up { layer.ceil_mode() } else { layer };
                if let Some(stride) = stride { layer.stride(stride) } else { layer }
            }};
        }
        match (is_max, counts) {
            (true, _) => boxed(pool!(MaxPool2D)),
            (false, false) => boxed(pool!(AveragePool2D)),
            (false, true) => boxed(pool!(AveragePool2D).count_padding()),
        }
    })
}

fn normalisation() -> impl Strategy<Value = Boxed> {
    (number(), number(), any::<[bool; 2]>()).prop_map(|(momentum, epsilon, [scale, shift])| {
        let layer = BatchNormalization::new().momentum(momentum).epsilon(epsilon);
        let layer = if scale { layer } else { layer.without_scale() };
        boxed(if shift { layer } else { layer.without_shift() })
    })
}

/// The layers whose only options are numbers, and those without any.
fn simple() -> impl Strategy<Value = Boxed> {
    let plain: [fn() -> Boxed; 14] = [
        || boxed(Flatten),
        || boxed(ReLU),
        || boxed(ReLU6),
        || boxed(SiLU),
        || boxed(GELU::new()),
        || boxed(GELU::tanh()),
        || boxed(HardSwish),
        || boxed(HardSigmoid),
        || boxed(Softplus),
        || boxed(Sigmoid),
        || boxed(LogSigmoid),
        || boxed(Tanh),
        || boxed(ArcTanh),
        || boxed(Softmax),
    ];
    let response = (0usize..9, number(), number(), number()).prop_map(|(size, alpha, beta, k)| {
        boxed(LocalResponseNormalization::new().size(size).alpha(alpha).beta(beta).k(k))
    });
    prop_oneof![
        (0usize..14).prop_map(move |index| plain[index]()),
        number().prop_map(|rate| boxed(Dropout::new(rate))),
        number().prop_map(|slope| boxed(LeakyReLU::new(slope))),
        number().prop_map(|alpha| boxed(ELU::new(alpha))),
        size().prop_map(|size| boxed(AdaptiveMaxPool2D::new(size))),
        size().prop_map(|size| boxed(AdaptiveAveragePool2D::new(size))),
        any::<[u8; 4]>().prop_map(|sides| boxed(ZeroPadding2D::new(sides.map(|side| usize::from(side % 3))))),
        response,
    ]
}

fn dense() -> impl Strategy<Value = Boxed> {
    (0usize..1 << 31, any::<bool>(), initializers()).prop_map(|(outputs, has_bias, [weights, biases])| {
        let layer = Dense::new(outputs).initializers(weights, biases);
        boxed(if has_bias { layer } else { layer.without_bias() })
    })
}

/// A layer or a block, with or without a name, frozen or not.
fn layer() -> impl Strategy<Value = Boxed> {
    let wrapped = |layer: BoxedStrategy<Boxed>| {
        (layer, any::<bool>(), proptest::option::of(".{0,8}")).prop_map(|(layer, frozen, name)| {
            let layer = if frozen { boxed(Frozen::boxed(layer)) } else { layer };
            if let Some(name) = name { boxed(Named::boxed(name, layer)) } else { layer }
        })
    };
    let leaf = prop_oneof![convolution(), pooling(), normalisation(), simple(), dense()];
    wrapped(leaf.boxed()).prop_recursive(4, 24, 3, move |inner| {
        let list = || vec(inner.clone(), 0..3);
        let paths = || vec(list(), 0..4);
        let block = prop_oneof![
            list().prop_map(|layers| boxed(Sequence::new(layers))),
            (list(), list()).prop_map(|(layers, others)| boxed(Residual::new(layers).projection(others))),
            paths().prop_map(|paths| boxed(Addition::new(paths))),
            paths().prop_map(|paths| boxed(Concatenation::new(paths))),
        ];
        wrapped(block.boxed())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_is_written_is_read_back(
        input in [1usize..9, 1usize..9, 1usize..9],
        name in proptest::option::of(".{0,8}"),
        rest in vec(layer(), 0..5),
    ) {
        let input = Input::new(input[0], input[1], input[2]);
        let mut layers = vec![name.map_or_else(|| boxed(input), |name| boxed(named(name, input)))];
        layers.extend(rest);
        let written = format!("{layers:?}");
        let text = file::to_toml(layers).unwrap_or_else(|error| panic!("{error}"));
        let read = file::layers::<f32>(&text).unwrap_or_else(|error| panic!("{error} in:\n{text}"));
        prop_assert_eq!(format!("{:?}", read), written, "{}", text);
    }

    /// Whatever is done to a file, it gives a network or an error.
    #[test]
    fn a_damaged_file_is_a_network_or_an_error(from in 0..EXAMPLE.len(), len in 0usize..40, other in "[a-z0-9\\[\\]{}\"',.=* \n]{0,6}") {
        let end = (from + len).min(EXAMPLE.len());
        let text = format!("{}{other}{}", &EXAMPLE[..from], &EXAMPLE[end..]);
        if let Err(error) = file::layers::<f32>(&text) {
            prop_assert!(error.to_string().starts_with("line "), "{error} in {text}");
        }
    }
}

/// Requires the message for a text; what ends in a blank is the beginning of a longer one.
#[track_caller]
fn check(text: &str, message: &str, expected: &str) {
    let is_expected =
        if expected.ends_with(' ') { message.starts_with(expected) } else { message == expected };
    assert!(is_expected, "{text}\n  got:      {message}\n  expected: {expected}");
}

#[test]
fn mistakes_are_found_at_their_places() {
    for (entry, expected) in [
        ("'Con2D'", "4, column 2: unknown type 'Con2D'; known are Conv2D, "),
        ("{ type = 'Cov2D' }", "4, column 11: unknown type 'Cov2D'; known are Conv2D, "),
        ("'Conv2D'", "4, column 2: Conv2D needs 'filters'"),
        ("{ type = 'Conv2D', filters = 3 }", "4, column 2: Conv2D needs 'kernel'"),
        ("{ filters = 3 }", "4, column 2: a layer needs 'type'"),
        ("{ type = 3 }", "4, column 11: 'type' must be the name of a type, it is 3"),
        ("7", "4, column 2: 'layers' must be a list of layers, such as "),
        ("{ type = 'Dense', output = 3 }", "4, column 20: Dense needs 'outputs', it has 'output'"),
        (
            "{ type = 'Dense', outputs = 3, biases = true }",
            "4, column 33: unknown option of Dense 'biases'; known are type, name, frozen, outputs, bias, \
             weight_initializer, bias_initializer; did you mean 'bias'?",
        ),
        (
            "{ type = 'Dense', outputs = -1 }",
            "4, column 30: 'outputs' must be from 0 to 2147483648, it is -1",
        ),
        (
            "{ type = 'Dense', outputs = 'width * 2147483648' }",
            "4, column 30: 'outputs' must be from 0 to 2147483648, it is 34359738368",
        ),
        (
            "{ type = 'Dense', outputs = 99999999999999999999 }",
            "4, column 30: 'outputs' must be a whole number or an expression such as \"2 * width\", it is \
             99999999999999999999",
        ),
        (
            "{ type = 'Dense', outputs = 1.5 }",
            "4, column 30: 'outputs' must be a whole number or an expression such as \"2 * width\", it is 1.5",
        ),
        (
            "{ type = 'Dense', outputs = 'widht' }",
            "4, column 31: unknown variable 'widht'; known are width; did you mean 'width'?",
        ),
        (
            "{ type = 'Dense', outputs = 'width / 3' }",
            "4, column 40: 'width / 3': 16 / 3 is not a whole number",
        ),
        (
            "{ type = 'Dense', outputs = 3, bias = 'no' }",
            "4, column 40: 'bias' must be true or false, it is 'no'",
        ),
        (
            "{ type = 'Dense', outputs = 3, weight_initializer = 'he' }",
            "4, column 54: unknown initializer 'he'; known are glorot_uniform, ",
        ),
        (
            "{ type = 'Dense', outputs = 3, bias_initializer = 0 }",
            "4, column 52: 'bias_initializer' must be the name of an initializer, it is 0",
        ),
        ("{ type = 'Dense', outputs = 3, name = 3 }", "4, column 40: 'name' must be a name, it is 3"),
        ("{ type = 'Dense', outputs = 3, name = 'a{' }", "4, column 42: 'a{': a brace that is not closed"),
        ("{ type = 'Dropout', rate = 'high' }", "4, column 29: 'rate' must be a number, it is 'high'"),
        (
            "{ type = 'Conv2D', filters = 3, kernel = [3, 3, 3] }",
            "4, column 43: 'kernel' must be one number or [height, width], it is an array of 3",
        ),
        (
            "{ type = 'Conv2D', filters = 3, kernel = [3, []] }",
            "4, column 47: 'kernel' must be a whole number or an expression such as \"2 * width\", it is an array \
             of 0",
        ),
        (
            "{ type = 'Conv2D', filters = 3, kernel = 3, groups = 0 }",
            "4, column 55: 'groups' must be from 1 to 2147483648, it is 0",
        ),
        (
            "{ type = 'ZeroPadding2D', sides = [1, 2, 3] }",
            "4, column 36: 'sides' must be one number, [height, width] or [top, bottom, left, right], it is an \
             array of 3",
        ),
        ("'MaxPool2D'", "4, column 2: MaxPool2D needs 'size'"),
        (
            "{ type = 'MaxPool2D', size = 2, global = true }",
            "4, column 2: MaxPool2D takes 'size' or 'global', not both",
        ),
        ("'Input'", "4, column 2: 'type' must be that of a layer behind the input, "),
        ("'Residual'", "4, column 2: Residual needs 'layers'"),
        (
            "{ type = 'Addition', paths = 2 }",
            "4, column 31: 'paths' must be a list of paths, each of which is a list of layers, it is 2",
        ),
        (
            "{ type = 'Addition', paths = ['ReLU'] }",
            "4, column 32: 'paths' must be a list of layers, such as ",
        ),
        (
            "{ type = 'Residual', layers = [\n  { type = 'Tanh', slope = 1 } ] }",
            "5, column 20: unknown option of Tanh 'slope'; known are type, name, frozen",
        ),
        ("{ repeat = 2 }", "4, column 2: a repetition needs 'layers'"),
        (
            "{ repeat = 2, layers = [], name = 'x' }",
            "4, column 29: unknown option of a repetition 'name'; known are repeat, index, layers",
        ),
        (
            "{ repeat = 2, index = '1st', layers = [] }",
            "4, column 24: 'index' must be the name of a variable: letters, digits and underscores, it is '1st'",
        ),
        ("{ repeat = 1979-05-27, layers = [] }", "4, column 13: 'repeat' must be a whole number or "),
    ] {
        check(entry, &message_of(entry), &format!("line {expected}"));
    }
}

#[test]
fn the_rest_of_a_file_is_checked_too() {
    for (text, expected) in [
        ("layers = []", "line 1, column 1: a network file needs 'input'"),
        ("input = 3", "line 1, column 1: a network file needs 'layers'"),
        ("input = 3\nlayer = ['ReLU']", "line 2, column 1: a network file needs 'layers', it has 'layer'"),
        (
            "input = 3\nlayers = ['ReLU']\nvariable = 3",
            "line 3, column 1: unknown option of a network file 'variable'; known are variables, input, layers; did \
             you mean 'variables'?",
        ),
        (
            "input = [3, 4]\nlayers = []",
            "line 1, column 9: 'input' must be a number of features or [channels, height, width], it is an array of 2",
        ),
        ("input = { name = 'x' }\nlayers = []", "line 1, column 9: input needs 'shape'"),
        (
            "input = 0\nlayers = []",
            "line 1, column 9: layer 0 (Input): the channels must be at least 1, it is 0",
        ),
        ("input = 'n'\nlayers = []", "line 1, column 10: unknown variable 'n'; known are none"),
        ("input = 3\nlayers = 3", "line 2, column 10: 'layers' must be a list of layers, such as "),
        ("variables = 3", "line 1, column 13: 'variables' must be a table, it is 3"),
        (
            "variables = { a-b = 3 }",
            "line 1, column 15: 'the name of a variable' must be made of letters, digits and underscores, and begin \
             with no digit, it is 'a-b'",
        ),
        (
            "[variables]\na = 'b + 1'\nb = '2 * c'\nc = 'a'",
            "line 2, column 1: the variable 'a' depends on itself",
        ),
        ("[variables]\na = 'a'", "line 2, column 1: the variable 'a' depends on itself"),
        (
            "[variables]\nwidth = 3\na = 'widht'",
            "line 3, column 6: unknown variable 'widht'; known are a, width; did you mean 'width'?",
        ),
        ("a = 3\na = 4", "line 2, column 1: duplicate key"),
        ("input = ", "line 1, column "),
    ] {
        check(text, &message(text), expected);
    }
}

#[test]
fn layers_that_do_not_fit_have_line_and_column() {
    assert_eq!(
        message_of("{ type = 'Dense', outputs = 3 }"),
        "line 4, column 2: layer 2 (Dense): takes a vector of features, its input is 3x8x8; put Flatten in front"
    );
    // The places count what repetitions give; the lines are those of the file.
    let text = "input = 4\nlayers = [\n { repeat = 3, layers = ['ReLU', 'Tanh'] },\n { type = 'Residual', name = 'a', layers = [\n\
                  { repeat = 2, layers = ['Tanh'] }, { type = 'Dense', outputs = 0 } ],\n\
                  projection = [ { type = 'Dense', outputs = 4, name = 'b c' } ] }, 'Softmax' ]";
    let dense = "line 5, column 36: layer 7 (Residual 'a'), path 0, layer 2 (Dense): the number of outputs must be at \
                 least 1, it is 0";
    assert_eq!(message(text), dense);
    let name = "line 6, column 16: layer 7 (Residual 'a'), path 1, layer 0 (Dense 'b c'): the name \"b c\" is empty or \
                has blanks or control characters in it";
    assert_eq!(message(&text.replace("outputs = 0", "outputs = 4")), name);
    let last = "input = 4\nlayers = [{ type = 'Addition', paths = [[], ['ReLU']] }]";
    assert_eq!(
        message(last),
        "line 2, column 11: layer 1 (Addition): a block of paths cannot be last; put a layer behind it"
    );
}

#[test]
fn files_that_are_too_large_are_refused() {
    let long = format!("# {}", " ".repeat(MAX_BYTES));
    assert_eq!(
        message(&long),
        format!("a network file can have {MAX_BYTES} bytes, this one has {}", MAX_BYTES + 2)
    );

    let file = |layers: &str| format!("input = 3\nlayers = {layers}");
    let repeated = |times: usize| file(&format!("[{{ repeat = {times}, layers = ['ReLU'] }}]"));
    // A repetition, and for each time the time itself and the layer.
    let most = (MAX_LAYERS - 1) / 2;
    assert_eq!(file::layers::<f32>(&repeated(most)).expect("it has not too many").len(), 1 + most);
    let too_many = format!("a network can have {MAX_LAYERS} layers and paths, with all repetitions");
    assert!(message(&repeated(most + 1)).ends_with(&too_many));
    // Nothing is kept of these; they would take hours.
    let nothing = "[{ repeat = 2147483648, layers = [{ repeat = 2147483648, layers = [] }] }]";
    assert!(message(&file(nothing)).ends_with(&too_many));

    let deep = |blocks: usize| {
        let (open, close) = ("[{ type = 'Sequence', layers = ", "}]");
        file(&format!("{}['ReLU']{}", open.repeat(blocks), close.repeat(blocks)))
    };
    file::network::<f32>(&deep(MAX_DEPTH - 1)).unwrap_or_else(|error| panic!("{error}"));
    assert!(
        message(&deep(MAX_DEPTH))
            .ends_with(&format!("lists of layers can be {MAX_DEPTH} deep in each other"))
    );
    // TOML's parser ends here, before its stack does.
    assert!(message(&deep(100_000)).starts_with("line 2, column "));

    // Each variable is asked for by the one in front of it in the alphabet.
    let chain = |len: usize| {
        let links: String = (1..len).map(|i| format!("v{i:02} = 'v{:02}'\n", i + 1)).collect();
        format!("input = 'v01'\nlayers = ['ReLU']\n[variables]\n{links}v{len:02} = 3\n")
    };
    file::network::<f32>(&chain(MAX_DEPTH)).unwrap_or_else(|error| panic!("{error}"));
    let long = format!("'v{}' is in a longer one", MAX_DEPTH + 1);
    assert!(message(&chain(MAX_DEPTH + 1)).ends_with(&long), "{}", message(&chain(MAX_DEPTH + 1)));
}

/// A layer of a user.
#[derive(Debug)]
struct Own(&'static str);

impl Layer<f32> for Own {
    fn kind(&self) -> &'static str {
        self.0
    }

    fn build(&mut self, input: Shape, _: &mut LayerPlan) -> Result<Shape, BuildError> {
        Ok(input)
    }

    fn backward(&self, _: &Context<'_, f32>, tensors: Backward<'_, f32>, _: Memory<'_, f32>) {
        assert_eq!(tensors.accum, Accum::Replace);
    }

    fn options(&self) -> Option<Options> {
        // A type that files know must still have its options.
        (self.0 != "Dense").then(Options::new)
    }
}

#[test]
fn what_no_file_can_have_is_not_written() {
    let message = |layers: Layers<f32>| file::to_toml(layers).expect_err("it cannot be written").to_string();
    let unknown = "network files have no layer of this type";
    for kind in ["Own", "Dense", "Input", "Residual"] {
        let paths = [layers![], layers![ReLU, named("mine", Own(kind))]];
        let layers = layers![Input::vector(3), Addition::new(paths), Softmax];
        let place = format!("layer 1 (Addition), path 1, layer 1 ({kind} 'mine')");
        assert_eq!(message(layers), format!("{place}: {unknown}"));
    }
    assert_eq!(message(layers![Own("Input")]), format!("layer 0 (Input): {unknown}"));
    assert!(matches!(file::to_toml::<f32>(layers![]), Err(Error::NoInput { found: "missing" })));
    assert!(matches!(file::to_toml::<f32>(layers![ReLU]), Err(Error::NoInput { found: "ReLU" })));

    let nested = |depth: usize| {
        let mut layer = boxed(ReLU);
        for _ in 0..depth {
            layer = boxed(Sequence::new(vec![layer]));
        }
        file::to_toml(vec![boxed(Input::vector(3)), layer])
    };
    let text = nested(MAX_DEPTH - 1).unwrap_or_else(|error| panic!("{error}"));
    file::network::<f32>(&text).unwrap_or_else(|error| panic!("{error}"));
    assert!(matches!(nested(MAX_DEPTH), Err(Error::File(FileError::TooDeep { .. }))));

    let long = |len: usize| file::to_toml::<f32>(layers![Input::vector(3), named("a".repeat(len), ReLU)]);
    let text = long(256).unwrap_or_else(|error| panic!("{error}"));
    file::network::<f32>(&text).unwrap_or_else(|error| panic!("{error}"));
    assert!(matches!(long(257), Err(Error::File(FileError::LongName { .. }))));
}
