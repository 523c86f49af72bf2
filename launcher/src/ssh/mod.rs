//! SSH sessions: logins as `ssh` would make them, and commands whose input and output are ours.
//!
//! What is taken from `ssh`: `~/.ssh/config`, `known_hosts`, the agent, key files, jump hosts. What is not: passwords,
//! certificates, `ProxyCommand`, and any way around the check of the host key (`StrictHostKeyChecking no` is not honoured).

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
pub(crate) use login::{Logins, Options};
pub(crate) use session::{Exit, Session, Stream};
