//! Samples read ahead are those that are read directly, within the bound, whoever reads them.

use isograd_datasets::augment::{Augmented, HorizontalFlip, Mixing, Mixup, RandomCrop};
use isograd_datasets::{
    Arrays, Dataset, Normalization, Pixels, Prefetched, ReadError, Request, Sample, SampleBuffer, Synthetic,
    Target,
};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const SAMPLES: usize = 60;

/// A set that counts how often each sample is read. The sample `bad` cannot be read.
struct Counting {
    inner: Arrays<'static>,
    reads: Vec<AtomicUsize>,
    bad: Option<usize>,
}

impl Counting {
    fn new(bad: Option<usize>) -> Self {
        let sequence = Synthetic { seed: 1, sample_shape: [1, 4, 4], num_classes: 3 };
        let reads = (0..SAMPLES).map(|_| AtomicUsize::new(0)).collect();
        Self { inner: sequence.samples(0..SAMPLES as u64).unwrap(), reads, bad }
    }

    fn reads(&self) -> usize {
        self.reads.iter().map(|count| count.load(Ordering::SeqCst)).sum()
    }
}

impl Dataset for Counting {
    fn len(&self) -> usize {
        SAMPLES
    }

    fn sample_shape(&self) -> [usize; 3] {
        self.inner.sample_shape()
    }

    fn num_classes(&self) -> usize {
        self.inner.num_classes()
    }

    fn normalization(&self) -> &Normalization {
        self.inner.normalization()
    }

    fn read<'a>(&'a self, request: Request, buffer: &'a mut SampleBuffer) -> Result<Sample<'a>, ReadError> {
        self.reads[request.index].fetch_add(1, Ordering::SeqCst);
        match self.bad == Some(request.index) {
            true => Err(ReadError::new("the file is torn")),
            false => self.inner.read(request, buffer),
        }
    }
}

fn owned(sample: Sample<'_>) -> (Vec<u8>, Result<u32, Vec<f32>>) {
    let target = match sample.target {
        Target::Class(class) => Ok(class),
        Target::Values(values) => Err(values.to_vec()),
    };
    match sample.pixels {
        Pixels::U8(bytes) => (bytes.to_vec(), target),
        Pixels::F32(values) => (values.iter().flat_map(|value| value.to_le_bytes()).collect(), target),
    }
}

/// Runs `work` while `threads` threads read ahead.
fn with_threads(set: &Prefetched<'_>, threads: usize, work: impl FnOnce()) {
    std::thread::scope(|scope| {
        let _closing = set.closing();
        for _ in 0..threads {
            scope.spawn(|| set.read_ahead());
        }
        work();
    });
}

#[test]
fn samples_are_the_same_whoever_reads_them() {
    let bytes = Synthetic { seed: 1, sample_shape: [1, 8, 8], num_classes: 3 }.samples(0..60).unwrap();
    let floats: Vec<f32> = (0..60 * 64).map(|value| value as f32).collect();
    let floats = Arrays::from_f32(floats, bytes.labels().to_vec(), [1, 8, 8], 3).unwrap();
    let changes = [HorizontalFlip::default().into(), RandomCrop::padded(2).into()];
    for parent in [&bytes, &floats] {
        let plain = Augmented::new(parent, 5, changes).unwrap();
        let mixed = Augmented::new(parent, 5, changes).unwrap();
        let mixed = mixed.with_mixing(Mixing::Mixup(Mixup { alpha: 1.0 })).unwrap();
        for set in [&plain, &mixed] {
            for (threads, ahead) in [(0, 4), (1, 1), (1, 100), (3, 7)] {
                let prefetched = Prefetched::new(set, ahead);
                with_threads(&prefetched, threads, || {
                    let mut buffer = SampleBuffer::new();
                    for epoch in 0..3 {
                        let mut order = vec![0; 60];
                        prefetched.order(9, epoch, &mut order);
                        // The last ones are not announced, and some are read twice.
                        prefetched.announce(epoch, &mut order[..50].iter().copied());
                        for index in order.iter().chain(&order[10..20]) {
                            let request = Request { index: *index as usize, epoch };
                            let got = owned(prefetched.read(request, &mut buffer).unwrap());
                            let expected = owned(set.read(request, &mut SampleBuffer::new()).unwrap());
                            assert_eq!(got, expected, "{request:?}, {threads} threads, {ahead} ahead");
                        }
                        let other = Request { index: 3, epoch: epoch + 7 };
                        let got = owned(prefetched.read(other, &mut buffer).unwrap());
                        assert_eq!(got, owned(set.read(other, &mut SampleBuffer::new()).unwrap()));
                    }
                });
            }
        }
    }
}

