//! The graph of stages as it is described, before and after it is checked.

use std::collections::HashSet;
use std::sync::Arc;

use super::error::{BuildError, Cause};
use super::joint::{AnyPort, Joint};
use super::queue::Stopped;
use super::run::Context;

/// Tells which errors are to be ignored.
pub(super) type Ignore = Arc<dyn Fn(&Cause) -> bool + Send + Sync>;

/// What a worker of a stage runs.
pub(super) type Body = Arc<dyn Fn(&Context) -> Result<(), Stopped> + Send + Sync>;

/// What a stage is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Source,
    Transform,
    Regulator,
    Join,
    /// The entrance of a cycle.
    Cycle,
    Sink,
}

impl Kind {
    /// The name of a stage that can have one worker only.
    fn lonely_name(self) -> Option<&'static str> {
        match self {
            Self::Source => Some("source"),
            Self::Regulator => Some("regulator"),
            Self::Join => Some("join"),
            Self::Cycle => Some("cycle"),
            Self::Transform | Self::Sink => None,
        }
    }

    pub(super) fn can_have_workers(self) -> bool {
        self.lonely_name().is_none()
    }
}

pub(super) struct Node {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) workers: usize,
    pub(super) is_ordered: bool,
    pub(super) ignore: Option<Ignore>,
    pub(super) body: Body,
    /// What is to be told when the last worker has ended.
    pub(super) port: Option<Arc<dyn AnyPort>>,
    /// What only this stage waits at.
    pub(super) joints: Vec<Arc<dyn Joint>>,
    /// What ends the waiting of a source for something outside.
    pub(super) interrupt: Option<Arc<dyn Fn() + Send + Sync>>,
}

/// A queue, and who stands at it. Nodes are numbers.
pub(super) struct Edge {
    pub(super) queue: Arc<dyn Joint>,
    /// The name of an inlet; the name of a stage that feeds it otherwise.
    pub(super) name: String,
    pub(super) buffer: Option<usize>,
    pub(super) from: Vec<usize>,
    /// Stages that feed it from behind, in a cycle that has a bound.
    pub(super) back_from: Vec<usize>,
    pub(super) to: Vec<usize>,
    /// Whether the caller takes from it.
    pub(super) is_outlet: bool,
}

#[derive(Default)]
pub(super) struct Graph {
    pub(super) nodes: Vec<Node>,
    pub(super) edges: Vec<Edge>,
    /// Ports that must have been joined: the stage, and the port.
    pub(super) ports: Vec<(usize, Arc<dyn AnyPort>)>,
    /// Bounds of cycles: stage, rounds, items inside.
    pub(super) bounds: Vec<(usize, usize, usize)>,
    pub(super) ignore: Option<Ignore>,
}

impl Graph {
    /// Checks everything that types cannot.
    pub(super) fn check(&self) -> Result<(), BuildError> {
        if self.nodes.is_empty() {
            return Err(BuildError::Empty);
        }
        self.check_stages()?;
        let name = |node: usize| self.nodes[node].name.clone();
        for edge in &self.edges {
            if edge.buffer == Some(0) {
                return Err(BuildError::NoBuffer { stage: edge.name.clone() });
            }
            match (&edge.from[..], &edge.to[..]) {
                ([], [reader, ..]) => {
                    return Err(BuildError::NoUpstream { stage: name(*reader), inlet: edge.name.clone() });
                }
                ([writer, ..], []) if !edge.is_outlet => {
                    return Err(BuildError::NoDownstream { stage: name(*writer) });
                }
                _ => (),
            }
        }
        if let Some((node, _)) = self.ports.iter().find(|(_, port)| !port.is_joined()) {
            return Err(BuildError::NoDownstream { stage: name(*node) });
        }
        for &(node, rounds, inside) in &self.bounds {
            if rounds == 0 || inside == 0 {
                return Err(BuildError::EmptyBound { stage: name(node), rounds, inside });
            }
        }
        self.find_cycle().map_or(Ok(()), |cycle| {
            Err(BuildError::CycleWithoutBound { stages: cycle.into_iter().map(name).collect() })
        })
    }

    fn check_stages(&self) -> Result<(), BuildError> {
        let mut names = HashSet::new();
        for node in &self.nodes {
            let stage = node.name.clone();
            if node.workers == 0 {
                return Err(BuildError::NoWorkers { stage });
            }
            if let (Some(kind), 2..) = (node.kind.lonely_name(), node.workers) {
                return Err(BuildError::OneWorker { stage, kind, workers: node.workers });
            }
            if !names.insert(&node.name) {
                return Err(BuildError::DuplicateName { stage });
            }
        }
        Ok(())
    }

    /// The stages that `node` feeds, without the way back of cycles that have a bound.
    fn readers(&self, node: usize) -> impl Iterator<Item = usize> {
        self.edges
            .iter()
            .filter(move |edge| edge.from.contains(&node))
            .flat_map(|edge| edge.to.iter().copied())
    }

    /// The stages of a cycle, the first of them again at the end.
    fn find_cycle(&self) -> Option<Vec<usize>> {
        let mut is_finished = vec![false; self.nodes.len()];
        for start in 0..self.nodes.len() {
            let mut path: Vec<(usize, Vec<usize>)> = Vec::new();
            if !is_finished[start] {
                path.push((start, self.readers(start).collect()));
            }
            while let Some((node, todo)) = path.last_mut() {
                let Some(next) = todo.pop() else {
                    is_finished[*node] = true;
                    path.pop();
                    continue;
                };
                if let Some(begin) = path.iter().position(|(node, _)| *node == next) {
                    return Some(path[begin..].iter().map(|(node, _)| *node).chain([next]).collect());
                }
                if !is_finished[next] {
                    path.push((next, self.readers(next).collect()));
                }
            }
        }
        None
    }
}
