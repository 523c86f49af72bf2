//! How well each class is recognised.

use super::run_name;
use crate::page::format;
use crate::report::evaluation::Evaluation;
use crate::report::run::Run;
use isograd_model::ConfusionMatrix;
use maud::{Markup, html};

/// More classes are shown as those that are recognised worst.
const MOST_CLASSES: usize = 30;

/// The evaluations of `runs`, each with its run.
pub(super) fn evaluations(runs: &[Run]) -> impl Iterator<Item = (usize, &Evaluation)> {
    runs.iter().enumerate().filter_map(|(run, each)| Some((run, each.evaluation.as_ref()?.as_ref().ok()?)))
}

/// A table for each run that was tested.
pub(super) fn classes(runs: &[Run]) -> Option<Markup> {
    evaluations(runs).next()?;
    Some(html! {
        p.hint { "Recall is the accuracy of a class: the part of its samples that are taken for it. Precision is the part of the samples taken for it that are of it; F1 is the harmonic mean of the two." }
        @for (run, evaluation) in evaluations(runs) {
            @if runs.len() > 1 { h3 { (run_name(runs, run)) } }
            (of_run(evaluation, run))
        }
    })
}

fn of_run(evaluation: &Evaluation, run: usize) -> Markup {
    let matrix = evaluation.confusion();
    let all: Vec<usize> = (0..matrix.classes()).collect();
    html! {
        p {
            strong { (format::percent(matrix.accuracy())) }
            " of " (format::count(matrix.samples())) " " (evaluation.part) " samples are recognised by "
            code { (evaluation.checkpoint) } "."
        }
        @if all.len() <= MOST_CLASSES {
            (table(evaluation, &matrix, &all, run, "All classes"))
        } @else {
            p { "The " (MOST_CLASSES) " of " (all.len()) " classes with the lowest F1:" }
            (table(evaluation, &matrix, &worst(&matrix), run, "The worst classes"))
            details {
                summary { "All " (all.len()) " classes" }
                (table(evaluation, &matrix, &all, run, "All classes"))
            }
        }
    }
}

/// The classes with the lowest F1, the lowest first; classes without samples are left out.
fn worst(matrix: &ConfusionMatrix) -> Vec<usize> {
    let mut classes: Vec<(f64, usize)> =
        (0..matrix.classes()).filter_map(|class| Some((matrix.f1(class)?, class))).collect();
    classes.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    classes.into_iter().take(MOST_CLASSES).map(|(_, class)| class).collect()
}

fn table(
    evaluation: &Evaluation,
    matrix: &ConfusionMatrix,
    classes: &[usize],
    run: usize,
    title: &str,
) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label=(title) {
            table class={ "classes r" (run) } {
                thead {
                    tr {
                        th scope="col" { "class" }
                        th scope="col" { "samples" }
                        @for name in ["recall", "precision", "F1"] { th scope="col" { (name) } }
                    }
                }
                tbody {
                    @for class in classes {
                        tr {
                            th scope="row" { (evaluation.class_name(*class)) }
                            td { (format::count(matrix.actual(*class))) }
                            @for share in [matrix.recall(*class), matrix.precision(*class), matrix.f1(*class)] {
                                @match share {
                                    Some(share) => td.bar style=(format!("--share:{share:.1}%")) { (format::percent(share)) },
                                    None => td.none { "–" },
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
