//! The progress of a job in hand: its attempt, the step that runs and how much of that is done.
//!
//! The async side says which step runs, the computing thread how far it is, by one store without a lock.
//! Each step has a progress of its own, so that a thread which outlives its cancelled step for a moment says nothing of the
//! next one. Nothing here is recorded anywhere, and nothing is decided by it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Stage;

/// A job whose body has begun.
pub(crate) struct Activity {
    /// Which start of the job this is, from 1.
    pub(crate) attempt: u32,
    step: Mutex<Option<Step>>,
}

/// A step that runs.
struct Step {
    name: &'static str,
    progress: StepProgress,
}

/// The progress of a step; all clones are one.
#[derive(Clone)]
pub(crate) struct StepProgress(Arc<Measures>);

struct Measures {
    /// The bits of the share that is computed.
    share: AtomicU64,
    /// The bytes that are written; [`NONE_WRITTEN`] before there are any.
    bytes: AtomicU64,
}

/// No file is so long.
const NONE_WRITTEN: u64 = u64::MAX;

/// The progress that a computation of several steps writes to: that of the step that waits for it now.
#[derive(Clone, Default)]
pub(crate) struct ProgressHandle(Arc<Mutex<Option<StepProgress>>>);

/// The progress of a step at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Reading {
    /// The share of the arithmetic that is done, from 0 to 1, once it was said.
    pub(crate) share: Option<f64>,
    /// The number of bytes that are written, once any are.
    pub(crate) bytes: Option<u64>,
}

/// Keeps a step in the report; dropping it, also by an abort, takes it out.
pub struct StepGuard<'a>(&'a Activity);

impl Activity {
    pub(crate) fn new(attempt: u32) -> Self {
        Self {
            attempt,
            step: Mutex::default(),
        }
    }

    /// Says that the step `name` runs until the guard is dropped.
    pub(crate) fn begin(&self, name: &'static str) -> StepGuard<'_> {
        *self.step() = Some(Step {
            name,
            progress: StepProgress::new(),
        });
        StepGuard(self)
    }

    /// The step that runs, and how far it is.
    pub(crate) fn current(&self) -> Option<(&'static str, Reading)> {
        self.step().as_ref().map(|step| (step.name, step.progress.read()))
    }

    /// Takes how far the step that runs is.
    pub(crate) fn step_progress(&self) -> StepProgress {
        let step = self.step();
        step.as_ref()
            .map_or_else(StepProgress::new, |step| step.progress.clone())
    }

    fn step(&self) -> MutexGuard<'_, Option<Step>> {
        // It is only ever replaced whole, so a panic elsewhere cannot leave it half-made.
        self.step.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for StepGuard<'_> {
    fn drop(&mut self) {
        *self.0.step() = None;
    }
}

impl ProgressHandle {
    /// Shows what follows as the progress of another step.
    pub(crate) fn point_at(&self, progress: StepProgress) {
        *self.target() = Some(progress);
    }

    /// Notes how much is computed, from 0 to 1, and what is written of it.
    pub(crate) fn set(&self, share: f64, bytes: Option<u64>) {
        if let Some(progress) = &*self.target() {
            progress.set(share, bytes);
        }
    }

    fn target(&self) -> MutexGuard<'_, Option<StepProgress>> {
        // It is only ever replaced whole, as the step above.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StepProgress {
    fn new() -> Self {
        Self(Arc::new(Measures {
            // Not a number, which lies in no range: it reads as unknown.
            share: AtomicU64::new(f64::NAN.to_bits()),
            bytes: AtomicU64::new(NONE_WRITTEN),
        }))
    }

    /// Notes what the step is at.
    pub(crate) fn note(&self, stage: Stage) {
        let (share, bytes) = stage.measures();
        self.set(share, bytes);
    }

    /// Notes how much is computed, from 0 to 1, anything else reading as unknown, and what is written of it.
    pub(crate) fn set(&self, share: f64, bytes: Option<u64>) {
        // Two stores: a reader between them sees a wrong pair for a moment, which only a report shows.
        self.0.share.store(share.to_bits(), Ordering::Relaxed);
        self.0
            .bytes
            .store(bytes.unwrap_or(NONE_WRITTEN), Ordering::Relaxed);
    }

    fn read(&self) -> Reading {
        let share = f64::from_bits(self.0.share.load(Ordering::Relaxed));
        let bytes = self.0.bytes.load(Ordering::Relaxed);
        Reading {
            share: (0.0..=1.0).contains(&share).then_some(share),
            bytes: (bytes != NONE_WRITTEN).then_some(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_begins_without_progress_and_leaves_nothing_behind() {
        let activity = Activity::new(1);
        assert_eq!(activity.current(), None);
        let compute = activity.begin("compute");
        let progress = activity.step_progress();
        assert_eq!(activity.current(), Some(("compute", Reading::default())));
        progress.set(0.25, None);
        let reading = activity.current().unwrap().1;
        assert_eq!((reading.share, reading.bytes), (Some(0.25), None));
        progress.note(Stage::Writing { bytes: 7 });
        let reading = activity.current().unwrap().1;
        assert_eq!((reading.share, reading.bytes), (Some(1.0), Some(7)));
        drop(compute);
        assert_eq!(activity.current(), None, "a step was shown after its end");

        let _certify = activity.begin("certify");
        // The thread of the first step has not noticed its end yet.
        progress.set(1.0, None);
        assert_eq!(
            activity.current(),
            Some(("certify", Reading::default())),
            "the progress of one step was shown as that of the next"
        );
    }
}
