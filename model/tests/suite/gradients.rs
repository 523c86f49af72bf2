//! Gradients of whole networks: small ones that cover every layer, loss and place of a ReLU, against central
//! differences; and those with activations taken over by their neighbours, bit for bit against those without.

use crate::common::{assert_close, build, labels, largest, values};
use crate::layer_networks::further;
use crate::small_networks::{rectified, smooth};
use isograd_kernels::{Element, Isa};
use isograd_model::layer::*;
use isograd_model::loss::{self, CategoricalCrossEntropy};
use isograd_model::{BuildError, Loss, Network, Randomness, Shape, State, layers};
use std::sync::Arc;

/// A ReLU with a ceiling in plain loops, which its neighbours do not know for one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PlainReLU {
    ceiling: f64,
}

impl PlainReLU {
    pub(crate) const UNBOUNDED: Self = Self { ceiling: f64::INFINITY };
    pub(crate) const TO_SIX: Self = Self { ceiling: 6.0 };
}

impl<T: Element> Layer<T> for PlainReLU {
    fn kind(&self) -> &'static str {
        "PlainReLU"
    }

    fn build(&mut self, input: Shape, _: &mut LayerPlan) -> Result<Shape, BuildError> {
        Ok(input)
    }

    fn forward(&self, _: &Context<'_, T>, x: &[T], y: &mut [T], _: Memory<'_, T>) {
        for (y, x) in y.iter_mut().zip(x) {
            *y = T::from_f64(x.to_f64().max(0.0).min(self.ceiling));
        }
    }

    fn backward(&self, _: &Context<'_, T>, tensors: Backward<'_, T>, _: Memory<'_, T>) {
        let Some(dx) = tensors.dx else { return };
        for ((dx, dy), x) in dx.iter_mut().zip(tensors.dy).zip(tensors.x) {
            *dx = if *x > T::ZERO && x.to_f64() < self.ceiling { *dy } else { T::ZERO };
        }
    }
}

/// A network in a state in which nothing is symmetric, with `n` samples and their classes.
struct Fixture<T> {
    network: Network<T>,
    state: State<T>,
    loss: Arc<dyn Loss<T>>,
    x: Vec<T>,
    labels: Vec<u32>,
}

impl<T: Element> Fixture<T> {
    fn new(loss: &str, layers: Vec<Box<dyn Layer<T>>>, n: usize) -> Self {
        Self::with_spread(1.0, loss, layers, n)
    }

    /// With parameters from `-spread` to `spread`.
    fn with_spread(spread: f64, loss: &str, layers: Vec<Box<dyn Layer<T>>>, n: usize) -> Self {
        let loss = loss::by_name::<T>(loss).expect("a known name");
        let network = build(layers);
        let mut state = network.initial_state(0).expect("memory");
        state.params_mut().copy_from_slice(&values(7, 0, network.parameter_count(), spread));
        let x = values(7, 1, network.input_shape().elements() * n, 1.0);
        let classes = loss.most_classes(network.output_shape().elements()).min(3);
        let labels = labels(7, 2, n, classes as u32);
        Self { network, state, loss, x, labels }
    }

    fn evaluate(&self, isa: Isa) -> (f64, Vec<T>) {
        self.network.loss_and_gradients(
            &self.state,
            isa,
            &*self.loss,
            Randomness::default(),
            &self.x,
            &self.labels,
        )
    }
}

#[test]
fn gradients_are_central_differences() {
    /// Half the distance of the two points, exact in binary.
    const H: f64 = 1.0 / (1u64 << 18) as f64;
    for isa in Isa::available() {
        for (name, loss, layers) in rectified(ReLU).into_iter().chain(smooth()).chain(further()) {
            let mut fixture = Fixture::<f64>::new(loss, layers, 5);
            let (value, gradient) = fixture.evaluate(isa);
            let size = largest(&gradient);
            assert!(size > 1e-3, "{name}: the largest gradient is {size:e}, which checks nothing");
            // The loss comes out of a few hundred roundings, divided by 2H; the curvature's share is H^2 of a
            // third derivative, which the statistics of few samples make large.
            let bound = 256.0 * f64::EPSILON * value / H + 1e4 * H * H * size;
            for (i, gradient) in gradient.iter().enumerate() {
                let w = fixture.state.params()[i];
                let [above, below] = [w + H, w - H].map(|w| {
                    fixture.state.params_mut()[i] = w;
                    fixture.evaluate(isa).0
                });
                fixture.state.params_mut()[i] = w;
                let difference = (above - below) / (2.0 * H);
                assert!(
                    (gradient - difference).abs() <= bound,
                    "{isa}, {name}: the gradient by parameter {i} ({}) is {gradient}, the difference quotient {difference}, \
                     the bound {bound:e}",
                    parameter_name(&fixture.network, i)
                );
            }
        }
    }
}

