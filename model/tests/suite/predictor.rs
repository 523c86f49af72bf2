//! A saved network in use.

use crate::common::{branching, samples_innermost, values};
use crate::formula;
use isograd_kernels::Isa;
use isograd_model::layer::{Dense, Flatten, Input, Softmax};
use isograd_model::{InputInfo, Network, Predictor, RunInfo, Scores, layers, save, save_described};

const CHANNELS: usize = 3;
const SIDE: usize = 4;
const CLASSES: usize = 5;
/// More than one part, and a rest.
const SAMPLES: usize = 70;

fn network() -> Network<f32> {
    Network::build(layers![Input::new(CHANNELS, SIDE, SIDE), Flatten, Dense::new(CLASSES), Softmax])
        .expect("it fits")
}

fn info() -> RunInfo {
    let mut input = InputInfo::new([CHANNELS, SIDE, SIDE], CLASSES);
    (input.scale, input.shift) = (vec![0.02, 0.01, 0.03], vec![-1.0, 0.5, 0.25]);
    let mut info = RunInfo::new("own");
    info.class_names = ["a", "b", "c", "d", "e"].map(String::from).to_vec();
    info.input = Some(input);
    info
}

fn predictor() -> Predictor {
    let (network, info) = (network(), info());
    let state = formula::state(&network);
    Predictor::new(network, state, info.input.expect("set above"), info.class_names).expect("memory")
}

/// `[n, H, W, C]`, and the same as `[n, C, H, W]`.
fn images() -> [Vec<u8>; 2] {
    let pixels = SIDE * SIDE;
    let last: Vec<u8> = (0..SAMPLES * pixels * CHANNELS).map(|i| (i * 37 % 251) as u8).collect();
    let first = (0..last.len()).map(|i| {
        let (sample, rest) = (i / (pixels * CHANNELS), i % (pixels * CHANNELS));
        last[sample * pixels * CHANNELS + rest % pixels * CHANNELS + rest / pixels]
    });
    [last.clone(), first.collect()]
}

#[test]
fn it_can_be_shared_among_threads() {
    fn is_shared<T: Send + Sync>() {}
    is_shared::<Predictor>();
}

#[test]
fn bytes_and_floats_of_either_layout_are_normalised() {
    let (predictor, [last, first]) = (predictor(), images());
    let network = network();
    let input = info().input.expect("set above");
    let pixels = SIDE * SIDE;
    let x: Vec<f32> = first
        .iter()
        .enumerate()
        .map(|(i, byte)| {
            let channel = i / pixels % CHANNELS;
            input.scale[channel] as f32 * f32::from(*byte) + input.shift[channel] as f32
        })
        .collect();
    let y = network.predict(&formula::state(&network), Isa::best(), &samples_innermost(&x, SAMPLES), SAMPLES);
    let expected: Vec<f64> =
        (0..SAMPLES * CLASSES).map(|i| f64::from(y[i % CLASSES * SAMPLES + i / CLASSES])).collect();
    let found = predictor.predict_nhwc_bytes(&last).expect("whole samples");
    formula::assert_near("bytes", &found, &expected);
    assert_eq!(predictor.predict_nchw_bytes(&first).expect("whole samples"), found);
    let floats: Vec<f32> = first.iter().map(|byte| f32::from(*byte) / 255.0).collect();
    formula::assert_near("floats", &predictor.predict_nchw(&floats).expect("whole samples"), &expected);
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let network = branching::<f32>();
    let x: Vec<f32> = values(7, 0, 784 * 35, 1.0);
    let state = formula::state(&network);
    let predictor = formula::predictor(network, state, Scores::Output);
    let predict = |threads, n: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        pool.install(|| predictor.predict_nchw(&x[..784 * n]).expect("whole samples"))
    };
    for n in [1, 35] {
        let expected = predict(1, n);
        for threads in [2, 5] {
            assert_eq!(predict(threads, n), expected, "{n} samples on {threads} threads");
        }
    }
}

#[test]
fn the_largest_scores_come_first() {
    let predictor = predictor();
    assert_eq!(predictor.top(&[0.1, 0.4, f32::NAN, 0.4, 0.1], 3), [(1, 0.4), (3, 0.4), (0, 0.1)]);
    assert_eq!((predictor.class_name(1), predictor.class_name(9)), ("b".to_string(), "9".to_string()));
    assert!(predictor.gives_probabilities());
    assert!(!predictor.with_scores(Scores::Logits).gives_probabilities());
}

#[test]
fn parts_of_samples_are_refused() {
    let predictor = predictor();
    for bytes in [0, 47, 49] {
        let error = predictor.predict_nhwc_bytes(&vec![0; bytes]).unwrap_err().to_string();
        assert!(error.ends_with(&format!("it is {bytes}, a sample has 48")), "{error}");
    }
}

#[test]
fn a_file_tells_what_it_takes() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("own.safetensors");
    let network = network();
    let state = formula::state(&network);
    save(&path, "own", &network, &state).expect("room on the disk");
    let error = Predictor::open(&path).unwrap_err().to_string();
    assert!(
        error.ends_with("it is of the network 'own', which is not in the zoo, and tells no more of it"),
        "{error}"
    );
    if !cfg!(feature = "files") {
        return;
    }
    let mut info = info();
    let text = "input = [3, 4, 4]\nlayers = ['Flatten', { type = 'Dense', outputs = 5 }, 'Softmax']";
    info.input.as_mut().expect("set above").network = Some(text.to_string());
    save_described(&path, &info, &network, &state).expect("room on the disk");
    let opened = Predictor::open(&path).expect("a whole file");
    assert_eq!(
        (opened.input(), opened.class_names()),
        (info.input.as_ref().expect("set above"), &info.class_names[..])
    );
    let [last, _] = images();
    assert_eq!(
        opened.predict_nhwc_bytes(&last).expect("whole"),
        predictor().predict_nhwc_bytes(&last).expect("whole")
    );
}
