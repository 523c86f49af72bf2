//! Losses with their gradients: categorical and binary cross-entropy, mean squared error.
//!
//! Every function returns the *sum* of the losses in f64, in an order that depends only on the length. It
//! writes gradients that are already multiplied by `scale`. So with `scale` = 1 / global batch size, the sum
//! of the gradients of all shards is the gradient of the mean loss, also for a last batch that is smaller.

mod binary;
mod categorical;
mod squared_error;

pub use binary::{
    binary_cross_entropy, binary_cross_entropy_with_logits, binary_cross_entropy_with_logits_eval,
};
pub use categorical::{cross_entropy, softmax_cross_entropy, softmax_cross_entropy_eval};
pub use squared_error::mean_squared_error;

fn check_len<T>(what: &str, name: &str, x: &[T], len: usize) {
    assert_eq!(x.len(), len, "{what}: {name} has {} elements, but {len} are needed", x.len());
}
