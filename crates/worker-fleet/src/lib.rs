//! A supervisor and a health server for worker processes that report over an inherited socket.

mod error;
pub mod health;
mod parent_death;
pub mod signals;
pub mod snapshot;
pub mod supervisor;
mod systemd;

pub use error::Error;
pub use parent_death::die_with_parent;
pub use systemd::Notifier;
