//! scaling.html.

use super::analysis::{Analysis, MOST_HOSTS, Row};
use super::table::{PARTS, has_energy, milliseconds, percent};
use crate::page::bars::{Bar, Bars};
use crate::page::chart::{Chart, Line};
use crate::page::format;
use crate::page::scale::Spread;
use crate::page::series::Point;
use crate::page::{Page, Section, colours};
use crate::system::count::count;
use maud::{Markup, html};

/// The numbers of colours: what was measured, what the model says, the ideal; the others are of shares.
const MEASURED: usize = 0;
const PREDICTED: usize = 1;
const IDEAL: usize = 2;
/// Of each of the parts of a step.
const PART_COLOURS: [usize; PARTS.len()] = [0, 1, 5, 3, 4, 6];
const COLOURS: usize = 8;

/// The text of the file.
pub(super) fn html(analysis: &Analysis) -> String {
    let kind = if analysis.is_weak { "Weak scaling" } else { "Strong scaling" };
    let sections = [
        ("times", "Times", Some(charts(analysis))),
        ("shares", "Shares of a step", Some(shares(analysis))),
        ("figures", "Figures", Some(figures(analysis))),
        ("prediction", "Prediction", (!analysis.further.is_empty()).then(|| prediction(analysis))),
        ("model", "The model", Some(model(analysis))),
    ];
    let sections = sections.into_iter();
    let sections = sections.filter_map(|(id, title, content)| Some(Section { id, title, content: content? }));
    let page = Page {
        program: "isograd scaling",
        title: kind.to_string(),
        subtitle: subtitle(analysis),
        notes: html! {},
        sections: sections.collect(),
        style: colours(COLOURS),
    };
    page.html()
}

fn subtitle(analysis: &Analysis) -> Markup {
    let last = &analysis.measured[analysis.measured.len() - 1];
    let what = match analysis.is_weak {
        true => "each rank has as many samples at all numbers of ranks",
        false => "a batch has as many samples at all numbers of ranks",
    };
    html! {
        p.subtitle {
            strong { (format!("{:.2}x", analysis.speedup(last))) } " with " (count(last.ranks as usize, "rank"))
            " on " (count(last.hosts as usize, "host")) ", efficiency " (percent(analysis.efficiency(last)))
            "; " (what)
        }
        p.subtitle { code { (analysis.command) } }
    }
}

fn charts(analysis: &Analysis) -> Markup {
    html! {
        div.charts { (time(analysis).draw()) (speedup(analysis).draw()) }
    }
}

/// A line over the number of ranks.
fn line<'a>(name: &str, class: usize, rows: impl Iterator<Item = &'a Row>, y: impl Fn(&Row) -> f64) -> Line {
    Line {
        name: name.to_string(),
        run: class,
        is_dashed: class != MEASURED,
        points: rows.map(|row| (f64::from(row.ranks), y(row))).collect(),
        background: Vec::new(),
    }
}

/// A chart of all rows, with both axes by ratios.
fn chart(id: &str, title: &str, y: &str, lines: Vec<Line>) -> Chart {
    Chart {
        id: id.to_string(),
        title: title.to_string(),
        note: None,
        x: "ranks",
        x_spread: Spread::Log,
        y: y.to_string(),
        y_spread: Spread::Log,
        lines,
    }
}

fn time(analysis: &Analysis) -> Chart {
    let first = analysis.first();
    // With more ranks, an epoch of as many samples has fewer steps; a step of a fixed batch takes less.
    let ideal = |row: &Row| match analysis.is_weak {
        true => 1e3 * first.step(),
        false => 1e3 * first.step() * first.workers / row.workers,
    };
    let mut measured = line("measured", MEASURED, analysis.measured.iter(), |row| 1e3 * row.step());
    measured.background = analysis.measured.iter().flat_map(whisker).collect();
    let lines = vec![
        measured,
        line("predicted", PREDICTED, analysis.rows(), |row| 1e3 * row.predicted.step()),
        line("ideal", IDEAL, analysis.rows(), ideal),
    ];
    let mut chart = chart("time", "Time of a step", "ms", lines);
    chart.note = Some("median of the runs; faint: from the fastest to the slowest".to_string());
    chart
}

/// From the fastest run to the slowest one, interrupted behind it.
fn whisker(row: &Row) -> Vec<Point> {
    let x = f64::from(row.ranks);
    let [least, most] = row.measured.as_ref().map_or([f64::NAN; 2], |measured| measured.range());
    vec![(x, 1e3 * least), (x, 1e3 * most), (x, f64::NAN)]
}

