//! SSH sessions: logins like those of `ssh`, and remote commands whose input and output this program handles.
//!
//! Supported are the configuration of `ssh`, `known_hosts`, the agent, key files and jump hosts. Not
//! supported are passwords, certificates and `ProxyCommand`. The host key is always checked:
//! `StrictHostKeyChecking no` has no effect.

mod config;
mod deadline;
mod dial;
mod error;
mod input;
mod jump;
mod keys;
mod known_hosts;
mod login;
mod pattern;
mod route;
mod session;
mod terminal;
mod transport;
mod turns;

#[cfg(test)]
mod tests;

pub(crate) use config::Target;
pub(crate) use error::Error;
pub(crate) use input::{Input, input};
pub(crate) use login::{LoginPlan, Logins, Options};
pub(crate) use session::{Exit, Session, Stream};
