//! Trains with a layer, a loss, a metric, an optimizer and a callback that are not the library's: the median
//! of noisy numbers, in which outliers do not count.

use isograd_datasets::Arrays;
use isograd_model::callback::{Callback, Decision};
use isograd_model::layer::*;
use isograd_model::loss::{Loss, LossInput};
use isograd_model::metric::{Direction, Metric, MetricInput};
use isograd_model::optimizer::{Optimizer, Part, StepNumbers};
use isograd_model::{
    BuildError, Element, Error, FitEpoch, Initializer, Network, Shape, Targets, TrainConfig, Trainer,
    kernels::elementwise, layers,
};
use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

/// Multiplies each feature by a trained factor.
#[derive(Debug, Default)]
struct Factors {
    factors: Range<usize>,
}

impl<T: Element> Layer<T> for Factors {
    fn kind(&self) -> &'static str {
        "Factors"
    }

    fn build(&mut self, input: Shape, plan: &mut LayerPlan) -> Result<Shape, BuildError> {
        if !input.is_vector() {
            return Err(BuildError::Other(format!("multiplies features, its input is an image, {input}")));
        }
        self.factors = plan.parameter("factors", &[input.c], Initializer::Ones, Fans::ELEMENTWISE)?;
        Ok(input)
    }

    fn forward(&self, cx: &Context<'_, T>, x: &[T], y: &mut [T], _: Memory<'_, T>) {
        let factors = &cx.params[self.factors.clone()];
        // The loop is compiled with the vectors of the trainer's level.
        cx.isa.vectorize(|| {
            for ((y, x), factor) in y.chunks_mut(cx.n).zip(x.chunks(cx.n)).zip(factors) {
                y.iter_mut().zip(x).for_each(|(y, x)| *y = *factor * *x);
            }
        });
    }

    fn backward(&self, cx: &Context<'_, T>, mut tensors: Backward<'_, T>, _: Memory<'_, T>) {
        let rows = tensors.x.chunks(cx.n).zip(tensors.dy.chunks(cx.n));
        for (dw, (x, dy)) in tensors.dw.of(&self.factors).iter_mut().zip(rows) {
            *dw = x.iter().zip(dy).map(|(x, dy)| *x * *dy).sum();
        }
        let Some(dx) = tensors.dx else { return };
        let factors = &cx.params[self.factors.clone()];
        for ((dx, dy), factor) in dx.chunks_mut(cx.n).zip(tensors.dy.chunks(cx.n)).zip(factors) {
            dx.iter_mut().zip(dy).for_each(|(dx, dy)| *dx = *factor * *dy);
        }
    }

    fn backward_reads(&self) -> BackwardReads {
        BackwardReads::X
    }
}

/// The sum over the outputs of `sqrt(1 + (y - t)^2) - 1`: a parabola near 0, and straight lines far from it.
#[derive(Debug)]
struct PseudoHuber;

impl<T: Element> Loss<T> for PseudoHuber {
    fn name(&self) -> &'static str {
        "pseudo_huber"
    }

    fn takes_values(&self) -> bool {
        true
    }

    fn evaluate(&self, input: LossInput<'_, T>) -> f64 {
        let y = input.output.of_network();
        let t = input.targets.dense(input.outputs, input.scratch);
        let differences = || y.iter().zip(t).map(|(y, t)| y.to_f64() - t.to_f64());
        if let Some(gradient) = input.gradient {
            let scale = 1.0 / input.global_batch_size as f64;
            for (g, d) in gradient.iter_mut().zip(differences()) {
                *g = T::from_f64(scale * d / (1.0 + d * d).sqrt());
            }
        }
        differences().map(|d| (1.0 + d * d).sqrt() - 1.0).sum()
    }
}

/// The share of outputs that are near their targets, in percent.
#[derive(Debug)]
struct Near {
    distance: f64,
}

