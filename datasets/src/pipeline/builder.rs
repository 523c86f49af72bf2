//! How a graph of stages is described, from [`Pipeline`] to [`BuiltPipeline`].

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::diagram::Diagram;
use super::error::{Cause, PipelineError};
use super::graph::{Body, Edge, Graph, Ignore, Kind, Node};
use super::joint::{AnyPort, Joint, Port};
use super::outcome::Outcome;
use super::queue::Queue;
use super::run::Run;
use super::source::Source;
use super::stream::{Inlet, Output, Stream};
use super::work;

/// The description of a pipeline: a graph of stages, to which [`source`](Self::source) adds a beginning.
///
/// All streams that come of it, and its clones, are parts of the same description.
#[derive(Clone, Default)]
pub struct Pipeline {
    pub(super) graph: Rc<RefCell<Graph>>,
}

impl Pipeline {
    /// A pipeline without stages.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a stage that begins a stream. A source has one worker.
    pub fn source<S: Source>(&self, name: impl Into<String>, source: S) -> Stream<S::Item> {
        let (source, port) = (Arc::new(source), Port::new());
        let body = work::source(Arc::clone(&source), Arc::clone(&port));
        let node = self.add_node(name.into(), Kind::Source, body, Some(Arc::clone(&port) as _));
        self.graph.borrow_mut().nodes[node].interrupt = Some(Arc::new(move || source.interrupt()));
        self.stream(node, port)
    }

    /// A stream whose upstream is joined later, by [`Stream::feed`]. For graphs that are not described from
    /// front to back.
    pub fn inlet<T: Send + 'static>(&self, name: impl Into<String>) -> (Inlet<T>, Stream<T>) {
        let queue = Arc::new(Queue::new(None));
        let edge = self.add_edge(&queue, name.into(), None);
        (Inlet::new(Arc::clone(&queue), edge), self.shared(queue, edge))
    }

    /// One stream of the items of several, in the order in which they arrive. That order depends on timing:
    /// what needs the same bits in every run should use [`Stream::join`].
    pub fn merge<T: Send + 'static>(&self, streams: impl IntoIterator<Item = Stream<T>>) -> Stream<T> {
        let (inlet, merged) = self.inlet("merge");
        streams.into_iter().for_each(|stream| stream.feed_shared(&inlet));
        merged
    }

    /// One stream that has an item of each stream in each of its own.
    pub fn join_all<T: Send + 'static>(
        &self,
        name: impl Into<String>,
        streams: impl IntoIterator<Item = Stream<T>>,
    ) -> Stream<Vec<T>> {
        let port = Port::new();
        let node = self.add_node(name.into(), Kind::Join, nothing(), Some(Arc::clone(&port) as _));
        let queues = streams.into_iter().map(|stream| stream.lead_to(node)).collect();
        self.graph.borrow_mut().nodes[node].body = work::join_all(queues, Arc::clone(&port));
        self.stream(node, port)
    }

    /// Ignores errors that `ignore` says yes to, in all stages: their items count as skipped.
    pub fn ignore_errors(&self, ignore: impl Fn(&Cause) -> bool + Send + Sync + 'static) -> Self {
        self.graph.borrow_mut().ignore = Some(Arc::new(ignore));
        self.clone()
    }

    /// Checks the graph.
    ///
    /// # Errors
    ///
    /// [`BuildError`](super::BuildError), with the name of the stage.
    pub fn build(&self) -> Result<BuiltPipeline, PipelineError> {
        self.graph.borrow().check()?;
        // What was described is moved: later changes of the description concern the next `build` only, and
        // find nothing.
        let graph = Arc::new(self.graph.take());
        Ok(BuiltPipeline { graph, running: Arc::default(), limit: None })
    }

    pub(super) fn add_node(
        &self,
        name: String,
        kind: Kind,
        body: Body,
        port: Option<Arc<dyn AnyPort>>,
    ) -> usize {
        let mut graph = self.graph.borrow_mut();
        let node = graph.nodes.len();
        graph.ports.extend(port.iter().map(|port| (node, Arc::clone(port))));
        let (workers, is_ordered, ignore) = (1, true, None);
        let (joints, interrupt) = (Vec::new(), None);
        graph.nodes.push(Node { name, kind, workers, is_ordered, ignore, body, port, joints, interrupt });
        node
    }

    pub(super) fn add_edge<T: Send + 'static>(
        &self,
        queue: &Arc<Queue<T>>,
        name: String,
        buffer: Option<usize>,
    ) -> usize {
        let queue = Arc::clone(queue) as Arc<dyn Joint>;
        let mut graph = self.graph.borrow_mut();
        let (from, back_from, to) = (Vec::new(), Vec::new(), Vec::new());
        graph.edges.push(Edge { queue, name, buffer, from, back_from, to, is_outlet: false });
        graph.edges.len() - 1
    }

    pub(super) fn shared<T>(&self, queue: Arc<Queue<T>>, edge: usize) -> Stream<T> {
        Stream::new(self.clone(), Output::Shared { queue, edge })
    }

    pub(super) fn stream<T>(&self, node: usize, port: Arc<Port<T>>) -> Stream<T> {
        Stream::new(self.clone(), Output::Port { node, port })
    }
}

