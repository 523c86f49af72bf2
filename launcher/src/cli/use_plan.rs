//! What the commands that use networks and exchange them do.

use crate::cli::conv_plan::{ConvArgs, ConvPlan};
use crate::cli::network_plan::{ModelName, NetworkPlan};
use crate::cli::saved_settings::SavedSettings;
use crate::cli::{ExportArgs, ExportFormat, ImportArgs, LoadArgs, PredictArgs};
use crate::failure::Failure;
use isograd_kernels::Isa;
use isograd_model::{InputInfo, SavedNetwork, Shape, TestTime, Unmatched};
use std::path::{Path, PathBuf};

/// A trained network.
#[derive(Debug)]
pub(crate) struct LoadPlan {
    pub(crate) path: PathBuf,
    model: Option<NetworkPlan>,
}

/// Predicts.
#[derive(Debug)]
pub(crate) struct PredictPlan {
    pub(crate) load: LoadPlan,
    pub(crate) inputs: Vec<PathBuf>,
    pub(crate) top: usize,
    pub(crate) format: PredictFormat,
    pub(crate) out: Option<PathBuf>,
    pub(crate) threads: Option<usize>,
    pub(crate) isa: Isa,
    conv: ConvArgs,
    tta: Option<TestTime>,
}

/// How predictions are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PredictFormat {
    Table,
    Csv,
    JsonLines,
}

/// Writes a network for other programs.
#[derive(Debug)]
pub(crate) struct ExportPlan {
    pub(crate) load: LoadPlan,
    pub(crate) format: ExportFormat,
    pub(crate) logits: bool,
    pub(crate) file: PathBuf,
}

/// Reads the parameters of another program.
#[derive(Debug)]
pub(crate) struct ImportPlan {
    pub(crate) file: PathBuf,
    pub(crate) model: NetworkPlan,
    pub(crate) classes: usize,
    pub(crate) unmatched: Unmatched,
    pub(crate) save: PathBuf,
}

impl PredictPlan {
    /// How convolutions are computed in the network `saved`: as the options say, or else as it was trained.
    pub(crate) fn conv(&self, saved: &SavedNetwork) -> ConvPlan {
        ConvPlan::or_told(
            self.conv.clone(),
            SavedSettings::told_of_use(&saved.info).map(|args| args.execution.conv),
        )
    }

    /// The views that are predicted by: as the options say, or else as in the tests of the training.
    pub(crate) fn test_time(&self, saved: &SavedNetwork) -> TestTime {
        let told = || SavedSettings::told_of_use(&saved.info).map(|args| args.tta);
        self.tta.or_else(told).unwrap_or_default()
    }
}

impl LoadPlan {
    pub(super) fn new(path: PathBuf, model: Option<ModelName>) -> Result<Self, Failure> {
        Ok(Self { path, model: model.map(NetworkPlan::new).transpose()? })
    }

    /// Finds the network.
    pub(crate) fn find(&self) -> Result<SavedNetwork, Failure> {
        let mut saved = SavedNetwork::find(&self.path).map_err(Failure::Load)?;
        let Some(model) = &self.model else { return Ok(saved) };
        if !model.is_told_by(&saved.info) {
            // The training of another network says nothing of this one.
            SavedSettings::forget(&mut saved.info);
        }
        Ok(saved.with_model(&model.name(), input_of_file(model)))
    }
}

/// What a network in a file takes and gives.
pub(crate) fn input_of_file(model: &NetworkPlan) -> Option<InputInfo> {
    let NetworkPlan::File(file) = model else { return None };
    let (Shape { c, h, w }, outputs) = model.made_for();
    let mut input = InputInfo::new([c, h, w], outputs);
    input.network = Some(file.text().to_string());
    Some(input)
}

impl TryFrom<LoadArgs> for LoadPlan {
    type Error = Failure;

    fn try_from(LoadArgs { load, model }: LoadArgs) -> Result<Self, Failure> {
        Self::new(load, model)
    }
}

impl TryFrom<PredictArgs> for PredictPlan {
    type Error = Failure;

    fn try_from(args: PredictArgs) -> Result<Self, Failure> {
        let PredictArgs { load, inputs, top, json, csv, tta, out, threads, isa, conv, config: _ } = args;
        let format = match (json, csv) {
            (true, _) => PredictFormat::JsonLines,
            (_, true) => PredictFormat::Csv,
            _ => PredictFormat::Table,
        };
        let isa = isa.on_this_cpu().map_err(|problem| usage(format!("--isa: {problem}")))?;
        Ok(Self { load: load.try_into()?, inputs, top: top as usize, format, out, threads, isa, conv, tta })
    }
}

impl TryFrom<ExportArgs> for ExportPlan {
    type Error = Failure;

    fn try_from(args: ExportArgs) -> Result<Self, Failure> {
        let ExportArgs { load, format, logits, file, config: _ } = args;
        let format = format.or_else(|| by_name(&file)).ok_or_else(|| Failure::Usage {
            problem: format!("--format is missing: '{}' ends in no known format", file.display()),
            hint: Some("known are onnx, safetensors and npz".to_string()),
        })?;
        if logits && format != ExportFormat::Onnx {
            return Err(usage("--logits applies only to --format onnx".to_string()));
        }
        Ok(Self { load: load.try_into()?, format, logits, file })
    }
}

/// The format that the name of a file says.
fn by_name(file: &Path) -> Option<ExportFormat> {
    match file.extension()?.to_str()? {
        "onnx" => Some(ExportFormat::Onnx),
        "safetensors" => Some(ExportFormat::Safetensors),
        "npz" => Some(ExportFormat::Npz),
        _ => None,
    }
}

impl TryFrom<ImportArgs> for ImportPlan {
    type Error = Failure;

    fn try_from(args: ImportArgs) -> Result<Self, Failure> {
        let ImportArgs { file, model, classes, partial, seed, save, config: _ } = args;
        let model = NetworkPlan::new(model)?;
        if classes.is_some() && matches!(model, NetworkPlan::File(_)) {
            let problem = "--classes applies only to a network that has a name; a file says its own";
            return Err(usage(problem.to_string()));
        }
        let classes = classes.unwrap_or(model.made_for().1);
        let unmatched = if partial { Unmatched::Initialize(seed) } else { Unmatched::Refuse };
        Ok(Self { file, model, classes, unmatched, save })
    }
}

fn usage(problem: String) -> Failure {
    Failure::Usage { problem, hint: None }
}
