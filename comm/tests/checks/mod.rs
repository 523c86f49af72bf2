//! What every collective must do, for one rank of a group of any kind.

use isograd_comm::{Communicator, Error, tree};
use std::fmt::Debug;

/// A check that all ranks of a group make together; `what` says how they are arranged.
pub(crate) type Check = fn(&mut Communicator, what: &str) -> Result<(), Error>;

fn lengths(world: usize) -> [usize; 8] {
    [0, 1, world - 1, world + 1, 100, 2049, 40_000, 300_001]
}

/// Values whose sums depend on the order of the additions.
pub(crate) fn values(rank: usize, len: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 7919 + rank * 104_729) % 10_007) as f32 * 0.1 - 300.0).collect()
}

fn sum_of_all(world: usize, len: usize) -> Vec<f32> {
    let (leaves, data): (Vec<_>, Vec<_>) = (0..world).map(|rank| (rank..rank + 1, values(rank, len))).unzip();
    let mut sum = vec![0.0; len];
    tree::sum(&leaves, |rank| &data[rank], &mut sum);
    sum
}

fn assert_same<T: PartialEq + Debug>(got: &[T], expected: &[T], what: &str) {
    assert_eq!(got.len(), expected.len(), "{what}");
    if let Some(at) = (0..got.len()).find(|i| got[*i] != expected[*i]) {
        panic!("{what}: element {at} is {:?}, expected {:?}", got[at], expected[at]);
    }
}

pub(crate) fn allreduce(communicator: &mut Communicator, what: &str) -> Result<(), Error> {
    let (rank, world) = (communicator.rank(), communicator.world_size());
    for len in lengths(world) {
        let mut x = values(rank, len);
        communicator.allreduce(&mut x)?;
        assert_same(&x, &sum_of_all(world, len), &format!("{what}, {world} ranks, {len} elements"));
    }
    Ok(())
}

pub(crate) fn integers_in_doubles(communicator: &mut Communicator, what: &str) -> Result<(), Error> {
    let (rank, world) = (communicator.rank() as f64, communicator.world_size() as f64);
    for len in lengths(communicator.world_size()) {
        let mut x: Vec<f64> = (0..len).map(|i| i as f64 * rank).collect();
        communicator.allreduce(&mut x)?;
        let expected: Vec<f64> = (0..len).map(|i| i as f64 * world * (world - 1.0) / 2.0).collect();
        assert_same(&x, &expected, what);
    }
    Ok(())
}

pub(crate) fn reduce_scatter(communicator: &mut Communicator, what: &str) -> Result<(), Error> {
    let (rank, world) = (communicator.rank(), communicator.world_size());
    for len in lengths(world) {
        let mut x = values(rank, len);
        communicator.reduce_scatter(&mut x)?;
        let (own, mut expected) = (communicator.slice_of(rank, len), values(rank, len));
        expected[own.clone()].copy_from_slice(&sum_of_all(world, len)[own]);
        assert_same(&x, &expected, &format!("{what}, {world} ranks, {len} elements"));
    }
    Ok(())
}

pub(crate) fn allgather(communicator: &mut Communicator, what: &str) -> Result<(), Error> {
    let (rank, world) = (communicator.rank(), communicator.world_size());
    for len in lengths(world) {
        let mut x = vec![f32::NAN; len];
        let own = communicator.slice_of(rank, len);
        x[own.clone()].copy_from_slice(&values(9, len)[own]);
        communicator.allgather(&mut x)?;
        assert_same(&x, &values(9, len), &format!("{what}, {world} ranks, {len} elements"));
    }
    Ok(())
}

pub(crate) fn broadcast(communicator: &mut Communicator, what: &str) -> Result<(), Error> {
    let (rank, world) = (communicator.rank(), communicator.world_size());
    for root in [0, world / 2, world - 1] {
        for len in lengths(world) {
            let mut x = values(rank, len);
            communicator.broadcast(&mut x, root)?;
            assert_same(&x, &values(root, len), &format!("{what}, {world} ranks, root {root}"));
        }
    }
    Ok(())
}

/// Operations of all kinds and lengths one after the other, without anything that holds the ranks together.
pub(crate) fn any_sequence(communicator: &mut Communicator, what: &str) -> Result<(), Error> {
    let (rank, world, mut state) = (communicator.rank(), communicator.world_size(), 12345u32);
    for _ in 0..200 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let len = [1, 3, 700, 5000, 70_000][(state >> 8) as usize % 5];
        let mut x = values(rank, len);
        match (state >> 16) % 4 {
            0 => {
                communicator.broadcast(&mut x, world - 1)?;
                assert_same(&x, &values(world - 1, len), what);
            }
            1 => communicator.reduce_scatter(&mut x)?,
            2 => communicator.allgather(&mut x)?,
            _ => {
                communicator.allreduce(&mut x)?;
                assert_same(&x, &sum_of_all(world, len), what);
            }
        }
    }
    Ok(())
}
