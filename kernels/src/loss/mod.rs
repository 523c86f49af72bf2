//! Losses with their gradients: categorical and binary cross-entropy, the hinge loss, and errors of numbers.
//!
//! Every function returns the *sum* of the losses in f64, in an order that depends only on the length. It
//! writes gradients that are already multiplied by `scale`. So with `scale` = 1 / global batch size, the sum
//! of the gradients of all shards is the gradient of the mean loss, also for a last batch that is smaller.

mod absolute_error;
mod binary;
mod categorical;
mod hinge;
mod pairs;
mod smoothed;
mod squared_error;

pub use absolute_error::{huber, mean_absolute_error};
pub use binary::{
    binary_cross_entropy, binary_cross_entropy_with_logits, binary_cross_entropy_with_logits_eval,
};
pub use categorical::{cross_entropy, softmax_cross_entropy, softmax_cross_entropy_eval};
pub use hinge::categorical_hinge;
pub use smoothed::{LabelShares, smoothed_cross_entropy, smoothed_softmax_cross_entropy};
pub use squared_error::mean_squared_error;

fn check_len<T>(what: &str, name: &str, x: &[T], len: usize) {
    assert_eq!(x.len(), len, "{what}: {name} has {} elements, but {len} are needed", x.len());
}
