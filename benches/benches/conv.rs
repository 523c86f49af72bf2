//! Convolutions: forward with bias and ReLU, input gradient and weight gradient, on the paths that
//! `Conv2d::new` chooses. Some layers run on other paths, too, for comparison. The transformed weights of the
//! Winograd paths are made once, as in a step; their time has lines of its own.
//!
//! Only operations that read the image are counted: kernel elements over padding, the bias and the ReLU are
//! not. They are those of the direct sum, whatever the path, so the percentage of a Winograd path is an
//! effective one, which can exceed 100. A depthwise convolution has so few of them that moving the images
//! takes longer; so it is compared with a copy of as many bytes.

use isograd_benches::{Buffer, Suite, Work, assert_close, integers, widen};
use isograd_kernels::conv::{Conv2d, Conv2dShape, Path, Weights};
use isograd_kernels::{Accum, Activation, Isa, Pass, reference};

struct Layer {
    name: &'static str,
    shape: Conv2dShape,
    n: usize,
    /// The path of all passes, or `None` for the paths that `Conv2d::new` chooses.
    path: Option<Path>,
}

impl Layer {
    fn conv(&self) -> Conv2d {
        match self.path {
            Some(path) => Conv2d::with_path(self.shape, path),
            None => Conv2d::new(self.shape),
        }
        .expect("a valid shape")
    }
}

/// A layer of `c` channels of `size x size` pixels and `f` filters of `kernel x kernel`. A layer with at most
/// three channels is a first layer and needs no input gradient.
fn layer(
    name: &'static str,
    n: usize,
    [c, f]: [usize; 2],
    size: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
) -> Layer {
    let shape = Conv2dShape {
        c,
        h: size,
        w: size,
        f,
        kh: kernel,
        kw: kernel,
        stride: stride.into(),
        padding: padding.into(),
        dilation: 1.into(),
        groups: 1,
    };
    Layer { name, shape, n, path: None }
}

/// A layer in which each of `c` channels of `size x size` pixels has a 3x3 filter of its own.
fn depthwise(name: &'static str, n: usize, c: usize, size: usize, stride: usize) -> Layer {
    let layer = layer(name, n, [c, c], size, 3, stride, 1);
    Layer { shape: Conv2dShape { groups: c, ..layer.shape }, ..layer }
}

fn layers() -> Vec<Layer> {
    vec![
        layer("simplecnn conv1", 32, [1, 4], 28, 3, 1, 0),
        layer("simplecnn conv2", 32, [4, 8], 26, 3, 1, 0),
        layer("resnet20", 32, [3, 16], 32, 3, 1, 1),
        layer("resnet20", 32, [16, 16], 32, 3, 1, 1),
        layer("resnet20", 32, [16, 32], 32, 3, 2, 1),
        layer("resnet20 shortcut", 32, [16, 32], 32, 1, 2, 0),
        layer("resnet20", 32, [32, 32], 16, 3, 1, 1),
        layer("resnet20", 32, [32, 64], 16, 3, 2, 1),
        layer("resnet20 shortcut", 32, [32, 64], 16, 1, 2, 0),
        layer("resnet20", 32, [64, 64], 8, 3, 1, 1),
        layer("vgg11", 16, [3, 64], 32, 3, 1, 1),
        layer("vgg11", 16, [64, 128], 16, 3, 1, 1),
        layer("vgg11", 16, [128, 256], 8, 3, 1, 1),
        layer("vgg11", 16, [256, 256], 8, 3, 1, 1),
        layer("vgg11", 16, [256, 512], 4, 3, 1, 1),
        layer("vgg11", 16, [512, 512], 4, 3, 1, 1),
        layer("vgg11", 16, [512, 512], 2, 3, 1, 1),
        depthwise("mobilenet", 32, 32, 32, 1),
        depthwise("mobilenet", 32, 128, 16, 1),
        depthwise("mobilenet", 32, 128, 16, 2),
        depthwise("mobilenet", 32, 256, 8, 1),
        depthwise("mobilenet", 32, 512, 4, 1),
        depthwise("mobilenet", 32, 1024, 2, 1),
        on(Path::Direct, layer("resnet20", 32, [16, 16], 32, 3, 1, 1)),
        on(Path::Direct, layer("resnet20", 32, [64, 64], 8, 3, 1, 1)),
        on(Path::Direct, layer("vgg11", 16, [512, 512], 4, 3, 1, 1)),
        on(Path::WinogradF2, layer("resnet20", 32, [64, 64], 8, 3, 1, 1)),
        by_columns(layer("simplecnn conv2", 32, [4, 8], 26, 3, 1, 0)),
        by_columns(layer("resnet20", 32, [16, 32], 32, 3, 2, 1)),
        by_columns(layer("resnet20", 32, [64, 64], 8, 3, 1, 1)),
        by_columns(layer("vgg11", 16, [256, 256], 8, 3, 1, 1)),
    ]
}

