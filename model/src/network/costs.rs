//! What each step of a network costs, as its layers and its plan say.

use super::Network;
use super::graph::{GradientWrite, Op, Step};
use crate::profile::{Cost, StepCosts};
use isograd_kernels::Element;

impl<T: Element> Network<T> {
    /// What each step costs in training. Each tensor counts once for each pass that reads or writes it,
    /// however often a kernel does.
    pub(crate) fn step_costs(&self) -> Vec<StepCosts> {
        let mut block = String::new();
        let costs = |step: &Step| match step.op {
            Op::Layer(layer) => {
                let place = &self.infos[layer].place;
                let position = place.position();
                block = position.rsplitn(3, '.').last().unwrap_or_default().to_string();
                let (forward, backward) = (self.layer_forward(step, layer), self.layer_backward(step, layer));
                StepCosts { name: format!("{position} {}", place.label()), forward, backward }
            }
            // A sum has no place of its own; the layer before it is the last one of a path and may do its
            // work.
            Op::Add { .. } => {
                let (read, written) = (self.elements(&step.reads), self.elements(&[step.writes]));
                let direct = step.gradients.iter().filter(|write| matches!(write, GradientWrite::Direct(_)));
                let cost = |elements: usize| Cost { sample_bytes: bytes::<T>(elements), ..Cost::default() };
                let backward = cost(2 * written * direct.count());
                let forward = if step.skip_forward { Cost::default() } else { cost(read + written) };
                StepCosts { name: format!("{block} sum"), forward, backward }
            }
        };
        self.graph.steps.iter().map(costs).collect()
    }

    fn layer_forward(&self, step: &Step, layer: usize) -> Cost {
        let addend = step.addend.map_or(0, |addend| self.elements(&[addend.value]));
        Cost {
            multiply_adds: self.layers[layer].multiply_adds(),
            sample_bytes: bytes::<T>(self.elements(&step.reads) + addend + self.elements(&[step.writes])),
            call_bytes: bytes::<T>(self.infos[layer].elements.len()),
        }
    }

    fn layer_backward(&self, step: &Step, layer: usize) -> Cost {
        let reads = self.layers[layer].backward_reads();
        let (x, y) = (self.elements(&step.reads), self.elements(&[step.writes]));
        let writes_dx = step
            .gradients
            .first()
            .is_some_and(|write| matches!(write, GradientWrite::Direct(_) | GradientWrite::Spare));
        let has_parameters = !self.infos[layer].elements.is_empty();
        // The gradient by the input is a pass of its own over the weights, that by the weights another one.
        let passes = u64::from(writes_dx) + u64::from(has_parameters);
        let per_sample = [(reads.x, x), (reads.y, y), (true, y), (writes_dx, x)];
        let elements = per_sample.iter().filter(|(is_used, _)| *is_used).map(|(_, elements)| elements).sum();
        Cost {
            multiply_adds: passes * self.layers[layer].multiply_adds(),
            sample_bytes: bytes::<T>(elements),
            call_bytes: passes * bytes::<T>(self.infos[layer].elements.len()),
        }
    }

    fn elements(&self, values: &[usize]) -> usize {
        values.iter().map(|value| self.graph.values[*value].elements).sum()
    }
}

fn bytes<T>(elements: usize) -> u64 {
    (elements * size_of::<T>()) as u64
}
