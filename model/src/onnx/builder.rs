//! The nodes and tensors of a graph, as they are added.

use super::proto;
use crate::layer::Tensor;
use crate::network::{Network, State};
use crate::shape::Shape;
use isograd_kernels::Element;
use std::collections::HashMap;

/// A value of the graph: its name, the shape of a sample, and whether it is `[batch, features]` there. An
/// image of one pixel is either, as its writer has it.
#[derive(Debug, Clone)]
struct Value {
    name: String,
    shape: Shape,
    is_flat: bool,
}

/// What a reader takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    /// `[batch, features]`.
    Features,
    /// `[batch, C, H, W]`.
    Image,
    Either,
}

/// A graph that is being made.
pub(super) struct Builder<'n, T> {
    network: &'n Network<T>,
    state: &'n State<T>,
    nodes: Vec<proto::Node>,
    initializers: Vec<proto::Tensor>,
    /// By the number of the network's value.
    values: HashMap<usize, Value>,
    /// For names.
    count: usize,
}

/// An attribute with a number.
pub(super) fn int(name: &str, value: i64) -> proto::Attribute {
    attribute(name, proto::Value::Int(value))
}

/// An attribute with a float.
pub(super) fn float(name: &str, value: f64) -> proto::Attribute {
    attribute(name, proto::Value::Float(value as f32))
}

/// An attribute with several numbers.
pub(super) fn ints(name: &str, values: &[usize]) -> proto::Attribute {
    attribute(name, proto::Value::Ints(values.iter().map(|value| *value as i64).collect()))
}

fn attribute(name: &str, value: proto::Value) -> proto::Attribute {
    proto::Attribute { name: name.to_string(), value }
}

impl<'n, T: Element> Builder<'n, T> {
    pub(super) fn new(network: &'n Network<T>, state: &'n State<T>) -> Self {
        let shape = network.input_shape();
        let input = Value { name: "input".to_string(), shape, is_flat: shape.is_vector() };
        let values = HashMap::from([(0, input)]);
        Self { network, state, nodes: Vec::new(), initializers: Vec::new(), values, count: 0 }
    }

    pub(super) fn finish(self) -> (Vec<proto::Node>, Vec<proto::Tensor>) {
        (self.nodes, self.initializers)
    }

    /// The name of the network's value number `value`, which its reader takes as `shape`, and whether it is
    /// `[batch, features]`.
    pub(super) fn value(&mut self, value: usize, shape: Shape, takes: Takes) -> (String, bool) {
        let Value { name, shape: found, is_flat } = self.find(value);
        let becomes_flat = match takes {
            Takes::Features => true,
            Takes::Image => false,
            // A view has flattened it.
            Takes::Either => is_flat || (found != shape && shape.is_vector()),
        };
        let name = match (is_flat, becomes_flat) {
            (false, true) => self.output("Flatten", [name], vec![int("axis", 1)]),
            (false, false) if found == shape => name,
            (_, false) => {
                // 0 keeps the batch.
                let Shape { c, h, w } = shape;
                let dims = self.integers(&[0, c as i64, h as i64, w as i64]);
                self.output("Reshape", [name, dims], vec![])
            }
            (true, true) => name,
        };
        (name, becomes_flat)
    }

    /// A value with its shape. A joined one is joined when it is first read.
    fn find(&mut self, value: usize) -> Value {
        if let Some(found) = self.values.get(&value) {
            return found.clone();
        }
        let parts = self.network.plain_parts(value);
        let found: Vec<Value> = parts.iter().map(|part| self.find(*part)).collect();
        let Shape { h, w, .. } = found[0].shape;
        // Images of several sizes are joined as features: views have flattened them.
        let is_flat = found.iter().any(|part| part.is_flat || [part.shape.h, part.shape.w] != [h, w]);
        let shape = match is_flat {
            true => Shape::vector(found.iter().map(|part| part.shape.elements()).sum()),
            false => Shape { c: found.iter().map(|part| part.shape.c).sum(), h, w },
        };
        let names = self.alike(&parts, &found, is_flat);
        let name = self.output("Concat", names, vec![int("axis", 1)]);
        let joined = Value { name, shape, is_flat };
        self.values.insert(value, joined.clone());
        joined
    }