/// The same layer on the im2col path.
fn by_columns(layer: Layer) -> Layer {
    on(Path::Im2col, layer)
}

/// The same layer on `path`.
fn on(path: Path, layer: Layer) -> Layer {
    Layer { path: Some(path), ..layer }
}

/// The number of operations of one pass for one sample. All passes have the same number.
fn flops(shape: &Conv2dShape) -> usize {
    let inside = |size: usize, kernel: usize, stride: usize, padding: usize| {
        let outputs = (size + 2 * padding - kernel) / stride + 1;
        let positions = (0..outputs).flat_map(|o| (0..kernel).map(move |k| o * stride + k));
        positions.filter(|p| (padding..padding + size).contains(p)).count()
    };
    let rows = inside(shape.h, shape.kh, shape.stride.h, shape.padding.h);
    let columns = inside(shape.w, shape.kw, shape.stride.w, shape.padding.w);
    2 * shape.c * shape.f * rows * columns
}

/// The work of a pass, for all samples. All passes of a layer have the same.
fn work(layer: &Layer) -> Work {
    let (shape, n) = (&layer.shape, layer.n);
    if shape.groups == 1 {
        return Work::Flops(flops(shape) * n);
    }
    let conv = layer.conv();
    let bytes = (conv.input_len(n) + conv.output_len(n)) * size_of::<f32>();
    Work::Bytes { moved: bytes, footprint: bytes }
}

/// The operands of all passes. They are integers, so that every result is exact, but for those of the
/// Winograd paths.
struct Tensors {
    conv: Conv2d,
    n: usize,
    x: Buffer,
    w: Buffer,
    bias: Buffer,
    dy: Buffer,
    /// The weights that the forward pass and the input gradient need prepared.
    prepared: [Buffer; 2],
    scratch: Buffer,
}

impl Tensors {
    fn new(layer: &Layer) -> Self {
        let (conv, n) = (layer.conv(), layer.n);
        Self {
            n,
            x: integers(conv.input_len(n), 1),
            w: integers(conv.weight_len(), 2),
            bias: integers(layer.shape.f, 3),
            dy: integers(conv.output_len(n), 4),
            prepared: [conv.forward_prepared_len(), conv.input_gradient_prepared_len()].map(Buffer::zeroed),
            scratch: Buffer::zeroed(conv.scratch_len(n)),
            conv,
        }
    }

    /// Prepares the weights for the forward pass and the input gradient.
    fn prepare(&mut self, isa: Isa) {
        let Self { conv, w, prepared: [forward, input_gradient], .. } = self;
        let Conv2dShape { c, f, .. } = *conv.shape();
        conv.prepare_forward(isa, 0..f, w, forward);
        conv.prepare_input_gradient(isa, 0..c, w, input_gradient);
    }

    /// The largest error of results of `path` whose sums over absolute values are `magnitudes`: none of exact
    /// sums. In F(4, 3), the largest was measured as 1.5e-6 times the magnitude.
    fn bound(path: Path, magnitudes: &[f64]) -> f64 {
        match path.is_winograd() {
            true => 1e-5 * magnitudes.iter().copied().fold(0.0, f64::max),
            false => 0.0,
        }
    }

    /// The last sample of a `[.., n]` buffer. The naive reference is too slow for all samples.
    fn last_sample(&self, all: &[f32]) -> Vec<f32> {
        all.chunks_exact(self.n).map(|samples| samples[self.n - 1]).collect()
    }

    fn forward(&mut self, isa: Isa, y: &mut [f32]) {
        let Self { conv, n, x, w, bias, prepared, scratch, .. } = self;
        let w = Weights { plain: w, prepared: &prepared[0] };
        conv.forward(Pass { isa, n: *n, scratch }, x, w, Some(bias), Activation::Relu, y);
    }

    fn input_gradient(&mut self, isa: Isa, dx: &mut [f32]) {
        let Self { conv, n, w, dy, prepared, scratch, .. } = self;
        let w = Weights { plain: w, prepared: &prepared[1] };
        conv.input_gradient(Pass { isa, n: *n, scratch }, dy, w, None, Accum::Replace, dx);
    }

    fn weight_gradient(&mut self, isa: Isa, dw: &mut [f32]) {
        let Self { conv, n, x, dy, scratch, .. } = self;
        conv.weight_gradient(Pass { isa, n: *n, scratch }, x, dy, Accum::Replace, dw);
    }

