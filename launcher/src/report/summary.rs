//! The figures of runs for other programs: one JSON object, whose keys `docs/src/report.md` lists.

use super::evaluation::Evaluation;
use super::figures::{self, Quantity};
use super::run::Run;
use isograd_model::logger::{LoggedEpoch, RunState};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The version of the keys.
const FORMAT: u32 = 1;

/// The object, in lines.
pub(super) fn json(runs: &[Run]) -> String {
    let runs: Vec<Value> = runs.iter().map(run).collect();
    let text = serde_json::to_string_pretty(&json!({ "format": FORMAT, "runs": runs }));
    text.expect("texts and numbers") + "\n"
}

fn run(run: &Run) -> Value {
    let (state, reason) = match &run.state {
        Some(RunState::Ended(reason)) => ("ended", Some(reason)),
        Some(RunState::Running) => ("running", None),
        Some(RunState::Killed) => ("killed", None),
        Some(RunState::Open) => ("open", None),
        None => ("unknown", None),
    };
    let (log, start, end) = (&run.log, run.log.start(), run.log.end.as_ref());
    let test = log.tests.last().map(|test| {
        let mut values = Map::from_iter([("loss".to_string(), number(test.loss))]);
        values.extend(test.metrics.iter().map(|(name, value)| (name.clone(), number(*value))));
        values
    });
    let evaluation = match &run.evaluation {
        Some(Ok(result)) => evaluation(result),
        _ => Value::Null,
    };
    json!({
        "name": run.name,
        "folder": run.folder.to_string_lossy(),
        "state": state,
        "reason": reason,
        "notes": run.notes(),
        "version": start.and_then(|start| start.version.as_ref()),
        "model": start.and_then(|start| start.model.as_ref()),
        "parameters": start.and_then(|start| start.parameters),
        "dataset": start.and_then(|start| start.dataset.as_ref()),
        "cpu": start.and_then(|start| start.cpu.as_ref()),
        "isa": start.and_then(|start| start.isa.as_ref()),
        "threads": start.and_then(|start| start.threads),
        "ranks": start.and_then(|start| start.ranks),
        "hosts": start.map(|start| &start.hosts),
        "epochs_planned": start.and_then(|start| start.epochs),
        "settings": start.map(|start| start.settings.clone()).unwrap_or_default(),
        "last": log.epochs.last().map(epoch),
        "best": best(run),
        "epochs": log.epochs.iter().map(epoch).collect::<Vec<_>>(),
        "test": test,
        "seconds": log.seconds().map(number),
        "samples_per_s": figures::samples_per_s(run).map(number),
        "peak_memory_bytes": end.and_then(|end| end.peak_memory_bytes),
        "hash": end.and_then(|end| end.hash.as_ref()),
        "evaluation": evaluation,
    })
}

/// JSON has no NaN and no infinities: they are `null`.
fn number(value: f64) -> Value {
    Value::from(value)
}

fn epoch(epoch: &LoggedEpoch) -> Value {
    let metrics = |metrics: &BTreeMap<String, f64>, prefix: &str| {
        metrics.iter().map(|(name, value)| (format!("{prefix}{name}"), number(*value))).collect::<Vec<_>>()
    };
    let mut values = Map::new();
    values.insert("epoch".to_string(), epoch.epoch.into());
    values.insert("step".to_string(), epoch.step.into());
    values.insert("loss".to_string(), number(epoch.loss));
    values.extend(metrics(&epoch.metrics, ""));
    values.extend(epoch.val_loss.map(|value| ("val_loss".to_string(), number(value))));
    values.extend(metrics(&epoch.val_metrics, "val_"));
    for (name, value) in [
        ("learning_rate", epoch.learning_rate),
        ("samples_per_s", epoch.samples_per_s),
        ("seconds", epoch.seconds),
    ] {
        values.extend(value.map(|value| (name.to_string(), number(value))));
    }
    Value::Object(values)
}

/// The best value of each loss and metric, with its epoch.
fn best(run: &Run) -> Map<String, Value> {
    let quantities = figures::quantities([run]);
    let both = quantities.iter().flat_map(|quantity: &Quantity| [quantity.clone(), quantity.of_validation()]);
    let best = both.filter_map(|quantity| {
        let (value, epoch) = quantity.best(run)?;
        Some((quantity.name, json!({ "value": value, "epoch": epoch })))
    });
    best.collect()
}

fn evaluation(evaluation: &Evaluation) -> Value {
    let matrix = evaluation.confusion();
    let classes: Vec<Value> = (0..matrix.classes())
        .map(|class| {
            json!({
                "name": evaluation.class_name(class),
                "samples": matrix.actual(class),
                "precision": matrix.precision(class),
                "recall": matrix.recall(class),
                "f1": matrix.f1(class),
            })
        })
        .collect();
    let mistakes: Vec<Value> = evaluation
        .mistakes
        .iter()
        .map(|mistake| {
            json!({
                "sample": mistake.sample,
                "class": mistake.class,
                "predicted": mistake.predicted,
                "output": mistake.output,
                "output_of_class": mistake.output_of_class,
            })
        })
        .collect();
    json!({
        "checkpoint": evaluation.checkpoint,
        "part": evaluation.part,
        "samples": matrix.samples(),
        "accuracy": matrix.accuracy(),
        "classes": classes,
        "confusion": evaluation.counts(),
        "mistakes": mistakes,
    })
}
