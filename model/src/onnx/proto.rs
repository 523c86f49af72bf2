//! The messages of the ONNX format that a network needs, with the numbers of their fields.
//!
//! # Source
//!
//! `onnx.proto` of ONNX 1.14, IR version 9. Fields that are never written are left out.

use crate::protobuf::Message;

/// Types of elements, in `TensorProto` and `TypeProto`.
pub(super) const FLOAT: i32 = 1;
pub(super) const INT64: i32 = 7;

#[derive(Debug)]
pub(super) struct Model {
    pub(super) ir_version: i64,
    pub(super) producer_name: String,
    pub(super) producer_version: String,
    pub(super) graph: Graph,
    /// The version of the default set of operators.
    pub(super) opset: i64,
    pub(super) metadata_props: Vec<Entry>,
}

impl Model {
    pub(super) fn encode(self) -> Message {
        // The default set has an empty name, which the checker wants to see written.
        let opset = Message::default().data(1, "").integer(2, self.opset);
        Message::default()
            .integer(1, self.ir_version)
            .data(2, self.producer_name)
            .data(3, self.producer_version)
            .message(7, &self.graph.encode())
            .message(8, &opset)
            .messages(14, self.metadata_props.into_iter().map(Entry::encode))
    }
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) value: String,
}

impl Entry {
    fn encode(self) -> Message {
        Message::default().data(1, self.key).data(2, self.value)
    }
}

#[derive(Debug)]
pub(super) struct Graph {
    pub(super) node: Vec<Node>,
    pub(super) name: String,
    pub(super) initializer: Vec<Tensor>,
    pub(super) input: ValueInfo,
    pub(super) output: ValueInfo,
}

impl Graph {
    fn encode(self) -> Message {
        Message::default()
            .messages(1, self.node.into_iter().map(Node::encode))
            .data(2, self.name)
            .messages(5, self.initializer.into_iter().map(Tensor::encode))
            .message(11, &self.input.encode())
            .message(12, &self.output.encode())
    }
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) input: Vec<String>,
    pub(super) output: Vec<String>,
    pub(super) name: String,
    pub(super) op_type: String,
    pub(super) attribute: Vec<Attribute>,
}

impl Node {
    fn encode(self) -> Message {
        let names = |message: Message, field, names: Vec<String>| {
            names.into_iter().fold(message, |message, name| message.data(field, name))
        };
        let message = names(names(Message::default(), 1, self.input), 2, self.output);
        let message = message.data(3, self.name).data(4, self.op_type);
        message.messages(5, self.attribute.into_iter().map(Attribute::encode))
    }
}

#[derive(Debug)]
pub(super) struct Attribute {
    pub(super) name: String,
    pub(super) value: Value,
}

#[derive(Debug)]
pub(super) enum Value {
    Float(f32),
    Int(i64),
    Ints(Vec<i64>),
}

impl Attribute {
    fn encode(self) -> Message {
        let message = Message::default().data(1, self.name);
        let (message, kind) = match self.value {
            Value::Float(value) => (message.float(2, value), 1),
            Value::Int(value) => (message.integer(3, value), 2),
            Value::Ints(values) => (integers(message, 8, values), 7),
        };
        message.integer(20, kind)
    }
}

#[derive(Debug)]
pub(super) struct Tensor {
    pub(super) dims: Vec<i64>,
    pub(super) data_type: i32,
    pub(super) name: String,
    /// Little-endian.
    pub(super) raw_data: Vec<u8>,
}

impl Tensor {
    fn encode(self) -> Message {
        let message = integers(Message::default(), 1, self.dims);
        message.integer(2, self.data_type.into()).data(8, self.name).data(9, self.raw_data)
    }
}

/// A value of floats.
#[derive(Debug)]
pub(super) struct ValueInfo {
    pub(super) name: String,
    pub(super) dims: Vec<Dimension>,
}

/// A number, or a name for any number.
#[derive(Debug)]
pub(super) enum Dimension {
    Value(i64),
    Name(&'static str),
}

impl ValueInfo {
    fn encode(self) -> Message {
        let dims = self.dims.into_iter().map(|dim| match dim {
            Dimension::Value(value) => Message::default().integer(1, value),
            Dimension::Name(name) => Message::default().data(2, name),
        });
        let shape = Message::default().messages(1, dims);
        let tensor_type = Message::default().integer(1, FLOAT.into()).message(2, &shape);
        Message::default().data(1, self.name).message(2, &Message::default().message(1, &tensor_type))
    }
}

fn integers(message: Message, field: u32, values: Vec<i64>) -> Message {
    values.into_iter().fold(message, |message, value| message.integer(field, value))
}
