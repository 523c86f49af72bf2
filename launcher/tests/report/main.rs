//! Reports of runs: pages, summaries and tables, of runs in every state, and what a browser makes of a page.

mod browser;
mod formats;
mod logs;
mod pages;
mod states;

#[path = "../common/browser.rs"]
mod chromium;
#[path = "../common/mod.rs"]
mod common;
