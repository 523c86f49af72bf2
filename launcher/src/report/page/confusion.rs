//! Which classes are taken for which.
//!
//! A table of all cells can be read up to some classes, a map of colours up to some more. Beyond, and beside
//! the map, the pairs that are confused most often say what there is to know.

use super::classes::evaluations;
use super::run_name;
use crate::page::format;
use crate::report::evaluation::Evaluation;
use crate::report::run::Run;
use isograd_model::ConfusionMatrix;
use maud::{Markup, html};
use std::fmt::Write;

/// Classes of a table with numbers, at most.
const MOST_IN_TABLE: usize = 24;
/// Classes of a map of colours, at most.
const MOST_IN_MAP: usize = 120;
/// Pairs that are listed, at most.
const PAIRS: usize = 20;
/// Shades of a map.
const SHADES: usize = 6;

/// The matrix, the map or the pairs of each run that was tested.
pub(super) fn confusions(runs: &[Run]) -> Option<Markup> {
    evaluations(runs).next()?;
    Some(html! {
        @for (run, evaluation) in evaluations(runs) {
            @if runs.len() > 1 { h3 { (run_name(runs, run)) } }
            (of_run(evaluation))
        }
    })
}

fn of_run(evaluation: &Evaluation) -> Markup {
    let matrix = evaluation.confusion();
    let classes = matrix.classes();
    html! {
        div.side-by-side {
            @if classes <= MOST_IN_TABLE {
                (table(evaluation, &matrix))
            } @else if classes <= MOST_IN_MAP {
                (map(&matrix))
            }
            (pairs(evaluation, &matrix))
        }
    }
}

fn table(evaluation: &Evaluation, matrix: &ConfusionMatrix) -> Markup {
    let classes = matrix.classes();
    html! {
        div.scroll tabindex="0" role="region" aria-label="Confusion matrix" {
            table.confusion {
                caption { "Rows are classes, columns what their samples are taken for. Colours are shares of a row." }
                thead {
                    tr { td {} @for class in 0..classes { th scope="col" { span { (evaluation.class_name(class)) } } } }
                }
                tbody {
                    @for class in 0..classes {
                        tr {
                            th scope="row" { (evaluation.class_name(class)) }
                            @for predicted in 0..classes { (cell(matrix, class, predicted)) }
                        }
                    }
                }
            }
        }
    }
}

fn cell(matrix: &ConfusionMatrix, class: usize, predicted: usize) -> Markup {
    let (samples, all) = (matrix.count(class, predicted), matrix.actual(class));
    if samples == 0 {
        return html! { td.none { "0" } };
    }
    let share = samples as f64 / all as f64;
    // Rare mistakes are to be seen beside frequent ones.
    let strength = if class == predicted { share } else { share.sqrt() };
    html! {
        td.hit[class == predicted].miss[class != predicted].strong[strength > 0.55]
            style=(format!("--share:{:.0}%", strength * 100.0)) { (format::count(samples)) }
    }
}

/// A square for each cell that has samples, in shades of its share of its row.
fn map(matrix: &ConfusionMatrix) -> Markup {
    let classes = matrix.classes();
    let mut paths = vec![String::new(); 2 * SHADES];
    for class in 0..classes {
        for predicted in 0..classes {
            let samples = matrix.count(class, predicted);
            if samples > 0 {
                let share = samples as f64 / matrix.actual(class) as f64;
                let strength = if class == predicted { share } else { share.sqrt() };
                let shade = ((strength * SHADES as f64) as usize).min(SHADES - 1);
                let kind = if class == predicted { 0 } else { SHADES };
                let _ = write!(paths[kind + shade], "M{predicted} {class}h1v1h-1z");
            }
        }
    }
    html! {
        figure.map {
            svg viewBox={ "-0.5 -0.5 " (classes + 1) " " (classes + 1) } role="img"
                aria-label={ "Confusion of " (classes) " classes; the pairs are listed beside it" } {
                rect.frame x="0" y="0" width=(classes) height=(classes) {}
                @for (place, path) in paths.iter().enumerate().filter(|(_, path)| !path.is_empty()) {
                    path class=(if place < SHADES { "hit" } else { "miss" }) d=(path)
                        style=(format!("--share:{}%", (place % SHADES + 1) * 100 / SHADES)) {}
                }
            }
            figcaption { "Rows are classes, columns what their samples are taken for, both in the order of the classes; the stronger the colour, the larger the share of the row." }
        }
    }
}

/// The pairs that are confused most often.
fn pairs(evaluation: &Evaluation, matrix: &ConfusionMatrix) -> Markup {
    let mut pairs: Vec<_> =
        evaluation.counts().iter().filter(|(class, predicted, _)| class != predicted).collect();
    // The cells are in the order of the classes, which stays among equals.
    pairs.sort_by_key(|pair| std::cmp::Reverse(pair.2));
    let most = pairs.first().map_or(1, |pair| pair.2);
    html! {
        @if pairs.is_empty() {
            p { "No sample is taken for another class than its own." }
        } @else {
            div.scroll tabindex="0" role="region" aria-label="Most confused pairs" {
                table.pairs {
                    caption { "Most confused pairs" }
                    thead { tr { th scope="col" { "class" } th scope="col" { "taken for" } th scope="col" { "samples" } th scope="col" { "of the class" } } }
                    tbody {
                        @for (class, predicted, samples) in pairs.iter().take(PAIRS) {
                            tr {
                                th scope="row" { (evaluation.class_name(*class as usize)) }
                                td.text { (evaluation.class_name(*predicted as usize)) }
                                td.bar.miss style=(format!("--share:{:.0}%", 100.0 * *samples as f64 / most as f64)) { (format::count(*samples)) }
                                td { (format::percent(100.0 * *samples as f64 / matrix.actual(*class as usize) as f64)) }
                            }
                        }
                    }
                }
            }
        }
    }
}
