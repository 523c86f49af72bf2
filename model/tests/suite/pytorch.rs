//! Weights go to PyTorch and back. The golden logits are in `golden/pytorch.json`, which
//! `examples/pytorch/exchange.py golden` wrote; where `ISOGRAD_TORCH_PYTHON` names a Python with PyTorch,
//! it is asked as well.

use crate::formula::{assert_near, network, pixels, predictor, python, run, state};
use isograd_model::{Scores, Shape, Unmatched, import, save, zoo};
use serde_json::Value;
use std::fs;

const CLASSES: usize = 10;
const SCRIPT: &str = "examples/pytorch/exchange.py";

fn golden() -> Vec<(String, Shape, Vec<f64>)> {
    let golden: Value = serde_json::from_str(include_str!("../golden/pytorch.json")).expect("valid JSON");
    let golden = golden.as_object().expect("a table");
    let entry = |(name, entry): (&String, &Value)| {
        let side = |axis: usize| entry["shape"][axis].as_u64().expect("a number") as usize;
        (name.clone(), Shape::image(side(0), side(1), side(2)), numbers(&entry["logits"]))
    };
    golden.iter().map(entry).collect()
}

/// The numbers of nested lists.
fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(values) => values.iter().flat_map(numbers).collect(),
        value => vec![value.as_f64().expect("a number")],
    }
}

#[test]
fn logits_are_those_of_pytorch() {
    let golden = golden();
    assert_eq!(golden.len(), 5);
    for (name, shape, expected) in golden {
        let network = network(zoo::by_name(&name, shape, CLASSES).expect("a known name"));
        let (state, x) = (state(&network), pixels(&network));
        let predictor = predictor(network, state, Scores::Logits);
        assert_near(&name, &predictor.predict_nchw(&x).expect("whole samples"), &expected);
    }
}

#[test]
fn weights_go_to_pytorch_and_back() {
    let Some(python) = python("ISOGRAD_TORCH_PYTHON", false) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let [weights, logits] = ["weights.safetensors", "logits.json"].map(|name| folder.path().join(name));
    let paths = [&weights, &logits].map(|path| path.to_str().expect("UTF-8"));
    for (name, shape, _) in golden() {
        let build = || network(zoo::by_name(&name, shape, CLASSES).expect("a known name"));
        let network = build();
        let (state, x) = (state(&network), pixels(&network));
        save(&weights, &name, &network, &state).expect("room on the disk");
        let predictor = predictor(network, state, Scores::Logits);
        let found = predictor.predict_nchw(&x).expect("whole samples");
        let rows: Vec<&[f32]> = found.chunks(CLASSES).collect();
        fs::write(&logits, serde_json::to_string(&rows).expect("numbers")).expect("room on the disk");
        run(&python, SCRIPT, &["check", &name, paths[0], paths[1]]);
        drop(predictor);

        run(&python, SCRIPT, &["write", &name, paths[0], paths[1]]);
        let network = build();
        let (state, report) = import(&weights, &network, Unmatched::Refuse).expect("all tensors");
        assert_eq!(report.prefix, Some("module."));
        assert_eq!(report.counters, network.statistics().len() / 2);
        let expected: Value = serde_json::from_slice(&fs::read(&logits).expect("logits")).expect("JSON");
        let predictor = crate::formula::predictor(network, state, Scores::Logits);
        assert_near(&name, &predictor.predict_nchw(&x).expect("whole samples"), &numbers(&expected));
    }
}
