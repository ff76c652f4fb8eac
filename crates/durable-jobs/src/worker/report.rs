//! The reports of a worker on itself.
//!
//! A report is made of what is in memory: it asks nobody, waits for nobody and is true when nothing answers, which is
//! when it is needed most. The contact with the database is stamped by the heartbeat's loop alone, so its age is also that
//! of the loop; while an attempt hangs the age grows, and the failure appears when the attempt is given up.
//! While the heartbeat gets through, a failure to claim jobs shows in its place, until a claim works.
//! It does not promise that the jobs in hand are still this worker's: only their rows say that.

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::host::{Host, HostTrouble};
use super::in_hand::Jobs;
use crate::presence::{Contact, Presence};
use crate::record::RunningJob;

/// The work of a worker at one moment, as its async loop knows it; ages are in seconds at that moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkerReport {
    /// `<host>/<slot>`.
    pub executor_id: String,
    /// True if it only finishes what it has.
    pub draining: bool,
    /// Its last contact with the database.
    pub database: DatabaseContact,
    /// The jobs that it has in hand, the oldest first.
    pub running: Vec<RunningJob>,
    /// The number of jobs that it has begun and is done with.
    #[serde(default)]
    pub finished: u64,
    /// Why it claims nothing for now, where its host is to blame.
    #[serde(default)]
    pub host: Option<HostTrouble>,
}

/// When a worker last heard from the database.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DatabaseContact {
    /// The time since its last successful round trip.
    pub age_seconds: f64,
    /// Why it has failed to reach the database since, or why it cannot claim jobs there; absent while it has not failed.
    pub failure: Option<String>,
}

/// Reads what a worker is doing; it outlives the worker, whose end it shows as draining with nothing in hand.
#[derive(Clone)]
pub struct WorkerObserver {
    pub(super) executor_id: String,
    pub(super) jobs: Jobs,
    pub(super) contact: watch::Receiver<Contact>,
    /// Why the last claim failed, if no later one worked.
    pub(super) claim_failure: watch::Receiver<Option<String>>,
    pub(super) host: Host,
    /// Cancelled when the drain begins.
    pub(super) draining: CancellationToken,
}

impl WorkerObserver {
    /// Says what the worker is doing at this moment; microseconds, without a question to anyone.
    #[must_use]
    pub fn report(&self) -> WorkerReport {
        WorkerReport {
            executor_id: self.executor_id.clone(),
            draining: self.draining.is_cancelled(),
            database: DatabaseContact::of(&self.contact.borrow(), self.claim_failure.borrow().as_ref()),
            running: self.jobs.running(),
            finished: self.jobs.finished(),
            host: self.host.trouble(),
        }
    }

    /// Completes when the worker has begun a job and is done with it.
    pub async fn has_finished_a_job(&self) {
        self.jobs.has_finished_one().await;
    }
}

impl DatabaseContact {
    /// A heartbeat that hangs is told by its age, which a failure would excuse; so that of the claims is only shown beside a
    /// heartbeat that is none too old.
    fn of(contact: &Contact, claim_failure: Option<&String>) -> Self {
        let age = contact.last_beat.elapsed();
        let claim_failure = claim_failure.filter(|_| age < Presence::EXPIRY);
        Self {
            age_seconds: age.as_secs_f64(),
            // The heartbeat first: without it no claims are tried, and what the last one met is old.
            failure: contact.failure.as_ref().or(claim_failure).cloned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn shown(last_beat: Instant, failure: Option<&str>) -> Option<String> {
        let failure = failure.map(str::to_owned);
        let contact = Contact { last_beat, failure };
        DatabaseContact::of(&contact, Some(&"cannot claim".to_owned())).failure
    }

    #[test]
    fn a_failure_to_claim_hides_nothing_of_the_heartbeat() {
        let now = Instant::now();
        assert_eq!(shown(now, None).as_deref(), Some("cannot claim"));
        assert_eq!(shown(now, Some("no answer")).as_deref(), Some("no answer"));
        let old = now.checked_sub(Presence::EXPIRY).unwrap();
        assert_eq!(shown(old, None), None, "a heartbeat that hangs is excused");
    }
}
