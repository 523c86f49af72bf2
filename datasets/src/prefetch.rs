//! Samples read ahead by threads of the caller.
//!
//! ```text
//! announce: forget what is ahead; note the samples that will be asked for, in order
//! each thread, as long as there is a free buffer: read the next sample that nobody has begun
//! read: a sample that is ahead gives its buffer for that of the caller, which is free then
//!       one that a thread is reading is waited for
//!       any other is read by the caller itself
//! ```
//!
//! A sample is a pure function of epoch and index, so it does not matter who reads it. There is a fixed
//! number of buffers: so many samples are in memory at most, beside those that callers hold.

use std::collections::HashMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::parent::Parent;
use crate::{Dataset, Normalization, Pixels, ReadError, Request, Sample, SampleBuffer, Target};

/// Another data set whose coming samples are read ahead, for sets that read files, decode or compute. For
/// sets in memory, it only costs time.
///
/// It has no threads of its own: the caller gives it any number of them.
///
/// ```
/// use isograd_datasets::{Dataset, Prefetched, Request, SampleBuffer, Synthetic};
///
/// let set = Synthetic { seed: 1, sample_shape: [3, 8, 8], num_classes: 2 }.samples(0..50)?;
/// let prefetched = Prefetched::new(&set, 16);
/// std::thread::scope(|scope| {
///     // However this ends, the thread ends then.
///     let _closing = prefetched.closing();
///     scope.spawn(|| prefetched.read_ahead());
///     prefetched.announce(0, &mut (0..50));
///     let mut buffer = SampleBuffer::new();
///     for index in 0..50 {
///         assert_eq!(prefetched.read(Request::new(index), &mut buffer), Ok(set.sample(index)));
///     }
/// });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Prefetched<'a> {
    parent: Parent<'a>,
    state: Mutex<State>,
    /// There may be something to read ahead, or it is over.
    work: Condvar,
    /// A sample has been read ahead.
    done: Condvar,
}

#[derive(Debug)]
struct State {
    epoch: u32,
    /// Counts the announcements: a thread may still read for an earlier one.
    announcement: u64,
    upcoming: Vec<u32>,
    /// How many of `upcoming` have been looked at.
    next: usize,
    /// Whether each sample of the set is among `upcoming` and nobody has begun to read it.
    is_pending: Vec<bool>,
    /// Samples that have been begun and not asked for yet.
    ahead: HashMap<u32, Ahead>,
    free: Vec<SampleBuffer>,
    is_closed: bool,
}

/// A sample that a thread reads or has read.
#[derive(Debug)]
enum Ahead {
    Reading,
    Read(Result<Kind, ReadError>, SampleBuffer),
}

/// What of a buffer a sample is.
#[derive(Clone, Copy, Debug)]
struct Kind {
    is_bytes: bool,
    /// `None` if the target is the buffer's values.
    class: Option<u32>,
}

/// Ends the threads that read ahead when it is dropped.
#[derive(Debug)]
pub struct Closing<'a>(&'a Prefetched<'a>);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.lock().is_closed = true;
        self.0.work.notify_all();
    }
}

impl<'a> Prefetched<'a> {
    /// The samples of `parent`, at most `samples` of them ahead of who asks for them.
    ///
    /// # Panics
    ///
    /// If `samples` is 0.
    pub fn new(parent: impl Into<Parent<'a>>, samples: usize) -> Self {
        assert!(samples > 0, "at least one sample must fit ahead");
        let parent = parent.into();
        let state = State {
            epoch: 0,
            announcement: 0,
            upcoming: Vec::new(),
            next: 0,
            is_pending: vec![false; parent.len()],
            ahead: HashMap::with_capacity(samples),
            free: (0..samples).map(|_| SampleBuffer::new()).collect(),
            is_closed: false,
        };
        Self { parent, state: Mutex::new(state), work: Condvar::new(), done: Condvar::new() }
    }

    /// Reads announced samples ahead, until it is [closed](Self::closing). Several threads may do so.
    ///
    /// # Panics
    ///
    /// As the reads of the parent do. Who asks for such a sample then reads it again.
    pub fn read_ahead(&self) {
        while let Some((announcement, request, mut buffer)) = self.next() {
            let mut finish =
                Finish { prefetched: self, announcement, index: request.index as u32, read: None };
            let read = self.read_into(request, &mut buffer);
            finish.read = Some((read, buffer));
        }
    }

