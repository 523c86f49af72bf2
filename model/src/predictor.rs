//! A saved network in use: from bytes or floats to classes, on any number of threads.

use crate::checkpoint::{InputInfo, SavedNetwork};
use crate::error::Error;
use crate::layer::{Fusible, Mode, Preparation};
use crate::memory::Aligned;
use crate::network::{MemoryPlan, Network, Randomness, ShardMemory, State};
use crate::test_time::TestTime;
use isograd_kernels::Isa;
use isograd_kernels::layout::{self, Channels, Scaling};
use rayon::prelude::*;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// The most samples that go through the network together, and the fewest, which fill a vector register.
const CAPACITIES: [usize; 2] = [32, 16];
/// Memory of one pass from which on fewer samples go together.
const LARGE_BYTES: u128 = 256 << 20;

/// A trained network in use, with its normalisation and the names of its classes.
///
/// Any number of threads may call it at the same time: it is `Send` and `Sync`, and a call takes `&self`. A
/// call with many samples runs on all threads of the rayon pool that it is made in. In use, batch
/// normalisation is folded into the layers in front of it. Elements are f32, whatever the network was trained
/// in.
///
/// ```no_run
/// let predictor = isograd_model::Predictor::open("runs/a".as_ref())?;
/// let [channels, height, width] = predictor.input().shape;
/// let image = vec![0; height * width * channels]; // bytes, [H, W, C]
/// let probabilities = predictor.predict_nhwc_bytes(&image)?;
/// for (class, probability) in predictor.top(&probabilities, 3) {
///     println!("{} {probability}", predictor.class_name(class));
/// }
/// # Ok::<(), isograd_model::Error>(())
/// ```
#[derive(Debug)]
pub struct Predictor {
    network: Network<f32>,
    state: State<f32>,
    folded: Option<Aligned<f32>>,
    prepared: Aligned<f32>,
    isa: Isa,
    scores: Scores,
    test_time: TestTime,
    input: InputInfo,
    class_names: Vec<String>,
    /// Factors and addends of bytes and of floats.
    of_bytes: [Vec<f32>; 2],
    of_floats: [Vec<f32>; 2],
    capacity: usize,
    plan: Arc<MemoryPlan>,
    /// Memory that no call uses at the moment.
    idle: Mutex<Vec<ShardMemory<f32>>>,
}

/// What a [`Predictor`] gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scores {
    /// The output of the network, for classes their probabilities.
    #[default]
    Output,
    /// What goes into a softmax or a sigmoid that is the last layer; otherwise the output.
    Logits,
}

impl Predictor {
    /// The network that `train` has saved at `path`: a file of parameters, a checkpoint, or the folder of a
    /// run, which stands for its best checkpoint, or else its newest; see [`SavedNetwork::find`].
    ///
    /// Convolutions take the paths of their shapes, and there are no views, also where a program has trained
    /// otherwise: [`new`](Self::new) takes a network with other paths, and
    /// [`with_test_time`](Self::with_test_time) sets views.
    ///
    /// # Errors
    ///
    /// As [`SavedNetwork::find`], [`SavedNetwork::load`] and [`new`](Self::new).
    pub fn open(path: &Path) -> Result<Self, Error> {
        let saved = SavedNetwork::find(path)?;
        let input = saved.input()?;
        let (network, state) = saved.load()?;
        Self::new(network, state, input, saved.info.class_names)
    }

