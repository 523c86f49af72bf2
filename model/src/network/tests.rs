//! What the planned memory must hold to.

use super::Network;
use super::arena::{most_live, pack};
use crate::layer::*;
use crate::{layers, zoo};

fn build(layers: Layers<f32>) -> Network<f32> {
    Network::build(layers).unwrap_or_else(|error| panic!("{error}"))
}

/// `count` layers of which each reads all that is in front of it and adds four channels.
fn dense_block(count: usize) -> Layers<f32> {
    let mut layers = layers![Input::new(16, 8, 8)];
    for _ in 0..count {
        let path = layers![BatchNormalization::new(), ReLU, Conv2D::new(4, 3).padding(1)];
        layers.push(Box::new(Concatenation::new([layers![], path])));
    }
    layers.extend(layers![Flatten, Dense::new(2)]);
    layers
}

#[test]
fn joined_activations_take_one_buffer_whatever_the_depth() {
    for count in [1, 2, 12] {
        let network = build(dense_block(count));
        let joined = network.data[network.output - 1].value;
        let parts = network.data.iter().filter(|inside| inside.value == joined).count();
        // The input, and of each layer what the convolution writes and the joined value.
        assert_eq!(parts, 1 + 2 * count);
        assert_eq!(network.graph.values[joined].elements, (16 + 4 * count) * 64);
        // The gradients, too; that by the input is not needed.
        let inside = |value: usize| network.gradients[value].value == joined;
        assert_eq!((0..network.data.len()).filter(|value| inside(*value)).count(), parts);
    }
}

/// A chain of blocks whose gradients share one buffer, since the gradient of a sum is that of its terms.
#[test]
fn the_trunk_of_residual_blocks_has_one_gradient() {
    let mut layers = layers![Input::new(4, 8, 8), Conv2D::new(4, 3).padding(1), ReLU];
    for _ in 0..3 {
        let body = layers![Conv2D::new(4, 3).padding(1), BatchNormalization::new()];
        layers.extend(layers![Residual::new(body), ReLU]);
    }
    layers.extend(layers![Flatten, Dense::new(2)]);
    let network = build(layers);
    let sums = network.graph.steps.iter().filter(|step| matches!(step.op, super::graph::Op::Add { .. }));
    let trunk: Vec<usize> = sums.map(|step| network.gradients[step.writes].value).collect();
    assert_eq!(trunk.len(), 3);
    assert!(trunk.iter().all(|value| *value == trunk[0]), "{trunk:?}");
}

/// No packing can take less than what is in use at one time; this one takes little more.
#[test]
fn planned_memory_is_what_is_in_use_at_one_time() {
    let mut beyond = Vec::new();
    for model in &zoo::ALL {
        let network = build(model.layers(model.input, model.classes));
        let mut check = |network: &Network<f32>, what: &str, mode, slack| {
            let items = network.items(mode);
            let (planned, least) = (pack::<f32>(&items, 32).end, most_live::<f32>(&items, 32));
            let ratio = planned as f64 / least as f64;
            if ratio > slack {
                beyond.push(format!("{} {what}: {planned} elements, {least} in use: {ratio}", model.name));
            }
        };
        check(&network, "in training", Mode::Train, 1.1);
        check(&network, "in use", Mode::Eval, 1.25);
        check(&network.with_recomputation(), "in training with recomputation", Mode::Train, 1.1);
    }
    assert!(beyond.is_empty(), "{}", beyond.join("\n"));
}

/// Kept activations grow with the square of the depth, recomputed ones with the depth.
#[test]
fn recomputation_makes_the_memory_of_a_dense_block_linear() {
    let bytes = |count, recomputes| {
        let network = build(dense_block(count));
        let network = if recomputes { network.with_recomputation() } else { network };
        network.shard_bytes(Mode::Train, 32) as f64
    };
    let [kept, recomputed] = [false, true].map(|recomputes| bytes(48, recomputes) / bytes(12, recomputes));
    assert!(kept > 8.0, "four times as deep takes {kept} times the memory");
    assert!(recomputed < 5.0, "four times as deep takes {recomputed} times the memory with recomputation");
}

/// What the loss reads is kept, and so is what has no input to be computed from.
#[test]
fn only_what_has_an_input_is_computed_again() {
    let count = |layers| {
        let network = build(layers).with_recomputation();
        (0..network.graph.steps.len()).flat_map(|step| network.recomputation.before(step)).count()
    };
    let norm = BatchNormalization::new;
    assert_eq!(count(layers![Input::vector(2), norm(), Dense::new(2), Softmax]), 1);
    assert_eq!(count(layers![Input::vector(2), norm(), Softmax]), 0);
    // The second one's input is computed again, and so is the third one's output.
    assert_eq!(count(layers![Input::vector(2), norm(), norm(), GELU::new(), Dense::new(2), Softmax]), 2);
    assert_eq!(
        count(layers![Input::vector(2), Dense::new(2), Frozen::new(norm()), Dense::new(2), Softmax]),
        1
    );
    // Nothing in front of it is trained.
    assert_eq!(count(layers![Input::vector(2), Frozen::new(norm()), Dense::new(2), Softmax]), 0);
    let joined = Concatenation::new([layers![norm()], layers![]]);
    assert_eq!(count(layers![Input::new(2, 2, 2), joined, Conv2D::new(2, 1), Flatten]), 0);
}
