//! Files of choices: what is written is read back, every mistake is found at its place, and a network takes
//! what a file chooses.

use crate::common::build;
use isograd_kernels::Isa;
use isograd_kernels::conv::{Conv2dShape, Path, Paths, Precision};
use isograd_model::file::{FileError, MAX_TUNING_BYTES, Tuning};
use isograd_model::layer::*;
use isograd_model::{Error, Network, layers};
use proptest::prelude::*;

fn network() -> Network<f32> {
    build(layers![
        Input::new(3, 9, 8),
        Conv2D::new(18, 3).padding(1),
        ReLU,
        Residual::new(layers![Conv2D::new(18, 3).padding(1), BatchNormalization::new(), ReLU]),
        Conv2D::new(18, 3).padding(1),
        MaxPool2D::new(2),
        Conv2D::new(8, [1, 3]).stride([2, 1]).groups(2),
        Flatten,
        Dense::new(4),
        Softmax,
    ])
}

/// Choices for the network whose paths are none of those that the table by shape gives.
fn others(network: &Network<f32>) -> ConvTable {
    let mut table = ConvTable::new();
    for convolution in network.convolutions() {
        let shape = convolution.shape;
        let other = |path: Path| {
            let serves = |other: &Path| *other != path && other.serves(&shape);
            Path::ALL.into_iter().rev().find(serves).expect("two paths")
        };
        let [forward, input_gradient, weight_gradient] = convolution.paths.each().map(other);
        let paths = Paths { forward, input_gradient, weight_gradient, ..convolution.paths };
        table.set(shape, paths).expect("a path that serves");
    }
    table
}

fn tuning(table: ConvTable) -> Tuning {
    Tuning {
        version: "1.2.3".to_string(),
        model: "a \"net\" of C:\\".to_string(),
        machine: "CPU é".to_string(),
        isa: "avx2".to_string(),
        dtype: "float32".to_string(),
        threads: 2,
        batch_size: 64,
        shard_size: 32,
        table,
    }
}

#[test]
fn what_is_written_is_read_back() {
    let tuning = tuning(others(&network()));
    let text = tuning.to_toml();
    assert_eq!(Tuning::parse(&text).unwrap_or_else(|error| panic!("{error} in {text}")), tuning);
    let line = "    { input = [18, 4, 4], filters = 8, kernel = [1, 3], stride = [2, 1], groups = 2, \
                forward = \"im2col\", input_gradient = \"im2col\", weight_gradient = \"direct\" },\n";
    assert!(text.contains(line), "{text}");
    assert_eq!(Tuning { version: "other".to_string(), ..tuning.clone() }.digest(), tuning.digest());
    // The order of lines means nothing.
    let (head, entries) = text.split_once("convolutions = [\n").expect("a list");
    let mut lines: Vec<&str> = entries.lines().filter(|line| line.starts_with(' ')).collect();
    lines.reverse();
    let reversed = Tuning::parse(&format!("{head}convolutions = [\n{}\n]\n", lines.join("\n"))).unwrap();
    assert_ne!(reversed, tuning);
    assert_eq!(reversed.digest(), tuning.digest());
    let changed = text.replacen("direct", "im2col", 1);
    assert_ne!(Tuning::parse(&changed).unwrap().digest(), tuning.digest());
}

#[test]
fn a_network_takes_the_choices() {
    let table = others(&network());
    assert_eq!(table.iter().len(), 3, "two layers have one shape");
    let tuned = network().with_conv_table(&table).expect("a table for the network");
    let convolutions = tuned.convolutions();
    assert_eq!(convolutions.len(), 4);
    for convolution in &convolutions {
        assert_eq!(Some(convolution.paths), table.get(&convolution.shape));
    }
    let gradients: Vec<bool> = convolutions.iter().map(|each| each.has_input_gradient).collect();
    assert_eq!(gradients, [false, true, true, true], "nothing in front of the first layer is trained");
    assert!(convolutions.iter().all(|each| each.has_weight_gradient));

    let mut frozen = network();
    frozen.freeze("conv2d1.*").expect("a layer of this name");
    let of_first = &frozen.convolutions()[0];
    assert!(!of_first.has_input_gradient && !of_first.has_weight_gradient, "{of_first:?}");

    let larger = build::<f32>(layers![Input::new(3, 9, 9), Conv2D::new(18, 3).padding(1), Flatten]);
    let error = larger.with_conv_table(&table).unwrap_err();
    assert!(matches!(error, Error::NoConvChoice { .. }));
    assert_eq!(
        error.to_string(),
        "there is no choice for layer 1 (Conv2D), a convolution of 3x9x9, 18 filters of 3x3, padding 1: the choices \
         are of another network, or of images of another size"
    );
}

/// Each path errs by at most what the crate of kernels documents for it: about 3 times the direct path's
/// error in F(4, 3), relative to the largest values.
#[test]
fn outputs_of_a_tuned_network_are_those_of_the_direct_paths_but_for_rounding() {
    let x: Vec<f32> = crate::common::values(7, 0, 3 * 72 * 21, 1.0);
    let outputs = |network: Network<f32>| {
        let state = network.initial_state(0).expect("memory");
        network.predict(&state, Isa::best(), &x, 21)
    };
    let direct = outputs(network().with_conv_path(ConvPath::Direct, Precision::Full).expect("it serves all"));
    let tuned = outputs(network().with_conv_table(&others(&network())).expect("a table for the network"));
    assert_ne!(direct, tuned, "other paths round differently");
    for (one, other) in direct.iter().zip(&tuned) {
        assert!((one - other).abs() < 1e-5, "{one} and {other}");
    }
}

