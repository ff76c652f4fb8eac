//! What a job in hand is at: its request, its attempt, the step that runs and how much of that is done.
//!
//! The async side says which step runs, the computing thread how far it is, by one store without a lock.
//! Each step has a meter of its own, so that a thread which outlives its cancelled step for a moment says nothing of the
//! next one. Nothing here is recorded anywhere, and nothing is decided by it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fibonacci::Progress;

use crate::record::Request;

/// A job whose body has begun.
pub(crate) struct Activity {
    pub(crate) request: Request,
    /// Which start of the job this is, from 1.
    pub(crate) attempt: u32,
    step: Mutex<Option<Step>>,
}

/// A step that runs.
struct Step {
    name: &'static str,
    meter: Meter,
}

/// How much of a step is done; all clones are one.
#[derive(Clone)]
pub(crate) struct Meter(Arc<AtomicU64>);

/// Keeps a step in the report; dropping it, also by an abort, takes it out.
pub(crate) struct StepGuard<'a> {
    activity: &'a Activity,
    meter: Meter,
}

impl Activity {
    pub(crate) fn new(request: Request, attempt: u32) -> Self {
        Self {
            request,
            attempt,
            step: Mutex::default(),
        }
    }

    /// Says that the step `name` runs until the guard is dropped.
    pub(crate) fn begin(&self, name: &'static str) -> StepGuard<'_> {
        let meter = Meter::new();
        *self.step() = Some(Step {
            name,
            meter: meter.clone(),
        });
        StepGuard {
            activity: self,
            meter,
        }
    }

    /// The step that runs, and how much of it is done, once it said so.
    pub(crate) fn current(&self) -> Option<(&'static str, Option<f64>)> {
        self.step().as_ref().map(|step| (step.name, step.meter.read()))
    }

    fn step(&self) -> MutexGuard<'_, Option<Step>> {
        // It is only ever replaced whole, so a panic elsewhere cannot leave it half-made.
        self.step.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StepGuard<'_> {
    /// What the computing thread writes to.
    pub(crate) fn meter(&self) -> Meter {
        self.meter.clone()
    }
}

impl Drop for StepGuard<'_> {
    fn drop(&mut self) {
        *self.activity.step() = None;
    }
}

impl Meter {
    fn new() -> Self {
        Self(Arc::new(AtomicU64::new(f64::NAN.to_bits())))
    }

    /// Notes how much is done.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a share needs no more than its first digits"
    )]
    pub(crate) fn set(&self, Progress { done, total }: Progress) {
        self.set_share(done as f64 / total as f64);
    }

    /// Notes how much is done, from 0 to 1; anything else reads as unknown.
    pub(crate) fn set_share(&self, share: f64) {
        self.0.store(share.to_bits(), Ordering::Relaxed);
    }

    fn read(&self) -> Option<f64> {
        let share = f64::from_bits(self.0.load(Ordering::Relaxed));
        (0.0..=1.0).contains(&share).then_some(share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_begins_without_progress_and_leaves_nothing_behind() {
        let activity = Activity::new(Request::new(10), 1);
        assert_eq!(activity.current(), None);
        let compute = activity.begin("compute");
        let meter = compute.meter();
        assert_eq!(activity.current(), Some(("compute", None)));
        meter.set(Progress { done: 1, total: 4 });
        assert_eq!(activity.current(), Some(("compute", Some(0.25))));
        drop(compute);
        assert_eq!(activity.current(), None, "a step was shown after its end");

        let _certify = activity.begin("certify");
        // The thread of the first step has not noticed its end yet.
        meter.set(Progress { done: 4, total: 4 });
        assert_eq!(
            activity.current(),
            Some(("certify", None)),
            "the progress of one step was shown as that of the next"
        );
    }
}
