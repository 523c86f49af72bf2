//! `isograd recipes`: the configurations that come with the program.

use crate::cli::config::recipes;
use crate::failure::Failure;
use crate::output::Output;
use crate::system::names;

/// Prints the recipe called `name`, or a table of all.
pub(crate) fn print(name: Option<&str>, out: &mut Output) -> Result<(), Failure> {
    let Some(name) = name else {
        let width = recipes::ALL.iter().map(|recipe| recipe.name.len()).max().unwrap_or(0);
        let row = |recipe: &recipes::Recipe| format!("{:<width$}  {}\n", recipe.name, recipe.title());
        return out.text(&recipes::ALL.iter().map(row).collect::<String>());
    };
    let known: Vec<&str> = recipes::ALL.iter().map(|recipe| recipe.name).collect();
    let recipe = recipes::find(name)
        .ok_or_else(|| Failure::Usage { problem: names::unknown("recipe", name, &known), hint: None })?;
    out.text(recipe.text)
}
