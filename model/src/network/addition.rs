//! Additions in the forward passes of layers: the layer right in front of a sum of two terms adds the other
//! term to its output as it writes it. No bit changes; the sum takes no pass over memory, and its term no
//! buffer.
//!
//! The backward pass stays that of the sum.

use super::graph::{Addend, Graph, Inside, Op, Step};
use crate::layer::Layer;
use isograd_kernels::Element;

/// Gives additions to the layers in front of them.
pub(super) fn fuse<T: Element>(graph: &mut Graph, layers: &[Box<dyn Layer<T>>], output: usize) {
    let readers = graph.readers();
    for index in 0..graph.steps.len() {
        let Step { op: Op::Add { activation }, reads, writes, .. } = &graph.steps[index] else { continue };
        let (&[one, other], sum) = (reads.as_slice(), *writes) else { continue };
        // All that runs between the two would still have to be added.
        let Some(front) = (0..index).rev().find(|step| !graph.steps[*step].skip_forward) else { continue };
        let (Op::Layer(layer), term) = (graph.steps[front].op, graph.steps[front].writes) else { continue };
        let value = match term {
            _ if one == other => continue,
            term if term == one => other,
            term if term == other => one,
            _ => continue,
        };
        let is_alone = readers[term][..] == [index] && term != output && graph.values[term].data.is_none();
        let layer = &layers[layer];
        if is_alone && layer.can_add_to_y() && !layer.backward_reads().y {
            let activation = *activation;
            graph.values[term].data = Some(Inside { value: sum, offset: 0 });
            graph.steps[front].addend = Some(Addend { value, activation });
            graph.steps[index].skip_forward = true;
        }
    }
}
