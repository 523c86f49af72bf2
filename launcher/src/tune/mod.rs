//! `isograd tune`: measures which path is the fastest for each convolution of a network, and writes it down.
//!
//! ```text
//! build the network                                          // bad input ends the program here
//! for each shape of a convolution and each pass:
//!     measure all paths that serve it, in turn, on all threads; choose
//! print the table; write the file
//! measure whole steps by the table by shape and by the choices, in turn; say what they win
//! ```
//!
//! The passes of a convolution share nothing, so the fastest paths of each pass are together the fastest of
//! the forward pass alone and of training.

mod choice;
mod steps;
mod table;
mod times;

use crate::cli::dtype::Dtype;
use crate::cli::tune_plan::TunePlan;
use crate::failure::Failure;
use crate::output::Output;
use crate::rank::network::{layers, outputs};
use crate::system::cores::CoreLimits;
use crate::system::cpu_model::cpu_model;
use crate::system::whole_file;
use choice::Tuned;
use isograd_kernels::conv::Conv2dShape;
use isograd_model::file::Tuning;
use isograd_model::layer::ConvTable;
use isograd_model::{Convolution, Element, Network, Shape};
use times::Bench;

/// Measures the network of `plan` and writes the file.
pub(crate) fn start(plan: &TunePlan, out: &mut Output) -> Result<(), Failure> {
    let threads = plan.execution.threads.unwrap_or_else(|| CoreLimits::of_this_process().usable());
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    pool.map_err(|source| Failure::Threads { threads, source })?.install(|| match plan.execution.dtype {
        Dtype::F32 | Dtype::Bf16 => run::<f32>(plan, threads, out),
        Dtype::F64 => run::<f64>(plan, threads, out),
    })
}

/// A shape of convolutions of the network.
struct Measured {
    shape: Conv2dShape,
    /// How many layers have it, and how many of these each pass runs for in training.
    layers: usize,
    passes: [usize; 3],
}

fn run<T: Element>(plan: &TunePlan, threads: usize, out: &mut Output) -> Result<(), Failure> {
    let (input, classes) = input(plan)?;
    let build = || plan.execution.dtype.apply(Network::<T>::build(layers(&plan.model, input, classes)?)?);
    let network = plan.execution.conv.apply(build()?)?;
    let name = plan.model.name();
    // A network in a file has a shape of its own.
    if network.input_shape() != input {
        let problem = format!("{name} is for samples of {}, not of {input}", network.input_shape());
        return Err(Failure::Usage { problem, hint: None });
    }
    let shapes = shapes(&network.convolutions());
    if shapes.is_empty() {
        let problem = format!("{name} has no convolution: there is nothing to choose");
        return Err(Failure::Usage { problem, hint: None });
    }
    let (isa, shard_size, batch_size) = (plan.execution.isa, plan.shard_size(), plan.batch_size);
    out.line(&format!(
        "{name}: {} shapes of convolutions, {threads} threads, shards of {shard_size} samples, {}, {isa}, {}",
        shapes.len(),
        plan.execution.dtype,
        cpu_model()
    ))?;
    let bench = Bench { isa, n: shard_size, threads, shards: batch_size.div_ceil(shard_size) };
    let mut tuned = Vec::new();
    for measured in shapes {
        tuned.push(Tuned::measure::<T>(&bench, measured));
    }
    out.text(&table::text(&tuned))?;
    let mut choices = ConvTable::new();
    for each in &tuned {
        choices.set(each.measured.shape, each.paths()).expect("paths that serve were measured");
    }
    let tuning = Tuning {
        version: env!("CARGO_PKG_VERSION").to_string(),
        model: name,
        machine: cpu_model(),
        isa: isa.to_string(),
        dtype: plan.execution.dtype.to_string(),
        threads,
        batch_size,
        shard_size,
        table: choices,
    };
    let failure = |source| Failure::Write { option: "--out", path: plan.out.clone(), source };
    whole_file::write(&plan.out, tuning.to_toml()).map_err(failure)?;
    out.line(&format!("written: {}", plan.out.display()))?;
    let tuned_network = build()?.with_conv_table(&tuning.table)?;
    match steps::compare([network, tuned_network], &bench, batch_size, classes) {
        Ok(lines) => out.text(&lines),
        Err(error) => {
            log::warn!("whole steps cannot be measured: {error}");
            Ok(())
        }
    }
}

/// Shape of a sample and elements of the output.
fn input(plan: &TunePlan) -> Result<(Shape, usize), Failure> {
    let Some(source) = &plan.source else {
        let (shape, classes) = plan.model.made_for();
        return Ok((sized(shape, plan.input.size()), classes));
    };
    let samples = source.load_some()?;
    let [c, h, w] = samples.sample_shape();
    Ok((sized(Shape::image(c, h, w), plan.input.size()), outputs(&*samples)))
}

/// `shape` with images of another size, if there is one.
fn sized(shape: Shape, size: Option<[usize; 2]>) -> Shape {
    size.map_or(shape, |[h, w]| Shape::image(shape.c, h, w))
}

/// The different shapes, in the order of the network.
fn shapes(convolutions: &[Convolution]) -> Vec<Measured> {
    let mut shapes: Vec<Measured> = Vec::new();
    for convolution in convolutions {
        let shape = convolution.shape;
        let index = shapes.iter().position(|known| known.shape == shape).unwrap_or_else(|| {
            shapes.push(Measured { shape, layers: 0, passes: [0; 3] });
            shapes.len() - 1
        });
        let known = &mut shapes[index];
        known.layers += 1;
        let runs = [true, convolution.has_input_gradient, convolution.has_weight_gradient];
        known.passes.iter_mut().zip(runs).for_each(|(count, runs)| *count += usize::from(runs));
    }
    shapes
}
