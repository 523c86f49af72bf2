//! `isograd export`: a trained network for other programs.

use crate::cli::ExportFormat;
use crate::cli::use_plan::ExportPlan;
use crate::failure::Failure;
use crate::output::Output;
use crate::system::count::count;
use crate::system::{same_file, whole_file};
use isograd_datasets::tensors::write_npz;
use isograd_model::onnx::{OnnxOptions, to_onnx};
use isograd_model::{RunInfo, save_described};

/// Writes the network.
pub(crate) fn start(plan: &ExportPlan, out: &mut Output) -> Result<(), Failure> {
    let saved = plan.load.find()?;
    if same_file::are_one(&saved.file, &plan.file) {
        let problem = format!("{} is the file to export", plan.file.display());
        return Err(Failure::Usage { problem, hint: None });
    }
    let input = saved.input().map_err(Failure::Load)?;
    let (network, state) = saved.load::<f32>().map_err(Failure::Load)?;
    let mut info = RunInfo::new(&saved.info.model);
    (info.class_names, info.input) = (saved.info.class_names.clone(), Some(input));
    let failure = |source| Failure::Write { option: "FILE", path: plan.file.clone(), source };
    match plan.format {
        ExportFormat::Onnx => {
            let options = if plan.logits { OnnxOptions::logits() } else { OnnxOptions::default() };
            let bytes = to_onnx(&network, &state, &info, options)?;
            whole_file::write(&plan.file, bytes).map_err(failure)?;
        }
        ExportFormat::Safetensors => {
            save_described(&plan.file, &info, &network, &state).map_err(Failure::Save)?;
        }
        ExportFormat::Npz => {
            let parameters = network.parameters().iter().map(|tensor| (tensor, state.params()));
            let statistics = network.statistics().iter().map(|tensor| (tensor, state.statistics()));
            let arrays = parameters
                .chain(statistics)
                .map(|(tensor, values)| (&*tensor.name, &*tensor.dims, &values[tensor.range.clone()]));
            whole_file::write_with(&plan.file, |file| write_npz(file, arrays)).map_err(failure)?;
        }
    }
    let tensors = count(network.parameters().len() + network.statistics().len(), "tensor");
    out.line(&format!(
        "wrote {}: {} with {tensors} of {}",
        plan.file.display(),
        info.model,
        saved.file.display()
    ))
}
