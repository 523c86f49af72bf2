//! The queue and the sequencer under an interleaving checker: every order in which their threads can run, up
//! to a number of preemptions. The files are those of the crate, compiled here with the checker's locks.

#![forbid(unsafe_code)]

mod sync {
    //! The checker's locks. Nobody looks before sleeping, so the number to look at is never read.

    pub(super) use loom::sync::{Condvar, Mutex, MutexGuard};
    pub(super) use std::sync::PoisonError;
    pub(super) use std::sync::atomic::{AtomicUsize, Ordering};

    pub(super) fn looks() -> std::ops::Range<usize> {
        0..0
    }

    pub(super) fn is_late(_look: usize) -> bool {
        true
    }

    pub(super) fn pause() {}
}

#[path = "../src/pipeline/queue.rs"]
#[allow(dead_code, unreachable_pub, reason = "the crate uses the rest, and hands on what is public")]
mod queue;
#[path = "../src/pipeline/sequencer.rs"]
#[allow(dead_code, reason = "the crate uses the rest")]
mod sequencer;

use std::collections::VecDeque;
use std::sync::Arc;

use loom::thread;
use queue::{Queue, Stopped};
use sequencer::Sequencer;

/// Runs `model` in every order with at most `preemptions` switches away from a thread that could go on.
fn check(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

fn queue(capacity: usize, producers: usize, consumers: usize) -> Arc<Queue<u32>> {
    let queue = Arc::new(Queue::new(Some(capacity)));
    (0..producers).for_each(|_| queue.add_producer());
    queue.set_consumers(consumers);
    queue
}

/// Takes until the end of the stream, up to `most` at a time.
fn drain(queue: &Queue<u32>, most: usize) -> Result<Vec<u32>, Stopped> {
    let (mut all, mut batch) = (Vec::new(), VecDeque::new());
    while queue.take(most, 1, 1, &mut batch)?.is_some() {
        assert!(!batch.is_empty() && batch.len() <= most);
        all.extend(batch.drain(..));
    }
    Ok(all)
}

#[test]
fn every_item_arrives_once_and_every_consumer_sees_the_end() {
    // With four threads, more preemptions would take minutes.
    for (capacity, most) in [(1, 1), (2, 2)] {
        check(1, move || {
            let queue = queue(capacity, 2, 2);
            let producers: Vec<_> = [10, 20]
                .map(|base| {
                    let queue = Arc::clone(&queue);
                    thread::spawn(move || {
                        (0..2).for_each(|n| queue.push(base + n).unwrap());
                        queue.producer_done();
                    })
                })
                .into();
            let other = {
                let queue = Arc::clone(&queue);
                thread::spawn(move || drain(&queue, most).unwrap())
            };
            let mine = drain(&queue, most).unwrap();
            producers.into_iter().for_each(|producer| producer.join().unwrap());
            let others = other.join().unwrap();
            for part in [&mine, &others] {
                for base in [10, 20] {
                    assert!(part.iter().filter(|n| *n - *n % 10 == base).is_sorted(), "a producer's order");
                }
            }
            let mut all = [mine, others].concat();
            all.sort_unstable();
            assert_eq!(all, [10, 11, 20, 21]);
        });
    }
}

#[test]
fn two_producers_at_a_queue_with_room_for_one() {
    check(3, || {
        let queue = queue(1, 2, 1);
        let other = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || {
                (10..12).for_each(|n| queue.push(n).unwrap());
                queue.producer_done();
            })
        };
        let consumer = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || drain(&queue, 2).unwrap())
        };
        queue.push(20).unwrap();
        queue.producer_done();
        other.join().unwrap();
        let all = consumer.join().unwrap();
        assert!(
            [[10, 11, 20], [10, 20, 11], [20, 10, 11]].contains(&[all[0], all[1], all[2]]) && all.len() == 3
        );
    });
}

#[test]
fn three_consumers_of_one_item_all_end() {
    check(1, || {
        let queue = queue(1, 1, 3);
        let consumers: Vec<_> = [(); 2]
            .map(|()| {
                let queue = Arc::clone(&queue);
                thread::spawn(move || drain(&queue, 1).unwrap().len())
            })
            .into();
        let producer = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || {
                queue.push(1).unwrap();
                queue.producer_done();
            })
        };
        let mine = drain(&queue, 1).unwrap().len();
        producer.join().unwrap();
        assert_eq!(mine + consumers.into_iter().map(|consumer| consumer.join().unwrap()).sum::<usize>(), 1);
    });
}

#[test]
fn a_stop_wakes_everybody_and_drops_the_items() {
    check(3, || {
        let queue = queue(1, 1, 1);
        let producer = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || (0..3).try_for_each(|n| queue.push(n)))
        };
        let consumer = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || drain(&queue, 1))
        };
        queue.stop();
        // Nobody says that the stream has ended, so only the stop can end them.
        assert_eq!(consumer.join().unwrap(), Err(Stopped));
        let pushed = producer.join().unwrap();
        assert!(pushed.is_err() || queue.push(4).is_err());
        assert_eq!(queue.survey().asleep, 0);
    });
}

#[test]
fn a_sequencer_restores_the_order_of_takes() {
    check(3, || {
        let (input, output) = (queue(3, 1, 2), queue(5, 1, 1));
        (0..3).for_each(|n| input.push(n).unwrap());
        input.producer_done();
        let sequencer = Arc::new(Sequencer::new());
        sequencer.reset(2);
        let work = |worker: usize| {
            let (input, output, sequencer) =
                (Arc::clone(&input), Arc::clone(&output), Arc::clone(&sequencer));
            move || {
                let mut batch = VecDeque::new();
                while let Some(taken) = input.take(1, 1, 1, &mut batch).unwrap() {
                    sequencer.submit(taken.ticket, batch.drain(..).collect(), |n| output.push(n)).unwrap();
                }
                sequencer.finish(worker, vec![100 + worker as u32], |n| output.push(n)).unwrap();
            }
        };
        let other = thread::spawn(work(0));
        work(1)();
        other.join().unwrap();
        output.producer_done();
        assert_eq!(drain(&output, 5).unwrap(), [0, 1, 2, 100, 101]);
    });
}
