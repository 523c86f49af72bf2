//! What each step of a network costs, as its layers and its plan say.

use super::Network;
use super::graph::{GradientWrite, Op, Step};
use super::lifetimes::Slot;
use crate::layer::Mode;
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
                let reads = step.reads.iter().map(|value| self.data_bytes(*value)).sum::<u64>();
                let direct = step.reads.iter().zip(&step.gradients);
                let direct = direct.filter(|(_, write)| matches!(write, GradientWrite::Direct(_)));
                let pass =
                    |(value, _): (&usize, _)| self.gradient_bytes(step.writes) + self.gradient_bytes(*value);
                let cost = |sample_bytes: u64| Cost { sample_bytes, ..Cost::default() };
                let backward = cost(direct.map(pass).sum());
                let forward = match step.skip_forward {
                    true => Cost::default(),
                    false => cost(reads + self.data_bytes(step.writes)),
                };
                StepCosts { name: format!("{block} sum"), forward, backward }
            }
        };
        self.graph.steps.iter().map(costs).collect()
    }

    fn layer_forward(&self, step: &Step, layer: usize) -> Cost {
        let addend = step.addend.map_or(0, |addend| self.data_bytes(addend.value));
        Cost {
            multiply_adds: self.layers[layer].multiply_adds(),
            sample_bytes: self.data_bytes(step.reads[0]) + addend + self.data_bytes(step.writes),
            call_bytes: bytes::<T>(self.infos[layer].elements.len()),
        }
    }

    fn layer_backward(&self, step: &Step, layer: usize) -> Cost {
        let reads = self.layers[layer].backward_reads();
        let (x, y) = (step.reads[0], step.writes);
        let writes_dx = step
            .gradients
            .first()
            .is_some_and(|write| matches!(write, GradientWrite::Direct(_) | GradientWrite::Spare));
        let has_parameters = !self.infos[layer].elements.is_empty();
        // The gradient by the input is a pass of its own over the weights, that by the weights another one.
        let passes = u64::from(writes_dx) + u64::from(has_parameters);
        let of = |is_used: bool, bytes: u64| if is_used { bytes } else { 0 };
        let data = of(reads.x, self.data_bytes(x)) + of(reads.y, self.data_bytes(y));
        let gradients = self.gradient_bytes(y) + of(writes_dx, self.gradient_bytes(x));
        Cost {
            multiply_adds: passes * self.layers[layer].multiply_adds(),
            sample_bytes: data + gradients,
            call_bytes: passes * bytes::<T>(self.infos[layer].elements.len()),
        }
    }

    /// Bytes of a value of one sample in memory.
    fn data_bytes(&self, value: usize) -> u64 {
        self.stored_bytes(value, Slot::Data(self.data[value].value))
    }

    /// The same of the gradient by it.
    fn gradient_bytes(&self, value: usize) -> u64 {
        self.stored_bytes(value, Slot::Gradient(self.gradients[value].value))
    }

    fn stored_bytes(&self, value: usize, slot: Slot) -> u64 {
        let elements = self.graph.values[value].elements;
        match self.is_rounded(Mode::Train, slot) {
            true => bytes::<u16>(elements),
            false => bytes::<T>(elements),
        }
    }
}

fn bytes<T>(elements: usize) -> u64 {
    (elements * size_of::<T>()) as u64
}
