//! Every public type can be handed to another thread, and shared between threads.

use isograd_model::callback::*;
use isograd_model::layer::*;
use isograd_model::loss::*;
use isograd_model::metric::*;
use isograd_model::optimizer::*;
use isograd_model::schedule::*;
use isograd_model::*;

fn is_send_and_sync<T: Send + Sync>() {}

#[test]
fn all_types_are_send_and_sync() {
    is_send_and_sync::<(Network<f32>, State<f32>, Trainer<f32>, Trainer<f64>)>();
    is_send_and_sync::<(TrainConfig<f32>, TrainConfig<f64>, Ranks, Progress<'_>, EpochReport, Evaluation)>();
    is_send_and_sync::<(Error, BuildError, LastLayerError, DataError, NonFinite, CheckpointError)>();
    is_send_and_sync::<(Initializer, Randomness, Shape, Targets<'_, f32>)>();
    is_send_and_sync::<(Box<dyn Loss<f32>>, LossInput<'_, f32>, LossOutput<'_, f32>, Takes)>();
    is_send_and_sync::<(CategoricalCrossEntropy, BinaryCrossEntropy, loss::CategoricalHinge)>();
    is_send_and_sync::<(MeanSquaredError, MeanAbsoluteError, Huber)>();
    is_send_and_sync::<(Box<dyn Metric<f32>>, MetricInput<'_, f32>, Direction)>();
    is_send_and_sync::<(CategoricalAccuracy, TopKAccuracy, CategoricalMse, CategoricalMae)>();
    is_send_and_sync::<(metric::CategoricalHinge, RegressionMse, RegressionMae)>();
    is_send_and_sync::<(Precision, Recall, F1, metric::ConfusionMatrix)>();
    is_send_and_sync::<(Box<dyn Optimizer<f32>>, Part<'_, f32>, StepNumbers, Extent, Scope)>();
    is_send_and_sync::<(Sgd, RmsProp, Adam, Nadam, AdamW, Lars, Lamb, Muon)>();
    is_send_and_sync::<(
        EarlyStopping<f32>,
        ReduceOnPlateau,
        ReduceEvery,
        StopAt,
        Quantity,
        Decision,
        FitEpoch,
    )>();
    is_send_and_sync::<(Box<dyn Schedule>, StepPosition, Span, Constant, WarmUp, StepDecay, MultiStep)>();
    is_send_and_sync::<(Exponential, Polynomial, Cosine, OneCycle, Chained)>();
    is_send_and_sync::<(Box<dyn Layer<f32>>, Layers<f64>)>();
    is_send_and_sync::<(Context<'_, f32>, Memory<'_, f32>, Backward<'_, f32>, Gradients<'_, f32>)>();
    is_send_and_sync::<(LayerPlan, Tensor, Fans, Geometry, Mode, Placement, OutputKind, Fusible)>();
    is_send_and_sync::<(Input, Flatten, Dense, Conv2D, MaxPool2D, AveragePool2D)>();
    is_send_and_sync::<(BatchNormalization, Dropout, ReLU, Softmax)>();
    is_send_and_sync::<(Sigmoid, Tanh, LogSigmoid, ArcTanh)>();
    is_send_and_sync::<(LeakyReLU, ReLU6, SiLU, GELU, HardSwish, HardSigmoid, ELU, Softplus)>();
    is_send_and_sync::<(LocalResponseNormalization, ZeroPadding2D, Sides)>();
    is_send_and_sync::<(AdaptiveAveragePool2D, AdaptiveMaxPool2D)>();
}
