//! Every collective, on every arrangement of ranks, at lengths around the limits of slices and blocks.

mod common;

use common::{ARRANGEMENTS, Arrangement, spawn};
use isograd_comm::{Communicator, Element, Error, tree};
use std::fmt::Debug;

const WORLDS: [usize; 6] = [1, 2, 3, 4, 7, 8];

fn lengths(world: usize) -> [usize; 8] {
    [0, 1, world - 1, world + 1, 100, 2049, 40_000, 300_001]
}

/// Values whose sums depend on the order of the additions.
fn values(rank: usize, len: usize) -> Vec<f32> {
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

fn each(check: impl Fn(&mut Communicator, Arrangement) -> Result<(), Error> + Sync) {
    for arrangement in ARRANGEMENTS {
        for world in WORLDS {
            spawn(world, arrangement, |mut communicator| check(&mut communicator, arrangement));
        }
    }
}

#[test]
fn allreduce_has_the_bits_of_the_tree() {
    each(|communicator, arrangement| {
        let (rank, world) = (communicator.rank(), communicator.world());
        for len in lengths(world) {
            let mut x = values(rank, len);
            communicator.allreduce(&mut x)?;
            assert_same(
                &x,
                &sum_of_all(world, len),
                &format!("{arrangement:?}, {world} ranks, {len} elements"),
            );
        }
        Ok(())
    });
}

#[test]
fn integers_in_doubles_add_up_exactly() {
    each(|communicator, _| {
        let (rank, world) = (communicator.rank() as f64, communicator.world() as f64);
        for len in lengths(communicator.world()) {
            let mut x: Vec<f64> = (0..len).map(|i| i as f64 * rank).collect();
            communicator.allreduce(&mut x)?;
            let expected: Vec<f64> = (0..len).map(|i| i as f64 * world * (world - 1.0) / 2.0).collect();
            assert_same(&x, &expected, "sum of integers");
        }
        Ok(())
    });
}

#[test]
fn reduce_scatter_gives_each_its_slice_and_leaves_the_rest() {
    each(|communicator, arrangement| {
        let (rank, world) = (communicator.rank(), communicator.world());
        for len in lengths(world) {
            let mut x = values(rank, len);
            communicator.reduce_scatter(&mut x)?;
            let (own, mut expected) = (communicator.slice_of(rank, len), values(rank, len));
            expected[own.clone()].copy_from_slice(&sum_of_all(world, len)[own]);
            assert_same(&x, &expected, &format!("{arrangement:?}, {world} ranks, {len} elements"));
        }
        Ok(())
    });
}

#[test]
fn allgather_gives_all_the_slices() {
    each(|communicator, arrangement| {
        let (rank, world) = (communicator.rank(), communicator.world());
        for len in lengths(world) {
            let mut x = vec![f32::NAN; len];
            let own = communicator.slice_of(rank, len);
            x[own.clone()].copy_from_slice(&values(9, len)[own]);
            communicator.allgather(&mut x)?;
            assert_same(&x, &values(9, len), &format!("{arrangement:?}, {world} ranks, {len} elements"));
        }
        Ok(())
    });
}

#[test]
fn broadcast_comes_from_any_root() {
    each(|communicator, arrangement| {
        let (rank, world) = (communicator.rank(), communicator.world());
        for root in [0, world / 2, world - 1] {
            for len in lengths(world) {
                let mut x = values(rank, len);
                communicator.broadcast(&mut x, root)?;
                assert_same(&x, &values(root, len), &format!("{arrangement:?}, {world} ranks, root {root}"));
            }
        }
        Ok(())
    });
}

#[test]
fn nobody_passes_a_barrier_before_all_have_come() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    for arrangement in ARRANGEMENTS {
        let (world, come) = (5, AtomicUsize::new(0));
        spawn(world, arrangement, |mut communicator| {
            for round in 1..=50 {
                come.fetch_add(1, Ordering::SeqCst);
                communicator.barrier()?;
                assert!(come.load(Ordering::SeqCst) >= round * world, "{arrangement:?}, round {round}");
            }
            Ok(())
        });
    }
}

/// Operations of all kinds and lengths one after the other, without anything that holds the ranks together.
#[test]
fn operations_follow_each_other_at_any_distance() {
    for arrangement in ARRANGEMENTS {
        spawn(4, arrangement, |mut communicator| {
            let (rank, mut state) = (communicator.rank(), 12345u32);
            for _ in 0..200 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let len = [1, 3, 700, 5000, 70_000][(state >> 8) as usize % 5];
                let mut x = values(rank, len);
                match (state >> 16) % 4 {
                    0 => {
                        communicator.broadcast(&mut x, 3)?;
                        assert_same(&x, &values(3, len), "broadcast");
                    }
                    1 => communicator.reduce_scatter(&mut x)?,
                    2 => communicator.allgather(&mut x)?,
                    _ => {
                        communicator.allreduce(&mut x)?;
                        assert_same(&x, &sum_of_all(4, len), "allreduce");
                    }
                }
            }
            Ok(())
        });
    }
}

fn is_element<T: Element>() {}

#[test]
fn elements_are_floats() {
    is_element::<f32>();
    is_element::<f64>();
}

#[test]
fn ranks_that_do_not_do_the_same_are_told() {
    for (lengths, kind) in [([100, 101], "short"), ([10_000, 10_001], "long")] {
        for (number, error) in failures(Arrangement::Shared, |communicator| {
            communicator.allreduce(&mut values(0, lengths[communicator.rank()]))
        }) {
            assert!(error.contains("do not do the same: allreduce of"), "{kind}, rank {number}: {error}");
        }
    }
    for (number, error) in failures(Arrangement::Shared, |communicator| match communicator.rank() {
        0 => communicator.allreduce(&mut values(0, 5000)),
        _ => communicator.broadcast(&mut values(0, 5000), 1),
    }) {
        assert!(error.contains("broadcast from rank 1 of 5000 f32"), "rank {number}: {error}");
    }
}

/// The errors of two ranks that must both fail.
fn failures(
    arrangement: Arrangement,
    work: impl Fn(&mut Communicator) -> Result<(), Error> + Sync,
) -> Vec<(usize, String)> {
    let errors = spawn(2, arrangement, |mut communicator| Ok(work(&mut communicator).err()));
    let text = |error: Option<Error>| error.expect("it must fail").to_string();
    errors.into_iter().map(text).enumerate().collect()
}
