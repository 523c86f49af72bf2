//! Fusion: which activations neighbouring steps apply.
//!
//! Two steps are neighbours if one is the only reader of what the other writes, wherever they stand in the
//! list.

use super::graph::{Graph, Inside, Op};
use crate::layer::{Fusible, Fusion, Layer};
use isograd_kernels::{Activation, Element};

/// Offers each activation to its neighbours: both passes to the layer behind it or in front of it, or else
/// the forward pass to the step in front and the backward pass to a layer behind. The layer behind can apply
/// a ReLU alone.
pub(super) fn fuse<T: Element>(graph: &mut Graph, layers: &mut [Box<dyn Layer<T>>], output: usize) {
    let mut fusing = Fusing { readers: graph.readers(), producers: graph.producers(), graph, layers, output };
    for index in 0..fusing.graph.steps.len() {
        if let Op::Layer(layer) = fusing.graph.steps[index].op
            && let Some(Fusible::Activation(activation)) = fusing.layers[layer].fusible()
        {
            fusing.activation(index, activation);
        }
    }
}

struct Fusing<'a, T> {
    graph: &'a mut Graph,
    layers: &'a mut [Box<dyn Layer<T>>],
    readers: Vec<Vec<usize>>,
    producers: Vec<Option<usize>>,
    output: usize,
}

impl<T: Element> Fusing<'_, T> {
    /// The `activation` of step `index`, which reads `u` and writes `v`.
    fn activation(&mut self, index: usize, activation: Activation) {
        let (u, v) = (self.graph.steps[index].reads[0], self.graph.steps[index].writes);
        let is_relu = activation == Activation::Relu;
        if is_relu
            && let Some(behind) = self.only_reader(v)
            && self.ask(behind, Fusion::ReluInFront)
        {
            self.graph.steps[behind].reads = vec![u];
            let others = self.readers[u].iter().copied().filter(|reader| *reader != index);
            self.readers[u] = others.chain([behind]).collect();
            self.readers[u].sort_unstable();
            self.skip(index, true, true);
            return;
        }
        let is_only_reader = self.only_reader(u) == Some(index);
        let (has_own_data, has_own_gradient) =
            (self.graph.values[u].data.is_none(), self.graph.values[u].gradient.is_none());
        if !is_only_reader || !has_own_data || !has_own_gradient {
            return;
        }
        let in_v = Some(Inside { value: v, offset: 0 });
        let before = self.producers[u];
        if before.is_some_and(|before| self.ask(before, Fusion::Activation(activation))) {
            (self.graph.values[u].data, self.graph.values[u].gradient) = (in_v, in_v);
            self.skip(index, true, true);
            return;
        }
        let forward = before.is_some_and(|before| self.ask(before, Fusion::ActivationForward(activation)));
        if forward {
            self.graph.values[u].data = in_v;
        }
        // The gradient by v is complete when the first of its readers has added to it. Where u is joined from
        // parts, it must lie elsewhere: other readers of a part add to the gradient by u, and what they add
        // must not be masked.
        let is_joined = before.is_none() || self.is_joined(v);
        let last_writer = self.readers[v].first().copied().filter(|_| is_relu && !is_joined);
        let backward = last_writer.is_some_and(|behind| {
            let can_be_last = self.readers[v].len() == 1 || self.can_add(behind);
            can_be_last && v != self.output && self.ask(behind, Fusion::ReluGradient)
        });
        if backward {
            self.graph.values[u].gradient = in_v;
        }
        self.skip(index, forward, backward);
    }

    /// The step that alone reads `value`, if `value` is no part of another value and not the output.
    fn only_reader(&self, value: usize) -> Option<usize> {
        match self.readers[value][..] {
            [reader] if value != self.output && !self.is_joined(value) => Some(reader),
            _ => None,
        }
    }

    /// Whether `value` is a part of a joined value, which has readers of its own.
    fn is_joined(&self, value: usize) -> bool {
        self.graph.values[value].gradient.is_some()
    }

    fn can_add(&self, step: usize) -> bool {
        match self.graph.steps[step].op {
            Op::Layer(layer) => self.layers[layer].can_add_to_dx(),
            Op::Add { .. } => false,
        }
    }

    /// Whether a step takes over this work.
    fn ask(&mut self, step: usize, fusion: Fusion) -> bool {
        match &mut self.graph.steps[step].op {
            Op::Layer(layer) => self.layers[*layer].fuse(fusion),
            Op::Add { activation } => match fusion {
                Fusion::ActivationForward(behind) => {
                    *activation = behind;
                    true
                }
                _ => false,
            },
        }
    }

    fn skip(&mut self, index: usize, forward: bool, backward: bool) {
        let step = &mut self.graph.steps[index];
        (step.skip_forward, step.skip_backward) = (forward, backward);
    }
}