    /// The names of `values`, which were found as `found`, all `[batch, features]` or all images.
    fn alike(&mut self, values: &[usize], found: &[Value], is_flat: bool) -> Vec<String> {
        let takes = if is_flat { Takes::Features } else { Takes::Image };
        values.iter().zip(found).map(|(value, found)| self.value(*value, found.shape, takes).0).collect()
    }

    /// Says that the network's value number `value` is called `name`, and whether it is `[batch, features]`.
    pub(super) fn set(&mut self, value: usize, name: String, shape: Shape, is_flat: bool) {
        self.values.insert(value, Value { name, shape, is_flat });
    }

    /// The sum of values.
    pub(super) fn sum(&mut self, reads: &[usize], writes: usize) {
        let found: Vec<Value> = reads.iter().map(|value| self.find(*value)).collect();
        let first = found[0].shape;
        let is_flat = found.iter().any(|value| value.is_flat || value.shape != first);
        let names = self.alike(reads, &found, is_flat);
        let shape = if is_flat { Shape::vector(first.elements()) } else { first };
        let name = match names.len() {
            1 => names.into_iter().next().expect("one value"),
            _ => self.output("Sum", names, vec![]),
        };
        self.set(writes, name, shape, is_flat);
    }

    /// Adds a node with the output `output`.
    pub(super) fn node(
        &mut self,
        operator: &str,
        inputs: impl IntoIterator<Item = String>,
        attributes: Vec<proto::Attribute>,
        output: &str,
    ) {
        self.nodes.push(proto::Node {
            input: inputs.into_iter().collect(),
            output: vec![output.to_string()],
            name: format!("{operator}_{}", self.nodes.len()),
            op_type: operator.to_string(),
            attribute: attributes,
        });
    }

    /// Adds a node, and gives the name of its output.
    pub(super) fn output(
        &mut self,
        operator: &str,
        inputs: impl IntoIterator<Item = String>,
        attributes: Vec<proto::Attribute>,
    ) -> String {
        let name = self.name(operator);
        self.node(operator, inputs, attributes, &name);
        name
    }

    fn name(&mut self, what: &str) -> String {
        self.count += 1;
        format!("{}.{}", what.to_lowercase(), self.count)
    }

    /// Adds a parameter of the network.
    pub(super) fn parameter(&mut self, tensor: &Tensor) -> String {
        let values = &self.state.params()[tensor.range.clone()];
        self.tensor(&tensor.name, &tensor.dims, values.iter().map(|value| value.to_f64() as f32))
    }

    /// Adds running statistics of the network.
    pub(super) fn statistic(&mut self, tensor: &Tensor) -> String {
        let values = &self.state.statistics()[tensor.range.clone()];
        self.tensor(&tensor.name, &tensor.dims, values.iter().map(|value| value.to_f64() as f32))
    }

    /// Adds a constant.
    pub(super) fn constant(&mut self, dims: &[usize], values: impl IntoIterator<Item = f32>) -> String {
        let name = self.name("constant");
        self.tensor(&name, dims, values)
    }

    /// Adds a constant without dimensions.
    pub(super) fn number(&mut self, value: f64) -> String {
        self.constant(&[], [value as f32])
    }

    /// Adds a constant list of whole numbers.
    pub(super) fn integers(&mut self, values: &[i64]) -> String {
        let name = self.name("constant");
        self.initializers.push(proto::Tensor {
            dims: vec![values.len() as i64],
            data_type: proto::INT64,
            name: name.clone(),
            raw_data: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        });
        name
    }

    fn tensor(&mut self, name: &str, dims: &[usize], values: impl IntoIterator<Item = f32>) -> String {
        self.initializers.push(proto::Tensor {
            dims: dims.iter().map(|dim| *dim as i64).collect(),
            data_type: proto::FLOAT,
            name: name.to_string(),
            raw_data: values.into_iter().flat_map(f32::to_le_bytes).collect(),
        });
        name.to_string()
    }
}
