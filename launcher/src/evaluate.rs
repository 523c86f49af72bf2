//! `isograd evaluate`.

use crate::agreement;
use crate::failure::Failure;
use crate::network::{build, load_state, on_threads};
use crate::output::Output;
use crate::plan::EvaluatePlan;
use crate::ranks::Seat;
use crate::report::test_line;
use crate::values::Dtype;
use isograd_model::{Element, Ranks, Trainer};

/// Tests a saved network.
pub(crate) fn start(plan: &EvaluatePlan, out: &mut Output) -> Result<(), Failure> {
    let seat = Seat::take(&plan.ranks, out)?;
    on_threads(plan.execution.threads(&seat), || match plan.execution.dtype {
        Dtype::F32 => run::<f32>(plan, &seat, out),
        Dtype::F64 => run::<f64>(plan, &seat, out),
    })
}

fn run<T: Element>(plan: &EvaluatePlan, seat: &Seat, out: &mut Output) -> Result<(), Failure> {
    let test = plan.source.load_test()?;
    let network = build::<T>(plan.model, &test)?;
    let state = load_state(&plan.load, plan.model, &network)?;
    let communicator = seat.join(&plan.ranks, || agreement::of_test(plan, &network, &test, &state))?;
    let ranks = Ranks { shares: plan.ranks.shares(seat.world)?, ..Ranks::new(communicator) };
    let mut trainer = Trainer::with_ranks(network, plan.config(), ranks)?;
    *trainer.state_mut() = state;
    let evaluation = trainer.evaluate(&test)?;
    out.line(&test_line(&trainer.config().metrics, &evaluation))
}
