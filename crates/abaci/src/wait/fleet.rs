//! The fleet of this machine, asked when nobody takes the jobs that are waited for.
//!
//! By the database alone, a queue that nobody serves looks like one whose workers are between two starts.
//! A fleet on the same data directory knows; one of another machine is not asked, and counts as any absence.

use std::path::PathBuf;
use std::time::Duration;

use durable_jobs::ENGINE_QUEUE;
use durable_jobs::client::QueueVersion;
use fibonacci_jobs::VERSION;
use worker_fleet::snapshot::{Phase, Snapshot, WorkerSnapshot, WorkerState};
use worker_fleet::supervisor::{directory_in, look};

use crate::config::Config;
use crate::database_access::place_of;

/// The longest time for an answer of the fleet; a wait is held up for no longer.
const TIMEOUT: Duration = Duration::from_secs(1);

/// The place of a fleet on this machine, and the database that it would have to use.
pub(crate) struct LocalFleet {
    directory: Option<PathBuf>,
    /// The database, unless it is the private one of the same data directory.
    database: Option<String>,
}

impl LocalFleet {
    pub(crate) fn of(config: &Config) -> Self {
        Self {
            directory: directory_in(&config.data_dir.value).ok(),
            database: config.database_url.value.as_ref().map(|_| place_of(config)),
        }
    }

    /// Describes the fleet, if there is one that takes jobs of this queue and version as soon as its workers run.
    pub(crate) async fn prospect(&self, of: &QueueVersion) -> Option<String> {
        // Its workers will not learn another type or version.
        if of.unknown_workflow.is_some() || of.version != VERSION {
            return None;
        }
        let directory = self.directory.as_ref()?;
        // One that does not answer counts as none: the wait then ends by its own timeout.
        let fleet = tokio::time::timeout(TIMEOUT, look(directory))
            .await
            .ok()?
            .ok()??;
        prospect(&fleet, &of.queue, self.database.as_deref())
    }
}

/// Describes a fleet without a worker that takes jobs, if it is one for `queue` of `database`, or of the private one,
/// and goes on.
fn prospect(fleet: &Snapshot, queue: &str, database: Option<&str>) -> Option<String> {
    let supervisor = fleet.supervisor.as_ref()?;
    // Every worker serves the engine's queue, too.
    let is_its_queue = queue == fleet.queue || queue == ENGINE_QUEUE;
    let is_its_database = match database {
        Some(database) => supervisor.database == database,
        None => fleet.private_database.is_some(),
    };
    if !is_its_queue || !is_its_database || fleet.phase == Phase::Draining || fleet.workers.is_empty() {
        return None;
    }
    Some(format!(
        "the fleet of process {} has no worker that takes jobs now; {}{}",
        supervisor.pid,
        next_worker(&fleet.workers),
        last_exit(&fleet.workers)
    ))
}

/// Names the worker that takes jobs next, as far as it is known.
fn next_worker(workers: &[WorkerSnapshot]) -> String {
    let restart_in = |worker: &WorkerSnapshot| worker.restart_in_seconds;
    let soonest = workers.iter().filter_map(restart_in).min_by(f64::total_cmp);
    let named = |worker: &WorkerSnapshot| format!("worker {} is {}", worker.slot, worker.state.name());
    let starting = workers
        .iter()
        .find(|worker| worker.pid.is_some() && worker.state == WorkerState::Starting);
    let living = workers.iter().find(|worker| worker.pid.is_some());
    match (starting, soonest, living) {
        (Some(worker), _, _) | (None, None, Some(worker)) => named(worker),
        (None, Some(seconds), _) => format!("the next one starts in {seconds:.0} s"),
        (None, None, None) => "the next one starts at once".to_owned(),
    }
}

/// Names the end of the last worker that ended.
fn last_exit(workers: &[WorkerSnapshot]) -> String {
    let ends = workers.iter().filter_map(|worker| worker.last_exit.as_ref());
    let last = ends.min_by(|one, other| one.age_seconds.total_cmp(&other.age_seconds));
    last.map_or_else(String::new, |end| {
        format!(", the last one ended by {}", end.how())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "host:5432/jobs";

    /// A fleet of one whose worker was killed.
    fn fleet() -> Snapshot {
        let fleet = serde_json::json!({
            "supervisor": {"pid": 7, "uptime_seconds": 9.0, "database": HERE},
            "phase": "running", "queue": "fibonacci", "wanted": 1,
            "workers": [{
                "slot": 0, "state": "dead", "state_seconds": 1.0, "restarts": 3, "restart_in_seconds": 4.2,
                "last_exit": {"pid": 8, "signal": "SIGKILL", "ran_seconds": 1.0, "age_seconds": 0.8},
                "running": [],
            }],
        });
        serde_json::from_value(fleet).unwrap()
    }

    #[test]
    fn a_fleet_between_two_starts_says_when_the_next_is_due() {
        assert_eq!(
            prospect(&fleet(), "fibonacci", Some(HERE)).as_deref(),
            Some(
                "the fleet of process 7 has no worker that takes jobs now; the next one starts in 4 s, \
                 the last one ended by SIGKILL"
            )
        );
    }

    #[test]
    fn a_worker_that_lives_is_named_with_its_state() {
        let mut fleet = fleet();
        (fleet.workers[0].pid, fleet.workers[0].state) = (Some(9), WorkerState::Starting);
        let said = prospect(&fleet, ENGINE_QUEUE, Some(HERE)).unwrap();
        assert!(said.contains("worker 0 is starting"), "{said}");
    }

    #[test]
    fn a_fleet_that_stops_or_works_elsewhere_is_no_prospect() {
        let mut stopping = fleet();
        stopping.phase = Phase::Draining;
        assert_eq!(prospect(&stopping, "fibonacci", Some(HERE)), None);
        assert_eq!(prospect(&fleet(), "other", Some(HERE)), None);
        assert_eq!(prospect(&fleet(), "fibonacci", Some("host:5432/other")), None);
        assert_eq!(
            prospect(&fleet(), "fibonacci", None),
            None,
            "its database is not the private one"
        );
    }
}