    /// Ends the threads that read ahead when what this returns is dropped.
    pub fn closing(&self) -> Closing<'_> {
        Closing(self)
    }

    /// A thread that panicked has left the state as it was between two operations.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a sample to read ahead and a buffer for it; `None` at the end.
    fn next(&self) -> Option<(u64, Request, SampleBuffer)> {
        let mut state = self.lock();
        loop {
            if state.is_closed {
                return None;
            }
            if let Some((index, buffer)) = state.begin() {
                let request = Request { index: index as usize, epoch: state.epoch };
                return Some((state.announcement, request, buffer));
            }
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Reads a sample of the parent so that all of it lies in `buffer`.
    fn read_into(&self, request: Request, buffer: &mut SampleBuffer) -> Result<Kind, ReadError> {
        let (inner, outer) = buffer.with_inner();
        let Sample { pixels, target } = self.parent.read(request, inner)?;
        match pixels {
            Pixels::U8(pixels) => {
                outer.bytes.clear();
                outer.bytes.extend_from_slice(pixels);
            }
            Pixels::F32(pixels) => {
                outer.floats.clear();
                outer.floats.extend_from_slice(pixels);
            }
        }
        if let Target::Values(values) = target {
            outer.values.clear();
            outer.values.extend_from_slice(values);
        }
        Ok(Kind { is_bytes: pixels.bytes().is_some(), class: target.class() })
    }

    /// Takes a sample that was read ahead, into `buffer`; `None` if the caller has to read it.
    fn take(&self, request: Request, buffer: &mut SampleBuffer) -> Option<Result<Kind, ReadError>> {
        let index = request.index as u32;
        let mut state = self.lock();
        loop {
            if state.epoch != request.epoch {
                return None;
            }
            match state.ahead.get(&index) {
                None => {
                    if let Some(is_pending) = state.is_pending.get_mut(request.index) {
                        *is_pending = false;
                    }
                    return None;
                }
                Some(Ahead::Reading) => {
                    state = self.done.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                Some(Ahead::Read(..)) => break,
            }
        }
        let Some(Ahead::Read(read, mut theirs)) = state.ahead.remove(&index) else {
            unreachable!("sample {index} has been read")
        };
        std::mem::swap(buffer, &mut theirs);
        state.free.push(theirs);
        drop(state);
        self.work.notify_one();
        Some(read)
    }
}

impl State {
    /// Begins the next sample that nobody has begun, if there is one and a buffer for it.
    fn begin(&mut self) -> Option<(u32, SampleBuffer)> {
        if self.free.is_empty() {
            return None;
        }
        while let Some(index) = self.upcoming.get(self.next).copied() {
            self.next += 1;
            if std::mem::take(&mut self.is_pending[index as usize]) {
                self.ahead.insert(index, Ahead::Reading);
                return self.free.pop().map(|buffer| (index, buffer));
            }
        }
        None
    }
}

/// Hands over a sample that a thread has read, or says that nobody reads it when the thread panics.
struct Finish<'a> {
    prefetched: &'a Prefetched<'a>,
    announcement: u64,
    index: u32,
    read: Option<(Result<Kind, ReadError>, SampleBuffer)>,
}

impl Drop for Finish<'_> {
    fn drop(&mut self) {
        let mut state = self.prefetched.lock();
        let is_current = state.announcement == self.announcement;
        match self.read.take() {
            Some((read, buffer)) if is_current => {
                state.ahead.insert(self.index, Ahead::Read(read, buffer));
            }
            read => {
                if is_current {
                    state.ahead.remove(&self.index);
                }
                // A buffer is as good as another, and there are as many as before.
                state.free.push(read.map(|(_, buffer)| buffer).unwrap_or_default());
                self.prefetched.work.notify_one();
            }
        }
        drop(state);
        self.prefetched.done.notify_all();
    }
}

impl Dataset for Prefetched<'_> {
    fn len(&self) -> usize {
        self.parent.len()
    }

    fn sample_shape(&self) -> [usize; 3] {
        self.parent.sample_shape()
    }

    fn num_classes(&self) -> usize {
        self.parent.num_classes()
    }

    fn inner(&self) -> Option<&dyn Dataset> {
        Some(&*self.parent)
    }

    fn normalization(&self) -> &Normalization {
        self.parent.normalization()
    }

    fn read<'b>(&'b self, request: Request, buffer: &'b mut SampleBuffer) -> Result<Sample<'b>, ReadError> {
        let Some(read) = self.take(request, buffer) else {
            return self.parent.read(request, buffer);
        };
        let Kind { is_bytes, class } = read?;
        let SampleBuffer { bytes, floats, values, .. } = buffer;
        let pixels = if is_bytes { Pixels::U8(bytes) } else { Pixels::F32(floats) };
        Ok(Sample { pixels, target: class.map_or(Target::Values(values), Target::Class) })
    }

    fn announce(&self, epoch: u32, upcoming: &mut dyn Iterator<Item = u32>) {
        let mut state = self.lock();
        let state = &mut *state;
        state.epoch = epoch;
        state.announcement += 1;
        state.upcoming.clear();
        state.upcoming.extend(upcoming);
        state.next = 0;
        state.is_pending.fill(false);
        for index in &state.upcoming {
            state.is_pending[*index as usize] = true;
        }
        for (_, ahead) in state.ahead.drain() {
            // Threads give the buffers of what they still read back themselves.
            if let Ahead::Read(_, buffer) = ahead {
                state.free.push(buffer);
            }
        }
        self.work.notify_all();
        self.done.notify_all();
    }
}
