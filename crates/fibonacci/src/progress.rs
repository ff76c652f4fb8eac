//! Progress of a computation, and its cancellation.
//!
//! One callback does both, so that no algorithm can report without being stoppable. It is called on the
//! computing thread, between units of work, never inside one: an observer that blocks, blocks the
//! computation. How often it is called is each algorithm's promise; no fixed rate is promised here.

use std::ops::ControlFlow;

/// The part of a computation that is done, in units of work that the algorithm chooses.
///
/// `done <= total`; `total` stays the same during one computation and is at least 1. Units are not seconds,
/// but each algorithm chooses them so that `done` grows about evenly with the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Units of work done so far.
    pub done: u64,
    /// Units of work altogether.
    pub total: u64,
}

/// Receives [`Progress`] and cancels the computation by returning [`ControlFlow::Break`].
pub type Observer<'a> = dyn Fn(Progress) -> ControlFlow<()> + 'a;

/// The computation was stopped by its observer; no value was computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the computation was cancelled")]
pub struct Cancelled;

/// Observes nothing and never cancels.
pub fn unobserved(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Reports to `observe`; an error when it breaks, so that callers can use `?`.
pub(crate) fn report(observe: &Observer<'_>, done: u64, total: u64) -> Result<(), Cancelled> {
    match observe(Progress {
        // Work that is repeated is counted again, so the count may pass the total.
        done: done.min(total),
        total,
    }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Cancelled),
    }
}
