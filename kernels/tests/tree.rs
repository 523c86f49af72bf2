//! The shard tree: any cut of the shards gives the same bits.

mod common;

use common::{data, each_isa};
use isograd_kernels::tree;
use proptest::prelude::*;
use std::ops::Range;

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

        each_isa(|isa| {
            let mut y = vec![f32::NAN; len];
            tree::sum(isa, &nodes, |i| &parts[i].1, &mut y);
            let bits = |v: &[f32]| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&y), bits(&expected), "{isa}, nodes {nodes:?}");
        });
    }
}

#[test]
#[should_panic(expected = "are no node of the tree")]
fn a_cut_across_the_tree_is_refused() {
    let x = [0.0f32; 4];
    let mut y = [0.0; 4];
    tree::sum(isograd_kernels::Isa::best(), &[0..1, 1..3, 3..4], |_| &x, &mut y);
}
