//! The page: one HTML file that needs nothing else, neither files nor a network.
//!
//! Its policy (`Content-Security-Policy`) forbids everything but its own style, its own script and pictures
//! inside it, so that no name in a log can make a browser do anything. Without the script all is there but
//! the values under a pointer.

mod classes;
mod confusion;
mod curves;
mod facts;
mod mistakes;

use super::run::Run;
use base64ct::{Base64, Encoding};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};
use std::fmt::Write;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("charts.js");

/// The page of `runs`, of which there is at least one.
pub(super) fn page(runs: &[Run]) -> String {
    let policy = format!(
        "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:; style-src 'unsafe-inline'; \
         script-src 'sha256-{}'",
        Base64::encode_string(&Sha256::digest(SCRIPT))
    );
    let title = title(runs);
    let sections = sections(runs);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="generator" content=(concat!("isograd ", env!("CARGO_PKG_VERSION")));
                title { (title) " – isograd" }
                style { (PreEscaped(STYLE)) (PreEscaped(styles(runs.len()))) }
            }
            body {
                a.skip href="#content" { "Skip to the content" }
                header {
                    p.program { "isograd report" }
                    h1 { (title) }
                    (facts::subtitle(runs))
                    nav aria-label="Sections" {
                        @for section in &sections { a href={ "#" (section.id) } { (section.title) } }
                    }
                }
                main id="content" {
                    (facts::notes(runs))
                    @for section in &sections {
                        section id=(section.id) aria-labelledby={ (section.id) "-title" } {
                            h2 id={ (section.id) "-title" } { (section.title) }
                            (section.content)
                        }
                    }
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string()
}

/// A part of the page.
struct Section {
    id: &'static str,
    title: &'static str,
    content: Markup,
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

/// Colours of the style sheet, which repeat where there are more runs.
const COLOURS: usize = 8;

/// The colour of each run, and a rule that hides its lines while its box is not checked.
fn styles(runs: usize) -> String {
    let mut text = String::new();
    for run in 0..runs {
        let _ = write!(text, ".r{run}{{--c:var(--c{})}}", run % COLOURS);
        if runs > 1 {
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
