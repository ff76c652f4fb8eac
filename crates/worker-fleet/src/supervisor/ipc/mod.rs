//! The channel between a supervisor and each of its children: lines of JSON over a socket pair.
//!
//! # Layout
//!
//! | module | holds |
//! |---|---|
//! | `message` | the messages of both sides |
//! | `channel` | the two halves of a channel, and how a child finds its end |

mod channel;
mod message;

pub(crate) use channel::{Received, Receiver, Sender, inherited, pair, send_now, write_line};
pub(crate) use message::{FromChild, ToHealth};
pub use message::{QueueAddress, WorkerFailure};
