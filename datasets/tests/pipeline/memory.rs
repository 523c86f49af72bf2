//! Large chunks: no copy of their data on the way, and a bounded number of them at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use isograd_datasets::pipeline::{Branch, Cause, Pipeline, Stream};

use crate::ends::Counted;
use crate::{LONG, within};

/// 100 MB.
const BYTES: usize = 100_000_000;

struct Chunk {
    number: usize,
    data: Vec<u8>,
    /// Where the data were when they were made.
    made_at: usize,
    _counted: Counted,
}

/// Keeps the most that there have been of something.
fn note(most: &AtomicUsize, live: &AtomicUsize) {
    most.fetch_max(live.load(Ordering::Relaxed), Ordering::Relaxed);
}

#[test]
fn large_chunks_are_neither_copied_nor_piled_up() {
    within("memory", LONG, || {
        let (live, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let make = {
            let (live, most) = (Arc::clone(&live), Arc::clone(&most));
            move |number: usize| {
                let counted = Counted::new(&live);
                note(&most, &live);
                // Zeros that are never touched take no memory; what is tested is where they are, and how
                // many.
                let mut data = vec![0; BYTES];
                data[number] = 1;
                Chunk { number, made_at: data.as_ptr() as usize, data, _counted: counted }
            }
        };
        let slow = |chunk: Chunk| {
            std::thread::sleep(std::time::Duration::from_millis(1));
            chunk
        };
        let check = |name: &'static str| {
            Branch::new(move |stream: Stream<Arc<Chunk>>| {
                stream.fold(name, 0, |count: &mut usize, chunk: Arc<Chunk>| {
                    let here = chunk.data.as_ptr() as usize;
                    let is_in_order = chunk.number == *count && chunk.data[chunk.number] == 1;
                    *count += 1;
                    if here == chunk.made_at && is_in_order {
                        Ok(())
                    } else {
                        Err(Cause::from("copied, or out of order"))
                    }
                })
            })
        };
        let stream = Pipeline::new().source("numbers", 0..40_usize).map("make", make).buffer(2);
        let stream = stream
            .map("one", slow)
            .buffer(1)
            .map("two", slow)
            .workers(2)
            .buffer(1)
            .map("three", slow)
            .buffer(1);
        let mut out =
            stream.fan_out([check("first"), check("second"), check("third")]).build().unwrap().run().unwrap();
        for name in ["first", "second", "third"] {
            assert_eq!(out.take::<usize>(name).unwrap(), 40);
        }
        assert_eq!(live.load(Ordering::Relaxed), 0);
        // Queues behind `make`, `one`, `two` and each branch of `three`: 2 + 1 + 1 + 1; in hands: `make` 1,
        // `one`, `two`, `three` and the sinks up to what they take at a time, which is 1 or 2, and up to 8
        // results of `two` that wait for their turn.
        let most = most.load(Ordering::Relaxed);
        assert!(most <= 22, "{most} chunks at a time");
    });
}

#[test]
fn queues_of_no_given_size_stay_small_for_slow_items() {
    within("small queues", LONG, || {
        let (live, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (counter, high) = (Arc::clone(&live), Arc::clone(&most));
        let make = move |_: u32| {
            let counted = Counted::new(&counter);
            note(&high, &counter);
            counted
        };
        let slow = |_: Counted| {
            std::thread::sleep(std::time::Duration::from_millis(1));
            Ok::<_, Cause>(())
        };
        let end = Pipeline::new().source("numbers", 0..200).map("make", make).for_each("slow", slow);
        end.build().unwrap().run().unwrap();
        let most = most.load(Ordering::Relaxed);
        assert!(most <= 8, "{most} items at a time: 4 in the queue, 1 made, some taken");
    });
}
