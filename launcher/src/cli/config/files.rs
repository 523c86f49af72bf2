//! Configuration files and the files that they include, from those that others build on upwards.

use super::node::{Entry, Mistake, Node, Value};
use super::options::CommandOptions;
use super::settings::{Level, Origin};
use super::sweep::SWEEP;
use super::{recipes, toml, yaml};
use crate::failure::Failure;
use crate::system::{names, text_file};
use std::path::{Path, PathBuf};

/// The keys by which a file says what it builds on.
const INCLUDE: &str = "include";
const RECIPE: &str = "recipe";

/// How deep files can include each other.
const MAX_DEPTH: usize = 32;

/// Reads configuration files.
#[derive(Debug)]
pub(super) struct Files<'o> {
    pub(super) options: &'o CommandOptions,
    /// What has been read, the lowest level first.
    pub(super) levels: Vec<Level>,
    /// The files around the current one.
    open: Vec<PathBuf>,
}

impl<'o> Files<'o> {
    pub(super) fn new(options: &'o CommandOptions) -> Self {
        Self { options, levels: Vec::new(), open: Vec::new() }
    }

    /// Adds the recipe called `name`, which `source` asks for.
    pub(super) fn recipe(&mut self, name: &str, source: &str) -> Result<(), Failure> {
        let recipe = recipes::find(name).ok_or_else(|| {
            let known: Vec<&str> = recipes::ALL.iter().map(|recipe| recipe.name).collect();
            usage(format!("{source}: {}", names::unknown("recipe", name, &known)))
        })?;
        let source = format!("--recipe {}", recipe.name);
        let node = toml::read(recipe.text).map_err(|mistake| of_mistake(&source, &mistake))?;
        self.add(&node, &source)
    }

    /// Adds the file at `path`, and before it what it builds on.
    pub(super) fn file(&mut self, path: &Path) -> Result<(), Failure> {
        let source = format!("--config {}", path.display());
        let node = read(path, &source)?;
        let Value::Table(entries) = &node.value else { unreachable!("both readers make tables") };
        let canonical = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
        self.open.push(canonical);
        for Entry { key, at, node } in entries {
            let origin = Origin { source: source.clone(), at: Some(*at) };
            match key.as_str() {
                RECIPE => self.recipe(&one_text(key, node, &origin)?, &origin.to_string())?,
                INCLUDE => {
                    for included in texts(node).ok_or_else(|| {
                        usage(format!("{origin}: '{key}' must be a file or a list of files"))
                    })? {
                        // From the folder of this file, as in all programs that include files.
                        self.include(&path.parent().unwrap_or(Path::new("")).join(included), &origin)?;
                    }
                }
                _ => (),
            }
        }
        self.open.pop();
        self.add(&node, &source)
    }

    fn include(&mut self, path: &Path, origin: &Origin) -> Result<(), Failure> {
        let canonical = std::fs::canonicalize(path)
            .map_err(|error| usage(format!("{origin}: cannot include {}: {error}", path.display())))?;
        if let Some(first) = self.open.iter().position(|open| *open == canonical) {
            let circle = self.open[first..].iter().chain([&canonical]);
            let circle: Vec<String> = circle.map(|path| path.display().to_string()).collect();
            return Err(usage(format!(
                "{origin}: files include each other in a circle: {}",
                circle.join(" -> ")
            )));
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(usage(format!("{origin}: files can include each other {MAX_DEPTH} deep")));
        }
        self.file(path)
    }

    fn add(&mut self, node: &Node, source: &str) -> Result<(), Failure> {
        let Value::Table(entries) = &node.value else { unreachable!("both readers make tables") };
        // A section for `isograd sweep` is no setting of a run.
        let is_setting = |entry: &&Entry| ![INCLUDE, RECIPE, SWEEP].contains(&entry.key.as_str());
        let settings: Vec<Entry> = entries.iter().filter(is_setting).cloned().collect();
        let mut level = Level::default();
        level.add(self.options, &settings, source)?;
        self.levels.push(level);
        Ok(())
    }
}

/// Reads the file at `path`, which `source` names.
pub(super) fn read(path: &Path, source: &str) -> Result<Node, Failure> {
    let failure = |problem: String| usage(format!("{source}: {problem}"));
    let text = text_file::read(path).map_err(|error| failure(format!("cannot read: {error}")))?;
    let read = match path.extension().and_then(|ending| ending.to_str()) {
        Some("toml") => toml::read,
        Some("yaml" | "yml") => yaml::read,
        _ => return Err(failure("must end in .toml, .yaml or .yml".to_string())),
    };
    read(&text).map_err(|mistake| of_mistake(source, &mistake))
}

fn one_text(key: &str, node: &Node, origin: &Origin) -> Result<String, Failure> {
    match &node.value {
        Value::Text(text) => Ok(text.clone()),
        value => Err(usage(format!("{origin}: '{key}' must be a name, it is {}", value.describe()))),
    }
}

fn texts(node: &Node) -> Option<Vec<&str>> {
    let text = |node: &'_ Node| matches!(node.value, Value::Text(_));
    match &node.value {
        Value::Text(text) => Some(vec![text]),
        Value::List(items) if items.iter().all(text) => Some(
            items
                .iter()
                .filter_map(
                    |item| if let Value::Text(text) = &item.value { Some(text.as_str()) } else { None },
                )
                .collect(),
        ),
        _ => None,
    }
}

fn of_mistake(source: &str, Mistake { at, problem }: &Mistake) -> Failure {
    usage(format!("{source}: {at}: {problem}"))
}

fn usage(problem: String) -> Failure {
    Failure::Usage { problem, hint: None }
}
