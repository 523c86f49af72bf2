//! What is done with a trained network: evaluator, predictor, saver and report.

use super::options::Options;
use super::trainer::is_intact;
use super::words::{self, of_dataset};
use super::{Surroundings, dataset, model};
use crate::cli::Command;
use crate::cli::dtype::Dtype;
use crate::cli::plan::EvaluatePlan;
use crate::cli::plan::{Execution, RankPlan};
use crate::exchange;
use crate::failure::Failure;
use crate::output::Output;
use crate::predict;
use crate::rank::command::{RankCommand, start_as};
use crate::rank::identity::RankIdentity;
use crate::report;
use crate::system::whole_file;
use isograd_model::workflow::{Component, ComponentError, Port, Type, Value, Values};
use isograd_model::{Element, SavedNetwork, save_described};
use serde_json::Value as Json;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Where the network `input` is.
fn path_of(inputs: &Values) -> Result<String, ComponentError> {
    let path = inputs.json("model")?.get("path").and_then(Json::as_str);
    path.map(str::to_string).ok_or_else(|| "the model has no path".into())
}

/// The network goes on to the next step.
fn handed_on(inputs: &Values) -> Result<Values, ComponentError> {
    Ok(Values::new().with("model", inputs.need("model")?.clone()))
}

/// The options of a step as words of the command `name`.
fn command_words(name: &str, options: Options) -> Result<Vec<String>, Failure> {
    Ok(words::of_command(name, &options.given())?.0)
}

/// Tests a network, as `isograd evaluate` does.
pub(super) struct Evaluator {
    words: Vec<String>,
    around: Surroundings,
}

impl Evaluator {
    pub(super) fn new(options: Options, around: Surroundings) -> Result<Self, Failure> {
        let step = options.mistake("'load' is the model that the step takes");
        let words = command_words("evaluate", options)?;
        if words.iter().any(|word| word.starts_with("--load=")) {
            return Err(step);
        }
        Ok(Self { words, around })
    }
}

impl Component for Evaluator {
    fn inputs(&self) -> Vec<Port> {
        vec![Port::new("model", model()), Port::optional("dataset", dataset())]
    }

    fn outputs(&self) -> Vec<Port> {
        vec![Port::new("model", model()), Port::new("metrics", Type::Record)]
    }

    fn execute(&mut self, inputs: Values) -> Result<Values, ComponentError> {
        let mut line = vec!["evaluate".to_string(), format!("--load={}", path_of(&inputs)?)];
        if let Some(set) = inputs.get("dataset").and_then(Value::json) {
            line.extend(of_dataset(set, "evaluate"));
        }
        line.extend(self.words.iter().cloned());
        let plan = match words::parse(&line)? {
            Command::Evaluate(args) => EvaluatePlan::try_from(*args)?,
            other => unreachable!("{other:?} for a test"),
        };
        let test = Test { plan, figures: Mutex::default() };
        // The other ranks wait for a training, or have ended.
        start_as(&RankIdentity::alone(), &test, &mut self.around.output())?;
        let figures = test.figures.into_inner().unwrap_or_default();
        Ok(handed_on(&inputs)?.with("metrics", words::record(figures)))
    }

    fn fingerprint(&self) -> Option<String> {
        Some(format!("{} {}", words::program(), words::with_files(&self.words)))
    }

    fn is_intact(&self, outputs: &Values) -> bool {
        outputs.json("model").is_ok_and(is_intact)
    }
}

/// A test that keeps its figures.
struct Test {
    plan: EvaluatePlan,
    figures: Mutex<Vec<(String, f64)>>,
}

impl RankCommand for Test {
    fn ranks(&self) -> &RankPlan {
        &self.plan.ranks
    }

    fn execution(&self) -> &Execution {
        &self.plan.execution
    }

    fn run<T: Element>(&self, identity: &RankIdentity, out: &mut Output) -> Result<(), Failure> {
        let figures = self.plan.test::<T>(identity, out)?;
        *self.figures.lock().expect("no panic before") = figures;
        Ok(())
    }
}

/// Predicts files, as `isograd predict` does.
pub(super) struct Predictor {
    inputs: Vec<String>,
    out: PathBuf,
    words: Vec<String>,
}

impl Predictor {
    pub(super) fn new(mut options: Options, around: Surroundings) -> Result<Self, Failure> {
        let inputs = options.texts("inputs")?.ok_or_else(|| options.missing("inputs"))?;
        let is_json = options.switch("json")?;
        let ending = if is_json { "jsonl" } else { "csv" };
        let out = options.text("out")?.map(PathBuf::from);
        let out = out.unwrap_or_else(|| around.results.join(format!("{}.{ending}", options.step)));
        let mut words = command_words("predict", options)?;
        words.push(format!("--{}", if is_json { "json" } else { "csv" }));
        Ok(Self { inputs, out, words })
    }
}