fn speedup(analysis: &Analysis) -> Chart {
    let first = analysis.first();
    let predicted = |row: &Row| row.batch as f64 / row.predicted.step() / first.rate();
    let lines = vec![
        line("measured", MEASURED, analysis.measured.iter(), |row| analysis.speedup(row)),
        line("predicted", PREDICTED, analysis.rows(), predicted),
        line("ideal", IDEAL, analysis.rows(), |row| row.workers / first.workers),
    ];
    let mut chart = chart("speed-up", "Speed-up", "times as many samples a second", lines);
    chart.note = Some(format!("against {}", count(first.ranks as usize, "rank")));
    chart
}

fn shares(analysis: &Analysis) -> Markup {
    let bar = |row: &Row| {
        let measured = row.measured.as_ref()?;
        let shares = PARTS.iter().map(|part| (part.share)(&measured.shares)).collect();
        Some(Bar { name: count(row.ranks as usize, "rank"), shares })
    };
    let bars = Bars {
        id: "parts".to_string(),
        title: "What a step consists of".to_string(),
        note: Some("by the trainers' profiles: means over threads, ranks and runs".to_string()),
        parts: PARTS.iter().zip(PART_COLOURS).map(|(part, colour)| (part.name, colour)).collect(),
        bars: analysis.measured.iter().filter_map(bar).collect(),
    };
    html! { div.charts { (bars.draw()) } }
}

/// A table with a line for each row.
fn table(caption: &str, header: &[&str], rows: &[Vec<String>]) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label=(caption) {
            table {
                caption { (caption) }
                thead { tr { @for name in header { th scope="col" { (name) } } } }
                tbody {
                    @for row in rows {
                        tr {
                            @for (place, cell) in row.iter().enumerate() {
                                @if place == 0 { th scope="row" { (cell) } } @else { td { (cell) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn figures(analysis: &Analysis) -> Markup {
    let mut header = vec![
        "ranks",
        "hosts",
        "threads of a rank",
        "batch",
        "runs",
        "step",
        "fastest",
        "slowest",
        "epoch",
        "samples/s",
        "speed-up",
        "efficiency",
        "predicted",
        "error",
    ];
    if has_energy(analysis) {
        header.push("energy");
    }
    let cells = |row: &Row| {
        let measured = row.measured.as_ref()?;
        let [least, most] = measured.range();
        let mut cells = vec![
            row.ranks.to_string(),
            row.hosts.to_string(),
            row.threads.to_string(),
            row.batch.to_string(),
            measured.steps.len().to_string(),
            milliseconds(row.step()),
            milliseconds(least),
            milliseconds(most),
            format::duration(row.epoch()),
            format::number(row.rate()),
            format!("{:.2}", analysis.speedup(row)),
            percent(analysis.efficiency(row)),
            milliseconds(row.predicted.step()),
            format!("{:+.1} %", 100.0 * row.error()),
        ];
        if has_energy(analysis) {
            cells.push(measured.joules.map_or_else(String::new, |joules| format!("{joules:.0} J")));
        }
        Some(cells)
    };
    let rows: Vec<_> = analysis.measured.iter().filter_map(cells).collect();
    table("What was measured: medians of the runs", &header, &rows)
}

fn prediction(analysis: &Analysis) -> Markup {
    let header = [
        "hosts",
        "ranks",
        "batch",
        "step",
        "computing",
        "exchange, exposed",
        "exchange alone",
        "samples/s",
        "speed-up",
        "efficiency",
    ];
    let cells = |row: &Row| {
        vec![
            row.hosts.to_string(),
            row.ranks.to_string(),
            row.batch.to_string(),
            milliseconds(row.step()),
            milliseconds(row.predicted.compute),
            milliseconds(row.predicted.exposed),
            milliseconds(row.predicted.exchange),
            format::number(row.rate()),
            format!("{:.2}", analysis.speedup(row)),
            percent(analysis.efficiency(row)),
        ]
    };
    let rows: Vec<_> = analysis.further.iter().map(cells).collect();
    table(&format!("With a network of {}", analysis.network()), &header, &rows)
}

fn model(analysis: &Analysis) -> Markup {
    html! {
        p {
            "A step takes as long as the thread that has most shards, then what each rank does for all parameters, \
             and what is left of the exchange when the backward pass has ended. Computing comes from the runs with "
            (count(analysis.first().ranks as usize, "rank")) "; the exchange among the ranks of one machine from "
            code { "bench comm" } " with as many ranks; that between hosts from a network of " (analysis.network())
            ", up to " (MOST_HOSTS) " hosts:"
        }
        pre {
            "exchange(n bytes, H hosts) = 2 (L + (H - 1) o) + n (s + (H - 1)/H) G\n\
             L  latency of a message      o  3 us of processor time for a message      G  time of a byte\n\
             s  times that a host sends or receives its gradients to add them up: (H - 1)/H where shards are\n\
             \u{20}  divided by powers of two"
        }
        p {
            "Buckets of gradients are complete one after the other during the backward pass, and are exchanged one after \
             the other. " code { "comm/ALGORITHMS.md" } " has the exchange itself."
        }
    }
}
