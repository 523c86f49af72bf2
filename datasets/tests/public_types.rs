//! Every public type can be handed to another thread, and shared between threads.

use isograd_datasets::idx::Idx;
use isograd_datasets::mnist::Split;
use isograd_datasets::open::Opened;
use isograd_datasets::*;

use isograd_datasets::pipeline::{
    BuiltPipeline, CancelHandle, Diagram, Monitor, PipelineError, Run, Samples, Worker,
};

fn is_send_and_sync<T: Send + Sync>() {}

#[test]
fn all_types_are_send_and_sync() {
    is_send_and_sync::<(
        Arrays<'_>,
        Subset<'_>,
        ValidationSplit<'_>,
        Synthetic,
        Augmented<'_>,
        Normalized<'_>,
        Prefetched<'_>,
        Repeated<'_>,
        Moments,
        Box<dyn Dataset>,
    )>();
    is_send_and_sync::<(Sample<'_>, Pixels<'_>, Target<'_>, Normalization, Idx, Split)>();
    is_send_and_sync::<(BuiltPipeline, CancelHandle, Diagram, Monitor, PipelineError, Run, Samples, Worker)>(
    );
    is_send_and_sync::<(images::ImageFolder, images::shards::TarShards, tensors::NpzChunks, Opened)>();
    is_send_and_sync::<(
        Error,
        FormatError,
        ImageError,
        FileError,
        IdxError,
        ArrayError,
        NormalizationError,
        SplitError,
        SyntheticError,
        SampleError,
        AugmentError,
    )>();
}
