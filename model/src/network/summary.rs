//! The table of a network's layers.

use super::Network;
use crate::layer::{Geometry, Size2};
use isograd_kernels::Element;

const HEADER: [&str; 7] =
    ["layer", "type", "parameters", "output shape", "weight shape", "padding", "stride"];

impl<T: Element> Network<T> {
    /// A table of the layers (number, type, parameters, output shape, weight shape, padding, stride), and the
    /// total of the parameters below it.
    pub fn summary(&self) -> String {
        let mut rows: Vec<[String; 7]> = vec![HEADER.map(String::from)];
        for (index, (layer, step)) in self.layers.iter().zip(&self.steps).enumerate() {
            let parameters = &self.parameters[step.parameters.clone()];
            let count: usize = parameters.iter().map(|p| p.range.len()).sum();
            let weight =
                parameters.iter().find(|p| p.dims.len() > 1).map(|p| join(&p.dims)).unwrap_or_default();
            let (padding, stride) = match layer.geometry() {
                Some(Geometry { padding, stride }) => (size(padding), size(stride)),
                None => (String::new(), String::new()),
            };
            rows.push([
                index.to_string(),
                layer.kind().to_string(),
                count.to_string(),
                step.shape.to_string(),
                weight,
                padding,
                stride,
            ]);
        }
        format!("{}\nparameters: {}\n", table(&rows), self.parameter_count())
    }
}

/// One number where both are equal, else `HxW`.
fn size(size: Size2) -> String {
    if size.h == size.w { size.h.to_string() } else { size.to_string() }
}

fn join(dims: &[usize]) -> String {
    dims.iter().map(usize::to_string).collect::<Vec<_>>().join("x")
}

/// Columns as wide as their widest cell; numbers to the right.
fn table(rows: &[[String; 7]]) -> String {
    let widths: Vec<usize> =
        (0..7).map(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or(0)).collect();
    let mut lines: Vec<String> = Vec::new();
    for row in rows {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            if matches!(column, 0 | 2 | 5 | 6) {
                format!("{cell:>width$}")
            } else {
                format!("{cell:<width$}")
            }
        });
        lines.push(cells.collect::<Vec<_>>().join("  ").trim_end().to_string());
    }
    lines.insert(1, "-".repeat(widths.iter().sum::<usize>() + 2 * 6));
    lines.join("\n")
}
