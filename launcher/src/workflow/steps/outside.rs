//! Adapters, and programs of the user.

use super::options::{Options, expected};
use super::words;
use crate::failure::Failure;
use crate::workflow::file::{Content, Tree};
use isograd_model::workflow::{Adapter, CommandComponent, Pick, Port, Type};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// `policy: ["INPUT#1", 0.5]`.
pub(super) fn adapter(mut options: Options) -> Result<Adapter, Failure> {
    let policy = options.take("policy").ok_or_else(|| options.missing("policy"))?;
    let Content::List(items) = &policy.content else {
        return Err(expected(&policy, "policy", "a list, as [INPUT#1, 0.5]"));
    };
    let adapter = Adapter::new(items.iter().map(|item| Pick::from_json(item.json())));
    options.end(&["policy"])?;
    Ok(adapter)
}

const OF_COMMANDS: [&str; 5] = ["run", "inputs", "outputs", "timeout", "cache"];

/// `run: [python3, score.py]`, with its ports and their types.
pub(super) fn command(mut options: Options, stop: Arc<AtomicBool>) -> Result<CommandComponent, Failure> {
    let words = options.texts("run")?.filter(|words| !words.is_empty());
    let words = words.ok_or_else(|| options.missing("run"))?;
    let inputs = ports(options.take("inputs"), "inputs")?;
    let outputs = ports(options.take("outputs"), "outputs")?;
    let seconds = options.number("timeout")?;
    let limit = seconds.map(|seconds| {
        let is_sane = (0.001..=1e8).contains(&seconds);
        is_sane.then(|| Duration::from_secs_f64(seconds)).ok_or_else(|| {
            options.mistake(&format!("'timeout' must be from 0.001 to 1e8 seconds, it is {seconds}"))
        })
    });
    let limit = limit.transpose()?;
    // What a program reads besides is not known here, so its user says whether it may be left out.
    let fingerprint = options.switch("cache")?.then(|| {
        words
            .iter()
            .map(|word| words::digest(Path::new(word)).unwrap_or_default())
            .collect::<Vec<_>>()
            .join(" ")
    });
    options.end(&OF_COMMANDS)?;
    let command = CommandComponent::new(words, inputs, outputs);
    Ok(command.with_limit(limit).with_fingerprint(fingerprint).with_stop(stop))
}

/// Names with their types.
fn ports(tree: Option<Tree>, key: &str) -> Result<Vec<Port>, Failure> {
    let Some(tree) = tree else { return Ok(Vec::new()) };
    let Content::Table(entries) = &tree.content else {
        return Err(expected(&tree, key, "a table of names and types, as {score: number}"));
    };
    let port = |(name, _, kind): &(String, _, Tree)| {
        let kind = kind.scalar().ok_or_else(|| expected(kind, name, "the name of a type"))?;
        Ok(Port::new(name.clone(), Type::from_name(&kind)))
    };
    entries.iter().map(port).collect()
}
