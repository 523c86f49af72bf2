//! Files of parameters: what was saved is loaded bit for bit, and files that do not fit are refused and change nothing.

use crate::common::{build, values};
use isograd_kernels::Element;
use isograd_model::{Network, State, layer::*, layers, load, save};
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
        Softmax::new(),
    ])
}

/// A state with a value of its own in each place, among them those that a detour through text would not survive.
fn filled<T: Element>(network: &Network<T>, seed: u64) -> State<T> {
    let mut state = network.initial_state(seed);
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
    let mut loaded = filled(&network, 3);
    assert_ne!(bytes(&loaded), bytes(&saved));
    load(&path, MODEL, &network, &mut loaded).expect("a file that fits");
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
        "1.conv2d.bias",
        "1.conv2d.weight",
        "2.batchnormalization.beta",
        "2.batchnormalization.gamma",
        "2.batchnormalization.running_mean",
        "2.batchnormalization.running_var",
        "5.dense.weight",
    ];
    assert_eq!(names, expected);
    let dense = tensors.tensor("5.dense.weight").expect("a tensor");
    assert_eq!((dense.dtype(), dense.shape()), (Dtype::F32, &[3, 8][..]));
    let range =
        network.parameters().iter().find(|t| t.name == "5.dense.weight").expect("a tensor").range.clone();
    let values: Vec<u8> = state.params()[range].iter().flat_map(|w| w.to_le_bytes()).collect();
    assert_eq!(dense.data(), values);
}

/// Asserts that loading `path` fails with `reason` behind the path, and that the state stays as it is.
fn refused(path: &Path, reason: &str) {
    let network = network::<f32>();
    let mut state = filled(&network, 5);
    let before = bytes(&state);
    let error = load(path, MODEL, &network, &mut state).expect_err("a file that does not fit").to_string();
    let expected = format!("{}: {reason}", path.display());
    assert!(error.starts_with(&expected), "the error is\n{error}\nexpected\n{expected}");
    assert_eq!(error.lines().count(), 1, "{error}");
    assert_eq!(bytes(&state), before, "the state has changed");
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
        let mut state = filled(&network, 5);
        load(&path, MODEL, &network, &mut state).expect("a file that fits");
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
        refused(&path, reason);
    };
    refuse("a checkpoint of model 'other', not of 'tiny'", &|c| {
        c.metadata = Some(HashMap::from([("model".to_string(), "other".to_string())]));
    });
    refuse("6 tensors, model 'tiny' has 7", &|c| {
        c.tensors.remove(0);
    });
    refuse("8 tensors, model 'tiny' has 7", &|c| {
        c.tensors.push(("9.dense.bias".to_string(), Dtype::F32, vec![2]));
    });
    refuse("tensor '5.dense.weight' is missing", &|c| {
        c.tensors[4].0 = "4.dense.weight".to_string();
    });
    refuse("tensor '5.dense.weight' is [8, 3], expected [3, 8]", &|c| c.tensors[4].2 = vec![8, 3]);
    refuse("tensor '2.batchnormalization.running_var' is [3], expected [2]", &|c| c.tensors[6].2 = vec![3]);
    refuse("tensor '1.conv2d.weight' is F64, expected F32", &|c| c.tensors[0].1 = Dtype::F64);
}

#[test]
fn damaged_files_are_refused() {
    let (folder, path) = place();
    let network = network::<f32>();
    save(&path, MODEL, &network, &filled(&network, 1)).expect("a file that can be written");
    let whole = std::fs::read(&path).expect("a file");
    for len in [0, 7, 8, 100, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&path, &whole[..len]).expect("a file");
        refused(&path, "not a safetensors file: ");
    }
    std::fs::write(&path, [&whole[..], b"x"].concat()).expect("a file");
    refused(&path, "not a safetensors file: ");
    refused(&folder.path().join("none"), "cannot read: ");
    refused(folder.path(), "cannot read: ");
}

#[test]
fn a_path_that_cannot_be_written_is_an_error() {
    let (folder, path) = place();
    let network = network::<f32>();
    let state = filled(&network, 1);
    let fails = |path: &Path| {
        let error =
            save(path, MODEL, &network, &state).expect_err("a path that cannot be written").to_string();
        assert!(error.starts_with(&format!("{}: cannot write: ", path.display())), "{error}");
    };
    fails(&folder.path().join("no such folder").join("weights"));
    std::fs::write(&path, "a file").expect("a file");
    fails(&path.join("weights"));
    // The path of a folder, in whose place no file can be put.
    let occupied = folder.path().join("occupied");
    std::fs::create_dir_all(occupied.join("inside")).expect("a folder");
    fails(&occupied);
}
