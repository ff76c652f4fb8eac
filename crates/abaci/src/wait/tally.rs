//! Sums over a set of jobs.

use std::time::Instant;

use crate::output;

/// The least time of computing for which a speed-up is shown.
const LEAST_COMPUTE_SECONDS: f64 = 1.0;

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

    /// Returns the number of jobs that have ended.
    pub(crate) fn done(&self) -> usize {
        self.succeeded + self.failed
    }

    /// Returns whether any job ended without a value.
    pub(crate) fn has_failures(&self) -> bool {
        self.failed > 0
    }

    /// Writes jobs, failures, compute time and wall time of jobs that were submitted when the clock started, in one line, with the
    /// ratio of the two times where it is a speed-up: of two jobs or more, since one alone is sped up by nobody, and of a
    /// second of computing or more, since less is lost in what submitting and waiting take.
    pub(crate) fn summary(&self) -> String {
        if self.succeeded < 2 || self.compute_seconds < LEAST_COMPUTE_SECONDS {
            return self.totals();
        }
        let wall = self.started.elapsed().as_secs_f64();
        let speed_up = self.compute_seconds / wall.max(f64::EPSILON);
        format!("{}, speed-up {speed_up:.2}", self.totals())
    }

    /// Writes the same without the ratio, which says nothing of jobs that ran before the clock started, nor of a run with a crash
    /// in it.
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

    #[test]
    fn a_speed_up_is_told_of_several_jobs_that_took_their_time() {
        let summary = |times: &[f64]| {
            let mut tally = Tally::start(times.len());
            for seconds in times {
                tally.succeeded(*seconds);
            }
            tally.summary()
        };
        assert!(summary(&[0.75, 0.75]).contains(", speed-up "));
        for times in [&[][..], &[5.0], &[0.25, 0.25]] {
            let summary = summary(times);
            assert!(!summary.contains("speed-up"), "{summary}");
        }
    }
}
