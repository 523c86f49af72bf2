//! What a network takes and gives, so that its parameters can be used without the program that trained it.

use serde::{Deserialize, Serialize};

/// The input and the output of a trained network, and what its test samples went through: with this and the
/// parameters, a [`Predictor`](crate::Predictor) can be made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct InputInfo {
    /// `[c, h, w]` of the network's input.
    pub shape: [usize; 3],
    /// Elements of the network's output.
    pub outputs: usize,
    /// Whether the targets were numbers, not classes.
    #[serde(default)]
    pub is_regression: bool,
    /// The text of the network's file, if the network is none of the [`zoo`](crate::zoo).
    #[serde(default)]
    pub network: Option<String>,
    /// The factor of each channel of a stored sample.
    pub scale: Vec<f64>,
    /// What is added to each channel after scaling.
    pub shift: Vec<f64>,
    /// Whether the samples were stored as bytes, which `scale` and `shift` are for.
    pub is_bytes: bool,
    /// `[h, w]` of a stored sample, before `size` changes it.
    pub stored: [usize; 2],
    /// The shorter side that images were resized to, before the square in the middle was taken.
    #[serde(default)]
    pub resize: Option<usize>,
    /// How a stored sample got the size of the network's input, if it had another one.
    #[serde(default)]
    pub size: Option<InputSize>,
}

/// How a sample gets the size of a network's input, in tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum InputSize {
    /// The window of `[h, w]` in the middle.
    Crop([usize; 2]),
    /// All of it, resized to `[h, w]`.
    Resize([usize; 2]),
}

impl InputInfo {
    /// Samples of the network's own shape, as bytes that are divided by 255, and classes.
    pub fn new(shape: [usize; 3], outputs: usize) -> Self {
        let [channels, h, w] = shape;
        Self {
            shape,
            outputs,
            is_regression: false,
            network: None,
            scale: vec![1.0 / 255.0; channels],
            shift: vec![0.0; channels],
            is_bytes: true,
            stored: [h, w],
            resize: None,
            size: None,
        }
    }

    /// Factors and addends for samples that are bytes: where the network was trained on floats, byte `b`
    /// stands for `b / 255`.
    pub fn of_bytes(&self) -> [Vec<f64>; 2] {
        let factor = if self.is_bytes { 1.0 } else { 1.0 / 255.0 };
        [self.scale.iter().map(|scale| scale * factor).collect(), self.shift.clone()]
    }

    /// Factors and addends for samples that are floats: where the network was trained on bytes, the float
    /// `b / 255` stands for byte `b`.
    pub fn of_floats(&self) -> [Vec<f64>; 2] {
        let factor = if self.is_bytes { 255.0 } else { 1.0 };
        [self.scale.iter().map(|scale| scale * factor).collect(), self.shift.clone()]
    }
}
