//! The tests of the whole crate, in one program: every further one would compile all kernels once more.

#[path = "../common/mod.rs"]
mod common;
#[path = "../../examples/own_parts.rs"]
mod own_parts;
#[allow(dead_code, reason = "an example is a program, of which tests run a part")]
#[path = "../../examples/serve.rs"]
mod serve;

mod batch_norm;
mod bfloat16_values;
mod binary;
mod blocks;
mod branches;
mod build_errors;
mod callbacks;
mod checkpoint;
mod checkpoint_files;
mod conv_paths;
mod data_errors;
mod element;
mod folding;
mod formula;
mod golden;
mod golden_layers;
mod gradients;
mod import;
mod last_layers;
mod layer_networks;
mod losses;
mod metrics;
#[cfg(feature = "files")]
mod network_files;
mod non_finite;
mod onnx;
mod optimizers_golden;
mod own_optimizer;
mod predictor;
mod prefetch;
#[cfg(feature = "ranks")]
mod profile;
mod public_types;
mod pytorch;
#[cfg(feature = "ranks")]
mod ranks;
mod rate_factors;
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
mod streams;
mod test_time;
mod training;
#[cfg(feature = "files")]
mod tuning;
mod whitening;
mod workflow;
mod zoo;
