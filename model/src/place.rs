//! Where a layer stands in a network.

use std::fmt;

/// Where a layer stands in a network: `layer 7 (Residual), path 1, layer 2 (Conv2D)`. Layers and paths count
/// from 0 in the list that they are in; a name follows the type, where the layer was given one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    levels: Vec<Level>,
}

/// A layer in its list, and the path of the block around that list.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Level {
    path: Option<usize>,
    index: usize,
    kind: &'static str,
    name: Option<String>,
}

impl Place {
    /// The network itself.
    pub(crate) fn root() -> Self {
        Self { levels: Vec::new() }
    }

    /// Goes to layer `index` of the list at this place, which is path `path` of a block if there are paths.
    pub(crate) fn enter(
        &mut self,
        path: Option<usize>,
        index: usize,
        kind: &'static str,
        name: Option<String>,
    ) {
        self.levels.push(Level { path, index, kind, name });
    }

    /// Goes back to where the last [`enter`](Self::enter) came from.
    pub(crate) fn leave(&mut self) {
        self.levels.pop();
    }

    /// How far the layer is indented in a table: by one for each list around its own, and one for each path.
    pub(crate) fn depth(&self) -> usize {
        self.levels.len() - 1 + self.levels.iter().filter(|level| level.path.is_some()).count()
    }

    /// All positions, from the outermost list to the layer's own, paths included: `7.1.2`.
    pub(crate) fn position(&self) -> String {
        let numbers = self.levels.iter().flat_map(|level| level.path.into_iter().chain([level.index]));
        numbers.map(|number| number.to_string()).collect::<Vec<_>>().join(".")
    }

    /// The names of all levels, joined by `/`: `layer1/0_Residual/path0/conv1`. A layer without a name has
    /// its index and its type.
    pub(crate) fn path(&self) -> String {
        let mut path = String::new();
        for Level { path: number, index, kind, name } in &self.levels {
            if !path.is_empty() {
                path.push('/');
            }
            if let Some(number) = number {
                path += &format!("path{number}/");
            }
            match name {
                Some(name) => path += name,
                None => path += &format!("{index}_{kind}"),
            }
        }
        path
    }

    /// Name and type of the layer.
    pub(crate) fn label(&self) -> String {
        match self.levels.last() {
            Some(Level { kind, name: Some(name), .. }) => format!("{name}: {kind}"),
            Some(Level { kind, .. }) => kind.to_string(),
            None => String::new(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (depth, Level { path, index, kind, name }) in self.levels.iter().enumerate() {
            if depth > 0 {
                f.write_str(", ")?;
            }
            if let Some(path) = path {
                write!(f, "path {path}, ")?;
            }
            match name {
                Some(name) => write!(f, "layer {index} ({kind} '{name}')")?,
                None => write!(f, "layer {index} ({kind})")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_path_of_layers() {
        let mut place = Place::root();
        place.enter(None, 7, "Residual", None);
        assert_eq!(place.to_string(), "layer 7 (Residual)");
        place.enter(Some(1), 2, "Conv2D", Some("conv1".to_string()));
        assert_eq!(place.to_string(), "layer 7 (Residual), path 1, layer 2 (Conv2D 'conv1')");
        assert_eq!((place.depth(), place.position().as_str()), (2, "7.1.2"));
        assert_eq!(
            (place.label().as_str(), place.path().as_str()),
            ("conv1: Conv2D", "7_Residual/path1/conv1")
        );
        place.leave();
        place.enter(None, 0, "ReLU", None);
        assert_eq!(place.to_string(), "layer 7 (Residual), layer 0 (ReLU)");
    }
}
