//! Charts of lines, as SVG inside a page.
//!
//! Colours are those of the page's style sheet: a line has the class `rN` of its run. The values that a
//! pointer or the arrow keys ask for are in an attribute, from which the page's script reads them; a table
//! has them for readers without one.

use super::format;
use super::scale::{Scale, Spread};
use super::series::Point;
use maud::{Markup, html};
use serde::Serialize;
use std::fmt::Write;

/// Extent of a chart, in the units of its labels: pixels where it is shown at its size.
const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 256.0;
/// Room for labels.
const LEFT: f64 = 50.0;
const RIGHT: f64 = 18.0;
const TOP: f64 = 24.0;
const BOTTOM: f64 = 38.0;
/// Points of a line that are marked, at most.
const MARKED: usize = 40;
/// Rows of a table of values, at most.
const ROWS: usize = 60;

/// A line.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) name: String,
    /// The run that it belongs to, or another number, which gives it its colour.
    pub(crate) run: usize,
    pub(crate) is_dashed: bool,
    pub(crate) points: Vec<Point>,
    /// Drawn faintly behind it.
    pub(crate) background: Vec<Point>,
}

/// A chart of lines over one x.
#[derive(Debug)]
pub(crate) struct Chart {
    /// Unique in the page.
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) note: Option<String>,
    pub(crate) x: &'static str,
    pub(crate) x_spread: Spread,
    pub(crate) y: String,
    pub(crate) y_spread: Spread,
    pub(crate) lines: Vec<Line>,
}

/// What the page's script reads.
#[derive(Serialize)]
struct Data<'c> {
    x: &'static str,
    /// Left, top, width and height of the area of the lines.
    area: [f64; 4],
    x_range: [f64; 2],
    y_range: [f64; 2],
    x_is_log: bool,
    y_is_log: bool,
    lines: Vec<LineData<'c>>,
}

#[derive(Serialize)]
struct LineData<'c> {
    name: &'c str,
    run: usize,
    x: Vec<f64>,
    /// Texts, as the page shows numbers elsewhere.
    y: Vec<String>,
}

impl Chart {
    /// Whether there is anything to draw.
    pub(crate) fn is_empty(&self) -> bool {
        self.lines.iter().all(|line| line.points.iter().all(|point| !point.1.is_finite()))
    }

