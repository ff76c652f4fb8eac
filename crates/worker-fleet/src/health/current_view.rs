//! A sample as of now: ages go on, and what nobody confirms any more is unknown.

use super::sample::{Link, SnapshotSample};
use crate::snapshot::{Phase, SILENCE, Snapshot, WorkerExit, WorkerSnapshot, WorkerState};

/// A sample as of now.
pub(super) struct CurrentView {
    /// The reason why nothing is known of the workers although something was; absent while the server is heard of.
    pub(super) silence: Option<String>,
    /// The age of the sample.
    pub(super) silent_seconds: f64,
    /// The last snapshot with all its ages as of now, and with unknown for every state that does not count any more.
    pub(super) snapshot: Option<Snapshot>,
}

impl CurrentView {
    pub(super) fn new(sample: SnapshotSample) -> Self {
        let silent_seconds = sample.age.as_secs_f64();
        // The ages first: `standstill` and `doubt` judge by them.
        let mut snapshot = sample.snapshot;
        if let Some(snapshot) = &mut snapshot {
            advance(snapshot, silent_seconds);
        }
        let silence = match sample.link {
            Link::Gone => Some("the supervisor is gone".to_owned()),
            Link::Alive => is_silence(silent_seconds)
                .then(|| format!("the supervisor has been silent for {silent_seconds:.1} s")),
            Link::InProcess => snapshot.as_ref().and_then(standstill),
        };
        if let Some(snapshot) = &mut snapshot {
            for worker in &mut snapshot.workers {
                doubt(worker, silence.is_some());
            }
        }
        Self {
            silence,
            silent_seconds: rounded(silent_seconds),
            snapshot,
        }
    }

    pub(super) fn phase(&self) -> Option<Phase> {
        self.snapshot.as_ref().map(|snapshot| snapshot.phase)
    }

    pub(super) fn workers(&self) -> &[WorkerSnapshot] {
        self.snapshot.as_ref().map_or(&[], |snapshot| &snapshot.workers)
    }
}

/// Says whether an age is too old to be believed.
pub(super) fn is_silence(age_seconds: f64) -> bool {
    age_seconds > SILENCE.as_secs_f64()
}

/// Returns the reason when a server in one process stands still: the worker's heartbeat is the only sign of the loop
/// that does everything else.
fn standstill(snapshot: &Snapshot) -> Option<String> {
    let ages = snapshot
        .workers
        .iter()
        .filter_map(|worker| worker.heartbeat_age_seconds);
    let latest = ages.reduce(f64::min)?;
    is_silence(latest).then(|| format!("the server has stood still for {latest:.1} s"))
}

/// Shows a worker as unknown unless its state is confirmed.
fn doubt(worker: &mut WorkerSnapshot, is_unheard: bool) {
    let is_stale = worker.heartbeat_age_seconds.is_none_or(is_silence);
    // Only the claim to take jobs needs a recent heartbeat: a worker that starts may have none yet.
    if is_unheard || (worker.state.is_ready() && is_stale) {
        worker.state = WorkerState::Unknown;
    }
}

/// Makes a snapshot older.
fn advance(snapshot: &mut Snapshot, by: f64) {
    if let Some(supervisor) = &mut snapshot.supervisor {
        older(&mut supervisor.uptime_seconds, by);
    }
    for worker in &mut snapshot.workers {
        advance_worker(worker, by);
    }
    for serving in snapshot.health.iter_mut().chain(&mut snapshot.web) {
        advance_exit(serving.last_exit.as_mut(), by);
    }
}

fn advance_worker(worker: &mut WorkerSnapshot, by: f64) {
    older(&mut worker.state_seconds, by);
    if let Some(age) = &mut worker.heartbeat_age_seconds {
        older(age, by);
    }
    if let Some(database) = &mut worker.database {
        older(&mut database.age_seconds, by);
    }
    if let Some(restart_in) = &mut worker.restart_in_seconds {
        *restart_in = rounded((*restart_in - by).max(0.0));
    }
    for job in &mut worker.running {
        older(&mut job.seconds, by);
    }
    advance_exit(worker.last_exit.as_mut(), by);
}

fn advance_exit(exit: Option<&mut WorkerExit>, by: f64) {
    if let Some(exit) = exit {
        older(&mut exit.age_seconds, by);
    }
}

fn older(seconds: &mut f64, by: f64) {
    *seconds = rounded(*seconds + by);
}

/// Rounds to milliseconds, which are all that is meant.
pub(super) fn rounded(seconds: f64) -> f64 {
    (seconds * 1e3).round() / 1e3
}
