//! Charts of bars that are made of shares, as SVG inside a page.

use super::format;
use maud::{Markup, html};

/// Extent of a chart, in the units of its labels: pixels where it is shown at its size.
const WIDTH: f64 = 440.0;
/// Room for the names of bars, and behind the bars.
const LEFT: f64 = 74.0;
const RIGHT: f64 = 26.0;
const TOP: f64 = 6.0;
/// A bar, and the distance between two.
const BAR: f64 = 20.0;
const STEP: f64 = 28.0;
/// Room for labels below.
const BOTTOM: f64 = 24.0;
/// The labelled shares.
const TICKS: [f64; 5] = [0.0, 0.25, 0.5, 0.75, 1.0];

/// Bars, each of parts that are shares of a whole.
#[derive(Debug)]
pub(crate) struct Bars {
    /// Unique in the page.
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) note: Option<String>,
    /// The parts' names, and the numbers that give them their colours.
    pub(crate) parts: Vec<(&'static str, usize)>,
    pub(crate) bars: Vec<Bar>,
}

/// A bar.
#[derive(Debug)]
pub(crate) struct Bar {
    pub(crate) name: String,
    /// From 0 to 1, one for each part.
    pub(crate) shares: Vec<f64>,
}

impl Bars {
    /// The chart with its legend and its table.
    pub(crate) fn draw(&self) -> Markup {
        let bottom = TOP + STEP * self.bars.len() as f64;
        let height = bottom + BOTTOM;
        let title = format!("{}-title", self.id);
        html! {
            figure.chart {
                figcaption id=(title) { (self.title) @if let Some(note) = &self.note { small { " " (note) } } }
                svg viewBox={ "0 0 " (WIDTH) " " (height) } role="img" aria-labelledby=(title) {
                    g.axes {
                        @for tick in TICKS {
                            path.grid d=(format!("M{:.1} {TOP}V{bottom}", across(tick))) {}
                            text x=(format!("{:.1}", across(tick))) y=(bottom + 16.0) text-anchor="middle" {
                                (format!("{:.0} %", 100.0 * tick))
                            }
                        }
                    }
                    @for (place, bar) in self.bars.iter().enumerate() { (self.bar(bar, TOP + STEP * place as f64)) }
                }
                ul.legend aria-hidden="true" {
                    @for (name, class) in &self.parts {
                        li class={ "r" (class) } { span class={ "mark r" (class) } {} span { (name) } }
                    }
                }
                details { summary { "Values" span.unseen { " of " (self.title) } } (self.table()) }
            }
        }
    }

    fn bar(&self, bar: &Bar, top: f64) -> Markup {
        let mut from = 0.0;
        let parts = self.parts.iter().zip(&bar.shares).map(|((name, class), share)| {
            let start = from;
            // Rounding must not draw beyond the end.
            from = (from + share.max(0.0)).min(1.0);
            (name, class, *share, start, from)
        });
        let parts: Vec<_> = parts.collect();
        html! {
            text x=(LEFT - 8.0) y=(top + 15.0) text-anchor="end" { (bar.name) }
            @for (name, class, share, from, to) in parts {
                @if to > from {
                    rect class={ "part r" (class) } x=(format!("{:.1}", across(from))) y=(top + (STEP - BAR) / 2.0)
                        width=(format!("{:.1}", across(to) - across(from))) height=(BAR) {
                        title { (bar.name) ", " (name) ": " (percent(share)) }
                    }
                }
            }
        }
    }

    fn table(&self) -> Markup {
        html! {
            div.scroll tabindex="0" role="region" aria-label={ "Values of " (self.title) } {
                table {
                    thead { tr { th scope="col" {} @for (name, _) in &self.parts { th scope="col" { (name) } } } }
                    tbody {
                        @for bar in &self.bars {
                            tr {
                                th scope="row" { (bar.name) }
                                @for share in &bar.shares { td { (percent(*share)) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn across(share: f64) -> f64 {
    LEFT + share * (WIDTH - LEFT - RIGHT)
}

fn percent(share: f64) -> String {
    format::percent(100.0 * share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_lie_behind_each_other_and_end_at_the_whole() {
        let bar = |name: &str, shares: [f64; 3]| Bar { name: name.to_string(), shares: shares.to_vec() };
        let bars = Bars {
            id: "b".to_string(),
            title: "Shares & more".to_string(),
            note: None,
            parts: vec![("compute", 0), ("data", 3), ("<i>", 1)],
            bars: vec![bar("1", [0.5, 0.25, 0.25]), bar("2", [0.75, 0.0, 0.5])],
        };
        let text = bars.draw().into_string();
        let rects: Vec<&str> =
            text.split("<rect ").skip(1).map(|rest| &rest[..rest.find('>').unwrap()]).collect();
        assert_eq!(rects.len(), 5, "a part of nothing is not drawn: {text}");
        assert!(
            rects[0].contains(r#"class="part r0" x="74.0""#) && rects[0].contains(r#"width="170.0""#),
            "{text}"
        );
        assert!(
            rects[1].contains(r#"class="part r3" x="244.0""#) && rects[1].contains(r#"width="85.0""#),
            "{text}"
        );
        assert!(
            rects[4].contains(r#"x="329.0""#) && rects[4].contains(r#"width="85.0""#),
            "not beyond the end: {text}"
        );
        assert!(text.contains("<td>75.00 %</td>") && text.contains("Shares &amp; more"), "{text}");
        assert!(!text.contains("<i>") && text.contains("2, &lt;i&gt;: 50.00 %"), "{text}");
    }
}
