//! Figures, settings, machines, and what a reader should know.

use super::run_name;
use crate::report::figures::{self, Figure};
use crate::report::run::Run;
use crate::report::tables;
use isograd_model::logger::RunState;
use maud::{Markup, html};

/// Figures that a single run shows large.
const LARGE: [&str; 9] = [
    "test acc",
    "test loss",
    "accuracy of the checkpoint",
    "best val_acc",
    "best val_loss",
    "loss",
    "acc",
    "samples/s",
    "time",
];
/// Of those, so many.
const MOST_LARGE: usize = 6;

/// What was trained on what.
pub(super) fn subtitle(runs: &[Run]) -> Markup {
    let start = |run: &Run| run.log.start().map(|start| (start.model.clone(), start.dataset.clone()));
    html! {
        @if let [run] = runs {
            p.subtitle {
                @if let Some((model, dataset)) = start(run) {
                    @if let Some(model) = model { strong { (model) } }
                    @if let Some(dataset) = dataset { " on " strong { (dataset) } }
                    " "
                }
                (state(run))
            }
        } @else {
            p.subtitle { (runs.iter().map(|run| run.name.as_str()).collect::<Vec<_>>().join(", ")) }
        }
    }
}

fn state(run: &Run) -> Markup {
    let kind = match run.state {
        Some(RunState::Ended(_)) => "ended",
        Some(RunState::Running) => "running",
        Some(RunState::Killed | RunState::Open) | None => "broken",
    };
    html! { span class={ "state " (kind) } { (run.state_words()) } }
}

/// What a reader of the figures should know.
pub(super) fn notes(runs: &[Run]) -> Markup {
    let notes = || {
        runs.iter().enumerate().flat_map(|(run, each)| each.notes().into_iter().map(move |note| (run, note)))
    };
    html! {
        @if notes().next().is_some() {
            aside.notes aria-label="Notes" {
                ul {
                    @for (run, note) in notes() {
                        li { @if runs.len() > 1 { strong { (run_name(runs, run)) } ": " } (note) "." }
                    }
                }
            }
        }
    }
}

/// The figures: a few large ones of a single run, and a table of all.
pub(super) fn figures(runs: &[Run]) -> Markup {
    let rows = figures::figures(runs);
    let text = |name: &str| rows.iter().find(|row| row.name == name).and_then(|row| row.texts[0].clone());
    let large: Vec<(&str, String)> = LARGE.iter().filter_map(|name| Some((*name, text(name)?))).collect();
    html! {
        @if runs.len() == 1 && !large.is_empty() {
            dl.tiles {
                @for (name, text) in large.into_iter().take(MOST_LARGE) {
                    @let (value, epoch) = text.split_once(" in ").unwrap_or((&text, ""));
                    div { dt { (name) } dd { (value) " " small { (epoch) } } }
                }
            }
            details { summary { "All figures" } (table(runs, &rows, "Figures")) }
        } @else {
            (table(runs, &rows, "Figures"))
            @let differences = tables::differences(runs);
            @if !differences.is_empty() {
                h3 { "Settings that differ" }
                (table(runs, &differences, "Settings that differ"))
            }
        }
    }
}

/// All settings, and the configuration.
pub(super) fn settings(runs: &[Run]) -> Option<Markup> {
    let rows = figures::settings(runs);
    let configs = || runs.iter().enumerate().filter_map(|(run, each)| Some((run, each.config.as_ref()?)));
    if rows.is_empty() && configs().next().is_none() {
        return None;
    }
    Some(html! {
        @if !rows.is_empty() { (table(runs, &rows, "Settings")) }
        @for (run, config) in configs() {
            details {
                summary { code { "config.toml" } @if runs.len() > 1 { " of " (run_name(runs, run)) } }
                pre tabindex="0" { (config) }
            }
        }
    })
}

/// Where the runs were run.
pub(super) fn machines(runs: &[Run]) -> Option<Markup> {
    let rows = figures::machines(runs);
    (!rows.is_empty()).then(|| table(runs, &rows, "Machines"))
}

/// A row for each figure, a column for each run.
fn table(runs: &[Run], rows: &[Figure], title: &str) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label=(title) {
            table.facts {
                @if runs.len() > 1 {
                    thead { tr { td {} @for run in 0..runs.len() { th scope="col" { (run_name(runs, run)) } } } }
                }
                tbody {
                    @for row in rows {
                        tr {
                            th scope="row" { (row.name) }
                            @for (run, text) in row.texts.iter().enumerate() {
                                td {
                                    @match text {
                                        Some(text) if row.best == Some(run) => strong { (text) span.unseen { " (best)" } },
                                        Some(text) => (text),
                                        None => span.none { "–" },
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