fn parameter_name<T: Element>(network: &Network<T>, index: usize) -> &str {
    network
        .parameters()
        .iter()
        .find(|tensor| tensor.range.contains(&index))
        .map_or("none", |tensor| &tensor.name)
}

fn fusion_changes_nothing<T: Element>() {
    for isa in Isa::available() {
        for n in [1, 2, 7, 16, 33] {
            let relus = rectified::<T, _>(ReLU).into_iter().zip(rectified(PlainReLU::UNBOUNDED));
            let to_six = rectified::<T, _>(ReLU6).into_iter().zip(rectified(PlainReLU::TO_SIX));
            // With larger parameters, many sums are above six.
            let all = relus.map(|pair| (1.0, pair)).chain(to_six.map(|pair| (8.0, pair)));
            for (spread, ((name, loss, layers), (_, _, plain))) in all {
                let [fused, plain] =
                    [layers, plain].map(|layers| Fixture::with_spread(spread, loss, layers, n));
                let what = format!("{isa} {} {n} samples, parameters to {spread}, ReLU {name}", T::NAME);
                assert_eq!(fused.evaluate(isa), plain.evaluate(isa), "{what}: loss and gradients");
                let outputs = [&fused, &plain].map(|f| f.network.predict(&f.state, isa, &f.x, n));
                assert_eq!(outputs[0], outputs[1], "{what}: outputs");
            }
        }
    }
}

#[test]
fn fusion_changes_no_value_in_f64() {
    fusion_changes_nothing::<f64>();
}

#[test]
fn fusion_changes_no_value_in_f32() {
    fusion_changes_nothing::<f32>();
}

/// The loss that works on the softmax's input, against the one that works on its output. A softmax over the
/// channels of images is not one over all outputs.
#[test]
fn cross_entropy_of_a_last_softmax_is_that_of_its_probabilities() {
    let of_a_vector = || layers![Input::new(2, 5, 4), Conv2D::new(3, 2), Flatten, Dense::new(6), Softmax];
    let of_channels = || layers![Input::new(2, 5, 4), Conv2D::new(3, 2), Softmax];
    let isa = Isa::best();
    for [last, mut open] in [[of_a_vector(), of_a_vector()], [of_channels(), of_channels()]] {
        // In front of a further layer, the softmax is an ordinary one.
        open.push(Box::new(Flatten));
        let [last, open] =
            [last, open].map(|layers| Fixture::<f64>::new("categorical_cross_entropy", layers, 9));
        let ((last_loss, last_gradient), (loss, gradient)) = (last.evaluate(isa), open.evaluate(isa));
        // A few classes, and probabilities that are not small: a few roundings.
        let unit = 64.0 * f64::EPSILON;
        assert_close("loss", &[last_loss], &[loss], unit * loss);
        assert_close("gradient", &last_gradient, &gradient, unit * largest(&gradient));
    }
}

/// The mean over a batch is that of its samples, where samples do not see each other.
#[test]
fn gradients_of_a_batch_are_the_mean_of_those_of_its_samples() {
    let layers = || -> Vec<Box<dyn Layer<f64>>> {
        layers![
            Input::new(2, 6, 5),
            Conv2D::new(3, 3),
            ReLU,
            MaxPool2D::new(2).stride(1),
            Flatten,
            Dense::new(4),
            Softmax
        ]
    };
    let (n, isa) = (7, Isa::best());
    let batch = Fixture::new("categorical_cross_entropy", layers(), n);
    let mut mean_loss = 0.0;
    let mut mean = vec![0.0; batch.network.parameter_count()];
    for sample in 0..n {
        let x: Vec<f64> = batch.x.iter().skip(sample).step_by(n).copied().collect();
        let (loss, gradient) = batch.network.loss_and_gradients(
            &batch.state,
            isa,
            &CategoricalCrossEntropy::new(),
            Randomness::default(),
            &x,
            &batch.labels[sample..=sample],
        );
        mean_loss += loss / n as f64;
        mean.iter_mut().zip(gradient).for_each(|(mean, g)| *mean += g / n as f64);
    }
    let (loss, gradient) = batch.evaluate(isa);
    // Sums of at most 12 products of 7 samples, in another order.
    let unit = 84.0 * f64::EPSILON;
    assert_close("loss", &[loss], &[mean_loss], unit * loss);
    assert_close("gradient", &gradient, &mean, unit * largest(&mean));
}
