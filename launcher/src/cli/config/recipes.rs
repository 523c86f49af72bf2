//! The recipes that come with the program: configuration files for known results.

/// A recipe.
#[derive(Debug)]
pub(crate) struct Recipe {
    pub(crate) name: &'static str,
    /// The file.
    pub(crate) text: &'static str,
}

macro_rules! recipes {
    ($($name:literal),* $(,)?) => {
        &[$(Recipe { name: $name, text: include_str!(concat!("../../../recipes/", $name, ".toml")) }),*]
    };
}

/// All recipes.
pub(crate) const ALL: &[Recipe] = recipes![
    "simplecnn-mnist",
    "simplecnn-fashion-mnist",
    "resnet20-cifar10",
    "vgg11-cifar10",
    "mobilenetv1-cifar10",
    "resnet50-imagenet",
    "airbench94",
];

/// The recipe called `name`, with `_` or `-`.
pub(crate) fn find(name: &str) -> Option<&'static Recipe> {
    let name = name.replace('_', "-");
    ALL.iter().find(|recipe| recipe.name == name)
}

impl Recipe {
    /// What it is for: the first line of the file.
    pub(crate) fn title(&self) -> &'static str {
        self.text.lines().next().unwrap_or_default().trim_start_matches(['#', ' '])
    }
}
