//! scaling.csv.

use super::analysis::{Analysis, Row};
use super::outcome::Shares;

/// The columns, as the guide explains them. Times are in seconds, shares and efficiency are from 0 to 1.
const COLUMNS: [&str; 23] = [
    "kind",
    "hosts",
    "ranks",
    "threads",
    "batch",
    "repeats",
    "step_s",
    "step_s_min",
    "step_s_max",
    "epoch_s",
    "samples_per_s",
    "speedup",
    "efficiency",
    "compute_share",
    "exposed_share",
    "hidden_share",
    "data_share",
    "waiting_share",
    "other_share",
    "exchange_s",
    "predicted_step_s",
    "prediction_error_percent",
    "joules",
];

/// The text of the file.
pub(super) fn text(analysis: &Analysis) -> String {
    let mut text = COLUMNS.join(",") + "\n";
    for row in analysis.rows() {
        text += &cells(analysis, row).join(",");
        text.push('\n');
    }
    text
}

fn cells(analysis: &Analysis, row: &Row) -> [String; COLUMNS.len()] {
    let measured = row.measured.as_ref();
    let number = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
    let share = |of: fn(&Shares) -> f64| measured.map(|measured| of(&measured.shares));
    let predicted = row.predicted;
    let of_prediction = |seconds: f64| measured.is_none().then(|| seconds / predicted.step());
    let range = measured.map(|measured| measured.range());
    let exchange = match measured {
        Some(measured) => measured.exchange,
        None => Some(predicted.exchange),
    };
    [
        if measured.is_some() { "measured" } else { "predicted" }.to_string(),
        row.hosts.to_string(),
        row.ranks.to_string(),
        row.threads.to_string(),
        row.batch.to_string(),
        measured.map_or(0, |measured| measured.steps.len()).to_string(),
        row.step().to_string(),
        number(range.map(|range| range[0])),
        number(range.map(|range| range[1])),
        row.epoch().to_string(),
        row.rate().to_string(),
        analysis.speedup(row).to_string(),
        analysis.efficiency(row).to_string(),
        number(share(Shares::compute).or(of_prediction(predicted.compute))),
        number(share(|shares| shares.exposed).or(of_prediction(predicted.exposed))),
        number(share(|shares| shares.hidden)),
        number(share(|shares| shares.data)),
        number(share(|shares| shares.waiting)),
        number(share(|shares| shares.other)),
        number(exchange),
        predicted.step().to_string(),
        number(measured.map(|_| 100.0 * row.error())),
        number(measured.and_then(|measured| measured.joules)),
    ]
}
