//! The sum over shards in the order of one fixed binary tree: so its bits do not depend on where its parts
//! were added up.
//!
//! The tree over shards `0..S` splits `[first, last)` at `first` plus the largest power of two below its
//! length. A node's value is the element-wise sum of its left and right part; a part of one shard is that
//! shard's data. For `S` = 5:
//!
//! ```text
//!            [0, 5)
//!         [0, 4)      [4, 5)
//!    [0, 2)    [2, 4)
//!    0    1    2    3    4
//! ```
//!
//! A rank that has neighbouring parts may add them up beforehand: [`parent`] tells when two nodes are the
//! parts of a third. [`sum`] finishes the tree from any set of nodes that covers the shards.

use crate::summand::Summand;
use pulp::{Arch, NullaryFnOnce};
use std::ops::Range;

/// Elements that [`sum`] carries through the whole tree at a time, so that partial sums stay in the
/// first-level cache.
const BLOCK: usize = 1024;

/// The node whose left and right parts are `left` and `right`, if the tree over `shards` shards has one.
///
/// ```
/// use isograd_comm::tree::parent;
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

/// The most nodes that are pending while the shards of any range are added one by one, in order, and siblings
/// are joined no later than before the next shard: a few on the way up to the largest node of the range, a
/// few on the way down, and the newest one.
pub fn max_pending(shards: usize) -> usize {
    2 * shards.max(1).ilog2() as usize + 2
}

/// The nodes that are pending after the shards of `range` have been added one by one and siblings were joined
/// before each next shard but not after the last: appended to `nodes`, in order.
///
/// ```
/// let mut nodes = Vec::new();
/// isograd_comm::tree::pending(0..4, 8, &mut nodes);
/// assert_eq!(nodes, [0..2, 2..3, 3..4]);
/// ```
pub fn pending(range: Range<usize>, shards: usize, nodes: &mut Vec<Range<usize>>) {
    let first = nodes.len();
    for shard in range {
        while let [.., left, right] = &nodes[first..] {
            let Some(whole) = parent(left, right, shards) else { break };
            nodes.truncate(nodes.len() - 2);
            nodes.push(whole);
        }
        nodes.push(shard..shard + 1);
    }
}

/// The largest nodes of the tree over `shards` shards that lie inside `range`: appended to `nodes`, in order.
///
/// ```
/// let mut nodes = Vec::new();
/// isograd_comm::tree::largest(1..7, 7, &mut nodes);
/// assert_eq!(nodes, [1..2, 2..4, 4..7]);
/// ```
pub fn largest(range: Range<usize>, shards: usize, nodes: &mut Vec<Range<usize>>) {
    let mut start = range.start;
    while start < range.end {
        // The largest power of two that divides the start, then as small as it takes.
        let mut size = if start == 0 { shards.next_power_of_two() } else { 1 << start.trailing_zeros() };
        while (start + size).min(shards) > range.end {
            size /= 2;
        }
        let end = (start + size).min(shards);
        nodes.push(start..end);
        start = end;
    }
}

/// Where a node of at least two shards is divided.
fn split(node: &Range<usize>) -> usize {
    node.start + node.len().next_power_of_two() / 2
}

/// `y = ` the tree's sum over all shards, from `nodes` (in order, each a node of the tree over
/// `0..nodes.last().end`); node `i` has the values `data(i)`, as long as `y`.
///
/// The result does not depend on which nodes the tree was cut into, bit for bit.
///
/// # Panics
///
/// When `nodes` is empty, does not cover the shards in order with nodes of the tree, or the lengths differ.
///
/// ```
/// use isograd_comm::tree;
/// let (a, b) = ([1.0f32, 2.0], [10.0, 20.0]);
/// let mut y = [0.0; 2];
/// tree::sum(&[0..1, 1..2], |i| if i == 0 { &a } else { &b }, &mut y);
/// assert_eq!(y, [11.0, 22.0]);
/// ```
pub fn sum<'a, T: Summand>(nodes: &[Range<usize>], data: impl Fn(usize) -> &'a [T], y: &mut [T]) {
    let shards = nodes.last().expect("a sum over no shards").end;
    sum_node(0..shards, nodes, data, y);
}

/// As [`sum`], for the part of the tree below `root`, which `nodes` must cover.
///
/// # Panics
///
/// As `sum`.
pub fn sum_node<'a, T: Summand>(
    root: Range<usize>,
    nodes: &[Range<usize>],
    data: impl Fn(usize) -> &'a [T],
    y: &mut [T],
) {
    let len = y.len();
    for i in 0..nodes.len() {
        assert_eq!(data(i).len(), len, "node {i} has {} elements, the sum {len}", data(i).len());
    }
    let covered = nodes
        .iter()
        .try_fold(root.start, |end, node| (node.start == end && node.end > end).then_some(node.end));
    assert!(
        !nodes.is_empty() && covered == Some(root.end),
        "nodes {nodes:?} do not cover shards {root:?} one after the other"
    );
    let arch = Arch::new();
    // Nearly all sums are one of these two, which need no walk.
    match nodes {
        [_] => return y.copy_from_slice(data(0)),
        [left, _] if left.end == split(&root) => {
            return arch.dispatch(Add { a: data(0), b: data(1), y });
        }
        _ => {}
    }
    for first in (0..len).step_by(BLOCK) {
        let block = first..(first + BLOCK).min(len);
        let mut walk = Walk { arch, nodes, next: 0, data: |i| &data(i)[block.clone()] };
        walk.value(root.clone(), &mut y[block.clone()]);
    }
}

/// `y += x`, element by element.
///
/// # Panics
///
/// When the lengths differ.
pub fn add_assign<T: Summand>(y: &mut [T], x: &[T]) {
    assert_eq!(y.len(), x.len(), "the sum has {} elements, the other {}", y.len(), x.len());
    Arch::new().dispatch(AddAssign { x, y });
}

/// Visits `nodes` in order while it descends the tree.
struct Walk<'n, F> {
    arch: Arch,
    nodes: &'n [Range<usize>],
    next: usize,
    data: F,
}

impl<F> Walk<'_, F> {
    /// The data of `node`, if it is one of the given nodes.
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

    fn value<'a, T: Summand>(&mut self, node: Range<usize>, y: &mut [T])
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
                Some(b) => self.arch.dispatch(Add { a, b, y }),
                None => {
                    self.value(right, y);
                    self.arch.dispatch(AddAssign { x: a, y });
                }
            },
            None => {
                self.value(left, y);
                match self.given::<T>(&right) {
                    Some(b) => self.arch.dispatch(AddAssign { x: b, y }),
                    None => {
                        let mut partial = [T::zeroed(); BLOCK];
                        let partial = &mut partial[..y.len()];
                        self.value(right, partial);
                        self.arch.dispatch(AddAssign { x: partial, y });
                    }
                }
            }
        }
    }
}

/// `y = a + b`. The loops below are compiled for the widest vectors that the CPU has; an addition is the same
/// bits in all.
struct Add<'a, T> {
    a: &'a [T],
    b: &'a [T],
    y: &'a mut [T],
}

impl<T: Summand> NullaryFnOnce for Add<'_, T> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        for ((y, a), b) in self.y.iter_mut().zip(self.a).zip(self.b) {
            *y = *a + *b;
        }
    }
}

/// `y = y + x`.
struct AddAssign<'a, T> {
    x: &'a [T],
    y: &'a mut [T],
}

impl<T: Summand> NullaryFnOnce for AddAssign<'_, T> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        for (y, x) in self.y.iter_mut().zip(self.x) {
            *y = *y + *x;
        }
    }
}
