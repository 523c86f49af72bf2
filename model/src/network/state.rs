//! The numbers of a network: parameters and running statistics.

use super::Network;
use crate::error::Error;
use crate::layer::Tensor;
use crate::memory::{self, Aligned};
use isograd_kernels::philox::{Purpose, Rng};
use isograd_kernels::reduce::all_finite;
use isograd_kernels::{Element, Isa};
use sha2::{Digest, Sha256};

/// Parameters and running statistics, each one flat buffer in layer order.
#[derive(Debug)]
pub struct State<T> {
    pub(crate) params: Aligned<T>,
    pub(crate) statistics: Aligned<T>,
}

impl<T: Element> Clone for State<T> {
    fn clone(&self) -> Self {
        Self { params: self.params.clone(), statistics: self.statistics.clone() }
    }
}

impl<T: Element> Network<T> {
    /// The state before training: a pure function of the network and `seed`, the same on every machine.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfMemory`].
    pub fn initial_state(&self, seed: u64) -> Result<State<T>, Error> {
        let mut state = State::zeroed(self)?;
        let rng = Rng::new(seed, Purpose::InitialWeights);
        fill(&rng, 0, &self.parameters, &mut state.params);
        fill(&rng, self.parameters.len(), &self.statistics, &mut state.statistics);
        Ok(state)
    }
}

/// Fills `tensors`, whose draws are those of the numbers from `first` on.
fn fill<T: Element>(rng: &Rng, first: usize, tensors: &[Tensor], values: &mut [T]) {
    for (number, tensor) in (first..).zip(tensors) {
        let Tensor { dims, fans, initializer, range, .. } = tensor;
        initializer.fill(rng, number as u64, dims, *fans, &mut values[range.clone()]);
    }
}

/// Describes the parameters in an error, with the largest tensor: it shows where to make the network smaller.
fn describe<T: Element>(network: &Network<T>) -> String {
    let largest = network.parameters().iter().max_by_key(|tensor| tensor.range.len());
    let largest = largest.map_or_else(String::new, |tensor| {
        format!(", of which '{}' has {}", tensor.name, tensor.range.len())
    });
    format!("{} parameters{largest}", network.parameter_count())
}

impl<T: Element> State<T> {
    /// Zeros for all parameters and running statistics of `network`.
    pub(crate) fn zeroed(network: &Network<T>) -> Result<Self, Error> {
        let (parameters, statistics) = (network.parameter_count(), network.statistics_count());
        let bytes = (parameters as u128 + statistics as u128) * size_of::<T>() as u128;
        memory::check(|| describe(network), bytes)?;
        Ok(Self { params: Aligned::zeroed(parameters), statistics: Aligned::zeroed(statistics) })
    }

    /// The name of the first tensor that has an infinite element or a NaN: parameters first, in layer order.
    pub(crate) fn first_non_finite<'n>(&self, network: &'n Network<T>, isa: Isa) -> Option<&'n str> {
        self.first_non_finite_of([network.parameters(), network.statistics()], isa)
    }

    /// As [`first_non_finite`](Self::first_non_finite), where `tensors` are parameters and running
    /// statistics.
    pub(crate) fn first_non_finite_of<'n>(&self, tensors: [&'n [Tensor]; 2], isa: Isa) -> Option<&'n str> {
        let parameters = tensors[0].iter().map(|tensor| (tensor, self.params()));
        let statistics = tensors[1].iter().map(|tensor| (tensor, self.statistics()));
        parameters
            .chain(statistics)
            .find(|(tensor, values)| !all_finite(isa, &values[tensor.range.clone()]))
            .map(|(tensor, _)| tensor.name.as_str())
    }

    /// Panics if this is the state of another network than `network`.
    pub(crate) fn assert_fits(&self, network: &Network<T>) {
        for (what, got, expected) in [
            ("parameters", self.params.len(), network.parameter_count()),
            ("running statistics", self.statistics.len(), network.statistics_count()),
        ] {
            assert_eq!(got, expected, "a state of {got} {what} for a network of {expected}");
        }
    }

    /// All parameters, in layer order.
    pub fn params(&self) -> &[T] {
        &self.params
    }

    /// All parameters, to set them.
    pub fn params_mut(&mut self) -> &mut [T] {
        &mut self.params
    }

    /// All running statistics, in layer order.
    pub fn statistics(&self) -> &[T] {
        &self.statistics
    }

    /// All running statistics, to set them.
    pub fn statistics_mut(&mut self) -> &mut [T] {
        &mut self.statistics
    }

    /// SHA-256 of all parameters as little-endian bytes in layer order, in hexadecimal.
    pub fn params_sha256(&self) -> String {
        let mut hasher = Sha256::new();
        for value in self.params.iter() {
            hasher.update(value.to_le_bytes());
        }
        hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
