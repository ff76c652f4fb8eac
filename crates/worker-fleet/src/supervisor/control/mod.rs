//! The control socket of a fleet: one line of JSON each way.
//!
//! Whoever can open the socket may ask; its permissions are the protection.
//!
//! # Layout
//!
//! | module | holds |
//! |---|---|
//! | `server` | the fleet's side: takes requests and keeps the socket where it is looked for |
//! | `client` | the side of those who ask |
//! | `lock` | the lock and the socket in the fleet's directory, one fleet for each |
//! | `protocol` | the requests and their answers |

mod client;
mod lock;
mod protocol;
mod server;

pub use client::ask;
pub use lock::{FleetLock, directory_in};
pub(super) use protocol::PendingRequest;
pub use protocol::{FleetAnswer, FleetRequest};
pub(super) use server::serve;
