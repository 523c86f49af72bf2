//! `isograd summary`.

use crate::cli::plan::SummaryPlan;
use crate::failure::Failure;
use crate::output::Output;
use crate::rank::network::build;

/// Prints the table of the network's layers.
pub(crate) fn print(plan: &SummaryPlan, out: &mut Output) -> Result<(), Failure> {
    // The test samples have the shape of the others, and there are fewer of them to load.
    let network = build::<f32>(plan.model, &plan.source.load_test()?)?;
    out.text(&network.summary())
}
