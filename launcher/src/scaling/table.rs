//! The tables of a measurement, on the terminal.

use super::analysis::{Analysis, Row};
use super::outcome::Shares;
use crate::system::table::aligned;

/// All tables.
pub(super) fn text(analysis: &Analysis) -> String {
    let mut text = format!("\n{}\n{}", times(analysis), shares(analysis));
    if !has_energy(analysis) {
        text +=
            "energy: the counters of the processors (RAPL) are not there, or this user may not read them\n";
    }
    if !analysis.further.is_empty() {
        text += &format!("\npredicted, with a network of {}:\n{}", analysis.network(), further(analysis));
    }
    text
}

/// Whether the energy of any run is known.
pub(super) fn has_energy(analysis: &Analysis) -> bool {
    let joules = |row: &Row| row.measured.as_ref()?.joules;
    analysis.measured.iter().any(|row| joules(row).is_some())
}

fn times(analysis: &Analysis) -> String {
    let mut header = [
        "ranks",
        "hosts",
        "batch",
        "step",
        "spread",
        "samples/s",
        "speed-up",
        "efficiency",
        "predicted",
        "error",
    ]
    .map(str::to_string)
    .to_vec();
    if has_energy(analysis) {
        header.push("energy".to_string());
    }
    let mut rows = vec![header];
    for row in &analysis.measured {
        let Some(measured) = &row.measured else { continue };
        let [least, most] = measured.range();
        let mut cells = vec![
            row.ranks.to_string(),
            row.hosts.to_string(),
            row.batch.to_string(),
            milliseconds(row.step()),
            format!("{:.1} %", 100.0 * (most - least) / row.step()),
            format!("{:.1}", row.rate()),
            format!("{:.2}", analysis.speedup(row)),
            percent(analysis.efficiency(row)),
            milliseconds(row.predicted.step()),
            format!("{:+.1} %", 100.0 * row.error()),
        ];
        if has_energy(analysis) {
            cells.push(measured.joules.map_or_else(String::new, |joules| format!("{joules:.0} J")));
        }
        rows.push(cells);
    }
    aligned(&rows, 0)
}

/// What a step consists of.
fn shares(analysis: &Analysis) -> String {
    let names = PARTS.iter().map(|part| part.name.to_string());
    let mut rows = vec![std::iter::once("ranks".to_string()).chain(names).collect()];
    for row in &analysis.measured {
        let Some(measured) = &row.measured else { continue };
        let shares = PARTS.iter().map(|part| percent((part.share)(&measured.shares)));
        rows.push(std::iter::once(row.ranks.to_string()).chain(shares).collect());
    }
    aligned(&rows, 0)
}

/// A part of a step.
pub(super) struct Part {
    pub(super) name: &'static str,
    /// From 0 to 1.
    pub(super) share: fn(&Shares) -> f64,
}

/// The parts, in the order of the report.
pub(super) const PARTS: [Part; 6] = [
    Part { name: "compute", share: Shares::compute },
    Part { name: "exchange, exposed", share: |shares| shares.exposed },
    Part { name: "exchange, hidden", share: |shares| shares.hidden },
    Part { name: "data", share: |shares| shares.data },
    Part { name: "waiting", share: |shares| shares.waiting },
    Part { name: "other", share: |shares| shares.other },
];

fn further(analysis: &Analysis) -> String {
    let header = ["hosts", "ranks", "batch", "step", "samples/s", "speed-up", "efficiency"];
    let mut rows = vec![header.map(str::to_string).to_vec()];
    rows.extend(analysis.further.iter().map(|row| {
        vec![
            row.hosts.to_string(),
            row.ranks.to_string(),
            row.batch.to_string(),
            milliseconds(row.step()),
            format!("{:.1}", row.rate()),
            format!("{:.2}", analysis.speedup(row)),
            percent(analysis.efficiency(row)),
        ]
    }));
    aligned(&rows, 0)
}

pub(super) fn milliseconds(seconds: f64) -> String {
    format!("{:.3} ms", 1e3 * seconds)
}

pub(super) fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}
