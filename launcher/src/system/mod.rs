//! The operating system: cores, files, signals, facts about the host, and text for shells and terminals. It
//! imports no other room.

pub(crate) mod cache_folder;
pub(crate) mod cores;
pub(crate) mod count;
pub(crate) mod cpu_model;
pub(crate) mod cpu_quota;
pub(crate) mod csv;
pub(crate) mod escape;
pub(crate) mod host_facts;
pub(crate) mod logger;
pub(crate) mod memory;
pub(crate) mod names;
pub(crate) mod open_files;
pub(crate) mod quote;
pub(crate) mod same_file;
pub(crate) mod signals;
pub(crate) mod status_line;
pub(crate) mod table;
pub(crate) mod text_file;
pub(crate) mod variables;
pub(crate) mod whole_file;
