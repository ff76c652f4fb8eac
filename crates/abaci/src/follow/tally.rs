//! Adding up what jobs took.

use std::time::Instant;

use crate::output;

/// The sums of a set of jobs, with the clock that started with it.
pub(crate) struct Tally {
    jobs: usize,
    succeeded: usize,
    failed: usize,
    compute_seconds: f64,
    started: Instant,
}

impl Tally {
    /// Starts the clock of a set of jobs.
    pub(crate) fn start(jobs: usize) -> Self {
        Self {
            jobs,
            succeeded: 0,
            failed: 0,
            compute_seconds: 0.0,
            started: Instant::now(),
        }
    }

    /// Counts a job with a value.
    pub(crate) fn succeeded(&mut self, compute_seconds: f64) {
        self.succeeded += 1;
        self.compute_seconds += compute_seconds;
    }

    /// Counts a job without one.
    pub(crate) fn failed(&mut self) {
        self.failed += 1;
    }

    /// How many jobs have ended.
    pub(crate) fn done(&self) -> usize {
        self.succeeded + self.failed
    }

    /// Whether any job ended without a value.
    pub(crate) fn has_failures(&self) -> bool {
        self.failed > 0
    }

    /// Jobs, failures, compute time, wall time and the ratio of the two, in one line.
    pub(crate) fn summary(&self) -> String {
        let wall = self.started.elapsed().as_secs_f64();
        let speed_up = self.compute_seconds / wall.max(f64::EPSILON);
        format!("{}, speed-up {speed_up:.2}", self.totals())
    }

    /// The same without the ratio, which says nothing of a run with a crash in it.
    pub(crate) fn totals(&self) -> String {
        let wall = self.started.elapsed().as_secs_f64();
        let noun = if self.jobs == 1 { "job" } else { "jobs" };
        let (compute, wall) = (output::seconds(self.compute_seconds), output::seconds(wall));
        format!(
            "{} {noun}, {} failed: compute {compute}, wall {wall}",
            self.jobs, self.failed
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_adds_up() {
        let mut tally = Tally::start(3);
        tally.succeeded(1.5);
        tally.succeeded(0.25);
        tally.failed();
        assert_eq!(tally.done(), 3);
        let summary = tally.summary();
        assert!(
            summary.starts_with("3 jobs, 1 failed: compute 1.750 s, wall 0.0"),
            "{summary}"
        );
    }
}
