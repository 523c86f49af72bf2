//! Every collective, on every arrangement of ranks, at lengths around the limits of slices and blocks.

mod checks;
mod common;

use checks::{Check, values};
use common::{ARRANGEMENTS, Arrangement, spawn};
use isograd_comm::{Communicator, Error, Summand};

const WORLDS: [usize; 6] = [1, 2, 3, 4, 7, 8];

fn each(check: Check) {
    for arrangement in ARRANGEMENTS {
        for world in WORLDS {
            spawn(world, arrangement, |mut communicator| {
                check(&mut communicator, &format!("{arrangement:?}"))
            });
        }
    }
}

#[test]
fn allreduce_has_the_bits_of_the_tree() {
    each(checks::allreduce);
}

#[test]
fn integers_in_doubles_add_up_exactly() {
    each(checks::integers_in_doubles);
}

#[test]
fn reduce_scatter_gives_each_its_slice_and_leaves_the_rest() {
    each(checks::reduce_scatter);
}

#[test]
fn allgather_gives_all_the_slices() {
    each(checks::allgather);
}

#[test]
fn broadcast_comes_from_any_root() {
    each(checks::broadcast);
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

#[test]
fn operations_follow_each_other_at_any_distance() {
    for arrangement in ARRANGEMENTS {
        spawn(4, arrangement, |mut communicator| {
            checks::any_sequence(&mut communicator, &format!("{arrangement:?}"))
        });
    }
}

fn is_summand<T: Summand>() {}

#[test]
fn elements_are_floats() {
    is_summand::<f32>();
    is_summand::<f64>();
}

#[test]
fn ranks_that_do_not_do_the_same_are_told() {
    for arrangement in ARRANGEMENTS {
        for (lengths, kind) in [([100, 101], "short"), ([10_000, 10_001], "long")] {
            for (number, error) in failures(arrangement, |communicator| {
                communicator.allreduce(&mut values(0, lengths[communicator.rank()]))
            }) {
                let what = format!("{arrangement:?}, {kind}, rank {number}: {error}");
                assert!(error.contains("do not do the same: allreduce of"), "{what}");
            }
        }
        for (number, error) in failures(arrangement, |communicator| match communicator.rank() {
            0 => communicator.allreduce(&mut values(0, 5000)),
            _ => communicator.broadcast(&mut values(0, 5000), 0),
        }) {
            let what = format!("{arrangement:?}, rank {number}: {error}");
            assert!(
                error.contains("allreduce of 5000 f32") && error.contains("broadcast from rank 0"),
                "{what}"
            );
        }
    }
    for (number, error) in failures(Arrangement::Shared, |communicator| match communicator.rank() {
        0 => communicator.allreduce(&mut values(0, 5000)),
        _ => communicator.broadcast(&mut values(0, 5000), 1),
    }) {
        assert!(error.contains("broadcast from rank 1 of 5000 f32"), "rank {number}: {error}");
    }
}

/// Also where a slice, a block, or the number of blocks is all that differs.
#[test]
fn ranks_whose_lengths_differ_are_told_in_every_operation() {
    type Operation = fn(&mut Communicator, &mut [f32]) -> Result<(), Error>;
    let operations: [(&str, Operation); 4] = [
        ("allreduce", |communicator, x| communicator.allreduce(x)),
        ("reduce_scatter", |communicator, x| communicator.reduce_scatter(x)),
        ("allgather", |communicator, x| communicator.allgather(x)),
        ("broadcast from rank 0", |communicator, x| communicator.broadcast(x, 0)),
    ];
    for arrangement in ARRANGEMENTS {
        for (name, operation) in operations {
            for lengths in [[100, 101], [70_000, 70_001], [65_536, 131_072]] {
                for (number, error) in failures(arrangement, |communicator| {
                    operation(communicator, &mut values(0, lengths[communicator.rank()]))?;
                    // The root of a broadcast has sent all, and hears of it later.
                    communicator.barrier()
                }) {
                    let what = format!("{arrangement:?}, rank {number}: {error}");
                    for len in lengths {
                        assert!(error.contains(&format!("{name} of {len} f32")), "{what}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_barrier_is_no_sum_of_one_number() {
    for arrangement in ARRANGEMENTS {
        for (number, error) in failures(arrangement, |communicator| match communicator.rank() {
            0 => communicator.barrier(),
            _ => communicator.allreduce(&mut [1.0f32]),
        }) {
            let expected = "ranks 0 and 1 do not do the same: barrier against allreduce of 1 f32";
            assert!(error.contains(expected), "{arrangement:?}, rank {number}: {error}");
        }
    }
}

/// A short operation waits for other counters than one that takes its vector through blocks.
#[test]
fn a_short_and_a_long_operation_on_one_host_are_told_apart() {
    let cases: [([Act; 2], [&str; 2]); 3] = [
        (
            [|c| c.allreduce(&mut values(0, 2048)), |c| c.allreduce(&mut values(0, 2049))],
            ["allreduce of 2048 f32", "allreduce of 2049 f32"],
        ),
        (
            [|c| c.allreduce(&mut values(0, 10)), |c| c.broadcast(&mut values(0, 10), 0)],
            ["allreduce of 10 f32", "broadcast from rank 0 of 10 f32"],
        ),
        ([|c| c.allgather(&mut [0.0f64; 40]), |c| c.barrier()], ["allgather of 40 f64", "barrier"]),
    ];
    for (acts, calls) in cases {
        for (number, error) in failures(Arrangement::Shared, |communicator| {
            // The numbers of operations count, not those of turns.
            communicator.allreduce(&mut values(0, 10_000))?;
            communicator.allreduce(&mut values(0, 10))?;
            acts[communicator.rank()](communicator)
        }) {
            let expected = format!("ranks 0 and 1 do not do the same: {} against {}", calls[0], calls[1]);
            assert!(error.contains(&expected), "rank {number}: {error}");
        }
    }
}

/// What a rank does.
type Act = fn(&mut Communicator) -> Result<(), Error>;

/// As many bytes, so that nothing but the type tells them apart.
#[test]
fn ranks_that_add_up_different_types_are_told() {
    for arrangement in ARRANGEMENTS {
        for doubles in [5, 5_000, 50_000] {
            for (number, error) in failures(arrangement, |communicator| match communicator.rank() {
                0 => communicator.allreduce(&mut vec![1.0f32; 2 * doubles]),
                _ => communicator.allreduce(&mut vec![1.0f64; doubles]),
            }) {
                let what = format!("{arrangement:?}, {doubles} doubles, rank {number}: {error}");
                assert!(error.contains("do not do the same: allreduce of "), "{what}");
                assert!(error.contains(" f32") && error.contains(" f64"), "{what}");
            }
        }
    }
}

/// The late rank finds all of the other's there, and so ends in its contribution, not in its wait.
#[test]
fn a_late_rank_that_does_not_do_the_same_hears_it_at_every_call() {
    for (number, error) in failures(Arrangement::Shared, |communicator| {
        let mut x = values(0, 5000);
        if communicator.rank() == 0 {
            return communicator.allgather(&mut x);
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
        let first = communicator.broadcast(&mut x, 0).expect_err("they differ").to_string();
        for later in [communicator.allreduce(&mut x), communicator.barrier()] {
            assert_eq!(later.expect_err("the group is broken").to_string(), first);
        }
        communicator.broadcast(&mut x, 0)
    }) {
        assert!(error.contains("do not do the same: "), "rank {number}: {error}");
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

#[test]
fn offsets_of_clocks_are_within_their_errors() {
    use std::time::Instant;
    let origin = Instant::now();
    for arrangement in ARRANGEMENTS {
        for world in [1, 2, 5] {
            spawn(world, arrangement, |mut communicator| {
                let rank = communicator.rank() as f64;
                // Ranks of one process: the clock of rank r is set ahead by r seconds.
                let ahead = rank * 1e9;
                let now = || origin.elapsed().as_nanos() as f64 + ahead;
                let before = now();
                let offset = communicator.clock_offset(now)?;
                assert!((before..=now()).contains(&offset.at_ns), "{arrangement:?}: {offset:?}");
                let distance = (offset.ahead_ns - ahead).abs();
                assert!(distance <= offset.error_ns, "{arrangement:?}, {world} ranks: {offset:?}");
                assert_eq!(offset.error_ns == 0.0, rank == 0.0, "{arrangement:?}: {offset:?}");
                Ok(())
            });
        }
    }
}
