//! What the steps of a network cost: arithmetic and memory traffic, to be divided by times.

/// The work of one pass of a step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Cost {
    /// Multiplications with an addition for each sample.
    pub(crate) multiply_adds: u64,
    /// Bytes that are read or written for each sample.
    pub(crate) sample_bytes: u64,
    /// Bytes that are read or written for each call: those of parameters and their gradients.
    pub(crate) call_bytes: u64,
}

/// The work of a step of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StepCosts {
    /// Position and type of its layer.
    pub(crate) name: String,
    pub(crate) forward: Cost,
    pub(crate) backward: Cost,
}
