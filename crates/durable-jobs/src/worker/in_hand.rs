//! Lists the jobs that this process has in hand.
//!
//! The database records who claimed a row, not whether that process works on it; this table does.
//! A job is in hand from its claim until its outcome is recorded, and it takes one of the worker's slots meanwhile.
//! What it is at, once its body has begun, is for the worker's report alone.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::compute::Activity;
use crate::record::{Details, RunningJob};

/// The jobs of one worker. Cheap to clone; all clones are one table.
#[derive(Clone, Default)]
pub(crate) struct Jobs(Arc<JobTable>);

#[derive(Default)]
struct JobTable {
    table: Mutex<HashMap<String, JobInHand>>,
    changed: Notify,
    /// The number of jobs that have left whose bodies had begun here, but for those that were given back.
    finished: AtomicU64,
    /// The number of jobs that have left and were given back.
    given_back: AtomicU64,
}

/// A job in hand.
struct JobInHand {
    /// Two while the engine runs a job that we claimed.
    guards: usize,
    /// True if its body began in this process.
    has_begun: bool,
    /// True if it goes back to its queue.
    is_given_back: bool,
    /// When it was taken in hand.
    since: Instant,
    /// Its request; nothing until its input was read.
    details: Details,
    /// Its activity; absent until its body has begun.
    activity: Option<Arc<Activity>>,
}

/// Keeps a job in the table; dropping it, also by an abort, lets go of it.
pub(crate) struct JobGuard {
    jobs: Jobs,
    id: String,
}

impl Jobs {
    /// Takes a claimed job in hand until the guard is dropped.
    pub(crate) fn enter(&self, id: &str) -> JobGuard {
        self.guard(id, |_| {})
    }

    /// Takes a row in hand that nobody here has.
    pub(crate) fn enter_alone(&self, id: &str) -> Option<JobGuard> {
        let mut table = self.table();
        // Looked at and taken under one lock, or a claim could take it in between.
        if table.contains_key(id) {
            return None;
        }
        let entry = table.entry(id.to_owned()).or_insert_with(JobInHand::new);
        entry.guards = 1;
        Some(JobGuard {
            jobs: self.clone(),
            id: id.to_owned(),
        })
    }

    /// Takes a job in hand whose body begins now, whoever claimed it.
    pub(crate) fn begin(&self, id: &str) -> JobGuard {
        self.guard(id, |entry| entry.has_begun = true)
    }

    /// Tests whether the body of a job in hand has begun in this process.
    pub(crate) fn has_begun(&self, id: &str) -> bool {
        self.table().get(id).is_some_and(|entry| entry.has_begun)
    }

    fn guard(&self, id: &str, mark: impl FnOnce(&mut JobInHand)) -> JobGuard {
        let mut table = self.table();
        let entry = table.entry(id.to_owned()).or_insert_with(JobInHand::new);
        entry.guards += 1;
        mark(entry);
        JobGuard {
            jobs: self.clone(),
            id: id.to_owned(),
        }
    }

    /// The ids of the jobs in hand.
    pub(crate) fn ids(&self) -> Vec<String> {
        self.table().keys().cloned().collect()
    }

    /// The jobs in hand as a report shows them, the oldest first.
    pub(crate) fn running(&self) -> Vec<RunningJob> {
        let mut jobs: Vec<_> = self
            .table()
            .iter()
            .map(|(id, entry)| {
                let job = running_job(id.clone(), entry);
                (entry.since, job)
            })
            .collect();
        jobs.sort_unstable_by(|(a_since, a), (b_since, b)| {
            (a_since, &a.workflow_id).cmp(&(b_since, &b.workflow_id))
        });
        jobs.into_iter().map(|(_, job)| job).collect()
    }

    /// Counts the jobs that have left and whose bodies had begun here, but for those that were given back.
    pub(crate) fn finished(&self) -> u64 {
        self.0.finished.load(Ordering::Relaxed)
    }

    /// Counts the jobs that have left since they were given back.
    pub(crate) fn given_back(&self) -> u64 {
        self.0.given_back.load(Ordering::Relaxed)
    }

    /// Completes when such a job has left.
    pub(crate) async fn has_finished_one(&self) {
        self.once(|| self.finished() > 0).await;
    }

    /// Counts the jobs in hand.
    pub(crate) fn count(&self) -> usize {
        self.table().len()
    }

    /// Tests whether the job is in hand.
    pub(crate) fn holds(&self, id: &str) -> bool {
        self.table().contains_key(id)
    }

    /// Completes at the next time that a job leaves; take it before looking at the table.
    pub(crate) fn left(&self) -> Notified<'_> {
        self.0.changed.notified()
    }

    /// Completes when the one guard of the job is the caller's: a run of it that was cancelled before it was resumed has
    /// gone.
    pub(crate) async fn sole(&self, id: &str) {
        self.once(|| self.table().get(id).is_none_or(|entry| entry.guards <= 1))
            .await;
    }

    /// Completes when nothing is in hand.
    pub(crate) async fn idle(&self) {
        self.once(|| self.count() == 0).await;
    }

    /// Completes when `holds`, which is asked again whenever a job has left.
    async fn once(&self, holds: impl Fn() -> bool) {
        loop {
            let left = self.0.changed.notified();
            tokio::pin!(left);
            // `notify_waiters` wakes only who waits already, so a job that leaves during the test must find
            // this one.
            left.as_mut().enable();
            if holds() {
                return;
            }
            left.await;
        }
    }

    fn table(&self) -> MutexGuard<'_, HashMap<String, JobInHand>> {
        // Nothing that can panic runs between two changes under the lock, so a poisoned table is whole.
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl JobInHand {
    fn new() -> Self {
        Self {
            guards: 0,
            has_begun: false,
            is_given_back: false,
            since: Instant::now(),
            details: Details::default(),
            activity: None,
        }
    }
}

