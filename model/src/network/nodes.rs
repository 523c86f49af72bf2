//! The layers as nodes of a graph, for pictures of the network.

use super::Network;
use super::graph::{Graph, Op};
use crate::shape::Shape;
use isograd_kernels::Element;

/// A layer of a network, or an addition.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LayerNode {
    /// Where it stands: names of blocks, paths and the layer, joined by `/`; no two are equal.
    pub name: String,
    /// Its type.
    pub kind: String,
    /// The nodes that it reads, by their place in the list. A concatenation is no node: its reader reads the
    /// nodes of all its paths.
    pub reads: Vec<usize>,
    /// Shape of its output.
    pub shape: Shape,
    /// Trained and frozen parameters.
    pub parameters: usize,
}

impl<T: Element> Network<T> {
    /// The layers and additions, in the order of the forward pass; the first one is the input.
    pub fn nodes(&self) -> Vec<LayerNode> {
        let graph = &self.fused;
        let input = LayerNode {
            name: "input".to_string(),
            kind: "Input".to_string(),
            reads: Vec::new(),
            shape: self.input_shape(),
            parameters: 0,
        };
        let mut nodes = vec![input];
        for (index, step) in graph.steps.iter().enumerate() {
            let mut reads: Vec<usize> =
                step.reads.iter().flat_map(|value| producers(graph, *value, index)).collect();
            reads.sort_unstable();
            reads.dedup();
            let (name, kind, shape, parameters) = match step.op {
                Op::Layer(layer) => {
                    let info = &self.infos[layer];
                    (info.place.path(), self.layers[layer].kind(), info.shape, info.elements.len())
                }
                Op::Add { .. } => {
                    let names: Vec<&str> = reads.iter().map(|node| nodes[*node].name.as_str()).collect();
                    (common_folder(&names) + "Addition", "Addition", step.input, 0)
                }
            };
            let is_taken = |name: &str| nodes.iter().any(|node: &LayerNode| node.name == name);
            let name = match is_taken(&name) {
                true => (1usize..).map(|number| format!("{name}_{number}")).find(|name| !is_taken(name)),
                false => Some(name),
            };
            let name = name.expect("a number is free");
            nodes.push(LayerNode { name, kind: kind.to_string(), reads, shape, parameters });
        }
        nodes
    }
}

/// The nodes of what lies in `value` before step `end`: the step that writes it, or the steps that write its
/// parts, or the input.
fn producers(graph: &Graph, value: usize, end: usize) -> Vec<usize> {
    let steps = &graph.steps[..end];
    if let Some(step) = steps.iter().position(|step| step.writes == value) {
        return vec![step + 1];
    }
    let range = |value: usize| {
        let place = graph.data(value);
        (place.value, place.offset..place.offset + graph.values[value].elements)
    };
    let (buffer, read) = range(value);
    let is_part = |step: usize| {
        let (other, written) = range(steps[step].writes);
        other == buffer && written.start < read.end && read.start < written.end
    };
    let parts: Vec<usize> = (0..end).filter(|step| is_part(*step)).map(|step| step + 1).collect();
    if parts.is_empty() { vec![0] } else { parts }
}

/// The folders that all names have in common, with a `/` behind each.
fn common_folder(names: &[&str]) -> String {
    let Some((first, others)) = names.split_first() else { return String::new() };
    let ends = first.match_indices('/').map(|(end, _)| end + 1);
    let common = ends.take_while(|end| others.iter().all(|name| name.starts_with(&first[..*end]))).last();
    first[..common.unwrap_or(0)].to_string()
}

#[cfg(test)]
mod tests {
    use crate::layer::*;
    use crate::{Network, layers};

    #[test]
    fn nodes_read_what_their_layers_do() {
        let network = Network::<f32>::build(layers![
            Input::new(2, 4, 4),
            Residual::new(layers![Conv2D::new(2, 3).padding(1), ReLU]),
            Concatenation::new(vec![layers![Conv2D::new(3, 1)], layers![Conv2D::new(1, 1)]]),
            Flatten,
            Dense::new(3),
            Softmax,
        ])
        .unwrap();
        let nodes = network.nodes();
        let shown: Vec<(&str, &[usize])> =
            nodes.iter().map(|node| (node.kind.as_str(), node.reads.as_slice())).collect();
        assert_eq!((nodes[0].name.as_str(), shown[0]), ("input", ("Input", &[][..])));
        let named = |kind: &str| shown.iter().position(|(found, _)| *found == kind).expect(kind);
        let addition = named("Addition");
        assert!(shown[addition].1.contains(&0), "the identity reads the input: {shown:?}");
        let joined = &nodes[named("Dense")];
        let read: Vec<&str> = joined.reads.iter().map(|node| nodes[*node].kind.as_str()).collect();
        assert!(read == ["Conv2D", "Conv2D"] || read == ["Flatten"], "{read:?} of {shown:?}");
        let mut names: Vec<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), nodes.len());
        assert_eq!(nodes.iter().map(|node| node.parameters).sum::<usize>(), network.parameter_count());
    }
}
