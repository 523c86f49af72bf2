//! `isograd predict`: what a trained network says of images and arrays.
//!
//! ```text
//! find the network, build it, load its parameters                // bad input ends the program here
//! for each input: images one after the other together, or a file of arrays
//!     for each block of samples: read them on all threads; predict; write
//!     what cannot be read is named, and the others go on
//! ```

mod inputs;
mod output;

use crate::cli::conv_plan::ConvPlan;
use crate::cli::dtype::Dtype;
use crate::cli::use_plan::PredictPlan;
use crate::failure::Failure;
use crate::output::Output;
use crate::system::cores::CoreLimits;
use inputs::{Block, Group, Named, Notes};
use isograd_datasets::Pixels;
use isograd_model::{Predictor, SavedNetwork};
use output::Writer;

/// Bytes of the samples that are read together, and the most samples.
const BLOCK_BYTES: usize = 64 << 20;
const BLOCK_SAMPLES: usize = 1024;

/// Predicts all inputs.
pub(crate) fn start(plan: &PredictPlan, out: &mut Output) -> Result<(), Failure> {
    let threads = plan.threads.unwrap_or_else(|| CoreLimits::of_this_process().usable());
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    pool.map_err(|source| Failure::Threads { threads, source })?.install(|| run(plan, out))
}

fn run(plan: &PredictPlan, out: &mut Output) -> Result<(), Failure> {
    let saved = plan.load.find()?;
    let conv = plan.conv(&saved);
    let predictor = open(&saved, &conv)?.with_isa(plan.isa);
    let predictor = predictor.with_test_time(plan.test_time(&saved))?;
    conv.warn(predictor.network(), Dtype::F32, plan.isa, None);
    if !saved.tells_input {
        log::warn!(
            "{} does not tell how its samples were normalised: bytes are divided by 255",
            saved.file.display()
        );
    }
    let mut writer = Writer::start(plan, &predictor, out)?;
    let (mut failed, mut total) = (0, 0);
    let mut notes = Notes::default();
    for named in Named::all(&plan.inputs) {
        let group = match named.open(predictor.input()) {
            Ok(group) => group,
            Err(problem) => {
                log::error!("{problem}");
                (failed, total) = (failed + 1, total + 1);
                continue;
            }
        };
        total += group.len();
        failed += predict(&predictor, &group, &mut writer)?;
        notes.add(&group);
    }
    writer.finish()?;
    for text in notes.texts(predictor.input()) {
        log::warn!("{text}");
    }
    match failed {
        0 => Ok(()),
        _ => Err(Failure::Inputs { failed, total }),
    }
}

fn open(saved: &SavedNetwork, conv: &ConvPlan) -> Result<Predictor, Failure> {
    let input = saved.input().map_err(Failure::Load)?;
    let (network, state) = saved.load().map_err(Failure::Load)?;
    Ok(Predictor::new(conv.apply(network)?, state, input, saved.info.class_names.clone())?)
}

/// Predicts the samples of a group, and counts those that cannot be read.
fn predict(predictor: &Predictor, group: &Group, writer: &mut Writer<'_>) -> Result<usize, Failure> {
    let set = group.set();
    let of_sample = set.sample_shape().iter().product::<usize>() * size_of::<f32>();
    let block_len = (BLOCK_BYTES / of_sample.max(1)).clamp(1, BLOCK_SAMPLES);
    let mut failed = 0;
    let mut start = 0;
    while start < group.len() {
        let end = group.len().min(start + block_len);
        let Block { pixels, read, failures } = group.read(start..end);
        for problem in &failures {
            log::error!("{problem}");
        }
        failed += failures.len();
        if !read.is_empty() {
            let scores = match pixels.as_pixels() {
                Pixels::U8(bytes) => predictor.predict_nchw_bytes(bytes)?,
                Pixels::F32(floats) => predictor.predict_nchw(floats)?,
            };
            for (index, scores) in read.iter().zip(scores.chunks_exact(predictor.outputs())) {
                writer.sample(group, *index, scores)?;
            }
        }
        start = end;
    }
    Ok(failed)
}
