//! What `evaluate` tests: what its options say, or else what the saved network tells of its training.

use crate::cli::augment_plan::{InputPlan, NormalizePlan};
use crate::cli::conv_plan::{ConvArgs, ConvPlan};
use crate::cli::network_plan::NetworkPlan;
use crate::cli::parsers::{self, DatasetName};
use crate::cli::plan::{EvaluatePlan, Execution};
use crate::cli::saved_settings::{SETTINGS, SavedSettings};
use crate::cli::source::Source;
use crate::cli::{DataArgs, EvaluateArgs, InputArgs, TrainArgs};
use crate::failure::Failure;
use isograd_datasets::open;
use isograd_model::{InputInfo, InputSize, RunInfo, SavedNetwork, TestTime, zoo};

/// The loss of a regression that does not tell its own.
const REGRESSION_LOSS: &str = "mean_squared_error";
const LOSS: &str = "categorical_cross_entropy";

/// What a saved network tells.
#[derive(Default)]
struct Told {
    info: RunInfo,
    /// The options of its training.
    settings: Option<TrainArgs>,
    /// Those of them by which it is used and tested, which saved parameters tell, too.
    of_use: Option<TrainArgs>,
}

impl Told {
    /// By the network that `args` name. A file that cannot be read tells nothing: that is found when its
    /// parameters are loaded, and other machines may have it.
    fn new(args: &EvaluateArgs) -> Self {
        let Ok(saved) = SavedNetwork::find(&args.load) else { return Self::default() };
        let settings = saved.info.notes.get(SETTINGS).map(|text| SavedSettings::parse(text));
        // Those of another version may have other options.
        let settings = settings.and_then(|settings| settings.train_args().ok());
        Self { settings, of_use: SavedSettings::told_of_use(&saved.info), info: saved.info }
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
    fn data(&mut self, given: DataArgs) -> Result<DataArgs, Failure> {
        let saved = self.settings.as_mut().map(|settings| std::mem::take(&mut settings.data));
        let saved = match saved {
            Some(saved) => saved,
            None => DataArgs { dataset: self.dataset(&given)?, ..DataArgs::default() },
        };
        let is_read_as_said = given.resize.is_some() || given.grey;
        let (resize, grey) = (saved.resize, saved.grey);
        let mut data = if given.dataset.is_some() { given } else { given.over(saved) };
        // Images are read as in training.
        if let (Some(DatasetName::Path(path)), false) = (&data.dataset, is_read_as_said) {
            match &self.info.input {
                Some(input) if input.resize.is_some() || open::is_image_folder(path).unwrap_or(false) => {
                    (data.resize, data.grey) = (input.resize, input.shape[0] == 1);
                }
                Some(_) => {}
                None => (data.resize, data.grey) = (resize, grey),
            }
        }
        Ok(data)
    }

    /// The data set of a training whose options are not told; `None` is the default one.
    fn dataset(&self, given: &DataArgs) -> Result<Option<DatasetName>, Failure> {
        let name = self.info.dataset.as_deref().and_then(|name| parsers::dataset(name).ok());
        if name.is_none() && self.info.input.is_some() && given.dataset.is_none() {
            let problem =
                "--dataset is missing: the saved network does not tell the files that it was trained on";
            return Err(Failure::Usage { problem: problem.to_string(), hint: None });
        }
        Ok(name)
    }

    /// How samples get their size and are normalised. What is given of the one says nothing of the other.
    fn input(&self, given: InputArgs) -> InputPlan {
        let told = match (&self.info.input, &self.settings) {
            (Some(input), _) => input_args(input),
            (None, Some(settings)) => settings.input.clone(),
            (None, None) => return InputPlan::new(given),
        };
        let normalize = given.normalize.clone().or_else(|| told.normalize.clone());
        let sized = if given.crop.is_some() || given.resized_crop.is_some() { given } else { told };
        InputPlan::new(InputArgs { normalize, ..sized })
    }

    /// The part of the training samples that was validated on.
    fn validation_split(&self) -> (f64, bool) {
        self.settings.as_ref().map_or_else(Default::default, |told| (told.validation_split, told.stratify))
    }

    /// How convolutions were computed.
    fn conv(&self) -> Option<ConvArgs> {
        self.of_use.as_ref().map(|told| told.execution.conv.clone())
    }

    /// The views of samples in tests.
    fn test_time(&self) -> TestTime {
        self.of_use.as_ref().map_or_else(TestTime::default, |told| told.tta)
    }

    fn loss(&self) -> &'static str {
        match &self.of_use {
            Some(told) => told.training.loss.loss,
            None if self.info.input.as_ref().is_some_and(|input| input.is_regression) => REGRESSION_LOSS,
            None => LOSS,
        }
    }
}

/// What the samples of a network went through.
fn input_args(input: &InputInfo) -> InputArgs {
    let [crop, resized_crop] = match input.size {
        None => [None; 2],
        Some(InputSize::Crop(size)) => [Some(size), None],
        Some(InputSize::Resize(size)) => [None, Some(size)],
    };
    InputArgs { crop, resized_crop, normalize: Some(NormalizePlan::of_saved(input)) }
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
            tta,
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
        let given = execution.conv.clone();
        let execution: Execution = execution.try_into()?;
        // The paths of another network say nothing of this one.
        let conv = match told.conv().filter(|_| model.is_told_by(&told.info)) {
            Some(told) => ConvPlan::or_told(given, Some(told)),
            None => execution.conv.clone(),
        };
        let (input, loss) = (told.input(input), loss.unwrap_or_else(|| told.loss()));
        let test_time = tta.unwrap_or_else(|| told.test_time());
        let (validation_split, stratify) =
            if data.is_given() { Default::default() } else { told.validation_split() };
        let source = Source::new(told.data(data)?, &model)?.sized_for(&input);
        let execution = Execution { conv, ..execution };
        let ranks = ranks.into();
        Ok(Self {
            model,
            source,
            validation_split,
            stratify,
            load,
            input,
            test_time,
            loss,
            per_class,
            per_class_file,
            execution,
            ranks,
        })
    }
}