    /// The chart with its legend and its table.
    pub(crate) fn draw(&self) -> Markup {
        let points = || self.lines.iter().flat_map(|line| line.points.iter().chain(&line.background));
        let places = points().map(|point| point.0);
        let x = match self.x_spread {
            Spread::Linear => Scale::exact(places),
            Spread::Log => Scale::doublings(places),
        };
        let y = Scale::fit(points().map(|point| point.1), self.y_spread);
        let log = if y.spread == Spread::Log { ", logarithmic" } else { "" };
        let title = format!("{}-title", self.id);
        html! {
            figure.chart {
                figcaption id=(title) { (self.title) @if let Some(note) = &self.note { small { " " (note) } } }
                svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } tabindex="0" role="img" aria-labelledby=(title)
                    aria-describedby={ (self.id) "-values" } data-chart=(self.data(&x, &y)) {
                    (axes(&x, &y))
                    text.label x=(WIDTH - RIGHT) y=(HEIGHT - 4.0) text-anchor="end" { (self.x) }
                    text.label x="2" y="12" { (self.y) (log) }
                    @for line in &self.lines {
                        g class={ "r" (line.run) } {
                            @if !line.background.is_empty() { path.raw d=(path(&line.background, &x, &y)) {} }
                            path.line.dashed[line.is_dashed] d=(path(&line.points, &x, &y)) {}
                            @if line.points.len() <= MARKED { path.dots d=(dots(&line.points, &x, &y)) {} }
                        }
                    }
                    g.cursor {}
                }
                ul.legend aria-hidden="true" {
                    @for line in &self.lines {
                        li class={ "r" (line.run) } {
                            svg.swatch viewBox="0 0 22 10" { path.line.dashed[line.is_dashed] d="M1 5H21" {} }
                            span { (line.name) } b {}
                        }
                    }
                }
                output.unseen id={ (self.id) "-values" } { (self.extremes()) }
                details { summary { "Values" span.unseen { " of " (self.title) } } (self.table()) }
            }
        }
    }

    /// The last value of each line, in a sentence.
    fn extremes(&self) -> String {
        let last = |line: &Line| {
            let (x, y) = line.points.last()?;
            Some(format!("{}: {} at {} {}", line.name, format::number(*y), self.x, format::number(*x)))
        };
        self.lines.iter().filter_map(last).collect::<Vec<_>>().join("; ")
    }

    fn data(&self, x: &Scale, y: &Scale) -> String {
        let lines = self.lines.iter().map(|line| LineData {
            name: &line.name,
            run: line.run,
            x: line.points.iter().map(|point| point.0).collect(),
            y: line.points.iter().map(|point| format::number(point.1)).collect(),
        });
        let data = Data {
            x: self.x,
            area: [LEFT, TOP, WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM],
            x_range: [x.from, x.to],
            y_range: [y.from, y.to],
            x_is_log: x.spread == Spread::Log,
            y_is_log: y.spread == Spread::Log,
            lines: lines.collect(),
        };
        serde_json::to_string(&data).expect("names and numbers")
    }

    fn table(&self) -> Markup {
        let mut all: Vec<f64> =
            self.lines.iter().flat_map(|line| line.points.iter().map(|point| point.0)).collect();
        all.sort_by(f64::total_cmp);
        all.dedup();
        let every = all.len().div_ceil(ROWS).max(1);
        // Counted from the end, so that the last values are there.
        let mut rows: Vec<f64> = all.iter().rev().step_by(every).copied().collect();
        rows.reverse();
        html! {
            div.scroll tabindex="0" role="region" aria-label={ "Values of " (self.title) } {
                table {
                    thead { tr { th scope="col" { (self.x) } @for line in &self.lines { th scope="col" { (line.name) } } } }
                    tbody {
                        @for x in rows {
                            tr {
                                th scope="row" { (format::number(x)) }
                                @for line in &self.lines { td { (value_at(&line.points, x)) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The value of a line at `x`, or the last one before it; nothing outside of the line.
fn value_at(points: &[Point], x: f64) -> String {
    let behind = points.partition_point(|point| point.0 <= x);
    let is_inside = points.last().is_some_and(|last| x <= last.0);
    match behind.checked_sub(1).filter(|_| is_inside) {
        Some(place) => format::number(points[place].1),
        None => String::new(),
    }
}

/// A place in the chart; the y of what has no place is that of the axis's end.
fn place(point: &Point, x: &Scale, y: &Scale) -> Option<(f64, f64)> {
    let (across, up) = (x.place(point.0)?, y.place(point.1)?);
    let height = HEIGHT - TOP - BOTTOM;
    Some((LEFT + across * (WIDTH - LEFT - RIGHT), TOP + (1.0 - up.clamp(0.0, 1.0)) * height))
}

/// The data of a path through points, interrupted where a value is not finite.
fn path(points: &[Point], x: &Scale, y: &Scale) -> String {
    let (mut text, mut is_down) = (String::new(), false);
    for point in points {
        match place(point, x, y) {
            Some((across, down)) => {
                let _ = write!(text, "{}{across:.1} {down:.1}", if is_down { 'L' } else { 'M' });
                is_down = true;
            }
            None => is_down = false,
        }
    }
    text
}

/// The data of a path that has a dot at each point: a line of no length with round ends.
fn dots(points: &[Point], x: &Scale, y: &Scale) -> String {
    let places = points.iter().filter_map(|point| place(point, x, y));
    places.map(|(across, down)| format!("M{across:.1} {down:.1}h0")).collect()
}

fn axes(x: &Scale, y: &Scale) -> Markup {
    let bottom = HEIGHT - BOTTOM;
    html! {
        g.axes {
            @for (tick, (_, down)) in y.ticks.iter().filter_map(|tick| Some((tick, place(&(x.from, *tick), x, y)?))) {
                path.grid d=(format!("M{LEFT} {down:.1}H{}", WIDTH - RIGHT)) {}
                text x=(LEFT - 6.0) y=(format!("{:.1}", down + 4.0)) text-anchor="end" { (y.label(*tick)) }
            }
            @for (tick, (across, _)) in x.ticks.iter().filter_map(|tick| Some((tick, place(&(*tick, y.from), x, y)?))) {
                path.tick d=(format!("M{across:.1} {bottom}v4")) {}
                text x=(format!("{across:.1}")) y=(bottom + 16.0) text-anchor="middle" { (x.label(*tick)) }
            }
            path.base d=(format!("M{LEFT} {bottom}H{}", WIDTH - RIGHT)) {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: Vec<Point>) -> Chart {
        let line = Line { name: "<i>".to_string(), run: 3, is_dashed: true, points, background: Vec::new() };
        let (id, title, y) = ("c1".to_string(), "Loss & more".to_string(), "loss".to_string());
        Chart {
            id,
            title,
            note: None,
            x: "epoch",
            x_spread: Spread::Linear,
            y,
            y_spread: Spread::Linear,
            lines: vec![line],
        }
    }

    #[test]
    fn lines_are_interrupted_where_a_value_is_not_finite() {
        let scale = Scale::fit([0.0, 1.0].into_iter(), Spread::Linear);
        let points = [(0.0, 0.0), (0.5, 1.0), (0.6, f64::NAN), (1.0, 0.5)];
        assert_eq!(path(&points, &scale, &scale), "M50.0 218.0L236.0 24.0M422.0 121.0");
        assert!(chart(vec![(1.0, f64::NAN)]).is_empty() && !chart(vec![(1.0, 1.0)]).is_empty());
    }

    #[test]
    fn names_are_escaped_in_text_and_attributes() {
        let text = chart(vec![(1.0, 0.5), (2.0, 0.25)]).draw().into_string();
        assert!(!text.contains("<i>") && text.contains("Loss &amp; more"), "{text}");
        assert!(text.contains("&quot;name&quot;:&quot;&lt;i&gt;&quot;"), "{text}");
        assert!(text.contains("<th scope=\"row\">2</th><td>0.25</td>"), "{text}");
    }

    #[test]
    fn a_value_is_the_last_one_up_to_its_place() {
        let points = [(1.0, 0.5), (3.0, 0.25)];
        assert_eq!([0.5, 1.0, 2.0, 3.0, 4.0].map(|x| value_at(&points, x)), ["", "0.5", "0.5", "0.25", ""]);
    }
}
