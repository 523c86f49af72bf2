//! From the layers and blocks of a user to a list of steps.

use super::graph::{Graph, Inside, Op};
use super::summary::Row;
use crate::error::{BuildError, Error};
use crate::layer::{Block, Layer, LayerPlan, Layers, OutputKind, Placement, Reservation};
use crate::place::Place;
use crate::shape::Shape;
use isograd_kernels::{Activation, Element};
use std::collections::HashMap;
use std::ops::Range;

/// What is known of a layer once it is built.
#[derive(Debug, Clone)]
pub(super) struct LayerInfo {
    pub(super) place: Place,
    /// Shape of its output.
    pub(super) shape: Shape,
    pub(super) output_kind: OutputKind,
    pub(super) saved: Reservation,
    /// Its tensors among all of the network's.
    pub(super) parameters: Range<usize>,
    pub(super) statistics: Range<usize>,
    /// The elements of its parameters in the flat buffer.
    pub(super) elements: Range<usize>,
    /// The fewest samples of a shard that it can be trained on.
    pub(super) least_samples: usize,
    /// The layer works as in use, and its parameters stay as they are.
    pub(super) frozen: bool,
    /// The layer whose output is its input, unless that is the output of a block.
    pub(super) input_layer: Option<usize>,
}

/// What one layer passes on to the next.
#[derive(Debug, Clone, Copy)]
struct Flow {
    value: usize,
    shape: Shape,
    kind: OutputKind,
    /// The layer that made it, unless a block did.
    layer: Option<usize>,
}

/// The names in a list of layers: layers without one are counted by type.
#[derive(Debug)]
struct Scope {
    prefix: String,
    counts: HashMap<&'static str, usize>,
    frozen: bool,
}

impl Scope {
    fn inside(&self, name: &str, frozen: bool) -> Self {
        let dot = if name.is_empty() { "" } else { "." };
        let prefix = format!("{}{name}{dot}", self.prefix);
        Self { prefix, counts: HashMap::new(), frozen: self.frozen || frozen }
    }

    /// The name of the next layer of type `kind` that was given none.
    fn next(&mut self, kind: &'static str) -> String {
        let count = self.counts.entry(kind).or_default();
        *count += 1;
        format!("{}{count}", kind.to_lowercase())
    }
}

/// A network that is being built.
#[derive(Debug)]
pub(super) struct Lowering<T> {
    pub(super) layers: Layers<T>,
    pub(super) infos: Vec<LayerInfo>,
    pub(super) plan: LayerPlan,
    pub(super) graph: Graph,
    pub(super) rows: Vec<Row>,
    /// The value that is the network's output.
    pub(super) output: usize,
    place: Place,
}

impl<T: Element> Lowering<T> {
    /// Builds `layers`, the first of which is `Input`.
    pub(super) fn run(layers: Layers<T>) -> Result<Self, Error> {
        let mut lowering = Self {
            layers: Vec::new(),
            infos: Vec::new(),
            plan: LayerPlan::default(),
            graph: Graph::default(),
            rows: Vec::new(),
            output: 0,
            place: Place::root(),
        };
        let start = Flow { value: 0, shape: Shape::vector(0), kind: OutputKind::Unknown, layer: None };
        let mut scope = Scope { prefix: String::new(), counts: HashMap::new(), frozen: false };
        let last = layers.len() - 1;
        let kind = layers[last].kind();
        let end = lowering.list(layers, None, start, &mut scope)?;
        if end.layer.is_none() {
            lowering.place.enter(None, last, kind, None);
            return Err(lowering.error(BuildError::BlockLast));
        }
        lowering.output = end.value;
        Ok(lowering)
    }

    /// Builds a list of layers, which is path `path` of the block around it if that has paths.
    fn list(
        &mut self,
        layers: Layers<T>,
        path: Option<usize>,
        mut flow: Flow,
        scope: &mut Scope,
    ) -> Result<Flow, Error> {
        for (index, layer) in layers.into_iter().enumerate() {
            flow = self.layer(layer, path, index, flow, scope)?;
        }
        Ok(flow)
    }

