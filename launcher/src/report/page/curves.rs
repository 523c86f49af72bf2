//! The curves: losses and metrics by epoch, and loss, learning rate and speed by step.

use super::run_name;
use crate::page::chart::{Chart, Line};
use crate::page::scale::{self, Spread};
use crate::page::series::{self, MOST_POINTS, Point};
use crate::report::figures::{self, Quantity};
use crate::report::run::Run;
use crate::system::count::count;
use isograd_model::logger::{LoggedEpoch, LoggedStep};
use maud::{Markup, html};

/// All charts that have something to show, with boxes that choose the runs.
pub(super) fn curves(runs: &[Run]) -> Option<Markup> {
    let quantities = figures::quantities(runs);
    let mut charts: Vec<Chart> = quantities.iter().map(|quantity| of_quantity(runs, quantity)).collect();
    let mut loss = smoothed_by_step(runs, ["Loss by step", figures::LOSS], |step| Some(step.loss));
    loss.y_spread = scale::spread(values(&loss.lines));
    charts.push(loss);
    let mut rate = learning_rate(runs);
    rate.y_spread = scale::spread(values(&rate.lines));
    charts.push(rate);
    let speed = ["Throughput", "samples/s"];
    let by_step = smoothed_by_step(runs, speed, |step| step.samples_per_s);
    charts.push(match by_step.is_empty() {
        true => of_epochs(runs, speed, |epoch| epoch.samples_per_s),
        false => by_step,
    });
    charts.push(of_epochs(runs, ["Time of an epoch", "seconds"], |epoch| epoch.seconds));
    charts.retain(|chart| !chart.is_empty());
    if charts.is_empty() {
        return None;
    }
    for (number, chart) in charts.iter_mut().enumerate() {
        chart.id = format!("chart-{number}");
    }
    Some(html! {
        @if runs.len() > 1 {
            fieldset.runs {
                legend { "Show" }
                @for run in 0..runs.len() {
                    label { input type="checkbox" id={ "show-" (run) } checked; " " (run_name(runs, run)) }
                }
            }
        }
        div.charts { @for chart in &charts { (chart.draw()) } }
    })
}

fn chart(title: &str, x: &'static str, y: &str, lines: Vec<Line>) -> Chart {
    let (id, title, y) = (String::new(), title.to_string(), y.to_string());
    Chart { id, title, note: None, x, x_spread: Spread::Linear, y, y_spread: Spread::Linear, lines }
}

/// What a line is called: by its run and quantity, as far as it takes to tell it from others.
fn line(runs: &[Run], run: usize, quantity: &str, is_dashed: bool, points: Vec<Point>) -> Line {
    let name = if runs.len() > 1 { format!("{} {quantity}", runs[run].name) } else { quantity.to_string() };
    Line { name, run, is_dashed, points, background: Vec::new() }
}

/// A loss or metric by epoch: in training, and dashed in the validation.
fn of_quantity(runs: &[Run], quantity: &Quantity) -> Chart {
    let mut lines = Vec::new();
    for (run, each) in runs.iter().enumerate() {
        for (quantity, is_dashed) in [(quantity.clone(), false), (quantity.of_validation(), true)] {
            let points =
                each.log.epochs.iter().filter_map(|epoch| Some((epoch.epoch as f64, quantity.of(epoch)?)));
            let points: Vec<Point> = points.collect();
            if !points.is_empty() {
                lines.push(line(runs, run, &quantity.name, is_dashed, series::thin(&points, MOST_POINTS)));
            }
        }
    }
    let mut title = quantity.name.clone();
    if let Some(first) = title.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    let mut chart = chart(&format!("{title} by epoch"), "epoch", &quantity.label(), lines);
    if quantity.name == figures::LOSS {
        chart.y_spread = scale::spread(values(&chart.lines));
    }
    chart
}

fn of_epochs(
    runs: &[Run],
    [title, name]: [&'static str; 2],
    value: impl Fn(&LoggedEpoch) -> Option<f64>,
) -> Chart {
    let lines = runs.iter().enumerate().map(|(run, each)| {
        let points = each.log.epochs.iter().filter_map(|epoch| Some((epoch.epoch as f64, value(epoch)?)));
        line(runs, run, name, false, series::thin(&points.collect::<Vec<_>>(), MOST_POINTS))
    });
    chart(title, "epoch", name, lines.filter(|line| !line.points.is_empty()).collect())
}

fn by_step(run: &Run, value: impl Fn(&LoggedStep) -> Option<f64>) -> Vec<Point> {
    run.log.steps.iter().filter_map(|step| Some((step.step as f64, value(step)?))).collect()
}

/// A noisy number by step: long series as means, with the series itself behind them.
fn smoothed_by_step(
    runs: &[Run],
    [title, name]: [&'static str; 2],
    value: impl Fn(&LoggedStep) -> Option<f64>,
) -> Chart {
    let mut windows = Vec::new();
    let mut lines = Vec::new();
    for (run, each) in runs.iter().enumerate() {
        let points = by_step(each, &value);
        let mut line = line(runs, run, name, false, Vec::new());
        match series::window(points.len()) {
            Some(window) => {
                windows.push(window);
                line.points = series::thin(&series::smoothed(&points, window), MOST_POINTS);
                line.background = series::thin(&points, MOST_POINTS);
            }
            None => line.points = points,
        }
        if !line.points.is_empty() {
            lines.push(line);
        }
    }
    let mut chart = chart(title, "step", name, lines);
    windows.dedup();
    chart.note = match windows.as_slice() {
        [] => None,
        [window] => Some(format!("bold: mean of the last {}", count(*window, "logged value"))),
        _ => Some("bold: moving means".to_string()),
    };
    chart
}

/// The learning rate by step, or by epoch where steps are not logged.
fn learning_rate(runs: &[Run]) -> Chart {
    let names @ [title, name] = ["Learning rate", "learning rate"];
    let lines = runs.iter().enumerate().map(|(run, each)| {
        let points = by_step(each, |step| step.learning_rate);
        line(runs, run, name, false, series::thin(&points, MOST_POINTS))
    });
    let chart = chart(title, "step", name, lines.filter(|line| !line.points.is_empty()).collect());
    match chart.is_empty() {
        true => of_epochs(runs, names, |epoch| epoch.learning_rate),
        false => chart,
    }
}

fn values(lines: &[Line]) -> impl Iterator<Item = f64> {
    lines.iter().flat_map(|line| line.points.iter().chain(&line.background).map(|point| point.1))
}
