//! The live line at the bottom of a terminal; nothing at all elsewhere.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// How often the elapsed time is drawn anew.
const TICK: Duration = Duration::from_millis(100);

/// The line that says how far a set of jobs is.
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Draws the line, if stderr is a terminal.
    pub(crate) fn new(jobs: usize) -> Self {
        let style = ProgressStyle::with_template("{spinner} {pos} of {len} done, {msg}{elapsed}")
            .unwrap_or_else(|_| ProgressStyle::default_spinner());
        let bar = ProgressBar::new(jobs as u64).with_style(style);
        bar.enable_steady_tick(TICK);
        Self { bar }
    }

    /// Says how many jobs wait and run.
    pub(crate) fn counts(&self, queued: usize, running: usize) {
        self.bar
            .set_message(format!("{running} running, {queued} waiting, "));
    }

    /// Says how many jobs have ended.
    pub(crate) fn done(&self, jobs: usize) {
        self.bar.set_position(jobs as u64);
    }

    /// Prints something else while the line is away.
    pub(crate) fn apart<T>(&self, print: impl FnOnce() -> T) -> T {
        self.bar.suspend(print)
    }

    /// Removes the line.
    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
