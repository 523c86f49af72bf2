//! Streams of typed items, and the stages that they can be led to.

use std::sync::Arc;

use super::builder::{End, Pipeline, nothing};
use super::error::Cause;
use super::graph::{Ignore, Kind, Node};
use super::joint::{Fan, Port, Switch, Target};
use super::queue::Queue;
use super::sequencer::Sequencer;
use super::stage::{Each, Filter, Fold, Function, Regulator, Sink, Transform, Worker};
use super::work;

/// Where streams can be led that were described later than their reader. See [`Pipeline::inlet`].
pub struct Inlet<T> {
    queue: Arc<Queue<T>>,
    edge: usize,
}

impl<T> Inlet<T> {
    pub(super) fn new(queue: Arc<Queue<T>>, edge: usize) -> Self {
        Self { queue, edge }
    }
}

/// A stream of items of type `T`: the output of the stage that was described last.
///
/// Methods that add a stage consume it. [`workers`](Self::workers), [`unordered`](Self::unordered) and
/// [`ignore`](Self::ignore) change the stage that the stream comes from; [`buffer`](Self::buffer) is the
/// queue between that stage and the next.
///
/// ```compile_fail
/// use isograd_datasets::pipeline::Pipeline;
///
/// // A stage for text cannot read numbers.
/// Pipeline::new().source("numbers", 0..10_u32).map("shout", |text: String| text.to_uppercase());
/// ```
#[must_use = "a stream without a reader is an error of `build`"]
pub struct Stream<T> {
    pub(super) pipeline: Pipeline,
    output: Output<T>,
    buffer: Option<usize>,
}

pub(super) enum Output<T> {
    /// The output of a stage, not joined yet.
    Port { node: usize, port: Arc<Port<T>> },
    /// A queue that several stages read, or write.
    Shared { queue: Arc<Queue<T>>, edge: usize },
}

impl<T> Stream<T> {
    pub(super) fn new(pipeline: Pipeline, output: Output<T>) -> Self {
        Self { pipeline, output, buffer: None }
    }
}

