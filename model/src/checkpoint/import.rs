//! Parameters of other programs: state dictionaries of PyTorch in safetensors files.

use super::header::{LISTED, common_prefix, quote};
use super::state_dict::StateDict;
use super::{CheckpointError, ShapeMismatch};
use crate::error::Error;
use crate::layer::Tensor;
use crate::network::{Network, State};
use isograd_kernels::Element;
use std::collections::{BTreeMap, HashSet};
use std::path::Path;

/// What PyTorch's `DataParallel` and `torch.compile` write in front of all names.
const PREFIXES: [&str; 2] = ["module.", "_orig_mod."];
/// What PyTorch counts in each batch normalisation and no network here has.
const COUNTER: &str = "num_batches_tracked";

/// What [`import`] does about tensors that the file and the network do not both have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unmatched {
    /// It is an error.
    Refuse,
    /// Those of the network start as in a new network with this seed; those of the file are left out.
    Initialize(u64),
}

/// What [`import`] took.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImportReport {
    /// The tensors of the network that the file has, in layer order.
    pub matched: Vec<String>,
    /// The tensors of the network that the file does not have, in layer order.
    pub missing: Vec<String>,
    /// The tensors of the file that the network does not have, sorted by name.
    pub unexpected: Vec<String>,
    /// The tensors that both have, with other shapes, in layer order.
    pub other_shapes: Vec<ShapeMismatch>,
    /// What was taken off in front of all names.
    pub prefix: Option<&'static str>,
    /// How many counters of batches were left out.
    pub counters: usize,
    /// How many tensors were converted from each other element type.
    pub converted: BTreeMap<String, usize>,
}

/// Reads the parameters and running statistics of `network` from a safetensors file of another program, such
/// as a state dictionary of PyTorch.
///
/// Tensors are found by their names, which for networks of the zoo that torchvision has, too, are those of
/// torchvision; all have the layout of PyTorch. `module.` in front of all names, and PyTorch's
/// `num_batches_tracked`, are left out. Elements of type F16, BF16, F32 and F64 are converted.
///
/// # Errors
///
/// [`Error::Checkpoint`] when the file cannot be read, when it is not a whole safetensors file, or when
/// nothing matches; with [`Unmatched::Refuse`], also when a tensor is missing, unexpected, or of another
/// shape.
pub fn import<T: Element>(
    path: &Path,
    network: &Network<T>,
    unmatched: Unmatched,
) -> Result<(State<T>, ImportReport), Error> {
    let mut file = StateDict::open(path).map_err(|error| error.at(path))?;
    let report = compare(&file, network);
    if let Some(error) = refusal(&report, unmatched) {
        return Err(error.at(path));
    }
    let mut state = match unmatched {
        Unmatched::Initialize(seed) => network.initial_state(seed)?,
        Unmatched::Refuse => State::zeroed(network)?,
    };
    let report = fill(&mut file, network, &mut state, report).map_err(|error| error.at(path))?;
    Ok((state, report))
}

/// The names of the tensors in the file, without what is left out, and what was left out.
fn names(file: &StateDict) -> (Vec<String>, Option<&'static str>, usize) {
    let all = file.names();
    let prefix = PREFIXES.into_iter().find(|prefix| {
        let mut names = all.iter();
        !all.is_empty() && names.all(|name| name.starts_with(prefix))
    });
    let is_counter = |name: &&String| name.rsplit('.').next() == Some(COUNTER);
    let counters = all.iter().filter(is_counter).count();
    let plain = |name: &String| name[prefix.map_or(0, str::len)..].to_string();
    (all.iter().filter(|name| !is_counter(name)).map(plain).collect(), prefix, counters)
}

fn tensors<T: Element>(network: &Network<T>) -> impl Iterator<Item = &Tensor> {
    network.parameters().iter().chain(network.statistics())
}

fn compare<T: Element>(file: &StateDict, network: &Network<T>) -> ImportReport {
    let (names, prefix, counters) = names(file);
    let in_file: HashSet<&str> = names.iter().map(String::as_str).collect();
    let in_network: HashSet<&str> = tensors(network).map(|tensor| tensor.name.as_str()).collect();
    let mut report = ImportReport { prefix, counters, ..ImportReport::default() };
    for tensor in tensors(network) {
        let name = tensor.name.clone();
        if !in_file.contains(name.as_str()) {
            report.missing.push(name);
            continue;
        }
        let found = file.shape(&format!("{}{name}", prefix.unwrap_or_default())).expect("a name of the file");
        if found == tensor.dims {
            report.matched.push(name);
        } else {
            let (found, expected) = (found.to_vec(), tensor.dims.clone());
            report.other_shapes.push(ShapeMismatch { tensor: name, found, expected });
        }
    }
    report.unexpected = names.iter().filter(|name| !in_network.contains(name.as_str())).cloned().collect();
    report
}

/// Why a file with these tensors is not taken.
fn refusal(report: &ImportReport, unmatched: Unmatched) -> Option<CheckpointError> {
    let ImportReport { matched, missing, unexpected, other_shapes, .. } = report;
    let is_refused = unmatched == Unmatched::Refuse || matched.is_empty();
    if is_refused && !(missing.is_empty() && unexpected.is_empty()) {
        let first = |names: &[String]| names.iter().take(LISTED).map(|name| quote(name)).collect();
        let plain: Vec<&str> = missing.iter().map(String::as_str).collect();
        let found: Vec<&str> = unexpected.iter().map(String::as_str).collect();
        return Some(CheckpointError::OtherTensors {
            missing: first(missing),
            missing_count: missing.len(),
            unexpected: first(unexpected),
            unexpected_count: unexpected.len(),
            prefix: common_prefix(&plain, &found).map(quote),
        });
    }
    (is_refused && !other_shapes.is_empty()).then(|| CheckpointError::OtherShapes {
        first: other_shapes.iter().take(LISTED).cloned().collect(),
        count: other_shapes.len(),
    })
}

/// Reads the tensors that match.
fn fill<T: Element>(
    file: &mut StateDict,
    network: &Network<T>,
    state: &mut State<T>,
    mut report: ImportReport,
) -> Result<ImportReport, CheckpointError> {
    let matched: HashSet<&str> = report.matched.iter().map(String::as_str).collect();
    let [parameters, statistics] = [network.parameters(), network.statistics()];
    let parts = [(parameters, &mut state.params), (statistics, &mut state.statistics)];
    let mut converted = BTreeMap::new();
    for (tensors, values) in parts {
        for tensor in tensors.iter().filter(|tensor| matched.contains(tensor.name.as_str())) {
            let name = format!("{}{}", report.prefix.unwrap_or_default(), tensor.name);
            if let Some(from) = file.read(&name, &mut values[tensor.range.clone()])? {
                *converted.entry(from).or_default() += 1;
            }
        }
    }
    report.converted = converted;
    Ok(report)
}
