//! The live line at the bottom of a terminal; nothing at all elsewhere.
//!
//! The progress of running jobs is read twice a second, in a task of its own so that no wait is delayed by it, and
//! never where the line is not drawn.
//! A read that fails is not reported: the wait itself reports an outage.

use std::collections::HashMap;
use std::time::Duration;

use durable_jobs::record::RunningJob;
use durable_jobs::{Client, JobId};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::output;

/// Interval at which the elapsed time is drawn anew.
const TICK: Duration = Duration::from_millis(100);

/// Interval at which the progress of jobs is read.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// The line that shows the progress of a set of jobs.
pub(crate) struct ProgressLine {
    bar: ProgressBar,
    /// Ends with the line.
    looking: JoinSet<()>,
}

impl ProgressLine {
    /// Draws the line, if stderr is a terminal.
    pub(crate) fn new(jobs: usize) -> Self {
        let style = ProgressStyle::with_template("{spinner} {pos} of {len} done, {msg}{elapsed}{prefix}")
            .unwrap_or_else(|_| ProgressStyle::default_spinner());
        let bar = ProgressBar::new(jobs as u64).with_style(style);
        bar.enable_steady_tick(TICK);
        Self {
            bar,
            looking: JoinSet::new(),
        }
    }

    /// Shows from now on the progress of those of `ids` that run, if the line is drawn.
    pub(crate) fn look_at(&mut self, client: &Client, ids: impl IntoIterator<Item = JobId>) {
        if !self.bar.is_hidden() {
            let ids = ids.into_iter().collect();
            self.looking.spawn(look(self.bar.clone(), client.clone(), ids));
        }
    }

    /// Shows the numbers of jobs that wait and run.
    pub(crate) fn counts(&self, queued: usize, running: usize) {
        self.bar
            .set_message(format!("{running} running, {queued} waiting, "));
    }

    /// Shows the number of jobs that have ended.
    pub(crate) fn done(&self, jobs: usize) {
        self.bar.set_position(jobs as u64);
    }

    /// Prints something else while the line is away.
    pub(crate) fn apart<T>(&self, print: impl FnOnce() -> T) -> T {
        self.bar.suspend(print)
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

async fn look(bar: ProgressBar, client: Client, ids: Vec<JobId>) {
    let mut looks = tokio::time::interval(LOOK_INTERVAL);
    // A slow database is not asked several times in a row for the looks that were missed.
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let jobs = client.progress(&ids).await.unwrap_or_default();
        let said = said(&jobs).map_or_else(String::new, |said| format!(": {said}"));
        // Ids and steps come from rows that anybody may have written.
        bar.set_prefix(output::visible(&said).into_owned());
    }
}

/// Describes the job that has run for the longest, and counts the others.
fn said(jobs: &HashMap<JobId, RunningJob>) -> Option<String> {
    let oldest = jobs.values().max_by(|a, b| a.seconds.total_cmp(&b.seconds))?;
    let progress = output::progress(oldest).map_or_else(String::new, |said| format!(" {said}"));
    let more = match jobs.len() {
        1 => String::new(),
        count => format!(" and {} more", count - 1),
    };
    Some(format!("{}{progress}{more}", output::name(oldest)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn jobs(fields: &[(&str, u64, f64)]) -> HashMap<JobId, RunningJob> {
        let job = |(id, n, seconds): &(&str, u64, f64)| {
            let job =
                json!({"workflow_id": id, "n": n, "seconds": seconds, "step": "compute", "progress": 0.5});
            (JobId::new(*id), serde_json::from_value(job).unwrap())
        };
        fields.iter().map(job).collect()
    }

    #[test]
    fn the_oldest_job_is_named_and_the_others_are_counted() {
        assert_eq!(said(&jobs(&[])), None);
        assert_eq!(
            said(&jobs(&[("a", 46, 1.0)])).as_deref(),
            Some("F(46) compute 50 %")
        );
        assert_eq!(
            said(&jobs(&[("a", 46, 1.0), ("b", 47, 3.0), ("c", 48, 2.0)])).as_deref(),
            Some("F(47) compute 50 % and 2 more")
        );
    }
}