impl<T: Send + 'static> Stream<T> {
    /// Sets the number of workers of the stage. The order of items stays, unless the stage is
    /// [`unordered`](Self::unordered).
    ///
    /// To keep the order, all that a worker emits for an item is held until the item's turn has come. A stage
    /// that makes many large items of one should have one worker, or be unordered.
    pub fn workers(self, workers: usize) -> Self {
        self.change(|node| node.workers = workers)
    }

    /// Lets the items of several workers leave as they are ready. The order then depends on timing.
    pub fn unordered(self) -> Self {
        self.change(|node| node.is_ordered = false)
    }

    /// Ignores errors of the stage that `ignore` says yes to: their items count as skipped.
    pub fn ignore(self, ignore: impl Fn(&Cause) -> bool + Send + Sync + 'static) -> Self {
        let ignore: Ignore = Arc::new(ignore);
        self.change(|node| node.ignore = Some(ignore))
    }

    /// How many items may wait between this stage and the next. Without it, they may be as many as the next
    /// stage handles in 200 microseconds, at least 4 and at most 1,024: slow and large items do not pile up.
    pub fn buffer(mut self, items: usize) -> Self {
        self.buffer = Some(items);
        self
    }

    fn change(self, change: impl FnOnce(&mut Node)) -> Self {
        if let Output::Port { node, .. } = &self.output {
            change(&mut self.pipeline.graph.borrow_mut().nodes[*node]);
        }
        self
    }

    /// A stage that makes one item of each, by a function that may fail. All workers share the function.
    pub fn stage<O, E>(
        self,
        name: impl Into<String>,
        function: impl Fn(T) -> Result<O, E> + Send + Sync + 'static,
    ) -> Stream<O>
    where
        O: Send + 'static,
        E: Into<Cause>,
    {
        let function = Arc::new(function);
        self.transform(name, move |_| {
            let function = Arc::clone(&function);
            Ok(Function(move |item| function(item)))
        })
    }

    /// A stage that makes one item of each, by a function that cannot fail.
    pub fn map<O: Send + 'static>(
        self,
        name: impl Into<String>,
        function: impl Fn(T) -> O + Send + Sync + 'static,
    ) -> Stream<O> {
        self.stage(name, move |item| Ok::<_, std::convert::Infallible>(function(item)))
    }

    /// A stage that makes one item of each or drops it.
    pub fn filter_map<O: Send + 'static>(
        self,
        name: impl Into<String>,
        function: impl Fn(T) -> Option<O> + Send + Sync + 'static,
    ) -> Stream<O> {
        let function = Arc::new(function);
        self.transform(name, move |_| {
            let function = Arc::clone(&function);
            Ok(Filter(move |item| function(item)))
        })
    }

    /// A stage with a state for each worker. `make` is called in the worker's thread, where the state also
    /// ends.
    pub fn transform<W, F>(self, name: impl Into<String>, make: F) -> Stream<W::Output>
    where
        W: Transform<T>,
        F: Fn(&Worker) -> Result<W, Cause> + Send + Sync + 'static,
    {
        self.add_transform(name.into(), Kind::Transform, make)
    }

    /// A stage that cuts items into smaller ones, or gathers them. It has one worker, since the contents of
    /// what several gather would depend on timing.
    pub fn regulate<R: Regulator<T>>(self, name: impl Into<String>, regulator: R) -> Stream<R::Output> {
        self.add_transform(name.into(), Kind::Regulator, move |_| Ok(regulator.start()))
    }

    fn add_transform<W, F>(self, name: String, kind: Kind, make: F) -> Stream<W::Output>
    where
        W: Transform<T>,
        F: Fn(&Worker) -> Result<W, Cause> + Send + Sync + 'static,
    {
        let (pipeline, port, sequencer) = (self.pipeline.clone(), Port::new(), Arc::new(Sequencer::new()));
        let node = pipeline.add_node(name, kind, nothing(), Some(Arc::clone(&port) as _));
        let queue = self.lead_to(node);
        let mut graph = pipeline.graph.borrow_mut();
        graph.nodes[node].joints.push(Arc::clone(&sequencer) as _);
        graph.nodes[node].body = work::transform(queue, make, Arc::clone(&port), sequencer);
        drop(graph);
        pipeline.stream(node, port)
    }

    /// Pairs of an item of this stream and one of `other`. Streams of different lengths are an error of the
    /// run.
    pub fn join<B: Send + 'static>(self, name: impl Into<String>, other: Stream<B>) -> Stream<(T, B)> {
        let (pipeline, port) = (self.pipeline.clone(), Port::new());
        let node = pipeline.add_node(name.into(), Kind::Join, nothing(), Some(Arc::clone(&port) as _));
        let (first, second) = (self.lead_to(node), other.lead_to(node));
        pipeline.graph.borrow_mut().nodes[node].body = work::join(first, second, Arc::clone(&port));
        pipeline.stream(node, port)
    }

    /// Ends the stream in a sink with a state for each worker, made in the worker's thread.
    pub fn sink<S, F>(self, name: impl Into<String>, make: F) -> End
    where
        S: Sink<T>,
        F: Fn(&Worker) -> Result<S, Cause> + Send + Sync + 'static,
    {
        let pipeline = self.pipeline.clone();
        let node = pipeline.add_node(name.into(), Kind::Sink, nothing(), None);
        let queue = self.lead_to(node);
        pipeline.graph.borrow_mut().nodes[node].body = work::sink(queue, make);
        End { pipeline, node: Some(node) }
    }

    /// Ends the stream in a function that is called with each item.
    pub fn for_each<E: Into<Cause> + 'static>(
        self,
        name: impl Into<String>,
        function: impl Fn(T) -> Result<(), E> + Send + Sync + 'static,
    ) -> End {
        let function = Arc::new(function);
        self.sink(name, move |_| {
            let function = Arc::clone(&function);
            Ok(Each(move |item| function(item)))
        })
    }

    /// Ends the stream in a value to which each item is added: the result of the sink.
    pub fn fold<A, E>(
        self,
        name: impl Into<String>,
        first: A,
        add: impl Fn(&mut A, T) -> Result<(), E> + Send + Sync + 'static,
    ) -> End
    where
        A: Clone + Send + Sync + 'static,
        E: Into<Cause> + 'static,
    {
        let add = Arc::new(add);
        self.sink(name, move |_| {
            let add = Arc::clone(&add);
            Ok(Fold { value: first.clone(), add: move |value: &mut A, item| add(value, item) })
        })
    }

    /// Ends the stream in a `Vec` of all its items.
    pub fn collect(self, name: impl Into<String>) -> End {
        self.sink(name, |_| {
            let add = |all: &mut Vec<T>, item| {
                all.push(item);
                Ok::<(), Cause>(())
            };
            Ok(Fold { value: Vec::new(), add })
        })
    }

    /// The same items to several branches. An item's data are not copied: each branch gets an [`Arc`] of the
    /// one.
    pub fn fan_out(self, branches: impl IntoIterator<Item = Branch<Arc<T>>>) -> End
    where
        T: Sync,
    {
        let branches: Vec<Branch<Arc<T>>> = branches.into_iter().collect();
        let pipeline = self.pipeline.clone();
        let streams = self.fork(branches.len());
        branches.into_iter().zip(streams).for_each(|(branch, stream)| drop((branch.describe)(stream)));
        End { pipeline, node: None }
    }

    /// As [`fan_out`](Self::fan_out), but gives the streams, for graphs in which branches meet again.
    pub fn fork(self, branches: usize) -> Vec<Stream<Arc<T>>>
    where
        T: Sync,
    {
        let ports: Vec<_> = (0..branches).map(|_| Port::new()).collect();
        self.divide(ports.clone(), Fan { branches: ports })
    }

    /// Each item to the one of `branches` streams that `choose` names, or to none.
    ///
    /// A number that is no branch is a bug, and ends the run as a panic of the stage before.
    pub fn switch(
        self,
        branches: usize,
        choose: impl Fn(&T) -> Option<usize> + Send + Sync + 'static,
    ) -> Vec<Stream<T>> {
        let ports: Vec<_> = (0..branches).map(|_| Port::new()).collect();
        self.divide(ports.clone(), Switch { choose, branches: ports })
    }

    fn divide<B: Send + 'static>(
        self,
        ports: Vec<Arc<Port<B>>>,
        target: impl Target<T> + 'static,
    ) -> Vec<Stream<B>> {
        let (pipeline, buffer) = (self.pipeline.clone(), self.buffer);
        let (node, port) = self.own_port();
        if !ports.is_empty() {
            port.join(Arc::new(target));
        }
        let mut graph = pipeline.graph.borrow_mut();
        graph.ports.extend(ports.iter().map(|port| (node, Arc::clone(port) as _)));
        drop(graph);
        let stream = |port| Stream { buffer, ..pipeline.stream(node, port) };
        ports.into_iter().map(stream).collect()
    }

    /// Several stages on one queue: each item goes to the branch that is free first. Which one depends on
    /// timing.
    pub fn compete(self, branches: impl IntoIterator<Item = Branch<T>>) -> End {
        let pipeline = self.pipeline.clone();
        let (queue, edge) = self.into_queue();
        for branch in branches {
            drop((branch.describe)(pipeline.shared(Arc::clone(&queue), edge)));
        }
        End { pipeline, node: None }
    }

    /// Leads the stream to a reader that was described before.
    pub fn feed(self, inlet: &Inlet<T>) -> End {
        let pipeline = self.pipeline.clone();
        self.feed_shared(inlet);
        End { pipeline, node: None }
    }

    pub(super) fn feed_shared(self, inlet: &Inlet<T>) {
        let pipeline = self.pipeline.clone();
        let (node, port) = self.own_port();
        inlet.queue.add_producer();
        port.join(Arc::clone(&inlet.queue) as _);
        pipeline.graph.borrow_mut().edges[inlet.edge].from.push(node);
    }

    /// The queue behind the stage, with `node` as reader.
    pub(super) fn lead_to(self, node: usize) -> Arc<Queue<T>> {
        let pipeline = self.pipeline.clone();
        let (queue, edge) = self.into_queue();
        pipeline.graph.borrow_mut().edges[edge].to.push(node);
        queue
    }

    pub(super) fn into_queue(self) -> (Arc<Queue<T>>, usize) {
        match self.output {
            Output::Shared { queue, edge } => (queue, edge),
            Output::Port { node, port } => {
                let queue = Arc::new(Queue::new(self.buffer));
                queue.add_producer();
                port.join(Arc::clone(&queue) as _);
                let name = self.pipeline.graph.borrow().nodes[node].name.clone();
                let edge = self.pipeline.add_edge(&queue, name, self.buffer);
                self.pipeline.graph.borrow_mut().edges[edge].from.push(node);
                (queue, edge)
            }
        }
    }

    /// The stage and its output. A queue that several share gets a stage that passes items on.
    fn own_port(self) -> (usize, Arc<Port<T>>) {
        match self.output {
            Output::Port { node, port } => (node, port),
            Output::Shared { .. } => {
                let name = format!("relay {}", self.pipeline.graph.borrow().nodes.len());
                self.map(name, |item| item).own_port()
            }
        }
    }
}

/// What becomes of one of several streams: see [`Stream::fan_out`] and [`Stream::compete`].
pub struct Branch<T> {
    describe: Box<dyn FnOnce(Stream<T>) -> End>,
}

impl<T> Branch<T> {
    /// A branch that is described by a function of its stream.
    pub fn new(describe: impl FnOnce(Stream<T>) -> End + 'static) -> Self {
        Self { describe: Box::new(describe) }
    }
}
