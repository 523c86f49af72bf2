//! Pictures of a graph of stages: Mermaid and DOT for tools that lay it out, SVG for a page.

use std::fmt::Write as _;

use super::graph::{Graph, Kind};

/// The stages of a pipeline and what joins them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagram {
    stages: Vec<Stage>,
    arrows: Vec<Arrow>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Stage {
    name: String,
    kind: Kind,
    workers: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Arrow {
    from: usize,
    to: usize,
    buffer: Option<usize>,
    is_back: bool,
}

impl Stage {
    fn label(&self) -> String {
        if self.workers == 1 { self.name.clone() } else { format!("{} x {}", self.name, self.workers) }
    }
}

/// Sizes in the SVG, in pixels.
const BOX: (usize, usize) = (150, 36);
const GAP: (usize, usize) = (60, 22);
const MARGIN: usize = 20;

impl Diagram {
    pub(super) fn new(graph: &Graph) -> Self {
        let stage = |node: &super::graph::Node| Stage {
            name: node.name.clone(),
            kind: node.kind,
            workers: node.workers,
        };
        let mut arrows = Vec::new();
        for edge in &graph.edges {
            for (from, is_back) in [(&edge.from, false), (&edge.back_from, true)] {
                for (&from, &to) in from.iter().flat_map(|from| edge.to.iter().map(move |to| (from, to))) {
                    arrows.push(Arrow { from, to, buffer: edge.buffer, is_back });
                }
            }
        }
        Self { stages: graph.nodes.iter().map(stage).collect(), arrows }
    }

    /// A flow chart in the language of Mermaid.
    pub fn mermaid(&self) -> String {
        let mut text = String::from("flowchart LR\n");
        for (number, stage) in self.stages.iter().enumerate() {
            let label = escape(&stage.label());
            let _ = match stage.kind {
                Kind::Source | Kind::Sink => writeln!(text, "    s{number}([\"{label}\"])"),
                _ => writeln!(text, "    s{number}[\"{label}\"]"),
            };
        }
        for arrow in &self.arrows {
            let line = if arrow.is_back { "-.->" } else { "-->" };
            let buffer = arrow.buffer.map(|items| format!("|{items}|")).unwrap_or_default();
            let _ = writeln!(text, "    s{} {line}{buffer} s{}", arrow.from, arrow.to);
        }
        text
    }

    /// A directed graph in the language of Graphviz.
    pub fn dot(&self) -> String {
        let mut text = String::from("digraph pipeline {\n    rankdir=LR;\n");
        for (number, stage) in self.stages.iter().enumerate() {
            let label = stage.label().replace('\\', "\\\\").replace('"', "\\\"");
            let shape = match stage.kind {
                Kind::Source | Kind::Sink => "oval",
                _ => "box",
            };
            let _ = writeln!(text, "    s{number} [label=\"{label}\", shape={shape}];");
        }
        for arrow in &self.arrows {
            let style = if arrow.is_back { "style=dashed, constraint=false" } else { "style=solid" };
            let buffer = arrow.buffer.map(|items| format!(", label=\"{items}\"")).unwrap_or_default();
            let _ = writeln!(text, "    s{} -> s{} [{style}{buffer}];", arrow.from, arrow.to);
        }
        text.push_str("}\n");
        text
    }

    /// A picture that needs no tool: stages in columns, each behind all that feed it.
    pub fn svg(&self) -> String {
        let columns = self.columns();
        let mut rows_used = vec![0; columns.iter().max().map_or(0, |last| last + 1)];
        let place = |column: &usize| {
            let row = rows_used[*column];
            rows_used[*column] += 1;
            (MARGIN + column * (BOX.0 + GAP.0), MARGIN + row * (BOX.1 + GAP.1))
        };
        let places: Vec<(usize, usize)> = columns.iter().map(place).collect();
        let width = places.iter().map(|(x, _)| x + BOX.0).max().unwrap_or(0) + MARGIN;
        // Room below for the way back of cycles.
        let height = places.iter().map(|(_, y)| y + BOX.1).max().unwrap_or(0) + MARGIN + GAP.1;
        let mut text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             font-family=\"sans-serif\" font-size=\"13\">\n  <defs><marker id=\"tip\" markerWidth=\"8\" \
             markerHeight=\"8\" refX=\"7\" refY=\"4\" orient=\"auto\"><path d=\"M0,0 L8,4 L0,8 z\"/></marker></defs>\n"
        );
        for arrow in &self.arrows {
            let ((x0, y0), (x1, y1)) = (places[arrow.from], places[arrow.to]);
            let path = if arrow.is_back {
                let (x0, x1) = (x0 + BOX.0 / 2, x1 + BOX.0 / 2);
                let (y0, y1, low) = (y0 + BOX.1, y1 + BOX.1, height - MARGIN / 2);
                format!("d=\"M{x0},{y0} C{x0},{low} {x1},{low} {x1},{y1}\" stroke-dasharray=\"4\"")
            } else {
                let (x0, y0, y1) = (x0 + BOX.0, y0 + BOX.1 / 2, y1 + BOX.1 / 2);
                let (near, far) = (x0 + GAP.0 / 2, x1.saturating_sub(GAP.0 / 2));
                format!("d=\"M{x0},{y0} C{near},{y0} {far},{y1} {x1},{y1}\"")
            };
            let _ =
                writeln!(text, "  <path {path} fill=\"none\" stroke=\"black\" marker-end=\"url(#tip)\"/>");
        }
        for (stage, (x, y)) in self.stages.iter().zip(&places) {
            let round = if matches!(stage.kind, Kind::Source | Kind::Sink) { BOX.1 / 2 } else { 4 };
            let _ = writeln!(
                text,
                "  <rect x=\"{x}\" y=\"{y}\" width=\"{}\" height=\"{}\" rx=\"{round}\" fill=\"#eef\" stroke=\"black\"/>\n  \
                 <text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                BOX.0,
                BOX.1,
                x + BOX.0 / 2,
                y + BOX.1 / 2 + 5,
                escape(&stage.label())
            );
        }
        text.push_str("</svg>\n");
        text
    }

    /// The column of each stage: one more than that of the last stage that feeds it.
    fn columns(&self) -> Vec<usize> {
        let mut columns = vec![0; self.stages.len()];
        // Without the ways back there is no cycle, so as many passes as stages are enough.
        for _ in 0..self.stages.len() {
            for arrow in self.arrows.iter().filter(|arrow| !arrow.is_back) {
                columns[arrow.to] = columns[arrow.to].max(columns[arrow.from] + 1);
            }
        }
        columns
    }
}

/// Text for Mermaid, HTML and SVG.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
