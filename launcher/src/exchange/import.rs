//! `isograd import`: the parameters of another program.

use crate::cli::network_plan::NetworkPlan;
use crate::cli::use_plan::{ImportPlan, input_of_file};
use crate::failure::Failure;
use crate::output::Output;
use crate::system::count::count;
use isograd_model::{
    CheckpointError, Error, ImportReport, InputInfo, Network, RunInfo, Shape, ShapeMismatch, file, import,
    save_described,
};

/// How many names a line lists.
const LISTED: usize = 10;

/// Reads the parameters and saves them as those of the network.
pub(crate) fn start(plan: &ImportPlan, out: &mut Output) -> Result<(), Failure> {
    let (shape, _) = plan.model.made_for();
    let network = match &plan.model {
        NetworkPlan::Zoo(model) => Network::<f32>::build(model.layers(shape, plan.classes))?,
        NetworkPlan::File(network) => Network::build(file::layers(network.text())?)?,
    };
    let (state, report) =
        import(&plan.file, &network, plan.unmatched).map_err(|error| failure(error, plan))?;
    let mut info = RunInfo::new(&plan.model.name());
    let Shape { c, h, w } = network.input_shape();
    info.input =
        input_of_file(&plan.model).or_else(|| Some(photographs(InputInfo::new([c, h, w], plan.classes))));
    save_described(&plan.save, &info, &network, &state).map_err(Failure::Save)?;
    for line in describe(&report) {
        out.line(&line)?;
    }
    out.line(&format!("wrote {}", plan.save.display()))
}

/// Networks for ImageNet were trained on photographs under its statistics.
fn photographs(mut input: InputInfo) -> InputInfo {
    if input.shape[0] == 3
        && input.shape[1] > 128
        && let Some(published) = isograd_datasets::Published::by_name("imagenet")
    {
        let of = isograd_datasets::Normalization::from_mean_std(published.mean, published.std)
            .expect("no deviation is 0");
        (input.scale, input.shift) = (of.scale().to_vec(), of.shift().to_vec());
    }
    input
}

fn failure(error: Error, plan: &ImportPlan) -> Failure {
    let hint = match &error {
        Error::Checkpoint { reason, .. } => match &**reason {
            CheckpointError::OtherShapes { first, .. } => hint_of_shapes(first, plan),
            CheckpointError::OtherTensors { .. } => {
                Some("--partial takes what matches, and leaves out the rest".to_string())
            }
            _ => None,
        },
        _ => None,
    };
    Failure::Import { error: Box::new(error), hint }
}

/// The way out where the file has other classes than the network.
fn hint_of_shapes(mismatches: &[ShapeMismatch], plan: &ImportPlan) -> Option<String> {
    let classes = plan.classes;
    let found = mismatches.first()?.found.first()?;
    let is_of_classes = |mismatch: &ShapeMismatch| {
        mismatch.expected.first() == Some(&classes)
            && mismatch.found.first() == Some(found)
            && mismatch.found[1..] == mismatch.expected[1..]
    };
    let partial = "--partial takes the other tensors alone";
    Some(match mismatches.iter().all(is_of_classes) && matches!(plan.model, NetworkPlan::Zoo(_)) {
        true => format!(
            "the file has {found} classes, the network {classes}: --classes {found} makes them equal; {partial}"
        ),
        false => partial.to_string(),
    })
}

/// What was taken, a line for each kind.
fn describe(report: &ImportReport) -> Vec<String> {
    let ImportReport { matched, missing, unexpected, other_shapes, prefix, counters, converted, .. } = report;
    let mut lines = vec![format!("matched: {}", names(matched))];
    if let Some(prefix) = prefix {
        lines.push(format!("left out: '{prefix}' in front of all names"));
    }
    if *counters > 0 {
        lines.push(format!("left out: {} of batches (num_batches_tracked)", count(*counters, "counter")));
    }
    for (from, tensors) in converted {
        lines.push(format!("converted: {} from {from} to F32", count(*tensors, "tensor")));
    }
    if !missing.is_empty() {
        lines.push(format!("not in the file, so initialised: {}", names(missing)));
    }
    if !other_shapes.is_empty() {
        let shapes: Vec<String> = other_shapes
            .iter()
            .map(|ShapeMismatch { tensor, found, expected }| format!("{tensor} ({found:?} for {expected:?})"))
            .collect();
        lines.push(format!("of another shape, so initialised: {}", names(&shapes)));
    }
    if !unexpected.is_empty() {
        lines.push(format!("not in the network, so left out: {}", names(unexpected)));
    }
    lines
}

/// `62 tensors: a, b, … and 52 more`.
fn names(names: &[String]) -> String {
    let first: Vec<&str> = names.iter().take(LISTED).map(String::as_str).collect();
    let more = match names.len().saturating_sub(LISTED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{}: {}{more}", count(names.len(), "tensor"), first.join(", "))
}