    /// Builds layer or block `index` of a list.
    fn layer(
        &mut self,
        mut layer: Box<dyn Layer<T>>,
        path: Option<usize>,
        index: usize,
        flow: Flow,
        scope: &mut Scope,
    ) -> Result<Flow, Error> {
        let (mut name, mut frozen) = (None, false);
        let content = loop {
            match layer.take_block() {
                // The outermost name counts.
                Some(Block::Named(given, inner)) => (name, layer) = (name.or(Some(given)), inner),
                Some(Block::Frozen(inner)) => (frozen, layer) = (true, inner),
                content => break content,
            }
        };
        let kind = layer.kind();
        self.place.enter(path, index, kind, name.clone());
        let may_be_empty = content.is_some();
        if let Some(name) = name.as_ref().filter(|name| !is_name(name, may_be_empty)) {
            return Err(self.error(BuildError::Name { name: name.clone() }));
        }
        let name = name.unwrap_or_else(|| scope.next(kind));
        let mut inner = scope.inside(&name, frozen);
        let flow = match content {
            None => self.leaf(layer, flow, &inner)?,
            Some(block) => {
                let row = self.rows.len();
                self.rows.push(Row::block(&self.place));
                let flow = self.block(block, flow, &mut inner)?;
                self.rows[row].shape = Some(flow.shape);
                flow
            }
        };
        self.place.leave();
        Ok(flow)
    }

    fn block(&mut self, block: Block<T>, flow: Flow, scope: &mut Scope) -> Result<Flow, Error> {
        match block {
            Block::Sequence(layers) if layers.is_empty() => Err(self.error(BuildError::EmptyBlock)),
            Block::Sequence(layers) => self.list(layers, None, flow, scope),
            Block::Addition(paths) => {
                let outputs = self.paths(paths, flow, scope)?;
                self.add(&outputs)
            }
            Block::Concatenation(paths) => {
                let outputs = self.paths(paths, flow, scope)?;
                self.join(&outputs)
            }
            Block::Named(..) | Block::Frozen(_) => unreachable!("wrappers have been taken off"),
        }
    }

    /// Builds the paths of a block, which all have the input `flow`.
    fn paths(&mut self, paths: Vec<Layers<T>>, flow: Flow, scope: &mut Scope) -> Result<Vec<Flow>, Error> {
        if paths.iter().all(Vec::is_empty) {
            return Err(self.error(BuildError::EmptyBlock));
        }
        let mut outputs = Vec::with_capacity(paths.len());
        for (number, layers) in paths.into_iter().enumerate() {
            self.rows.push(Row::path(&self.place, number, layers.is_empty().then_some(flow.shape)));
            outputs.push(self.list(layers, Some(number), flow, scope)?);
        }
        Ok(outputs)
    }

    /// The sum of `outputs`.
    fn add(&mut self, outputs: &[Flow]) -> Result<Flow, Error> {
        let shape = outputs[0].shape;
        if outputs.iter().any(|output| output.shape != shape) {
            let shapes = outputs.iter().map(|output| output.shape).collect();
            return Err(self.error(BuildError::PathShapes { shapes }));
        }
        let reads = outputs.iter().map(|output| output.value).collect();
        let value =
            self.graph.step(Op::Add { activation: Activation::Identity }, reads, shape, shape.elements());
        Ok(Flow { value, shape, kind: OutputKind::Scores, layer: None })
    }

