//! The page of runs.

mod classes;
mod confusion;
mod curves;
mod facts;
mod mistakes;

use super::run::Run;
use crate::page::{Page, Section, colours};
use maud::{Markup, html};
use std::fmt::Write;

/// The page of `runs`, of which there is at least one.
pub(super) fn page(runs: &[Run]) -> String {
    let page = Page {
        program: "isograd report",
        title: title(runs),
        subtitle: facts::subtitle(runs),
        notes: facts::notes(runs),
        sections: sections(runs),
        style: styles(runs.len()),
    };
    page.html()
}

/// All parts that have something to show.
fn sections(runs: &[Run]) -> Vec<Section> {
    let all = [
        ("figures", "Figures", Some(facts::figures(runs))),
        ("curves", "Curves", curves::curves(runs)),
        ("classes", "Classes", classes::classes(runs)),
        ("confusion", "Confusion", confusion::confusions(runs)),
        ("mistakes", "Surest mistakes", mistakes::mistakes(runs)),
        ("settings", "Settings", facts::settings(runs)),
        ("machine", if runs.len() > 1 { "Machines" } else { "Machine" }, facts::machines(runs)),
    ];
    all.into_iter()
        .filter_map(|(id, title, content)| Some(Section { id, title, content: content? }))
        .collect()
}

fn title(runs: &[Run]) -> String {
    match runs {
        [run] => run.name.clone(),
        _ => format!("{} runs", runs.len()),
    }
}

/// The colour of each run, and a rule that hides its lines while its box is not checked.
fn styles(runs: usize) -> String {
    let mut text = colours(runs);
    if runs > 1 {
        for run in 0..runs {
            let _ = write!(text, "body:has(#show-{run}:not(:checked)) .chart .r{run}{{display:none}}");
        }
    }
    text
}

/// The name of a run behind a mark of its colour, where there are several.
fn run_name(runs: &[Run], run: usize) -> Markup {
    html! {
        @if runs.len() > 1 { span class={ "mark r" (run) } aria-hidden="true" {} }
        (runs[run].name)
    }
}
