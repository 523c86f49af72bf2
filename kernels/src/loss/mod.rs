//! Losses with their gradients: categorical and binary cross-entropy, mean squared error.
//!
//! Every function returns the *sum* of the losses in f64, added in an order that the length alone decides, and writes
//! gradients that are already multiplied by `scale`. With `scale` = 1 / global batch size the gradients of all shards simply
//! add up to that of the mean loss, ragged last batches included.

mod binary;
mod categorical;
mod squared_error;

pub use binary::{
    binary_cross_entropy, binary_cross_entropy_with_logits, binary_cross_entropy_with_logits_eval,
};
pub use categorical::{cross_entropy, softmax_cross_entropy, softmax_cross_entropy_eval};
pub use squared_error::mean_squared_error;

fn check_len<T>(what: &str, name: &str, x: &[T], len: usize) {
    assert_eq!(x.len(), len, "{what}: {name} has {} elements, expected {len}", x.len());
}
