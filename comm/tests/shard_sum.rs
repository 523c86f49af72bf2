//! Sums over the shards of all ranks: the bits of the tree over all shards, however these are divided.

mod common;

use common::{ARRANGEMENTS, Arrangement, spawn};
use isograd_comm::{Buffer, Communicator, Error, ShardPlan, ShardSum, Shares, Summand, tree};
use proptest::prelude::*;
use std::ops::Range;
use std::sync::Barrier;

/// Elements of the buckets: shorter than a slice's unit, around it, and longer than what the sum takes at a
/// time.
const BUCKETS: [usize; 5] = [1000, 1, 5000, 17, 130];
/// Shards of one step after the other: full, ragged, and so few that most ranks have none.
const STEPS: [usize; 9] = [13, 13, 5, 1, 12, 2, 13, 7, 3];
const MOST_SHARDS: usize = 13;

/// How a rank brings its shards: added up as far as possible, or as it would have them in the middle of its
/// work.
#[derive(Clone, Copy)]
enum Nodes {
    Largest,
    Pending,
}

/// What can be made and compared.
trait Value: Summand + PartialEq {}
impl Value for f32 {}
impl Value for f64 {}

/// A value of a shard; sums depend on the order of the additions.
fn value<T: Value>(step: usize, shard: usize, bucket: usize, i: usize) -> T {
    let mixed = (i * 7919 + shard * 104_729 + bucket * 611_953 + step * 15_485_863) % 10_007;
    T::from(mixed as f32 * 0.1 - 300.0)
}

/// The sum below a node of the tree, taken at one place.
fn sum<T: Value>(step: usize, node: Range<usize>, bucket: usize, y: &mut [T]) {
    let leaf = |shard| (0..y.len()).map(|i| value(step, shard, bucket, i)).collect::<Vec<T>>();
    let leaves: Vec<_> = node.clone().map(|shard| shard..shard + 1).collect();
    let data: Vec<Vec<T>> = node.clone().map(leaf).collect();
    tree::sum_node(node, &leaves, |i| &data[i], y);
}

/// A rank's sum, and its buffers while no exchange has them: by bucket and node.
struct Step<T> {
    sum: ShardSum<T>,
    /// Elements of each bucket.
    buckets: Vec<usize>,
    buffers: Vec<Vec<Option<Buffer<T>>>>,
    shares: Shares,
}

impl<T: Value> Step<T> {
    fn new(
        communicator: &mut Communicator,
        buckets: &[usize],
        shares: &Shares,
        nodes: usize,
    ) -> Result<Self, Error> {
        let buckets = buckets.to_vec();
        let plan = ShardPlan { buckets: buckets.clone(), nodes, shards: MOST_SHARDS, shares: shares.clone() };
        let (sum, by_node) = ShardSum::new(communicator, &plan)?;
        let mut buffers: Vec<Vec<_>> = buckets.iter().map(|_| Vec::new()).collect();
        for node in by_node {
            assert_eq!(node.iter().map(|buffer| buffer.len()).collect::<Vec<_>>(), buckets);
            buffers.iter_mut().zip(node).for_each(|(bucket, buffer)| bucket.push(Some(buffer)));
        }
        assert!(buffers.iter().all(|bucket| bucket.len() == nodes));
        Ok(Self { sum, buckets, buffers, shares: shares.clone() })
    }

    /// The buffer of the `n`th node of a step: another one in each.
    fn place(&self, step: usize, n: usize) -> usize {
        (step + n) % self.buffers[0].len()
    }

