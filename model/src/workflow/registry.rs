//! Components by name.

use super::component::Component;
use std::collections::BTreeMap;

/// Makes components by name from a configuration of type `C`: users add their own beside those that are
/// given.
pub struct Registry<C, E> {
    makers: BTreeMap<String, Maker<C, E>>,
}

/// Makes a component.
type Maker<C, E> = Box<dyn Fn(C) -> Result<Box<dyn Component>, E> + Send + Sync>;

impl<C, E> Default for Registry<C, E> {
    fn default() -> Self {
        Self { makers: BTreeMap::new() }
    }
}

impl<C, E> Registry<C, E> {
    /// A registry without components.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds, or replaces, the component called `name`.
    pub fn register<K: Component + 'static>(
        &mut self,
        name: impl Into<String>,
        make: impl Fn(C) -> Result<K, E> + Send + Sync + 'static,
    ) {
        let make = move |configuration| make(configuration).map(|made| Box::new(made) as Box<dyn Component>);
        self.makers.insert(name.into(), Box::new(make));
    }

    /// All names, in the order of the alphabet.
    pub fn names(&self) -> Vec<&str> {
        self.makers.keys().map(String::as_str).collect()
    }

    /// Makes the component called `name`; `None` if there is none.
    pub fn make(&self, name: &str, configuration: C) -> Option<Result<Box<dyn Component>, E>> {
        self.makers.get(name).map(|make| make(configuration))
    }
}

impl<C, E> std::fmt::Debug for Registry<C, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Registry").field(&self.names()).finish()
    }
}
