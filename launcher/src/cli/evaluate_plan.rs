//! What `evaluate` tests: what its options say, or else what the saved network tells of its training.

use crate::cli::augment_plan::{InputPlan, NormalizePlan};
use crate::cli::network_plan::NetworkPlan;
use crate::cli::parsers::DatasetName;
use crate::cli::plan::EvaluatePlan;
use crate::cli::saved_settings::{SETTINGS, SavedSettings};
use crate::cli::source::Source;
use crate::cli::{DataArgs, EvaluateArgs, InputArgs, TrainArgs};
use crate::failure::Failure;
use isograd_model::{InputInfo, InputSize, RunInfo, SavedNetwork, zoo};

/// The loss of a regression that does not tell its own.
const REGRESSION_LOSS: &str = "mean_squared_error";
const LOSS: &str = "categorical_cross_entropy";

/// What a saved network tells.
#[derive(Default)]
struct Told {
    info: RunInfo,
    /// The options of its training.
    settings: Option<TrainArgs>,
}

impl Told {
    /// By the network that `args` name. A file that cannot be read tells nothing: that is found when its
    /// parameters are loaded, and other machines may have it.
    fn new(args: &EvaluateArgs) -> Self {
        let Ok(saved) = SavedNetwork::find(&args.load) else { return Self::default() };
        let settings = saved.info.notes.get(SETTINGS).map(|text| SavedSettings::parse(text));
        // Those of another version may have other options.
        Self { settings: settings.and_then(|settings| settings.train_args().ok()), info: saved.info }
    }

    /// The network; the default one if it is not told.
    fn model(&self) -> Result<NetworkPlan, Failure> {
        let name = &self.info.model;
        match self.info.input.as_ref().and_then(|input| input.network.as_ref()) {
            Some(text) => NetworkPlan::of_text(name, text),
            None => Ok(NetworkPlan::Zoo(zoo::find(name).or_else(|_| zoo::find("simplecnn"))?)),
        }
    }

    /// The data set of the training; `given` is what the command line says of it.
    fn data(&mut self, mut given: DataArgs) -> DataArgs {
        let settings = self.settings.as_mut().map(|settings| &mut settings.data);
        let test_path = given.dataset_test_path.take();
        let is_given = given.is_given();
        let mut data = match settings {
            Some(saved) if !is_given => std::mem::take(saved),
            Some(saved) => {
                // Images are read as in training.
                if matches!(given.dataset, Some(DatasetName::Path(_))) && given.of_images().is_none() {
                    (given.resize, given.grey) = (saved.resize, saved.grey);
                }
                given
            }
            None => given,
        };
        data.dataset_test_path = test_path.or(data.dataset_test_path);
        data
    }

    /// How samples get their size and are normalised.
    fn input(&self, given: InputArgs) -> InputPlan {
        if given.crop.is_some() || given.resized_crop.is_some() || given.normalize.is_some() {
            return InputPlan::new(given);
        }
        match (&self.info.input, &self.settings) {
            (Some(input), _) => input_plan(input),
            (None, Some(settings)) => InputPlan::new(settings.input.clone()),
            (None, None) => InputPlan::new(given),
        }
    }

    fn loss(&self) -> &'static str {
        match &self.settings {
            Some(settings) => settings.training.loss.loss,
            None if self.info.input.as_ref().is_some_and(|input| input.is_regression) => REGRESSION_LOSS,
            None => LOSS,
        }
    }
}

/// What the samples of a network went through.
fn input_plan(input: &InputInfo) -> InputPlan {
    let [crop, resized_crop] = match input.size {
        None => [None; 2],
        Some(InputSize::Crop(size)) => [Some(size), None],
        Some(InputSize::Resize(size)) => [None, Some(size)],
    };
    InputPlan::new(InputArgs { crop, resized_crop, normalize: Some(NormalizePlan::of_saved(input)) })
}

impl TryFrom<EvaluateArgs> for EvaluatePlan {
    type Error = Failure;

    fn try_from(args: EvaluateArgs) -> Result<Self, Failure> {
        let mut told = Told::new(&args);
        let EvaluateArgs {
            load,
            model,
            data,
            input,
            loss,
            per_class,
            per_class_file,
            execution,
            ranks,
            config: _,
        } = args;
        let model = match model {
            Some(model) => NetworkPlan::new(model)?,
            None => told.model()?,
        };
        let (input, loss) = (told.input(input), loss.unwrap_or_else(|| told.loss()));
        let source = Source::new(told.data(data), &model)?.sized_for(&input);
        let execution = execution.try_into()?;
        let ranks = ranks.into();
        Ok(Self { model, source, load, input, loss, per_class, per_class_file, execution, ranks })
    }
}
