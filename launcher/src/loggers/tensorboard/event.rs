//! The messages of event files.
//!
//! # Source
//!
//! TensorFlow's `event.proto`, `summary.proto`, `tensor.proto`, `graph.proto`, `node_def.proto` and
//! `attr_value.proto`: the field numbers are theirs.

use isograd_model::LayerNode;
use isograd_model::logger::ImageRecord;
use isograd_model::protobuf::Message;

/// The first event of a file.
pub(super) fn file_version(time: f64) -> Message {
    event(time, 0).data(3, "brain.Event:2")
}

/// A run begins, or goes on: numbers of step `step` and later ones, which an earlier part has written, do not
/// count any more.
pub(super) fn session_start(time: f64, step: u64) -> Message {
    const START: i64 = 1;
    event(time, step).message(7, &Message::default().integer(1, START))
}

/// Numbers of a step.
pub(super) fn scalars(time: f64, step: u64, values: &[(String, f64)]) -> Message {
    let value = |(tag, value): &(String, f64)| Message::default().data(1, tag).float(2, *value as f32);
    let summary = values.iter().fold(Message::default(), |summary, one| summary.message(1, &value(one)));
    event(time, step).message(5, &summary)
}

/// A picture.
pub(super) fn image(time: f64, image: &ImageRecord) -> Message {
    const RGB: i64 = 3;
    let ImageRecord { name, step, width, height, png } = image;
    let picture = Message::default()
        .integer(1, i64::from(*height))
        .integer(2, i64::from(*width))
        .integer(3, RGB)
        .data(4, png);
    let value = Message::default().data(1, name).message(4, &picture);
    event(time, *step).message(5, &Message::default().message(1, &value))
}

/// A text in Markdown.
pub(super) fn text(time: f64, step: u64, tag: &str, text: &str) -> Message {
    const STRING: i64 = 7;
    let shape = Message::default().message(2, &Message::default().integer(1, 1));
    let tensor = Message::default().integer(1, STRING).message(2, &shape).data(8, text);
    let metadata = Message::default().message(1, &Message::default().data(1, "text"));
    let value = Message::default().data(1, tag).message(8, &tensor).message(9, &metadata);
    event(time, step).message(5, &Message::default().message(1, &value))
}

/// The network.
pub(super) fn graph(time: f64, layers: &[LayerNode]) -> Message {
    let names: Vec<String> = layers.iter().map(|layer| node_name(&layer.name)).collect();
    let mut graph = Message::default();
    for (layer, name) in layers.iter().zip(&names) {
        let mut node = Message::default().data(1, name).data(2, &layer.kind);
        for read in &layer.reads {
            node = node.data(3, &names[*read]);
        }
        let sizes = [-1, layer.shape.c as i64, layer.shape.h as i64, layer.shape.w as i64];
        let shape = sizes
            .iter()
            .fold(Message::default(), |shape, size| shape.message(2, &Message::default().integer(1, *size)));
        let shapes = Message::default().message(1, &Message::default().message(7, &shape));
        node = attribute(node, "_output_shapes", &shapes);
        node = attribute(node, "parameters", &Message::default().integer(3, layer.parameters as i64));
        graph = graph.message(1, &node);
    }
    const VERSION: i64 = 22;
    graph = graph.message(4, &Message::default().integer(1, VERSION));
    event(time, 0).message(4, &graph)
}

fn event(time: f64, step: u64) -> Message {
    Message::default().double(1, time).integer(2, step as i64)
}

fn attribute(node: Message, name: &str, value: &Message) -> Message {
    node.message(5, &Message::default().data(1, name).message(2, value))
}

/// `name` with the characters that nodes may have.
fn node_name(name: &str) -> String {
    let clean = |c: char| if c.is_ascii_alphanumeric() || "_./-".contains(c) { c } else { '_' };
    name.chars().map(clean).collect()
}
