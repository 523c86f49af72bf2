//! The table of a network's layers and blocks.

use super::Network;
use crate::layer::{Geometry, Size2};
use crate::place::Place;
use crate::shape::Shape;
use isograd_kernels::Element;
use isograd_kernels::conv::{Conv2d, Path, Precision};

const COLUMNS: usize = 8;
const HEADER: [&str; COLUMNS] =
    ["layer", "type", "parameters", "output shape", "weight shape", "padding", "stride", "path"];

/// A line of the table: a layer, a block, or a path of a block.
#[derive(Debug, Clone)]
pub(super) struct Row {
    /// The position in each list from the network's own to that of the layer, with paths between: `7.1.2`.
    position: String,
    /// How far the type is indented.
    depth: usize,
    /// Name and type.
    label: String,
    /// The number of a layer.
    layer: Option<usize>,
    /// Shape of the output of a block or a path that is the identity.
    pub(super) shape: Option<Shape>,
}

impl Row {
    fn new(place: &Place, label: String) -> Self {
        Self { position: place.position(), depth: place.depth(), label, layer: None, shape: None }
    }

    pub(super) fn layer(place: &Place, number: usize) -> Self {
        Self { layer: Some(number), ..Self::new(place, place.label()) }
    }

    pub(super) fn block(place: &Place) -> Self {
        Self::new(place, place.label())
    }

    /// Path `number` of the block at `place`, with the block's input shape if the path is the identity.
    pub(super) fn path(place: &Place, number: usize, identity: Option<Shape>) -> Self {
        let label = match identity {
            Some(_) => format!("path {number}: identity"),
            None => format!("path {number}"),
        };
        let position = format!("{}.{number}", place.position());
        Self { position, depth: place.depth() + 1, label, layer: None, shape: identity }
    }
}

impl<T: Element> Network<T> {
    /// A table of the layers (position, type, parameters, output shape, weight shape, padding, stride, and
    /// the algorithms of forward pass, gradient by the input and gradient by the weights where there is a
    /// choice), in which the layers of a block are indented, and the total of the parameters below it.
    pub fn summary(&self) -> String {
        let mut rows: Vec<[String; COLUMNS]> = vec![HEADER.map(String::from)];
        for row in &self.rows {
            let label = format!("{:1$}{2}", "", 2 * row.depth, row.label);
            let Some(layer) = row.layer else {
                let shape = row.shape.map_or_else(String::new, |shape| shape.to_string());
                let [empty, weight, padding, stride, path] = [(); 5].map(|()| String::new());
                rows.push([row.position.clone(), label, empty, shape, weight, padding, stride, path]);
                continue;
            };
            let parameters = &self.parameters[self.infos[layer].parameters.clone()];
            let count: usize = parameters.iter().map(|p| p.range.len()).sum();
            let weight =
                parameters.iter().find(|p| p.dims.len() > 1).map(|p| join(&p.dims)).unwrap_or_default();
            let (padding, stride) = match self.layers[layer].geometry() {
                Some(Geometry { padding, stride }) => (size(padding), size(stride)),
                None => (String::new(), String::new()),
            };
            let (count, shape) = (count.to_string(), self.infos[layer].shape.to_string());
            let path = self.layers[layer].convolution().map_or_else(String::new, path);
            rows.push([row.position.clone(), label, count, shape, weight, padding, stride, path]);
        }
        format!("{}\nparameters: {}\n", table(&rows), self.parameter_count())
    }
}

/// The paths of the forward pass, of the gradient by the input and of that by the weights: one name if they
/// are one. Those with factors in bfloat16 end in `-bf16`.
fn path(convolution: &Conv2d) -> String {
    let paths = convolution.paths();
    let mut passes = paths.each().into_iter().zip(paths.precisions());
    let [forward, input, weights] = std::array::from_fn(|_| match passes.next().expect("a pass") {
        (path, Precision::Bfloat16) if path != Path::Direct => format!("{}-bf16", path.name()),
        (path, _) => path.name().to_string(),
    });
    match forward == input && input == weights {
        true => forward,
        false => format!("{forward}/{input}/{weights}"),
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
fn table(rows: &[[String; COLUMNS]]) -> String {
    let widths: Vec<usize> =
        (0..COLUMNS).map(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or(0)).collect();
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
    lines.insert(1, "-".repeat(widths.iter().sum::<usize>() + 2 * (COLUMNS - 1)));
    lines.join("\n")
}