impl JobGuard {
    /// Takes note of what the job asks for.
    pub(crate) fn note(&self, details: Details) {
        if let Some(entry) = self.jobs.table().get_mut(&self.id) {
            entry.details = details;
        }
    }

    /// Says what the job asks for and which start of it this is; what comes back says which step it is at.
    pub(crate) fn describe(&self, details: Details, attempt: u32) -> Arc<Activity> {
        let activity = Arc::new(Activity::new(attempt));
        if let Some(entry) = self.jobs.table().get_mut(&self.id) {
            entry.details = details;
            entry.activity = Some(Arc::clone(&activity));
        }
        activity
    }

    /// Says that the job goes back to its queue, so that it is none that was finished here.
    pub(crate) fn give_back(&self) {
        if let Some(entry) = self.jobs.table().get_mut(&self.id) {
            entry.is_given_back = true;
        }
    }
}

impl Drop for JobGuard {
    fn drop(&mut self) {
        let mut table = self.jobs.table();
        if let Some(entry) = table.get_mut(&self.id) {
            entry.guards -= 1;
            if entry.guards == 0 {
                let JobTable {
                    finished, given_back, ..
                } = &*self.jobs.0;
                let count = if entry.is_given_back { given_back } else { finished };
                // A job whose body never began here was not finished here.
                count.fetch_add(u64::from(entry.has_begun), Ordering::Relaxed);
                // Under the same lock as the count: whoever finds the table empty finds all of them counted.
                table.remove(&self.id);
            }
        }
        // Before the wake-up, whose first act is to lock the table.
        drop(table);
        // Also where another guard is left: `sole` waits for just that.
        self.jobs.0.changed.notify_waiters();
    }
}

fn running_job(workflow_id: String, entry: &JobInHand) -> RunningJob {
    let activity = entry.activity.as_deref();
    let step = activity.and_then(Activity::current);
    let reading = step.map(|(_, reading)| reading).unwrap_or_default();
    let phase = reading.share.map(|_| match reading.bytes {
        None => "computing",
        Some(_) => "writing",
    });
    RunningJob {
        workflow_id,
        details: entry.details.clone(),
        attempt: activity.map(|activity| activity.attempt),
        step: step.map(|(name, _)| name.to_owned()),
        progress: reading.share,
        phase: phase.map(str::to_owned),
        bytes: reading.bytes,
        seconds: entry.since.elapsed().as_secs_f64(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_job_is_in_hand_until_its_last_guard_is_gone() {
        let jobs = Jobs::default();
        let claimed = jobs.enter("a");
        assert!(!jobs.has_begun("a"));
        let run = jobs.begin("a");
        assert!(jobs.has_begun("a"));
        assert_eq!((jobs.count(), jobs.ids()), (1, vec!["a".to_owned()]));
        drop(run);
        assert!(
            jobs.holds("a"),
            "a job was forgotten before its outcome was recorded"
        );
        let idle = tokio::spawn({
            let jobs = jobs.clone();
            async move { jobs.idle().await }
        });
        drop(claimed);
        idle.await.unwrap();
        assert!(!jobs.holds("a"));
    }

    #[test]
    fn a_job_that_is_given_back_was_not_finished() {
        let jobs = Jobs::default();
        let (claimed, run) = (jobs.enter("a"), jobs.begin("a"));
        run.give_back();
        drop((run, claimed));
        assert_eq!((jobs.finished(), jobs.given_back()), (0, 1));
        drop((jobs.enter("a"), jobs.begin("a")));
        assert_eq!((jobs.finished(), jobs.given_back()), (1, 1));
    }

    #[test]
    fn a_job_in_hand_is_described_once_its_body_has_begun() {
        let jobs = Jobs::default();
        let claimed = jobs.enter("a");
        let [waiting] = &jobs.running()[..] else {
            panic!("a claimed job is not shown")
        };
        assert_eq!((&waiting.details, waiting.attempt), (&Details::default(), None));
        let run = jobs.begin("a");
        let details = Details::default().with("n", 30);
        let activity = run.describe(details.clone(), 2);
        let step = activity.begin("compute");
        let [running] = &jobs.running()[..] else {
            panic!("one job has two lines")
        };
        assert_eq!(
            (&running.details, running.attempt, running.step.as_deref()),
            (&details, Some(2), Some("compute"))
        );
        assert!(
            running.seconds >= waiting.seconds,
            "the age of a job began anew with its body"
        );
        drop((step, run));
        assert_eq!(
            jobs.running()[0].details,
            details,
            "a job is nameless before its outcome is recorded"
        );
        drop(claimed);
        assert_eq!(jobs.running(), []);
    }

    #[test]
    fn jobs_are_shown_the_oldest_first_whatever_their_ids() {
        let jobs = Jobs::default();
        let ids = ["m", "z", "a", "k"];
        let _places = ids.map(|id| jobs.enter(id));
        // A body that begins makes a job no younger.
        let _body = jobs.begin("m");
        let shown: Vec<_> = jobs.running().into_iter().map(|job| job.workflow_id).collect();
        assert_eq!(shown, ids);
    }
}
