//! The source of a server that looks after itself: one worker in the process that answers.
//!
//! The heartbeat is stamped by the loop that also does everything else of the worker; whoever answers does so from
//! another thread, and so sees when that loop stands still.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use durable_jobs::worker::{WorkerObserver, WorkerReport};
use tokio::sync::watch;

use super::sample::{Link, SnapshotSample, SnapshotSource};
use crate::snapshot::{Phase, PrivateDatabase, Snapshot, WorkerSnapshot, WorkerState};

/// One worker that looks after itself. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct OneWorker(Arc<WorkerFacts>);

struct WorkerFacts {
    slot: u32,
    queue: String,
    /// Absent while no worker takes jobs.
    observer: Mutex<Option<WorkerObserver>>,
    private_database: OnceLock<watch::Receiver<Option<PrivateDatabase>>>,
    is_draining: AtomicBool,
    restarts: AtomicU32,
    last_beat: Mutex<Instant>,
    state: Mutex<(WorkerState, Instant)>,
}

impl OneWorker {
    /// Describes a worker that is being started; its slot is the one asked for, until its report names the one it took.
    #[must_use]
    pub fn starting(slot: Option<u32>, queue: &str) -> Self {
        let now = Instant::now();
        Self(Arc::new(WorkerFacts {
            slot: slot.unwrap_or_default(),
            queue: queue.to_owned(),
            observer: Mutex::default(),
            private_database: OnceLock::new(),
            is_draining: AtomicBool::new(false),
            restarts: AtomicU32::new(0),
            last_beat: Mutex::new(now),
            state: Mutex::new((WorkerState::Starting, now)),
        }))
    }

    /// Records that the worker takes jobs from now on.
    pub fn started(
        &self,
        observer: WorkerObserver,
        private_database: watch::Receiver<Option<PrivateDatabase>>,
    ) {
        *locked(&self.0.observer) = Some(observer);
        // There is one for the whole life of the process.
        let _ = self.0.private_database.set(private_database);
    }

    /// Records that the worker is discarded and another one is being started.
    pub fn starts_anew(&self) {
        *locked(&self.0.observer) = None;
        self.0.restarts.fetch_add(1, Ordering::Relaxed);
    }

    /// Records that the worker takes no new jobs from now on.
    pub fn drain(&self) {
        self.0.is_draining.store(true, Ordering::Release);
    }

    /// Stamps the heartbeat, from the worker's own loop.
    pub fn beat(&self) {
        *locked(&self.0.last_beat) = Instant::now();
        // So that the age of a state that nobody looks at is right all the same.
        self.state(self.report().as_ref());
    }

    /// Returns the worker's report; nothing before it takes jobs.
    pub fn report(&self) -> Option<WorkerReport> {
        locked(&self.0.observer).as_ref().map(WorkerObserver::report)
    }

    fn is_draining(&self) -> bool {
        self.0.is_draining.load(Ordering::Acquire)
    }

    /// Returns the state, and for how long it has been that.
    fn state(&self, report: Option<&WorkerReport>) -> (WorkerState, Duration) {
        let now = match report {
            _ if self.is_draining() => WorkerState::Draining,
            report => WorkerState::of_report(report),
        };
        let mut state = locked(&self.0.state);
        if state.0 != now {
            *state = (now, Instant::now());
        }
        (now, state.1.elapsed())
    }

    fn view(&self) -> WorkerSnapshot {
        let report = self.report();
        let (state, in_state) = self.state(report.as_ref());
        let heartbeat_age = locked(&self.0.last_beat).elapsed();
        let mut view = WorkerSnapshot {
            slot: self.0.slot,
            executor_id: None,
            pid: Some(std::process::id()),
            state,
            state_seconds: in_state.as_secs_f64(),
            heartbeat_age_seconds: Some(heartbeat_age.as_secs_f64()),
            database: None,
            host: None,
            restarts: self.0.restarts.load(Ordering::Relaxed),
            restart_in_seconds: None,
            start_failure: None,
            last_exit: None,
            running: Vec::new(),
        };
        if let Some(report) = report {
            view.slot = slot_of(&report.executor_id).unwrap_or(view.slot);
            view.executor_id = Some(report.executor_id);
            view.database = Some(report.database);
            view.host = report.host;
            view.running = report.running;
        }
        view
    }
}

impl SnapshotSource for OneWorker {
    fn sample(&self) -> SnapshotSample {
        let snapshot = Snapshot {
            supervisor: None,
            phase: if self.is_draining() {
                Phase::Draining
            } else {
                Phase::Running
            },
            queue: self.0.queue.clone(),
            wanted: 1,
            workers: vec![self.view()],
            health: None,
            web: None,
            private_database: self
                .0
                .private_database
                .get()
                .and_then(|seen| seen.borrow().clone()),
        };
        SnapshotSample {
            snapshot: Some(snapshot),
            // Made at this moment: a worker that stands still shows in the age of its heartbeat alone.
            age: Duration::ZERO,
            link: Link::InProcess,
        }
    }
}

/// Returns the slot of `<host>/<slot>`.
fn slot_of(executor_id: &str) -> Option<u32> {
    executor_id.rsplit_once('/')?.1.parse().ok()
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change under these locks is one assignment, so a panic elsewhere cannot leave it half-made.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state_of(worker: &OneWorker) -> WorkerState {
        worker.view().state
    }

    #[test]
    fn a_worker_is_starting_until_it_works_or_drains() {
        let worker = OneWorker::starting(Some(4), "jobs");
        assert_eq!(
            (worker.view().slot, state_of(&worker)),
            (4, WorkerState::Starting)
        );
        worker.drain();
        let sample = worker.sample();
        assert_eq!(
            sample.snapshot.map(|snapshot| snapshot.phase),
            Some(Phase::Draining)
        );
        assert_eq!(state_of(&worker), WorkerState::Draining);
    }

    #[test]
    fn the_heartbeat_is_as_old_as_the_last_beat_and_not_as_the_look() {
        let worker = OneWorker::starting(None, "jobs");
        let age = || worker.view().heartbeat_age_seconds.unwrap();
        *locked(&worker.0.last_beat) -= Duration::from_secs(20);
        assert!(age() >= 20.0, "{}", age());
        worker.beat();
        assert!(age() < 10.0, "{}", age());
    }

    #[test]
    fn the_slot_is_the_second_half_of_the_executor_id() {
        assert_eq!(
            (slot_of("host/17"), slot_of("a/b/3"), slot_of("host")),
            (Some(17), Some(3), None)
        );
    }
}
