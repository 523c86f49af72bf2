//! The tests of the whole crate, in one program: every further one would compile all kernels once more.

#[path = "../common/mod.rs"]
mod common;
#[path = "../../examples/own_parts.rs"]
mod own_parts;

mod batch_norm;
mod binary;
mod blocks;
mod branches;
mod build_errors;
mod callbacks;
mod checkpoint;
mod checkpoint_files;
mod data_errors;
mod element;
mod folding;
mod golden;
mod golden_layers;
mod gradients;
mod last_layers;
mod layer_networks;
mod losses;
mod metrics;
#[cfg(feature = "files")]
mod network_files;
mod non_finite;
mod optimizers_golden;
mod own_optimizer;
mod prefetch;
mod public_types;
#[cfg(feature = "ranks")]
mod ranks;
mod rate_range;
mod recomputation;
mod resume;
mod resume_damage;
#[cfg(feature = "ranks")]
mod resume_ranks;
mod run_folder;
mod same_bits;
mod schedules;
mod small_networks;
mod training;
mod zoo;