/// Stands for a body until the queues are known.
pub(super) fn nothing() -> Body {
    Arc::new(|_| Ok(()))
}

/// The end of a stream, from where the description can be built or go on.
pub struct End {
    pub(super) pipeline: Pipeline,
    /// The sink that stands last; there is none behind branches.
    pub(super) node: Option<usize>,
}

impl End {
    /// Sets the number of workers of the sink. Each has a state and a result of its own, and items reach them
    /// in no particular order.
    pub fn workers(self, workers: usize) -> Self {
        self.change(|node| node.workers = workers)
    }

    /// As [`Stream::ignore`], for the sink.
    pub fn ignore(self, ignore: impl Fn(&Cause) -> bool + Send + Sync + 'static) -> Self {
        let ignore: Ignore = Arc::new(ignore);
        self.change(|node| node.ignore = Some(ignore))
    }

    fn change(self, change: impl FnOnce(&mut Node)) -> Self {
        if let Some(node) = self.node {
            change(&mut self.pipeline.graph.borrow_mut().nodes[node]);
        }
        self
    }

    /// The whole pipeline, to describe more of it.
    pub fn pipeline(&self) -> Pipeline {
        self.pipeline.clone()
    }

    /// As [`Pipeline::build`].
    ///
    /// # Errors
    ///
    /// As [`Pipeline::build`].
    pub fn build(self) -> Result<BuiltPipeline, PipelineError> {
        self.pipeline.build()
    }
}

/// A pipeline that was checked and can run, again and again.
///
/// Each run begins anew: sources are opened again, states are made again, queues are empty.
pub struct BuiltPipeline {
    graph: Arc<Graph>,
    running: Arc<AtomicBool>,
    limit: Option<Duration>,
}

impl std::fmt::Debug for BuiltPipeline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let stages: Vec<&str> = self.graph.nodes.iter().map(|node| &node.name[..]).collect();
        f.debug_struct("BuiltPipeline").field("stages", &stages).finish_non_exhaustive()
    }
}

impl BuiltPipeline {
    /// Ends runs that take longer than `limit` with [`RunError::Deadline`](super::RunError::Deadline).
    pub fn deadline(mut self, limit: Duration) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Runs the pipeline to its end.
    ///
    /// # Errors
    ///
    /// As [`Run::wait`].
    pub fn run(&self) -> Result<Outcome, PipelineError> {
        self.start()?.wait()
    }

    /// Starts the threads and returns.
    ///
    /// # Errors
    ///
    /// [`RunError::Running`](super::RunError::Running) if a run of this pipeline has not ended yet, and
    /// [`RunError::Thread`](super::RunError::Thread).
    pub fn start(&self) -> Result<Run, PipelineError> {
        Run::start(&self.graph, Arc::clone(&self.running), self.limit)
    }

    /// A picture of the stages.
    pub fn diagram(&self) -> Diagram {
        Diagram::new(&self.graph)
    }
}
