//! The work of one rank: it meets the other ranks, trains or evaluates, and reports.

pub(crate) mod agreement;
pub(crate) mod bench_comm;
mod checkpoints;
mod class_report;
pub(crate) mod command;
pub(crate) mod data;
mod description;
pub(crate) mod evaluate;
pub(crate) mod identity;
mod mistake_pictures;
pub(crate) mod network;
mod observer;
mod profile;
mod progress;
pub(crate) mod remote_data;
mod report;
pub(crate) mod resume;
mod run_start;
mod sample_picture;
mod settings_table;
pub(crate) mod stop;
pub(crate) mod summary;
pub(crate) mod train;
pub(crate) mod views;
