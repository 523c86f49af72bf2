//! Optimizer updates of whole networks.

use isograd_benches::{Buffer, Suite, Work, assert_close, integers, widen};
use isograd_kernels::Isa;
use isograd_kernels::optimizer::{Adam, RmsProp, Sgd, adam, nadam, rmsprop, sgd};
use isograd_kernels::reference::optimizer as reference;

/// The number of parameters of a small network, and of three well-known ones.
const PARAMETERS: [(&str, usize); 4] =
    [("small", 20_000), ("simplecnn", 149_210), ("simplemlp", 932_362), ("vgg11", 9_225_610)];

/// The number of last parameters that are compared with the reference. They end in a partial vector.
const CHECKED: usize = 1_000;

/// The tolerance: some roundings of an f32.
const TOLERANCE: f64 = 1e-6;

/// Parameters, their gradient and the optimizer's state. The gradient is the same in every step.
struct State {
    w: Buffer,
    g: Buffer,
    m: Buffer,
    v: Buffer,
}

impl State {
    fn new(len: usize) -> Self {
        Self { w: integers(len, 1), g: integers(len, 2), m: Buffer::zeroed(len), v: Buffer::zeroed(len) }
    }

    /// The last elements of `[w, g, m, v]`, in f64.
    fn tail(&self) -> [Vec<f64>; 4] {
        [&self.w, &self.g, &self.m, &self.v].map(|all| widen(&all[all.len() - CHECKED..]))
    }
}

/// An optimizer: its kernel and its reference.
trait Update: Copy {
    const NAME: &'static str;
    /// The number of state buffers: one or two.
    const MOMENTS: usize;

    fn step(self, isa: Isa, state: &mut State);
    fn reference(self, tail: &mut [Vec<f64>; 4]);
}

impl Update for Sgd {
    const NAME: &'static str = "sgd";
    const MOMENTS: usize = 1;

    fn step(self, isa: Isa, State { w, g, v, .. }: &mut State) {
        sgd(isa, &self, g, w, v);
    }

    fn reference(self, [w, g, _, v]: &mut [Vec<f64>; 4]) {
        reference::sgd(&self, w, g, v);
    }
}

impl Update for RmsProp {
    const NAME: &'static str = "rmsprop";
    const MOMENTS: usize = 1;

    fn step(self, isa: Isa, State { w, g, v, .. }: &mut State) {
        rmsprop(isa, &self, g, w, v);
    }

    fn reference(self, [w, g, _, v]: &mut [Vec<f64>; 4]) {
        reference::rmsprop(&self, w, g, v);
    }
}

impl Update for Adam {
    const NAME: &'static str = "adam";
    const MOMENTS: usize = 2;

    fn step(self, isa: Isa, State { w, g, m, v }: &mut State) {
        adam(isa, &self.at_step(1), g, w, m, v);
    }

    fn reference(self, [w, g, m, v]: &mut [Vec<f64>; 4]) {
        reference::adam(&self, 1, w, g, m, v);
    }
}

/// Adam with Nesterov momentum.
#[derive(Clone, Copy)]
struct Nadam(Adam);

impl Update for Nadam {
    const NAME: &'static str = "nadam";
    const MOMENTS: usize = 2;

    fn step(self, isa: Isa, State { w, g, m, v }: &mut State) {
        nadam(isa, &self.0.at_step(1), g, w, m, v);
    }

    fn reference(self, [w, g, m, v]: &mut [Vec<f64>; 4]) {
        reference::nadam(&self.0, 1, w, g, m, v);
    }
}

fn update<U: Update>(suite: &mut Suite, isa: Isa, net: &str, len: usize, update: U) {
    // Parameters and moments are read and written, gradients only read.
    let (passes, buffers) = (2 * (1 + U::MOMENTS) + 1, 2 + U::MOMENTS);
    suite.kernel(isa, &format!("{} {net} {len}", U::NAME), Work::streams(len, passes, buffers), || {
        let mut state = State::new(len);
        let mut expected = state.tail();
        update.step(isa, &mut state);
        update.reference(&mut expected);
        for ((what, got), expected) in ["w", "g", "m", "v"].iter().zip(state.tail()).zip(&expected) {
            let got: Vec<f32> = got.iter().map(|x| *x as f32).collect();
            assert_close(&format!("{} of {}", what, U::NAME), &got, expected, TOLERANCE);
        }
        move || update.step(isa, &mut state)
    });
}

fn main() {
    let (lr, weight_decay, eps) = (1e-3, 0.0, 1e-7);
    let adam = Adam { lr, beta1: 0.9, beta2: 0.999, eps, weight_decay };
    let mut suite = Suite::new("optimizer");
    for isa in suite.levels() {
        for (net, len) in PARAMETERS {
            update(&mut suite, isa, net, len, Sgd { lr, momentum: 0.9, nesterov: false, weight_decay });
            update(&mut suite, isa, net, len, RmsProp { lr, rho: 0.9, eps, weight_decay });
            update(&mut suite, isa, net, len, adam);
            update(&mut suite, isa, net, len, Nadam(adam));
        }
    }
    suite.finish();
}
