//! `isograd evaluate`.

use crate::failure::Failure;
use crate::network::{build, load_state, on_threads};
use crate::output::Output;
use crate::plan::EvaluatePlan;
use crate::report::test_line;
use crate::values::Dtype;
use isograd_kernels::Element;
use isograd_model::Trainer;

/// Tests a saved network.
pub(crate) fn start(plan: &EvaluatePlan, out: &mut Output) -> Result<(), Failure> {
    on_threads(plan.execution.threads, || match plan.execution.dtype {
        Dtype::F32 => run::<f32>(plan, out),
        Dtype::F64 => run::<f64>(plan, out),
    })
}

fn run<T: Element>(plan: &EvaluatePlan, out: &mut Output) -> Result<(), Failure> {
    let test = plan.source.load_test()?;
    let network = build::<T>(plan.model, &test)?;
    let state = load_state(&plan.load, plan.model, &network)?;
    let mut trainer = Trainer::new(network, plan.config())?;
    *trainer.state_mut() = state;
    let evaluation = trainer.evaluate(&test)?;
    out.line(&test_line(&trainer.config().metrics, &evaluation))
}
