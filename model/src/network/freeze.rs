//! Parameters that training leaves as they are.

use super::Network;
use crate::error::Error;
use isograd_kernels::Element;

impl<T: Element> Network<T> {
    /// Keeps the parameters whose names match `pattern` as they are; `*` in it stands for any characters.
    /// Returns how many tensors match.
    ///
    /// A layer all of whose parameters are kept works as in use: batch normalisation takes its running
    /// statistics and leaves them as they are, too.
    ///
    /// ```
    /// use isograd_model::{Network, layer::*, layers};
    /// let layers = layers![Input::vector(4), Dense::new(3), ReLU, Dense::new(2)];
    /// let mut network = Network::<f32>::build(layers)?;
    /// assert_eq!(network.freeze("dense1.*")?, 2);
    /// assert!(network.parameters()[0].frozen && !network.parameters()[2].frozen);
    /// # Ok::<(), isograd_model::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NothingMatches`] when no name matches.
    pub fn freeze(&mut self, pattern: &str) -> Result<usize, Error> {
        let mut count = 0;
        for tensor in self.parameters.iter_mut().filter(|tensor| matches(pattern, &tensor.name)) {
            tensor.frozen = true;
            count += 1;
        }
        if count == 0 {
            let names = self.parameters.iter().map(|tensor| tensor.name.as_str());
            return Err(Error::nothing_matches(pattern, &names.collect::<Vec<_>>()));
        }
        for info in &mut self.infos {
            let parameters = &self.parameters[info.parameters.clone()];
            if !parameters.is_empty() && parameters.iter().all(|tensor| tensor.frozen) {
                info.frozen = true;
                for tensor in &mut self.statistics[info.statistics.clone()] {
                    tensor.frozen = true;
                }
            }
        }
        self.plan_gradients();
        Ok(count)
    }
}

/// Whether `name` matches `pattern`, in which `*` stands for any characters.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(name) = name.strip_prefix(first) else { return false };
    // What stands between two stars is looked for from the left: an earlier place leaves more of the name.
    let mut name = name;
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        match name.find(part) {
            Some(place) => name = &name[place + part.len()..],
            None => return false,
        }
    }
    name.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, name) in [
            ("a.b", "a.b"),
            ("*", "a.b"),
            ("a.*", "a.b.c"),
            ("*.b", "a.b"),
            ("a*c", "abc"),
            ("a*c", "ac"),
            ("*a*a*", "aa"),
            ("a*b*b", "abb"),
            ("**", ""),
        ] {
            assert!(matches(pattern, name), "{pattern} and {name}");
        }
        for (pattern, name) in
            [("a", "ab"), ("a.*", "b.a."), ("a*a", "a"), ("*b", "bc"), ("a*b*b", "ab"), ("", "a")]
        {
            assert!(!matches(pattern, name), "{pattern} and {name}");
        }
    }
}
