//! The shard tree: any cut of the shards gives the same bits.

use isograd_comm::tree;
use proptest::prelude::*;
use std::ops::Range;

/// Values whose sums depend on the order of the additions.
fn data(len: usize, seed: u64) -> Vec<f32> {
    let mix = |i: usize| (i as u64 + 1).wrapping_mul(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1) >> 40;
    (0..len).map(|i| mix(i) as f32 * 1e-3 - 8000.0).collect()
}

/// The tree's value straight from its definition.
fn definition(shards: &[Vec<f32>], node: Range<usize>) -> Vec<f32> {
    if node.len() == 1 {
        return shards[node.start].clone();
    }
    let mut half = 1;
    while 2 * half < node.len() {
        half *= 2;
    }
    let left = definition(shards, node.start..node.start + half);
    let right = definition(shards, node.start + half..node.end);
    left.iter().zip(&right).map(|(a, b)| a + b).collect()
}

/// What a worker that owns `range` sends: shards pushed in order, siblings joined.
fn nodes_of(range: Range<usize>, shards: &[Vec<f32>]) -> Vec<(Range<usize>, Vec<f32>)> {
    let mut pending: Vec<(Range<usize>, Vec<f32>)> = Vec::new();
    for i in range {
        pending.push((i..i + 1, shards[i].clone()));
        while let [.., (left, _), (right, _)] = pending.as_slice() {
            let Some(whole) = tree::parent(left, right, shards.len()) else { break };
            let (_, right) = pending.pop().expect("two are pending");
            let (_, left) = pending.pop().expect("two are pending");
            pending.push((whole, left.iter().zip(&right).map(|(a, b)| a + b).collect()));
        }
        assert!(pending.len() <= tree::max_pending(shards.len()));
    }
    pending
}

proptest! {
    #[test]
    fn any_cut_of_the_shards_gives_the_same_bits(
        count in 1usize..40,
        cuts in proptest::collection::vec(0usize..40, 0..6),
        len in 0usize..1500,
    ) {
        let shards: Vec<Vec<f32>> = (0..count).map(|i| data(len, i as u64 + 1)).collect();
        let expected = definition(&shards, 0..count);

        let mut bounds: Vec<usize> = cuts.into_iter().filter(|c| *c < count).chain([0, count]).collect();
        bounds.sort_unstable();
        let parts: Vec<_> = bounds.windows(2).flat_map(|w| nodes_of(w[0]..w[1], &shards)).collect();
        let nodes: Vec<Range<usize>> = parts.iter().map(|(node, _)| node.clone()).collect();

        let mut y = vec![f32::NAN; len];
        tree::sum(&nodes, |i| &parts[i].1, &mut y);
        let bits = |v: &[f32]| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        prop_assert_eq!(bits(&y), bits(&expected), "nodes {:?}", nodes);
    }
}

proptest! {
    #[test]
    fn the_largest_nodes_of_a_range_are_those_that_have_no_sibling_in_it(shards in 1usize..60, a in 0usize..60, b in 0usize..60) {
        let range = a.min(b).min(shards)..a.max(b).min(shards);
        let (mut nodes, mut pending) = (Vec::new(), Vec::new());
        tree::largest(range.clone(), shards, &mut nodes);
        prop_assert_eq!(nodes.iter().map(|node| node.len()).sum::<usize>(), range.len());
        prop_assert!(nodes.windows(2).all(|pair| pair[0].end == pair[1].start));
        prop_assert!(nodes.windows(2).all(|pair| tree::parent(&pair[0], &pair[1], shards).is_none()));
        // What is pending, joined to the end, is the same.
        tree::pending(range, shards, &mut pending);
        prop_assert!(pending.len() <= tree::max_pending(shards));
        while let [.., left, right] = pending.as_slice() {
            let Some(whole) = tree::parent(left, right, shards) else { break };
            pending.truncate(pending.len() - 2);
            pending.push(whole);
        }
        prop_assert_eq!(pending, nodes);
    }
}

#[test]
fn what_does_not_cover_the_shards_is_refused() {
    let x = [0.0f32; 4];
    for (root, nodes) in [
        (0..4, &[][..]),
        (0..4, &[(2, 4)]),
        (0..4, &[(0, 2)]),
        (0..4, &[(0, 2), (2, 3)]),
        (0..4, &[(0, 1), (2, 4)]),
        (0..4, &[(0, 2), (2, 4), (4, 5)]),
        (0..4, &[(0, 2), (2, 2), (2, 4)]),
        (4..8, &[(4, 6), (6, 7)]),
        (4..8, &[(0, 4), (4, 8)]),
    ] {
        let nodes: Vec<_> = nodes.iter().map(|(start, end)| *start..*end).collect();
        let sum = || tree::sum_node(root.clone(), &nodes, |_| &x, &mut [0.0; 4]);
        let panic = std::panic::catch_unwind(sum).expect_err("they do not cover the shards");
        let said = panic.downcast_ref::<String>().expect("a message with numbers");
        assert!(said.contains("do not cover shards"), "{root:?}, {nodes:?}: {said}");
    }
}

#[test]
#[should_panic(expected = "are no node of the tree")]
fn a_cut_across_the_tree_is_refused() {
    let x = [0.0f32; 4];
    let mut y = [0.0; 4];
    tree::sum(&[0..1, 1..3, 3..4], |_| &x, &mut y);
}
