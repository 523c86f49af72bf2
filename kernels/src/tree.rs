//! The sum over shards in one fixed binary tree: what makes a step's gradient the same bits wherever its shards ran.
//!
//! The tree over shards `0..S` splits `[first, last)` at `first` plus the largest power of two below its length. A node's
//! value is the element-wise sum of its left and right part; a part of one shard is that shard's data. For `S` = 5:
//!
//! ```text
//!            [0, 5)
//!         [0, 4)      [4, 5)
//!    [0, 2)    [2, 4)
//!    0    1    2    3    4
//! ```
//!
//! Whoever holds neighbouring parts may add them up beforehand: [`parent`] tells when two nodes are the parts of a third. [`sum`]
//! finishes the tree from any set of nodes that covers the shards.

use crate::element::Element;
use crate::elementwise;
use crate::isa::Isa;
use std::ops::Range;

/// Elements that [`sum`] carries through the whole tree at a time, so that partial sums stay in the first-level cache.
const BLOCK: usize = 1024;

/// The node whose left and right parts are `left` and `right`, if the tree over `shards` shards has one.
///
/// ```
/// use isograd_kernels::tree::parent;
/// assert_eq!(parent(&(0..2), &(2..4), 5), Some(0..4));
/// assert_eq!(parent(&(1..2), &(2..3), 5), None);
/// assert_eq!(parent(&(0..4), &(4..5), 5), Some(0..5));
/// ```
pub fn parent(left: &Range<usize>, right: &Range<usize>, shards: usize) -> Option<Range<usize>> {
    let whole = left.start..right.end;
    let size = whole.len().next_power_of_two();
    let is_node =
        whole.start.is_multiple_of(size) && (whole.end == whole.start + size || whole.end == shards);
    (is_node && left.end == right.start && split(&whole) == left.end).then_some(whole)
}

/// The most nodes that are pending when the shards of any range are added one by one, in order, and siblings are joined no
/// later than before the next shard: a few on the way up to the largest node of the range, a few on the way down, and the
/// newest.
pub fn max_pending(shards: usize) -> usize {
    2 * shards.max(1).ilog2() as usize + 2
}

/// Where a node of at least two shards divides.
fn split(node: &Range<usize>) -> usize {
    node.start + node.len().next_power_of_two() / 2
}

/// `y = ` the tree's sum over all shards, from `nodes` (in order, each a node of the tree over `0..nodes.last().end`); node
/// `i` has the values `data(i)`, as long as `y`.
///
/// The result does not depend on which nodes the tree was cut into, bit for bit.
///
/// # Panics
///
/// When `nodes` is empty, does not cover the shards in order with nodes of the tree, or the lengths differ.
///
/// ```
/// use isograd_kernels::{Isa, tree};
/// let (a, b) = ([1.0f32, 2.0], [10.0, 20.0]);
/// let mut y = [0.0; 2];
/// tree::sum(Isa::best(), &[0..1, 1..2], |i| if i == 0 { &a } else { &b }, &mut y);
/// assert_eq!(y, [11.0, 22.0]);
/// ```
pub fn sum<'a, T: Element>(isa: Isa, nodes: &[Range<usize>], data: impl Fn(usize) -> &'a [T], y: &mut [T]) {
    let shards = nodes.last().expect("a sum over no shards").end;
    let len = y.len();
    for i in 0..nodes.len() {
        assert_eq!(data(i).len(), len, "node {i} has {} elements, the sum {len}", data(i).len());
    }
    for first in (0..len).step_by(BLOCK) {
        let block = first..(first + BLOCK).min(len);
        let mut walk = Walk { isa, nodes, next: 0, data: |i| &data(i)[block.clone()] };
        walk.value(0..shards, &mut y[block.clone()]);
    }
}

/// Visits `nodes` in order while it descends the tree.
struct Walk<'n, F> {
    isa: Isa,
    nodes: &'n [Range<usize>],
    next: usize,
    data: F,
}

impl<F> Walk<'_, F> {
    /// The node's data, if `node` is given and not to be computed.
    fn given<'a, T: 'a>(&mut self, node: &Range<usize>) -> Option<&'a [T]>
    where
        F: Fn(usize) -> &'a [T],
    {
        let next = &self.nodes[self.next];
        assert!(
            next.start == node.start && next.end <= node.end,
            "shards {next:?} are no node of the tree below {node:?}"
        );
        (next == node).then(|| {
            self.next += 1;
            (self.data)(self.next - 1)
        })
    }

    fn value<'a, T: Element>(&mut self, node: Range<usize>, y: &mut [T])
    where
        F: Fn(usize) -> &'a [T],
    {
        if let Some(data) = self.given(&node) {
            y.copy_from_slice(data);
            return;
        }
        let middle = split(&node);
        let (left, right) = (node.start..middle, middle..node.end);
        match self.given::<T>(&left) {
            Some(a) => match self.given::<T>(&right) {
                Some(b) => elementwise::add(self.isa, a, b, y),
                None => {
                    self.value(right, y);
                    elementwise::add_assign(self.isa, y, a);
                }
            },
            None => {
                self.value(left, y);
                match self.given::<T>(&right) {
                    Some(b) => elementwise::add_assign(self.isa, y, b),
                    None => {
                        let mut partial = [T::ZERO; BLOCK];
                        let partial = &mut partial[..y.len()];
                        self.value(right, partial);
                        elementwise::add_assign(self.isa, y, partial);
                    }
                }
            }
        }
    }
}