    fn check_forward(&self, y: &[f32]) {
        let [x, w, bias] = [&self.last_sample(&self.x), &*self.w, &*self.bias].map(widen);
        let mut expected = reference::conv::forward(self.conv.shape(), 1, &x, &w, &bias);
        expected.iter_mut().for_each(|y| *y = y.max(0.0));
        let [x, w, bias] = [&x, &w, &bias].map(|all| absolute(all));
        let magnitudes = reference::conv::forward(self.conv.shape(), 1, &x, &w, &bias);
        let bound = Self::bound(self.conv.paths().forward, &magnitudes);
        assert_close("conv forward", &self.last_sample(y), &expected, bound);
    }

    fn check_input_gradient(&self, dx: &[f32]) {
        let [dy, w] = [&self.last_sample(&self.dy), &*self.w].map(widen);
        let expected = reference::conv::input_gradient(self.conv.shape(), 1, &dy, &w);
        let [dy, w] = [&dy, &w].map(|all| absolute(all));
        let magnitudes = reference::conv::input_gradient(self.conv.shape(), 1, &dy, &w);
        let bound = Self::bound(self.conv.paths().input_gradient, &magnitudes);
        assert_close("conv input gradient", &self.last_sample(dx), &expected, bound);
    }

    /// Checks the weight gradient of the last sample alone. Meanwhile the gradients of the other samples are
    /// zero.
    fn check_weight_gradient(&mut self, isa: Isa) {
        let all = widen(&self.dy);
        let last = self.last_sample(&self.dy);
        for (samples, last) in self.dy.chunks_exact_mut(self.n).zip(&last) {
            samples.fill(0.0);
            samples[samples.len() - 1] = *last;
        }
        let mut dw = Buffer::zeroed(self.w.len());
        self.weight_gradient(isa, &mut dw);
        let [x, dy] = [self.last_sample(&self.x), last].map(|sample| widen(&sample));
        let expected = reference::conv::weight_gradient(self.conv.shape(), 1, &x, &dy);
        let [x, dy] = [&x, &dy].map(|all| absolute(all));
        let magnitudes = reference::conv::weight_gradient(self.conv.shape(), 1, &x, &dy);
        let bound = Self::bound(self.conv.paths().weight_gradient, &magnitudes);
        assert_close("conv weight gradient", &dw, &expected, bound);
        self.dy.iter_mut().zip(all).for_each(|(dy, all)| *dy = all as f32);
    }
}

fn absolute(all: &[f64]) -> Vec<f64> {
    all.iter().map(|x| x.abs()).collect()
}

fn passes(suite: &mut Suite, isa: Isa, layer: &Layer) {
    let Layer { name, shape: Conv2dShape { c, h, w, f, kh, kw, stride, groups, .. }, n, .. } = layer;
    let conv = layer.conv();
    let by = |path: Path| match path {
        Path::Direct => String::new(),
        path => format!(" {}", path.name()),
    };
    let kind = if *groups == 1 { "" } else { " depthwise" };
    let shape = format!("{name}{kind} {c}->{f} {h}x{w} {kh}x{kw} s{} n={n}", stride.h);
    let work = work(layer);
    suite.kernel(isa, &format!("forward {shape}{}", by(conv.paths().forward)), work, || {
        let mut tensors = Tensors::new(layer);
        tensors.prepare(isa);
        let mut y = Buffer::zeroed(tensors.dy.len());
        tensors.forward(isa, &mut y);
        tensors.check_forward(&y);
        move || tensors.forward(isa, &mut y)
    });
    if conv.forward_prepared_len() > 0 {
        let len = conv.forward_prepared_len() + conv.input_gradient_prepared_len() + 2 * conv.weight_len();
        suite.kernel(isa, &format!("weights {shape}"), Work::streams(len, 1, 1), || {
            let mut tensors = Tensors::new(layer);
            move || tensors.prepare(isa)
        });
    }
    if *c > 3 {
        suite.kernel(isa, &format!("dx {shape}{}", by(conv.paths().input_gradient)), work, || {
            let mut tensors = Tensors::new(layer);
            tensors.prepare(isa);
            let mut dx = Buffer::zeroed(tensors.x.len());
            tensors.input_gradient(isa, &mut dx);
            tensors.check_input_gradient(&dx);
            move || tensors.input_gradient(isa, &mut dx)
        });
    }
    suite.kernel(isa, &format!("dw {shape}{}", by(conv.paths().weight_gradient)), work, || {
        let mut tensors = Tensors::new(layer);
        tensors.check_weight_gradient(isa);
        let mut dw = Buffer::zeroed(tensors.w.len());
        move || tensors.weight_gradient(isa, &mut dw)
    });
}

fn main() {
    let mut suite = Suite::new("conv");
    for isa in suite.levels() {
        for layer in layers() {
            passes(&mut suite, isa, &layer);
        }
    }
    suite.finish();
}
