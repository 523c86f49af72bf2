//! Parameters of other programs: what is taken, converted, left out and refused.

use crate::common::{build, values};
use isograd_model::layer::{BatchNormalization, Conv2D, Dense, Flatten, Input};
use isograd_model::{Error, ImportReport, Network, State, Unmatched, import, layers};
use serde_json::json;
use std::path::PathBuf;
use tempfile::TempDir;

fn network(classes: usize) -> Network<f32> {
    build(layers![
        Input::new(1, 4, 4),
        Conv2D::new(2, 3).without_bias(),
        BatchNormalization::new(),
        Flatten,
        Dense::new(classes),
    ])
}

/// A tensor of a file: name, element type, dimensions, bytes.
type Entry = (String, &'static str, Vec<usize>, Vec<u8>);

/// The tensors of `network` with the values of `state`, as another program writes them.
fn entries(network: &Network<f32>, state: &State<f32>, dtype: &'static str) -> Vec<Entry> {
    let bytes = |value: f32| match dtype {
        "F64" => f64::from(value).to_le_bytes().to_vec(),
        "BF16" => value.to_le_bytes()[2..].to_vec(),
        "F16" => half(value).to_le_bytes().to_vec(),
        _ => value.to_le_bytes().to_vec(),
    };
    let parameters = network.parameters().iter().map(|tensor| (tensor, state.params()));
    let statistics = network.statistics().iter().map(|tensor| (tensor, state.statistics()));
    let entry = |(tensor, values): (&isograd_model::layer::Tensor, &[f32])| {
        let values = values[tensor.range.clone()].iter().flat_map(|value| bytes(*value)).collect();
        (tensor.name.clone(), dtype, tensor.dims.clone(), values)
    };
    parameters.chain(statistics).map(entry).collect()
}

/// A multiple of 1/8 between -2 and 2 as binary16: an exponent, and three digits of the fraction.
fn half(value: f32) -> u16 {
    let bits = value.to_bits();
    let sign = (bits >> 16 & 0x8000) as u16;
    if value == 0.0 {
        return sign;
    }
    let exponent = (bits >> 23 & 0xff) as u16 + 15 - 127;
    sign | exponent << 10 | (bits >> 13 & 0x3ff) as u16
}

fn file(entries: &[Entry]) -> (TempDir, PathBuf) {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (name, dtype, shape, bytes) in entries {
        let offsets = [data.len(), data.len() + bytes.len()];
        header.insert(name.clone(), json!({"dtype": dtype, "shape": shape, "data_offsets": offsets}));
        data.extend(bytes);
    }
    let header = serde_json::to_vec(&header).expect("a table");
    let bytes = [&(header.len() as u64).to_le_bytes()[..], &header, &data].concat();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("weights.safetensors");
    std::fs::write(&path, bytes).expect("room on the disk");
    (folder, path)
}

/// Multiples of 1/8, which all element types have.
fn state(network: &Network<f32>) -> State<f32> {
    let mut state = network.initial_state(0).expect("memory");
    let eighths = |stream, len| values::<f32>(5, stream, len, 8.0).into_iter().map(|v| v.round() / 8.0);
    let (parameters, statistics) = (network.parameter_count(), network.statistics_count());
    state.params_mut().iter_mut().zip(eighths(0, parameters)).for_each(|(to, value)| *to = value);
    state.statistics_mut().iter_mut().zip(eighths(1, statistics)).for_each(|(to, value)| *to = value);
    state
}

fn take(
    entries: &[Entry],
    classes: usize,
    unmatched: Unmatched,
) -> Result<(State<f32>, ImportReport), Error> {
    let (_folder, path) = file(entries);
    import(&path, &network(classes), unmatched)
}

/// The message behind the name of the file.
fn message(entries: &[Entry], classes: usize, unmatched: Unmatched) -> String {
    let text = take(entries, classes, unmatched).expect_err("an error").to_string();
    text.split_once(": ").expect("the name of the file").1.to_string()
}

#[test]
fn elements_of_all_float_types_are_converted() {
    let network = network(3);
    let state = state(&network);
    for dtype in ["F16", "BF16", "F32", "F64"] {
        let mut entries = entries(&network, &state, dtype);
        entries.iter_mut().for_each(|entry| entry.0 = format!("module.{}", entry.0));
        let counter = "module.batchnormalization1.num_batches_tracked".to_string();
        entries.push((counter, "I64", vec![], vec![0; 8]));
        let (found, report) = take(&entries, 3, Unmatched::Refuse).expect(dtype);
        assert_eq!((found.params(), found.statistics()), (state.params(), state.statistics()), "{dtype}");
        assert_eq!((report.prefix, report.counters), (Some("module."), 1));
        assert_eq!(report.matched.len(), entries.len() - 1);
        let converted: Vec<_> = report.converted.into_iter().collect();
        let expected = if dtype == "F32" { vec![] } else { vec![(dtype.to_string(), entries.len() - 1)] };
        assert_eq!(converted, expected);
    }
}

#[test]
fn a_partial_match_must_be_asked_for() {
    let network = network(3);
    let state = state(&network);
    let mut entries = entries(&network, &state, "F32");
    entries[0].0 = "stem.weight".to_string();
    let expected = "1 tensor missing: 'conv2d1.weight'; in the file instead: 'stem.weight'";
    assert_eq!(message(&entries, 3, Unmatched::Refuse), expected);
    let (found, report) = take(&entries, 3, Unmatched::Initialize(7)).expect("a part");
    let initial = network.initial_state(7).expect("memory");
    let conv = network.parameters()[0].range.clone();
    assert_eq!(found.params()[conv.clone()], initial.params()[conv.clone()]);
    assert_eq!(found.params()[conv.end..], state.params()[conv.end..]);
    assert_eq!(
        (report.missing, report.unexpected),
        (vec!["conv2d1.weight".to_string()], vec!["stem.weight".to_string()])
    );
    // Nothing at all is no part.
    let nothing = [("x".to_string(), "F32", vec![1], vec![0; 4])];
    assert!(message(&nothing, 3, Unmatched::Initialize(0)).starts_with("7 tensors missing: "));
}

#[test]
fn other_shapes_are_all_listed() {
    let network = network(3);
    let entries = entries(&network, &state(&network), "F32");
    let expected =
        "tensor 'dense1.weight' is [3, 8], expected [5, 8]; tensor 'dense1.bias' is [3], expected [5]";
    assert_eq!(message(&entries, 5, Unmatched::Refuse), expected);
    let (_, report) = take(&entries, 5, Unmatched::Initialize(0)).expect("a part");
    assert_eq!((report.other_shapes.len(), report.matched.len()), (2, entries.len() - 2));
}

#[test]
fn whole_numbers_are_no_weights() {
    let network = network(3);
    let mut entries = entries(&network, &state(&network), "F32");
    entries[0].1 = "I32";
    assert_eq!(message(&entries, 3, Unmatched::Refuse), "tensor 'conv2d1.weight' is I32, expected floats");
}