impl<T: Element> Metric<T> for Near {
    fn name(&self) -> Cow<'static, str> {
        format!("within_{}", self.distance).into()
    }

    fn direction(&self) -> Direction {
        Direction::Higher
    }

    fn is_percent(&self) -> bool {
        true
    }

    fn takes_classes(&self) -> bool {
        false
    }

    fn takes_values(&self) -> bool {
        true
    }

    /// How many are near, and how many there are.
    fn width(&self, _outputs: usize) -> usize {
        2
    }

    fn add(&self, input: &MetricInput<'_, T>, sums: &mut [f64]) {
        let Targets::Values(targets) = input.targets else { unreachable!("it takes no classes") };
        let is_near = |(y, t): &(&T, &T)| (y.to_f64() - t.to_f64()).abs() <= self.distance;
        sums[0] += input.output.iter().zip(targets).filter(is_near).count() as f64;
        sums[1] += targets.len() as f64;
    }

    fn finish(&self, sums: &[f64], _samples: usize) -> f64 {
        100.0 * sums[0] / sums[1]
    }
}

/// Steps along the sign of the averaged gradient.
///
/// Bernstein et al.: "signSGD: compressed optimisation for non-convex problems", ICML 2018.
#[derive(Debug)]
struct Signum {
    momentum: f64,
}

impl<T: Element> Optimizer<T> for Signum {
    fn slots(&self, _: &Tensor) -> usize {
        1
    }

    fn update(&self, step: &StepNumbers, mut part: Part<'_, T>) {
        let [average] = part.slots();
        elementwise::scale(step.isa, T::from_f64(self.momentum), average);
        elementwise::axpy(step.isa, T::from_f64(1.0 - self.momentum), part.gradient, average);
        for (g, average) in part.gradient.iter_mut().zip(average.iter()) {
            let sign = if *average > T::ZERO { 1.0 } else { -1.0 };
            *g = T::from_f64(sign);
        }
        elementwise::axpy(step.isa, T::from_f64(-step.learning_rate), part.gradient, part.weights);
    }
}

/// Makes the steps smaller from epoch to epoch, and ends training when they are too small to matter.
#[derive(Debug)]
struct Settle {
    least_rate: f64,
}

impl<T: Element> Callback<T> for Settle {
    fn name(&self) -> &'static str {
        "Settle"
    }

    fn on_epoch_end(&mut self, trainer: &mut Trainer<T>, _: &FitEpoch) -> Result<Decision, Error> {
        let rate = 0.7 * trainer.config().learning_rate;
        trainer.set_learning_rate(rate)?;
        Ok(Decision::stop_if(rate < self.least_rate))
    }
}

/// 1000 samples of three features, each with the target `2 a - b + 0.5 c`; every tenth target is an outlier.
fn data() -> Result<Arrays<'static>, isograd_datasets::Error> {
    let feature = |i: usize| (i * 7919 % 997) as f32 / 498.5 - 1.0;
    let x: Vec<f32> = (0..3000).map(feature).collect();
    let target = |(sample, x): (usize, &[f32])| {
        let outlier = if sample % 10 == 9 { 50.0 } else { 0.0 };
        2.0 * x[0] - x[1] + 0.5 * x[2] + outlier
    };
    let targets: Vec<f32> = x.chunks(3).enumerate().map(target).collect();
    Arrays::from_f32_with_values(x, targets, [3, 1, 1], 1)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let network = Network::<f32>::build(layers![Input::vector(3), Factors::default(), Dense::new(1)])?;
    let config = TrainConfig {
        loss: Arc::new(PseudoHuber),
        metrics: vec![Arc::new(Near { distance: 0.5 })],
        optimizer: Arc::new(Signum { momentum: 0.9 }),
        learning_rate: 0.02,
        batch_size: 50,
        shard_size: 16,
        ..TrainConfig::default()
    };
    let mut trainer = Trainer::new(network, config)?;
    let mut settle = Settle { least_rate: 1e-3 };
    let epochs = trainer.fit(&data()?, None, 100, &mut [&mut settle])?;
    for epoch in &epochs {
        let train = &epoch.report.train;
        println!("epoch {}: loss {:.4}, near {:.1}%", epoch.report.epoch, train.loss, train.metrics[0]);
    }
    // The callback has ended the training. All targets are near but the outliers.
    assert!(epochs.len() < 100, "{} epochs", epochs.len());
    let near = trainer.evaluate(&data()?)?.metrics[0];
    assert!((85.0..=90.0).contains(&near), "{near}% are near");
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn parts_of_a_user_learn() {
        super::main().expect("data and parts that fit");
    }
}
