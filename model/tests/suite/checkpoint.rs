//! Files of parameters: what was saved is loaded bit for bit, and files that do not fit are refused and
//! change nothing.

use crate::common::{build, values};
use isograd_kernels::Element;
use isograd_model::{Error, Network, State, layer::*, layers, load, save};
use safetensors::tensor::{Dtype, TensorView, serialize};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

const MODEL: &str = "tiny";

fn network<T: Element>() -> Network<T> {
    build(layers![
        Input::new(1, 4, 4),
        Conv2D::new(2, 3),
        BatchNormalization::new(),
        ReLU,
        Flatten,
        Dense::new(3).without_bias(),
        Softmax,
    ])
}

/// A state with a value of its own in each place, among them those that a detour through text would not
/// survive.
fn filled<T: Element>(network: &Network<T>, seed: u64) -> State<T> {
    let mut state = network.initial_state(seed).expect("memory");
    state.params_mut().copy_from_slice(&values(seed, 0, network.parameter_count(), 0.3));
    state.statistics_mut().copy_from_slice(&values(seed, 1, network.statistics_count(), 0.7));
    let odd = [-0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, T::EPSILON.to_f64() / 3.0];
    state.params_mut().iter_mut().zip(odd).for_each(|(w, odd)| *w = T::from_f64(odd));
    state
}

/// The bytes of all numbers of a state: NaN is equal to itself then.
fn bytes<T: Element>(state: &State<T>) -> Vec<u8> {
    let values = state.params().iter().chain(state.statistics());
    values.flat_map(|value| value.to_le_bytes().as_ref().to_vec()).collect()
}

/// A folder that is gone after the test, and a file in it.
fn place() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("weights.safetensors");
    (folder, file)
}

fn round_trip<T: Element>() {
    let ((folder, path), network) = (place(), network::<T>());
    let saved = filled(&network, 1);
    // Over another file, as a run does that saves again and again.
    save(&path, MODEL, &network, &filled(&network, 2)).expect("a file that can be written");
    save(&path, MODEL, &network, &saved).expect("a file that can be written");
    let loaded = load(&path, MODEL, &network).expect("a file that fits");
    assert_eq!(bytes(&loaded), bytes(&saved));
    assert_eq!(loaded.params_sha256(), saved.params_sha256());
    let files: Vec<_> =
        std::fs::read_dir(folder.path()).expect("a folder").map(|f| f.expect("a file").path()).collect();
    assert_eq!(files, [path], "nothing else is left in the folder");
}

#[test]
fn what_was_saved_is_loaded_bit_for_bit() {
    round_trip::<f32>();
    round_trip::<f64>();
}

/// Other programs find each tensor under its name.
#[test]
fn a_file_is_a_table_of_named_tensors() {
    let ((_folder, path), network) = (place(), network::<f32>());
    let state = filled(&network, 1);
    save(&path, MODEL, &network, &state).expect("a file that can be written");
    let file = std::fs::read(&path).expect("a file");
    let tensors = safetensors::SafeTensors::deserialize(&file).expect("a safetensors file");
    let mut names = tensors.names();
    names.sort();
    let expected = [
        "batchnormalization1.bias",
        "batchnormalization1.running_mean",
        "batchnormalization1.running_var",
        "batchnormalization1.weight",
        "conv2d1.bias",
        "conv2d1.weight",
        "dense1.weight",
    ];
    assert_eq!(names, expected);
    let dense = tensors.tensor("dense1.weight").expect("a tensor");
    assert_eq!((dense.dtype(), dense.shape()), (Dtype::F32, &[3, 8][..]));
    let range =
        network.parameters().iter().find(|t| t.name == "dense1.weight").expect("a tensor").range.clone();
    let values: Vec<u8> = state.params()[range].iter().flat_map(|w| w.to_le_bytes()).collect();
    assert_eq!(dense.data(), values);
}

/// Asserts that loading `path` fails with `reason` behind the path, as a mismatch with the network or not.
fn refused(path: &Path, reason: &str, is_mismatch: bool) {
    let error = load(path, MODEL, &network::<f32>()).expect_err("a file that does not fit");
    let message = error.to_string();
    let expected = format!("{}: {reason}", path.display());
    assert!(message.starts_with(&expected), "the error is\n{message}\nexpected\n{expected}");
    assert!(!message.contains(char::is_control), "{message:?}");
    assert!(
        matches!(&error, Error::Checkpoint { reason, .. } if reason.is_mismatch() == is_mismatch),
        "{error:?}"
    );
}

/// What a file of [`network`] holds, to be changed before it is written.
struct Contents {
    tensors: Vec<(String, Dtype, Vec<usize>)>,
    metadata: Option<HashMap<String, String>>,
}

impl Contents {
    fn new() -> Self {
        let network = network::<f32>();
        let tensors = network.parameters().iter().chain(network.statistics());
        Self {
            tensors: tensors.map(|t| (t.name.clone(), Dtype::F32, t.dims.clone())).collect(),
            metadata: Some(HashMap::from([("model".to_string(), MODEL.to_string())])),
        }
    }

