//! The tests of the whole crate, in one program: every further one would compile all kernels once more.

#[path = "../common/mod.rs"]
mod common;

mod binary;
mod build_errors;
mod checkpoint;
mod checkpoint_files;
mod element;
mod golden;
mod gradients;
mod non_finite;
mod ranks;
mod same_bits;
mod small_networks;
mod training;