    /// Lays down this rank's nodes and checks the sums.
    fn run(
        &mut self,
        communicator: &mut Communicator,
        step: usize,
        shards: usize,
        how: Nodes,
        what: &str,
    ) -> Result<(), Error> {
        let (own, mut nodes) = (self.shares.range(communicator.rank(), shards), Vec::new());
        match how {
            Nodes::Largest => tree::largest(own, shards, &mut nodes),
            Nodes::Pending => tree::pending(own, shards, &mut nodes),
        }
        let placed = nodes.iter().enumerate().map(|(n, node)| (node.clone(), self.place(step, n)));
        let placed: Vec<_> = placed.collect();
        self.sum.begin(communicator, shards, placed.iter().cloned())?;
        for bucket in (0..self.buckets.len()).rev() {
            for (node, place) in &placed {
                let buffer = self.buffers[bucket][*place].as_mut().expect("it is here");
                sum(step, node.clone(), bucket, buffer);
            }
            let taken: Vec<_> = placed
                .iter()
                .map(|(_, place)| self.buffers[bucket][*place].take().expect("it is here"))
                .collect();
            self.sum.contribute(communicator, bucket, taken.into_iter())?;
            self.sum.advance(communicator)?;
        }
        self.sum.wait(communicator)?;
        for (bucket, len) in self.buckets.iter().copied().enumerate() {
            let mut expected = vec![T::from(0.0); len];
            sum(step, 0..shards, bucket, &mut expected);
            for range in [0..len, len / 3..len / 2, len..len] {
                let mut got = vec![T::from(f32::NAN); range.len()];
                self.sum.read(communicator, bucket, range.clone(), &mut got);
                let differs = (0..got.len()).find(|i| got[*i] != expected[range.start + i]);
                if let Some(i) = differs {
                    let (got, expected) = (got[i], expected[range.start + i]);
                    panic!(
                        "{what}, step {step} of {shards} shards, bucket {bucket}, element {} is {got:?}, not {expected:?}",
                        range.start + i
                    );
                }
            }
        }
        let buffers = &mut self.buffers;
        self.sum.finish(communicator, |bucket, n, buffer| {
            let place = placed[n].1;
            assert!(
                buffers[bucket][place].replace(buffer).is_none(),
                "node {n} of bucket {bucket} came back twice"
            );
        });
        assert!(self.buffers.iter().flatten().all(Option::is_some), "{what}: a buffer did not come back");
        Ok(())
    }
}

/// Equal, unequal, and with ranks that never have a shard.
fn weights(world: usize) -> [Vec<usize>; 3] {
    let some = |rank: usize| if rank % 3 == 1 { 0 } else { 1 + rank };
    [vec![1; world], (0..world).map(|rank| 2 * (world - rank) + 1).collect(), (0..world).map(some).collect()]
}

/// All steps with all weights.
fn check<T: Value>(communicator: &mut Communicator, arrangement: Arrangement) -> Result<(), Error> {
    let (rank, world) = (communicator.rank(), communicator.world_size());
    for weights in weights(world) {
        let shares = Shares::new(&weights).expect("some weight");
        let what = format!("{arrangement:?}, weights {weights:?}");
        // Ranks differ in how many nodes they bring.
        let how = if rank % 2 == 0 { Nodes::Largest } else { Nodes::Pending };
        let nodes = if weights[rank] == 0 { 0 } else { tree::max_pending(MOST_SHARDS) };
        let mut state = Step::<T>::new(communicator, &BUCKETS, &shares, nodes)?;
        for (step, shards) in STEPS.into_iter().enumerate() {
            state.run(communicator, step, shards, how, &what)?;
        }
    }
    Ok(())
}

#[test]
fn the_sum_has_the_bits_of_the_tree_over_all_shards() {
    for arrangement in ARRANGEMENTS {
        for world in [2, 3, 5, 8] {
            spawn(world, arrangement, |mut communicator| check::<f32>(&mut communicator, arrangement));
        }
    }
}

#[test]
fn doubles_have_the_bits_of_the_tree() {
    for arrangement in ARRANGEMENTS {
        spawn(3, arrangement, |mut communicator| check::<f64>(&mut communicator, arrangement));
    }
}