    fn write(&self, path: &Path) {
        let size = |dtype: &Dtype| dtype.bitsize() / 8;
        let len =
            |(_, dtype, dims): &(String, Dtype, Vec<usize>)| dims.iter().product::<usize>() * size(dtype);
        let zeros = vec![0; self.tensors.iter().map(len).max().expect("a tensor")];
        let views = self.tensors.iter().map(|tensor| {
            let view = TensorView::new(tensor.1, tensor.2.clone(), &zeros[..len(tensor)]).expect("a tensor");
            (tensor.0.as_str(), view)
        });
        std::fs::write(path, serialize(views, self.metadata.clone()).expect("a table")).expect("a file");
    }
}

#[test]
fn unchanged_contents_are_accepted() {
    let (_folder, path) = place();
    let network = network::<f32>();
    for metadata in [Contents::new().metadata, None] {
        Contents { metadata, ..Contents::new() }.write(&path);
        let state = load(&path, MODEL, &network).expect("a file that fits");
        assert!(bytes(&state).iter().all(|byte| *byte == 0));
    }
}

#[test]
fn files_of_other_networks_are_refused() {
    let (_folder, path) = place();
    let refuse = |reason: &str, change: &dyn Fn(&mut Contents)| {
        let mut contents = Contents::new();
        change(&mut contents);
        contents.write(&path);
        refused(&path, reason, true);
    };
    refuse("a checkpoint of model 'other', not of 'tiny'", &|c| {
        c.metadata = Some(HashMap::from([("model".to_string(), "other".to_string())]));
    });
    refuse("a checkpoint of model 'red\\u{1b}[31m\\n', not of 'tiny'", &|c| {
        c.metadata = Some(HashMap::from([("model".to_string(), "red\u{1b}[31m\n".to_string())]));
    });
    refuse("1 tensor missing: 'conv2d1.weight'", &|c| {
        c.tensors.remove(0);
    });
    refuse("1 tensor that the network does not have: 'dense9.bias'", &|c| {
        c.tensors.push(("dense9.bias".to_string(), Dtype::F32, vec![2]));
    });
    refuse("1 tensor missing: 'dense1.weight'; in the file instead: 'dense4.weight'", &|c| {
        c.tensors[4].0 = "dense4.weight".to_string();
    });
    refuse("1 tensor missing: 'dense1.weight'; in the file instead: 'red\\u{1b}[31m\\n'", &|c| {
        c.tensors[4].0 = "red\u{1b}[31m\n".to_string();
    });
    refuse("tensor 'dense1.weight' is [8, 3], expected [3, 8]", &|c| c.tensors[4].2 = vec![8, 3]);
    refuse("tensor 'batchnormalization1.running_var' is [3], expected [2]", &|c| c.tensors[6].2 = vec![3]);
    refuse(
        "tensor 'dense1.weight' is [8, 3], expected [3, 8]; tensor 'batchnormalization1.running_var' is [3], expected [2]",
        &|c| (c.tensors[4].2, c.tensors[6].2) = (vec![8, 3], vec![3]),
    );
    refuse("tensor 'conv2d1.weight' is F64, expected F32", &|c| c.tensors[0].1 = Dtype::F64);
}

#[test]
fn damaged_files_are_refused() {
    let (_folder, path) = place();
    let network = network::<f32>();
    save(&path, MODEL, &network, &filled(&network, 1)).expect("a file that can be written");
    let whole = std::fs::read(&path).expect("a file");
    let header = u64::from_le_bytes(whole[..8].try_into().expect("8 bytes")) as usize;
    let broken = |bytes: &[u8], expected: usize| {
        std::fs::write(&path, bytes).expect("a file");
        let length = bytes.len();
        let reason = format!(
            "broken: the file has {length} bytes, by its header (of {header} bytes) it should have {expected}"
        );
        refused(&path, &reason, false);
    };
    for len in [8, 100, 7 + header] {
        broken(&whole[..len], 8 + header);
    }
    for len in [8 + header, whole.len() - 1] {
        broken(&whole[..len], whole.len());
    }
    broken(&[&whole[..], b"x"].concat(), whole.len());
}

