//! The nodes from which a sum is finished, wherever their values are.

use std::ops::Range;

/// Where a node's values are.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source {
    /// Among this rank's contributions.
    Own(usize),
    /// In a neighbour's node buffer.
    Neighbour { neighbour: usize, buffer: usize },
    /// In the inbox of a host.
    Host { host: usize, node: usize },
}

/// Nodes in order, and where their values are.
#[derive(Debug, Default)]
pub(super) struct Sources {
    pub(super) nodes: Vec<Range<usize>>,
    pub(super) sources: Vec<Source>,
}

impl Sources {
    pub(super) fn clear(&mut self) {
        self.nodes.clear();
        self.sources.clear();
    }

    pub(super) fn push(&mut self, node: Range<usize>, source: Source) {
        self.nodes.push(node);
        self.sources.push(source);
    }

    /// Insertion sort: nearly all nodes are in order, and nothing is allocated.
    pub(super) fn sort(&mut self) {
        for end in 1..self.nodes.len() {
            let mut at = end;
            while at > 0 && self.nodes[at - 1].start > self.nodes[at].start {
                self.nodes.swap(at - 1, at);
                self.sources.swap(at - 1, at);
                at -= 1;
            }
        }
    }
}