    /// A network in `state`. `input` says what samples go through on their way to it, and `class_names` are
    /// the names of its classes, or none.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] when `input` is not that of the network, [`Error::OutOfMemory`].
    ///
    /// # Panics
    ///
    /// When `state` is that of a network with other parameters.
    pub fn new(
        network: Network<f32>,
        state: State<f32>,
        input: InputInfo,
        class_names: Vec<String>,
    ) -> Result<Self, Error> {
        state.assert_fits(&network);
        let shape = network.input_shape();
        if [shape.c, shape.h, shape.w] != input.shape
            || [input.scale.len(), input.shift.len()] != [shape.c; 2]
        {
            return Err(Error::OutOfRange {
                name: "the shape of a sample",
                expected: "that of the network's input, with a factor and an addend for each channel",
                value: format!("{:?} for {shape}", input.shape),
            });
        }
        let is_large = |capacity: &&usize| network.shard_bytes(Mode::Eval, **capacity) > LARGE_BYTES;
        let capacity = *CAPACITIES.iter().find(|capacity| !is_large(capacity)).unwrap_or(&CAPACITIES[1]);
        let threads = rayon::current_num_threads();
        let plan = network.plan_memory(capacity, &[Mode::Eval], threads, threads)?;
        let folded = network.folded_parameters(&state)?;
        let mut prepared = network.prepared_memory(&[Mode::Eval])?;
        let isa = Isa::best();
        let params = folded.as_deref().unwrap_or(state.params());
        network.prepare(&Preparation { isa, mode: Mode::Eval, params }, &mut prepared);
        let narrow = |values: [Vec<f64>; 2]| values.map(|v| v.into_iter().map(|v| v as f32).collect());
        Ok(Self {
            of_bytes: narrow(input.of_bytes()),
            of_floats: narrow(input.of_floats()),
            network,
            state,
            folded,
            prepared,
            isa,
            scores: Scores::default(),
            test_time: TestTime::default(),
            input,
            class_names,
            capacity,
            plan,
            idle: Mutex::default(),
        })
    }

    /// The same with another instruction-set level than the best one of this CPU.
    #[must_use]
    pub fn with_isa(mut self, isa: Isa) -> Self {
        self.isa = isa;
        let params = self.folded.as_deref().unwrap_or(self.state.params());
        self.network.prepare(&Preparation { isa, mode: Mode::Eval, params }, &mut self.prepared);
        self
    }

    /// The same, which gives other scores.
    #[must_use]
    pub fn with_scores(self, scores: Scores) -> Self {
        Self { scores, ..self }
    }

    /// The same, whose scores of a sample are those of the mean over its views.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] when the network's samples have no such views.
    pub fn with_test_time(self, test_time: TestTime) -> Result<Self, Error> {
        test_time.check(self.network.input_shape())?;
        Ok(Self { test_time, ..self })
    }

    /// The network.
    pub fn network(&self) -> &Network<f32> {
        &self.network
    }

    /// What the network takes and gives.
    pub fn input(&self) -> &InputInfo {
        &self.input
    }

    /// The names of the classes; none if they have no names.
    pub fn class_names(&self) -> &[String] {
        &self.class_names
    }

    /// The name of `class`, or its number if it has none.
    pub fn class_name(&self, class: usize) -> String {
        self.class_names.get(class).cloned().unwrap_or_else(|| class.to_string())
    }

    /// The number of scores of a sample.
    pub fn outputs(&self) -> usize {
        self.network.output_shape().elements()
    }

    /// Whether scores are probabilities, one for each class, or that of the second one of two.
    pub fn gives_probabilities(&self) -> bool {
        let is_probability = self.network.output_kind().is_probability();
        is_probability && self.scores == Scores::Output && !self.input.is_regression
    }

    /// The scores `[n, outputs]` of `n` samples of bytes `[n, H, W, C]`, as image libraries have them.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] when the bytes are not those of one or more whole samples.
    pub fn predict_nhwc_bytes(&self, pixels: &[u8]) -> Result<Vec<f32>, Error> {
        self.predict_bytes(pixels, Channels::Last)
    }

    /// As [`predict_nhwc_bytes`](Self::predict_nhwc_bytes), of bytes `[n, C, H, W]`.
    ///
    /// # Errors
    ///
    /// As `predict_nhwc_bytes`.
    pub fn predict_nchw_bytes(&self, pixels: &[u8]) -> Result<Vec<f32>, Error> {
        self.predict_bytes(pixels, Channels::First)
    }

    /// As [`predict_nhwc_bytes`](Self::predict_nhwc_bytes), of floats `[n, C, H, W]`. Where the network was
    /// trained on bytes, the float `b / 255` stands for byte `b`; otherwise floats are on the scale of those
    /// that the network was trained on. They are normalised here.
    ///
    /// # Errors
    ///
    /// As `predict_nhwc_bytes`.
    pub fn predict_nchw(&self, pixels: &[f32]) -> Result<Vec<f32>, Error> {
        let n = self.samples(pixels.len())?;
        let (shape, [scale, shift]) = (self.network.input_shape(), &self.of_floats);
        let scaling = Scaling { scale, shift };
        Ok(self.run(n, |first, n, x| {
            let sample = |i: usize| &pixels[(first + i) * shape.elements()..][..shape.elements()];
            layout::gather_float(self.isa, Channels::First, shape.h * shape.w, n, scaling, sample, x);
        }))
    }

