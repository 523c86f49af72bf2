//! Learning rates of some parameters alone.

use super::Network;
use super::freeze::matches;
use crate::error::Error;
use isograd_kernels::Element;

impl<T: Element> Network<T> {
    /// Multiplies the learning rate of the parameters whose names match `pattern` with `factor`, as the
    /// parameter groups of other frameworks do; `*` in the pattern stands for any characters. Decoupled
    /// weight decay, which is in proportion to the learning rate, changes with it. Factors of several calls
    /// multiply. Returns how many tensors match.
    ///
    /// ```
    /// use isograd_model::{Network, layer::*, layers};
    /// let layers = layers![Input::vector(4), Dense::new(3), ReLU, Dense::new(2)];
    /// let mut network = Network::<f32>::build(layers)?;
    /// assert_eq!(network.scale_learning_rate("*.bias", 64.0)?, 2);
    /// assert_eq!(network.parameters()[1].rate_factor, 64.0);
    /// # Ok::<(), isograd_model::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] when the factor is negative, infinite or NaN, [`Error::NothingMatches`] when no
    /// name matches.
    pub fn scale_learning_rate(&mut self, pattern: &str, factor: f64) -> Result<usize, Error> {
        if !(factor >= 0.0 && factor.is_finite()) {
            let (name, expected) = ("the factor of a learning rate", "a number of at least 0");
            return Err(Error::OutOfRange { name, expected, value: factor.to_string() });
        }
        let mut count = 0;
        for tensor in self.parameters.iter_mut().filter(|tensor| matches(pattern, &tensor.name)) {
            tensor.rate_factor *= factor;
            count += 1;
        }
        if count == 0 {
            let names = self.parameters.iter().map(|tensor| tensor.name.as_str());
            return Err(Error::nothing_matches(pattern, &names.collect::<Vec<_>>()));
        }
        Ok(count)
    }
}