/// One step of buckets of these lengths, over links alone: the memory for what they carry is planned by
/// slice.
fn buckets_of_any_length<T: Value>(communicator: &mut Communicator, buckets: &[usize]) -> Result<(), Error> {
    let nodes = tree::max_pending(MOST_SHARDS);
    let shares = Shares::even(communicator.world_size());
    let mut state = Step::<T>::new(communicator, buckets, &shares, nodes)?;
    state.run(communicator, 0, MOST_SHARDS, Nodes::Largest, &format!("buckets of {buckets:?}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn slices_of_any_bucket_have_room(world in 2usize..13, buckets in proptest::collection::vec(0usize..700, 1..6)) {
        spawn(world, Arrangement::Tcp, |mut communicator| {
            buckets_of_any_length::<f32>(&mut communicator, &buckets)?;
            buckets_of_any_length::<f64>(&mut communicator, &buckets)
        });
    }
}

/// The last of three slices of 25 doubles has 9 of them, while the last of as many bytes of singles has 2
/// elements.
#[test]
fn a_bucket_of_doubles_with_late_slices_has_room() {
    spawn(3, Arrangement::Tcp, |mut communicator| buckets_of_any_length::<f64>(&mut communicator, &[25]));
}

/// Other ranks would read another buffer than the one that was handed over, while this rank may write it.
#[test]
fn only_the_announced_buffers_can_be_handed_over() {
    type Buffers = Vec<Vec<Buffer<f32>>>;
    #[expect(clippy::type_complexity, reason = "what is handed over for bucket 0, and what is said of it")]
    let cases: [(fn(&mut Buffers) -> Vec<Buffer<f32>>, &str); 6] = [
        (|b| vec![b[1].remove(0)], "are in another buffer than number 0, which was announced"),
        (|b| vec![b[0].remove(1)], "are in another buffer than number 0, which was announced"),
        (|_| vec![Buffer::private(100)], "are in another buffer than number 0, which was announced"),
        (|_| vec![], "0 buffers for the 1 nodes of bucket 0"),
        (|b| vec![b[0].remove(0), b[1].remove(0)], "2 buffers for the 1 nodes of bucket 0"),
        (|b| vec![std::mem::replace(&mut b[0][0], Buffer::private(1))], ""),
    ];
    for arrangement in [Arrangement::Shared, Arrangement::Tcp] {
        spawn(2, arrangement, |mut communicator| {
            for (choose, expected) in cases {
                let plan =
                    ShardPlan { buckets: vec![100, 100], nodes: 2, shards: 2, shares: Shares::even(2) };
                let (sum, mut buffers) = ShardSum::<f32>::new(&mut communicator, &plan)?;
                let rank = communicator.rank();
                sum.begin(&mut communicator, 2, std::iter::once((rank..rank + 1, 0)))?;
                let chosen = choose(&mut buffers);
                let contribute = || sum.contribute(&mut communicator, 0, chosen.into_iter());
                let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(contribute));
                match outcome {
                    Ok(result) => assert_eq!((result.is_ok(), expected), (true, "")),
                    Err(panic) => {
                        let said = panic.downcast_ref::<String>().expect("a message with numbers");
                        assert!(!expected.is_empty() && said.contains(expected), "{said}");
                    }
                }
            }
            Ok(())
        });
    }
}

#[test]
fn a_rank_that_waits_for_no_sum_is_told() {
    spawn(2, Arrangement::Shared, |mut communicator| {
        let plan = ShardPlan { buckets: vec![100, 50], nodes: 1, shards: 2, shares: Shares::even(2) };
        let (sum, mut buffers) = ShardSum::<f32>::new(&mut communicator, &plan)?;
        let rank = communicator.rank();
        let outcome = if rank == 0 {
            communicator.barrier()
        } else {
            sum.begin(&mut communicator, 2, std::iter::once((rank..rank + 1, 0)))?;
            for (bucket, buffer) in buffers.remove(0).into_iter().enumerate() {
                sum.contribute(&mut communicator, bucket, std::iter::once(buffer))?;
            }
            sum.wait(&mut communicator)
        };
        let error = outcome.expect_err("the ranks differ").to_string();
        let expected = "ranks 0 and 1 do not do the same: barrier against allreduce of 150 f32";
        assert!(error.contains(expected), "{error}");
        Ok(())
    });
}