impl Component for Predictor {
    fn inputs(&self) -> Vec<Port> {
        vec![Port::new("model", model())]
    }

    fn outputs(&self) -> Vec<Port> {
        vec![Port::new("model", model()), Port::new("predictions", Type::Text)]
    }

    fn execute(&mut self, inputs: Values) -> Result<Values, ComponentError> {
        let mut line = vec!["predict".to_string(), format!("--load={}", path_of(&inputs)?)];
        line.extend(self.words.iter().cloned());
        line.push(format!("--out={}", self.out.display()));
        line.push("--".to_string());
        line.extend(self.inputs.iter().cloned());
        match words::parse(&line)? {
            Command::Predict(args) => predict::start(&(*args).try_into()?, &mut Output::default())?,
            other => unreachable!("{other:?} for predictions"),
        }
        Ok(handed_on(&inputs)?.with("predictions", self.out.display().to_string()))
    }
}

/// Writes a network to a file.
pub(super) struct Saver {
    file: PathBuf,
    metrics: Option<PathBuf>,
}

const OF_SAVER: [&str; 2] = ["file", "metrics"];
const ENDINGS: [&str; 3] = ["safetensors", "onnx", "npz"];

impl Saver {
    pub(super) fn new(mut options: Options) -> Result<Self, Failure> {
        let file = options.text("file")?.map(PathBuf::from).ok_or_else(|| options.missing("file"))?;
        let metrics = options.text("metrics")?.map(PathBuf::from);
        let ending = file.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        if !ENDINGS.contains(&ending) {
            let problem = format!("'file' must end in .{}, it is '{}'", ENDINGS.join(", ."), file.display());
            return Err(options.mistake(&problem));
        }
        options.end(&OF_SAVER)?;
        Ok(Self { file, metrics })
    }
}

impl Component for Saver {
    fn inputs(&self) -> Vec<Port> {
        vec![Port::new("model", model()), Port::optional("metrics", Type::Record)]
    }

    fn outputs(&self) -> Vec<Port> {
        vec![Port::new("model", model())]
    }

    fn execute(&mut self, inputs: Values) -> Result<Values, ComponentError> {
        let path = path_of(&inputs)?;
        if let Some(parent) = self.file.parent() {
            std::fs::create_dir_all(parent)?;
        }
        if self.file.extension().is_some_and(|ending| ending == "safetensors") {
            let saved = SavedNetwork::find(Path::new(&path))?;
            match dtype_of(&saved) {
                Dtype::F32 | Dtype::Bf16 => save::<f32>(&saved, &self.file)?,
                Dtype::F64 => save::<f64>(&saved, &self.file)?,
            }
        } else {
            let line = ["export".to_string(), format!("--load={path}"), self.file.display().to_string()];
            match words::parse(&line)? {
                Command::Export(args) => {
                    exchange::export::start(&(*args).try_into()?, &mut Output::default())?
                }
                other => unreachable!("{other:?} for a file"),
            }
        }
        if let Some(file) = &self.metrics {
            let metrics = inputs
                .json("metrics")
                .map_err(|_| "'metrics' names a file, but no step in front gives metrics")?;
            whole_file::write(file, format!("{metrics:#}\n"))?;
        }
        handed_on(&inputs)
    }
}

fn save<T: Element>(saved: &SavedNetwork, file: &Path) -> Result<(), ComponentError> {
    let (network, state) = saved.load::<T>()?;
    Ok(save_described(file, &saved.info, &network, &state)?)
}

/// The element type that the network was trained in.
fn dtype_of(saved: &SavedNetwork) -> Dtype {
    let settings = saved.info.notes.get(crate::cli::saved_settings::SETTINGS);
    match settings.is_some_and(|text| text.contains("--dtype=float64") || text.contains("--dtype=f64")) {
        true => Dtype::F64,
        false => Dtype::F32,
    }
}

/// Shows a run on a page, as `isograd report` does.
pub(super) struct Report {
    words: Vec<String>,
    around: Surroundings,
}

impl Report {
    pub(super) fn new(options: Options, around: Surroundings) -> Result<Self, Failure> {
        Ok(Self { words: command_words("report", options)?, around })
    }
}

impl Component for Report {
    fn inputs(&self) -> Vec<Port> {
        vec![Port::new("model", model())]
    }

    fn outputs(&self) -> Vec<Port> {
        vec![Port::new("model", model())]
    }

    fn execute(&mut self, inputs: Values) -> Result<Values, ComponentError> {
        let mut line = vec!["report".to_string(), path_of(&inputs)?];
        line.extend(self.words.iter().cloned());
        match words::parse(&line)? {
            Command::Report(args) => report::start(*args, &mut self.around.output())?,
            other => unreachable!("{other:?} for a report"),
        }
        handed_on(&inputs)
    }
}