    fn predict_bytes(&self, pixels: &[u8], channels: Channels) -> Result<Vec<f32>, Error> {
        let n = self.samples(pixels.len())?;
        let (shape, [scale, shift]) = (self.network.input_shape(), &self.of_bytes);
        let scaling = Scaling { scale, shift };
        Ok(self.run(n, |first, n, x| {
            let sample = |i: usize| &pixels[(first + i) * shape.elements()..][..shape.elements()];
            layout::gather_u8(self.isa, channels, shape.h * shape.w, n, scaling, sample, x);
        }))
    }

    /// The number of samples that have `values` values.
    fn samples(&self, values: usize) -> Result<usize, Error> {
        let of_sample = self.network.input_shape().elements();
        if values > 0 && values.is_multiple_of(of_sample) {
            return Ok(values / of_sample);
        }
        Err(Error::OutOfRange {
            name: "the number of values",
            expected: "that of one or more whole samples",
            value: format!("{values}, a sample has {of_sample}"),
        })
    }

    /// The `k` largest of the scores of one sample, with their classes: the largest first, of equals the
    /// first. A single probability is that of class 1, and leaves the rest for class 0. NaN comes last.
    pub fn top(&self, scores: &[f32], k: usize) -> Vec<(usize, f32)> {
        let mut classes: Vec<(usize, f32)> = match *scores {
            [p] if self.gives_probabilities() => vec![(0, 1.0 - p), (1, p)],
            _ => scores.iter().copied().enumerate().collect(),
        };
        let key = |score: f32| if score.is_nan() { f32::NEG_INFINITY } else { score };
        classes.sort_by(|one, other| key(other.1).total_cmp(&key(one.1)));
        classes.truncate(k);
        classes
    }

    /// Runs `n` samples; `fill` writes `[C, H, W, count]` of the `count` samples from a first one on.
    fn run(&self, n: usize, fill: impl Fn(usize, usize, &mut [f32]) + Sync) -> Vec<f32> {
        let outputs = self.outputs();
        let mut scores = vec![0.0; n * outputs];
        // Where there are fewer parts than threads, several threads share one.
        let threads = (rayon::current_num_threads() / n.div_ceil(self.capacity)).max(1);
        let parts = scores.par_chunks_mut(self.capacity * outputs).enumerate();
        parts.for_each(|(part, scores)| {
            let count = scores.len() / outputs;
            let mut memory = self.idle().pop().unwrap_or_else(|| MemoryPlan::allocate(&self.plan, threads));
            memory.reserve_threads(threads);
            memory.set_threads(threads);
            fill(part * self.capacity, count, self.network.start_pass(&mut memory, Mode::Eval, count));
            let y = self.forward(&mut memory, count);
            for (sample, scores) in scores.chunks_exact_mut(outputs).enumerate() {
                scores.iter_mut().enumerate().for_each(|(output, score)| *score = y[output * count + sample]);
            }
            self.idle().push(memory);
        });
        scores
    }

    /// The scores `[outputs, n]` of the samples in `memory`.
    fn forward<'m>(&self, memory: &'m mut ShardMemory<f32>, n: usize) -> &'m [f32] {
        let network = &self.network;
        let mut cx = network.context(&self.state, self.isa, Mode::Eval, n, Randomness::default());
        cx.prepared = &self.prepared;
        if let Some(folded) = &self.folded {
            (cx.params, cx.folded) = (folded, true);
        }
        let has_logits = matches!(network.last_function(), Some(Fusible::Softmax | Fusible::Sigmoid));
        let gives_logits = self.scores == Scores::Logits && has_logits;
        let steps = if gives_logits { network.without_last() } else { network.all() };
        network.forward_views(&cx, memory, &mut [], self.test_time, steps);
        if gives_logits { network.last_input(memory) } else { network.output(memory) }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<ShardMemory<f32>>> {
        // A panic in a call leaves the list whole.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