#[test]
fn other_files_are_refused() {
    let (folder, path) = place();
    let foreign = |bytes: &[u8], reason: &str| {
        std::fs::write(&path, bytes).expect("a file");
        refused(&path, &format!("not a safetensors file: {reason}"), false);
    };
    foreign(b"", "it has 0 bytes");
    foreign(b"a text", "it has 6 bytes");
    let length = u64::from_le_bytes(*b"a longer");
    foreign(b"a longer text", &format!("its header would have {length} bytes"));
    foreign(&[b"\x04\0\0\0\0\0\0\0" as &[u8], b"text"].concat(), "expected ");
    // A header whose offsets and shapes contradict each other, or are beyond all bounds.
    for (shape, end) in [("[3]", 8), ("[4294967296,4294967296]", 0), ("[1]", 4)] {
        let entry = |name| format!(r#""{name}":{{"dtype":"F32","shape":{shape},"data_offsets":[0,{end}]}}"#);
        let json = format!("{{{},{}}}", entry("a"), entry("b"));
        foreign(&[&(json.len() as u64).to_le_bytes(), json.as_bytes()].concat(), "");
    }
    refused(&folder.path().join("none"), "cannot read: ", false);
    refused(folder.path(), "cannot read: is a directory", false);
}

/// What the file holds is compared with the network before memory is taken: that of this network is not to be
/// had.
#[test]
fn a_file_of_another_network_takes_no_memory() {
    let (_folder, path) = place();
    Contents::new().write(&path);
    let layers = layers![Input::vector(1 << 30), named("huge", Dense::new(1 << 30).without_bias())];
    let huge = build::<f32>(layers);
    let error = load(&path, MODEL, &huge).expect_err("a file of another network").to_string();
    let expected = "1 tensor missing: 'huge.weight'; in the file instead: 'batchnormalization1.bias', \
                    'batchnormalization1.running_mean', 'batchnormalization1.running_var', \
                    'batchnormalization1.weight', 'conv2d1.bias', 'conv2d1.weight', 'dense1.weight'";
    assert_eq!(error, format!("{}: {expected}", path.display()));
}

/// What PyTorch's wrappers put in front of every name.
#[test]
fn a_prefix_of_all_names_is_named() {
    let (_folder, path) = place();
    for (prefix, origin) in [
        ("module.", ", which PyTorch's DataParallel adds"),
        ("_orig_mod.", ", which torch.compile adds"),
        ("net.", ""),
    ] {
        let mut contents = Contents::new();
        contents.tensors.iter_mut().for_each(|tensor| tensor.0 = format!("{prefix}{}", tensor.0));
        contents.write(&path);
        let message = load(&path, MODEL, &network::<f32>()).expect_err("other names").to_string();
        let start = format!("{}: 7 tensors missing: 'conv2d1.weight', 'conv2d1.bias', ", path.display());
        assert!(message.starts_with(&start), "{message}");
        let end = format!(
            "'{prefix}dense1.weight'; the names in the file begin with '{prefix}'{origin}: save the tensors without it"
        );
        assert!(message.ends_with(&end), "{message}");
    }
    // One name with another prefix: then it is not a matter of the prefix.
    let mut contents = Contents::new();
    contents.tensors.iter_mut().for_each(|tensor| tensor.0 = format!("module.{}", tensor.0));
    contents.tensors[3].0 = "other".to_string();
    contents.write(&path);
    let message = load(&path, MODEL, &network::<f32>()).expect_err("other names").to_string();
    assert!(!message.contains("begin with"), "{message}");
}

#[test]
fn ten_names_are_listed() {
    let (_folder, path) = place();
    Contents::new().write(&path);
    let mut layers = layers![Input::vector(2)];
    layers.extend((0..6).map(|_| Box::new(Dense::new(2)) as Box<dyn Layer<f32>>));
    let error = load(&path, MODEL, &build(layers)).expect_err("other names").to_string();
    let listed =
        "'dense5.bias', 'dense6.weight' and 1 more; in the file instead: 'batchnormalization1.bias', ";
    assert!(error.contains("11 tensors missing: 'dense1.bias', ") && error.contains(listed), "{error}");
}

/// Neither read nor parsed: it would take much memory and time.
#[test]
fn a_header_beyond_that_of_the_network_is_refused() {
    let (_folder, path) = place();
    for len in [2_000_000u64, 90_000_000] {
        let file = std::fs::File::create(&path).expect("a file");
        file.set_len(8 + len).expect("a sparse file");
        drop(file);
        use std::io::Write;
        let mut file = std::fs::OpenOptions::new().write(true).open(&path).expect("a file");
        file.write_all(&len.to_le_bytes()).expect("a length");
        let start = format!(
            "not a checkpoint of model 'tiny': the header has {len} bytes, that of its 7 tensors has at most "
        );
        refused(&path, &start, true);
    }
    // A header with much metadata is one of the network all the same.
    let mut contents = Contents::new();
    contents.metadata.as_mut().expect("metadata").insert("notes".to_string(), "x".repeat(60_000));
    contents.write(&path);
    load(&path, MODEL, &network::<f32>()).expect("a file that fits");
}

#[test]
fn long_texts_of_a_file_are_cut() {
    let (_folder, path) = place();
    let mut contents = Contents::new();
    contents.metadata = Some(HashMap::from([("model".to_string(), "x".repeat(10_000))]));
    contents.write(&path);
    refused(&path, &format!("a checkpoint of model '{}…', not of 'tiny'", "x".repeat(80)), true);
}