#[track_caller]
fn message(text: &str) -> String {
    match Tuning::parse(text) {
        Ok(tuning) => panic!("no mistake in {tuning:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn mistakes_have_a_place() {
    let head = "format = 1\nversion = 'x'\nmodel = 'x'\nmachine = 'x'\nisa = 'x'\ndtype = 'x'\nthreads = 1\nbatch_size = 1\n\
                shard_size = 1\n";
    let of = |entry: &str| message(&format!("{head}convolutions = [\n{entry}\n]\n"));
    let paths = "forward = 'direct', input_gradient = 'direct', weight_gradient = 'direct'";
    let good = format!("{{ input = [1, 4, 4], filters = 1, kernel = 3, {paths} }}");
    assert!(Tuning::parse(&format!("{head}convolutions = [\n{good}\n]\n")).is_ok());
    for (entry, expected) in [
        ("3".to_string(), "column 1: 'convolutions' must be a list of convolutions, it is 3"),
        ("{ filters = 1, kernel = 3 }".to_string(), "column 1: a convolution needs 'input'"),
        (
            "{ input = 3, filters = 1 }".to_string(),
            "column 11: 'input' must be [channels, height, width], it is 3",
        ),
        (
            good.replace("forward = 'direct'", "forward = 'winograd'"),
            "column 57: unknown path 'winograd'; known are direct, im2col, winograd2, winograd4; did you mean 'winograd",
        ),
        (good.replace("filters", "fliters"), "column 22: a convolution needs 'filters', it has 'fliters'"),
        (
            good.replace("kernel = 3", "kernel = 3, strid = 2"),
            "column 47: unknown option of a convolution 'strid'; known are ",
        ),
        (
            good.replace("kernel = 3", "kernel = 5"),
            "column 1: convolution: a kernel of 5 (dilation 1) does not fit in an image of 4 with padding 0",
        ),
        (
            good.replace("kernel = 3", "kernel = 3, stride = 2").replace("'direct' }", "'winograd4' }"),
            "column 1: convolution: Winograd's algorithm is for kernels of 3x3 with stride 1, dilation 1, one group \
             and padding of at most 2, not for 1x4x4, 1 filters of 3x3, stride 2",
        ),
        (
            good.replace("[1, 4, 4], filters = 1", "[2147483648, 4, 4], filters = 2147483648"),
            "column 1: convolution: the shape has more elements than can be addressed",
        ),
    ] {
        let message = of(&entry);
        assert!(message.starts_with(&format!("line 11, {expected}")), "{entry}: {message}");
    }
    let twice = of(&format!("{good},\n{good}"));
    assert_eq!(twice, "line 12, column 1: paths for 1x4x4, 1 filters of 3x3 are chosen a second time");
    let bell = head.replace("machine = 'x'", "machine = 'x\\u0007'").replace('\'', "\"");
    for (text, expected) in [
        (String::new(), "line 1, column 1: a file of choices needs 'format'"),
        ("format = 2".to_string(), "line 1, column 10: 'format' is 2, this version reads 1"),
        ("layers = [".to_string(), "line 1, column "),
        (head.to_string(), "line 1, column 1: a file of choices needs 'convolutions'"),
        (bell, "line 4, column 11: 'machine' must be a line"),
        (head.replace("threads = 1", "threads = -1"), "line 7, column 11: 'threads' must be from 0 to"),
    ] {
        let message = message(&text);
        assert!(message.starts_with(expected), "{text}: {message}");
    }
    let long = " ".repeat(MAX_TUNING_BYTES + 1);
    assert_eq!(Tuning::parse(&long), Err(FileError::TooManyChoices { bytes: MAX_TUNING_BYTES + 1 }));
}

proptest! {
    #[test]
    fn any_shape_is_read_back(
        [c, h, w, f] in [1..40usize, 1..40, 1..40, 1..40],
        kernel in [1..4usize, 1..4],
        [stride, padding, dilation] in [1..3usize, 0..3, 1..3],
        choice in [0..4usize, 0..4, 0..4],
    ) {
        let shape = Conv2dShape {
            c, h, w, f, kh: kernel[0], kw: kernel[1],
            stride: [stride, 1].into(), padding: padding.into(), dilation: dilation.into(), groups: 1,
        };
        let Ok(usual) = Paths::by_shape(&shape) else { return Ok(()) };
        let [forward, input_gradient, weight_gradient] = choice.map(|index| Path::ALL[index]);
        let mut table = ConvTable::new();
        let paths = Paths { forward, input_gradient, weight_gradient, ..usual };
        let serves = paths.each().iter().all(|path| path.serves(&shape));
        prop_assert_eq!(table.set(shape, paths).is_ok(), serves);
        let tuning = tuning(table);
        prop_assert_eq!(Tuning::parse(&tuning.to_toml()), Ok(tuning));
    }
}