/// Several callers at once, which read what threads have not begun.
#[test]
fn each_sample_is_read_once() {
    for threads in [0, 1, 4] {
        let set = Counting::new(None);
        let prefetched = Prefetched::new(&set, 5);
        with_threads(&prefetched, threads, || {
            for epoch in 1..=4 {
                prefetched.announce(epoch, &mut (0..SAMPLES as u32));
                std::thread::scope(|scope| {
                    for part in [0..20, 20..45, 45..SAMPLES] {
                        let prefetched = &prefetched;
                        scope.spawn(move || {
                            let mut buffer = SampleBuffer::new();
                            part.for_each(|index| {
                                prefetched.read(Request { index, epoch }, &mut buffer).unwrap();
                            });
                        });
                    }
                });
                for (index, reads) in set.reads.iter().enumerate() {
                    assert_eq!(reads.load(Ordering::SeqCst), epoch as usize, "sample {index}");
                }
            }
        });
    }
}

#[test]
fn no_more_is_read_ahead_than_the_bound() {
    let set = Counting::new(None);
    let prefetched = Prefetched::new(&set, 7);
    with_threads(&prefetched, 3, || {
        let wait_for = |reads| {
            while set.reads() < reads {
                std::thread::yield_now();
            }
            // Long enough to read all of them, were there no bound.
            std::thread::sleep(Duration::from_millis(20));
            assert_eq!(set.reads(), reads);
        };
        prefetched.announce(0, &mut (0..SAMPLES as u32));
        wait_for(7);
        let mut buffer = SampleBuffer::new();
        for (index, reads) in [(0, 8), (1, 9)] {
            prefetched.read(Request::new(index), &mut buffer).unwrap();
            wait_for(reads);
        }
        // Another epoch forgets what is ahead.
        prefetched.announce(1, &mut (0..SAMPLES as u32));
        wait_for(9 + 7);
    });
    assert_eq!(set.reads(), 16);
}

#[test]
fn an_error_comes_with_its_sample() {
    let set = Counting::new(Some(20));
    let prefetched = Prefetched::new(&set, 30);
    with_threads(&prefetched, 2, || {
        prefetched.announce(0, &mut (0..SAMPLES as u32));
        let mut buffer = SampleBuffer::new();
        for index in 0..SAMPLES {
            let read = prefetched.read(Request::new(index), &mut buffer);
            let error = read.err().map(|error| error.to_string());
            assert_eq!(error, (index == 20).then(|| "the file is torn".to_string()), "sample {index}");
        }
    });
}

/// A set that panics at a sample.
struct Panicking(Counting);

impl Dataset for Panicking {
    fn len(&self) -> usize {
        SAMPLES
    }

    fn sample_shape(&self) -> [usize; 3] {
        self.0.sample_shape()
    }

    fn num_classes(&self) -> usize {
        self.0.num_classes()
    }

    fn normalization(&self) -> &Normalization {
        self.0.normalization()
    }

    fn read<'a>(&'a self, request: Request, buffer: &'a mut SampleBuffer) -> Result<Sample<'a>, ReadError> {
        assert_ne!(request.index, 3, "this set panics");
        self.0.read(request, buffer)
    }
}

#[test]
fn a_panic_of_a_thread_is_one_of_the_caller() {
    let set = Panicking(Counting::new(None));
    let prefetched = Prefetched::new(&set, 2);
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        with_threads(&prefetched, 1, || {
            prefetched.announce(0, &mut (0..10));
            let mut buffer = SampleBuffer::new();
            for index in 0..10 {
                prefetched.read(Request::new(index), &mut buffer).unwrap();
            }
        });
    }));
    assert!(result.is_err());
}
