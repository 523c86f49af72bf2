//! The mistakes of which a network is surest, as pictures.

use super::classes::evaluations;
use super::run_name;
use crate::page::format;
use crate::report::evaluation::{Evaluation, Mistake};
use crate::report::run::Run;
use maud::{Markup, html};

/// Mistakes of each of several runs: pictures make most of a page's size.
const OF_SEVERAL: usize = 12;
/// Runs whose mistakes are shown.
const RUNS: usize = 8;

/// The mistakes of each run that was tested and makes some.
pub(super) fn mistakes(runs: &[Run]) -> Option<Markup> {
    let most = if runs.len() > 1 { OF_SEVERAL } else { usize::MAX };
    let shown = || evaluations(runs).filter(|(_, evaluation)| !evaluation.mistakes.is_empty()).take(RUNS);
    shown().next()?;
    Some(html! {
        @for (run, evaluation) in shown() {
            @if runs.len() > 1 { h3 { (run_name(runs, run)) } }
            ul.mistakes { @for mistake in evaluation.mistakes.iter().take(most) { (card(evaluation, mistake)) } }
        }
    })
}

fn card(evaluation: &Evaluation, mistake: &Mistake) -> Markup {
    let class = evaluation.class_name(mistake.class as usize);
    let predicted = evaluation.class_name(mistake.predicted as usize);
    let output = |value: f64| {
        if evaluation.has_probabilities { format::percent(100.0 * value) } else { format::number(value) }
    };
    html! {
        li {
            @if let Some((picture, [height, width])) = &mistake.picture {
                img src={ "data:image/png;base64," (picture) } width=(width) height=(height) loading="lazy"
                    alt={ (mistake.sample) " of class " (class) ", taken for " (predicted) };
            }
            p {
                span.taken { "taken for " (predicted) ": " b { (output(mistake.output)) } }
                span { "is " (class) ": " b { (output(mistake.output_of_class)) } }
                small { (mistake.sample) }
            }
        }
    }
}