/// Nobody could end such a wait.
#[test]
fn only_contributed_buckets_can_be_waited_for() {
    spawn(2, Arrangement::Shared, |mut communicator| {
        let plan = ShardPlan { buckets: vec![100, 100], nodes: 1, shards: 2, shares: Shares::even(2) };
        let (sum, mut buffers) = ShardSum::<f32>::new(&mut communicator, &plan)?;
        let rank = communicator.rank();
        let assert_panics = |communicator: &mut Communicator, bucket: usize| {
            let wait = || sum.wait(communicator);
            let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(wait)).expect_err("no wait");
            let said = panic.downcast_ref::<String>().expect("a message with numbers");
            assert_eq!(*said, format!("a wait for bucket {bucket}, which was not contributed"));
        };
        assert_panics(&mut communicator, 0);
        sum.begin(&mut communicator, 2, std::iter::once((rank..rank + 1, 0)))?;
        assert_panics(&mut communicator, 0);
        let mut buffers = buffers.remove(0).into_iter();
        sum.contribute(&mut communicator, 0, buffers.next().into_iter())?;
        assert_panics(&mut communicator, 1);
        sum.contribute(&mut communicator, 1, buffers)?;
        sum.wait(&mut communicator)
    });
}

/// In a broken group, every call of a step is an error, whatever the step was in the middle of.
#[test]
fn a_step_in_a_broken_group_is_an_error_at_every_call() {
    for arrangement in ARRANGEMENTS {
        let planned = Barrier::new(3);
        spawn(3, arrangement, |mut communicator| {
            let plan = ShardPlan { buckets: vec![100, 100], nodes: 1, shards: 3, shares: Shares::even(3) };
            let (sum, mut buffers) = ShardSum::<f32>::new(&mut communicator, &plan)?;
            let rank = communicator.rank();
            planned.wait();
            if rank == 1 {
                communicator.abort("it has had enough");
            }
            let nodes = || std::iter::once((rank..rank + 1, 0));
            let mut buffers = buffers.remove(0).into_iter();
            let contribution = buffers.next();
            let first = sum
                .begin(&mut communicator, 3, nodes())
                .and_then(|()| sum.contribute(&mut communicator, 0, contribution.into_iter()))
                .and_then(|()| sum.contribute(&mut communicator, 1, buffers.by_ref()))
                .and_then(|()| sum.wait(&mut communicator))
                .expect_err("the group is broken")
                .to_string();
            assert!(first.starts_with("it has had enough (rank "), "{arrangement:?}: {first}");
            let later = [
                sum.begin(&mut communicator, 3, nodes()),
                sum.contribute(&mut communicator, 0, std::iter::empty()),
                sum.advance(&mut communicator),
                sum.wait(&mut communicator),
                communicator.barrier(),
            ];
            for result in later {
                assert_eq!(result.expect_err("the group is broken").to_string(), first, "{arrangement:?}");
            }
            Ok(())
        });
    }
}

/// Two sums that take turns, with other operations between them, at whatever distance the ranks are.
#[test]
fn sums_and_operations_follow_each_other() {
    for arrangement in ARRANGEMENTS {
        spawn(4, arrangement, |mut communicator| {
            let shares = Shares::new(&[3, 0, 1, 2]).expect("some weight");
            let nodes = tree::max_pending(MOST_SHARDS);
            let mut one = Step::<f32>::new(&mut communicator, &BUCKETS, &shares, nodes)?;
            let mut other = Step::<f64>::new(&mut communicator, &BUCKETS, &Shares::even(4), nodes)?;
            for step in 0..60 {
                let shards = STEPS[step % STEPS.len()];
                let what = format!("{arrangement:?}");
                one.run(&mut communicator, step, shards, Nodes::Largest, &what)?;
                let mut metrics = [1.0f64, step as f64];
                communicator.allreduce(&mut metrics)?;
                assert_eq!(metrics, [4.0, 4.0 * step as f64]);
                other.run(&mut communicator, step, 1 + step % MOST_SHARDS, Nodes::Pending, &what)?;
            }
            Ok(())
        });
    }
}