    /// `outputs` one after the other along the channels.
    fn join(&mut self, outputs: &[Flow]) -> Result<Flow, Error> {
        let Shape { h, w, .. } = outputs[0].shape;
        if outputs.iter().any(|output| (output.shape.h, output.shape.w) != (h, w)) {
            let shapes = outputs.iter().map(|output| output.shape).collect();
            return Err(self.error(BuildError::PathImages { shapes }));
        }
        let channels = outputs.iter().try_fold(0usize, |c, output| c.checked_add(output.shape.c));
        let elements = channels.and_then(|c| c.checked_mul(h)?.checked_mul(w));
        let (Some(c), Some(elements)) = (channels, elements) else {
            return Err(self.error(BuildError::TooLarge));
        };
        let joined = self.graph.value(elements);
        let mut offset = 0;
        for output in outputs {
            let len = output.shape.elements();
            let mut value = output.value;
            if self.graph.values[value].data.is_some() {
                // It has its place in another joined value, so this one gets a copy.
                value = self.graph.step(
                    Op::Add { activation: Activation::Identity },
                    vec![value],
                    output.shape,
                    len,
                );
            }
            let inside = Some(Inside { value: joined, offset });
            self.graph.values[value].data = inside;
            self.graph.values[value].gradient = inside;
            offset += len;
        }
        Ok(Flow { value: joined, shape: Shape { c, h, w }, kind: OutputKind::Scores, layer: None })
    }

    /// Builds a layer that is no block.
    fn leaf(&mut self, mut layer: Box<dyn Layer<T>>, flow: Flow, scope: &Scope) -> Result<Flow, Error> {
        let number = self.layers.len();
        let (parameters, statistics) = (self.plan.parameters.len(), self.plan.statistics.len());
        let start = self.plan.parameters.last().map_or(0, |tensor| tensor.range.end);
        self.plan.start_layer(number, &scope.prefix, scope.frozen);
        let shape = self.leaf_shape(&mut *layer, flow.shape, number).map_err(|reason| self.error(reason))?;
        let info = LayerInfo {
            place: self.place.clone(),
            shape,
            output_kind: layer.output_kind(flow.kind, flow.shape),
            saved: self.plan.saved,
            parameters: parameters..self.plan.parameters.len(),
            statistics: statistics..self.plan.statistics.len(),
            elements: start..self.plan.parameters.last().map_or(0, |tensor| tensor.range.end),
            least_samples: self.plan.least_samples,
            frozen: scope.frozen,
            input_layer: flow.layer,
        };
        let value = match layer.placement() {
            _ if number == 0 => self.graph.value(shape.elements()),
            Placement::InPlace => flow.value,
            Placement::Own => {
                self.graph.step(Op::Layer(number), vec![flow.value], flow.shape, shape.elements())
            }
        };
        self.rows.push(Row::layer(&self.place, number));
        let kind = info.output_kind;
        self.infos.push(info);
        self.layers.push(layer);
        Ok(Flow { value, shape, kind, layer: Some(number) })
    }

    /// Builds `layer` and checks what it has said of itself.
    fn leaf_shape(
        &mut self,
        layer: &mut dyn Layer<T>,
        input: Shape,
        number: usize,
    ) -> Result<Shape, BuildError> {
        let shape = layer.build(input, &mut self.plan)?;
        if [shape.c, shape.h, shape.w].contains(&0) {
            return Err(BuildError::EmptyOutput { output: shape });
        }
        let elements = shape.c.checked_mul(shape.h).and_then(|e| e.checked_mul(shape.w));
        let elements = elements.ok_or(BuildError::TooLarge)?;
        let in_place = layer.placement() == Placement::InPlace;
        if in_place && number > 0 && elements != input.elements() {
            return Err(BuildError::NotInPlace { input, output: shape });
        }
        Ok(shape)
    }

    fn error(&self, reason: BuildError) -> Error {
        Error::Build { place: self.place.clone(), reason }
    }
}

/// Whether a name can be part of a parameter's name.
fn is_name(name: &str, may_be_empty: bool) -> bool {
    (may_be_empty || !name.is_empty()) && !name.chars().any(|c| c.is_whitespace() || c.is_control())
}
