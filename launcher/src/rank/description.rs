//! What a saved network tells of itself: all that is needed to use it without the options of its training.

use crate::cli::network_plan::NetworkPlan;
use crate::cli::plan::TrainPlan;
use crate::cli::saved_settings::{SETTINGS, SavedSettings};
use crate::cli::source::Source;
use crate::failure::Failure;
use crate::rank::data::Samples;
use crate::rank::network::outputs;
use crate::rank::views::has_bytes;
use isograd_datasets::Dataset;
use isograd_datasets::augment::Transformation;
use isograd_model::{InputInfo, InputSize, RunInfo};

/// Describes the network of `plan`, which sees `samples` as `view` in tests.
pub(crate) fn of(plan: &TrainPlan, samples: &Samples, view: &dyn Dataset) -> Result<RunInfo, Failure> {
    let mut info = RunInfo::new(&plan.model.name());
    info.class_names = samples.train.class_names().to_vec();
    let mut input = InputInfo::new(view.sample_shape(), outputs(view));
    input.is_regression = view.target_values().is_some() && view.num_classes() == 0;
    if let NetworkPlan::File(file) = &plan.model {
        input.network = Some(file.text().to_string());
    }
    let normalization = view.normalization();
    (input.scale, input.shift) = (normalization.scale().to_vec(), normalization.shift().to_vec());
    input.is_bytes = has_bytes(view)?;
    let [_, h, w] = samples.train.sample_shape();
    input.stored = [h, w];
    if let Source::Path(source) = &plan.source {
        input.resize = source.options.images.fit.resize;
    }
    input.size = plan.augment.input.in_tests(&*samples.train).map(|change| match change {
        Transformation::CenterCrop(crop) => InputSize::Crop(crop.size),
        Transformation::Resize(resize) => InputSize::Resize(resize.size),
        other => unreachable!("{other:?} changes no test sample"),
    });
    info.input = Some(input);
    info.dataset = plan.source.set_name();
    info.notes_of_use.insert(SETTINGS.to_string(), SavedSettings::of_use(plan)?.text());
    Ok(info)
}
