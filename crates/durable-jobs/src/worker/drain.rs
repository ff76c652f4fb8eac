//! Stopping without losing or repeating anything.
//!
//! The engine has no call to stop claiming, and its shutdown aborts whatever runs; the claim loop is ours for that reason.
//! So: claiming stops, a round under way included; what is in hand gets the grace time to finish *and* to have its outcome
//! recorded; then the engine is shut down; then, once the server has ended the engine's sessions, every row that still
//! names this worker goes back to its queue, where others take it.
//! The wait for the sessions matters: a statement that was under way at the abort may still be committed by the server
//! after the client has gone, and would name this worker again.
//!
//! A drain that is hurried does all of that without the grace time, and has half a second for it: whoever wants a process
//! to end at once means the process and not its jobs.
//!
//! If the database is away at the end, the rows stay with this executor id; a peer takes them when the heartbeat expires,
//! a restart under the same id at once. Then the end counts as a death of the jobs' worker, since nobody could be told.

use std::pin::pin;
use std::sync::OnceLock;
use std::time::Duration;

use dbos::sysdb::{INTERNAL_QUEUE, SystemDatabase};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Worker, undo_claims};
use crate::database::{Database, text};
use crate::presence::Registration;
use crate::process::Children;

/// Bounds the questions after the grace time, so that an outage cannot keep the process.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Bounds what is left of a drain that is hurried; with a database in reach it takes a tenth of this.
const HASTE: Duration = Duration::from_millis(500);

/// The outcome of a drain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DrainReport {
    /// Jobs that were running and finished within the grace time.
    pub finished: usize,
    /// Jobs that went back to the queue for others.
    pub handed_back: usize,
}

pub(super) async fn drain(worker: Worker, grace: Duration, hurry: impl Future<Output = ()>) -> DrainReport {
    // Set as soon as the jobs are settled: what is cut short after that only closes things.
    let (hurried, report) = (CancellationToken::new(), OnceLock::new());
    let mut draining = pin!(drain_in_order(worker, grace, &hurried, &report));
    tokio::select! {
        () = &mut draining => {}
        () = hurry => {
            hurried.cancel();
            let _ = timeout(HASTE, draining).await;
        }
    }
    report.get().cloned().unwrap_or_else(|| {
        warn!("could not hand jobs back in time; they are taken up again as those of a dead worker");
        DrainReport::default()
    })
}

/// Drains, and reports as soon as all jobs are finished or handed back; once it is `hurried` it waits for none.
async fn drain_in_order(
    worker: Worker,
    grace: Duration,
    hurried: &CancellationToken,
    report: &OnceLock<DrainReport>,
) {
    let Worker {
        dbos,
        database,
        jobs,
        registration,
        claiming,
        stop_claiming,
        mut housekeeping,
        children,
        ..
    } = worker;
    let deadline = Instant::now() + grace;
    stop_claiming.cancel();
    registration.announce_drain();
    // A round takes 6 s at most, the last of them to find out why the database did not answer; nothing else is waited for.
    if timeout(2 * TIMEOUT, claiming).await.is_err() {
        warn!("the claim loop did not end");
    }
    let (running, given_back) = (jobs.count(), jobs.given_back());
    info!(
        executor_id = registration.executor_id(),
        running,
        grace_seconds = grace.as_secs_f64(),
        "draining"
    );

    // Whether everything finished in time shows in what is left in hand.
    let _ = timeout_at(deadline, hurried.run_until_cancelled(jobs.idle())).await;
    let unfinished = jobs.count();
    // Jobs that the host has failed in the meantime went back one by one.
    let given_back = usize::try_from(jobs.given_back() - given_back).unwrap_or_default();
    // The janitor must not see rows that are neither in hand nor given back yet.
    housekeeping.shutdown().await;
    let handed_back = match timeout(TIMEOUT, dbos.shutdown()).await {
        Ok(()) => give_back(&database, &registration).await,
        // The engine's statements may still commit, so its rows stay; a peer takes them ten seconds later.
        Err(_) => 0,
    };
    let _ = report.set(DrainReport {
        finished: running.saturating_sub(unfinished + given_back),
        handed_back: handed_back + given_back,
    });
    end(children, registration, database).await;
}

/// Ends what is left of a worker whose jobs are finished or handed back.
async fn end(children: Children, registration: Registration, database: Database) {
    // Their jobs are aborted; what is left is to reap them and to remove their files.
    if timeout(TIMEOUT, children.gone()).await.is_err() {
        warn!("a computing process could not be ended");
    }
    registration.end().await;
    // What does not close now is closed by the end of the process.
    let _ = timeout(TIMEOUT, database.close()).await;
}

/// Puts every row of the worker back on its queue; returns how many.
async fn give_back(database: &Database, registration: &Registration) -> usize {
    let executor_id = registration.executor_id();
    let give_back = async {
        // While the jobs finished, the heartbeat may have failed for so long that a peer took over.
        if !registration.is_ours(&database.pool).await.map_err(text)? {
            return Err("the executor id went to another; the jobs are its to give back".to_owned());
        }
        registration
            .engine_sessions()
            .gone(&database.pool)
            .await
            .map_err(text)?;
        // First: once a row is back, another worker may already be reading the count.
        undo_claims(database, executor_id).await.map_err(text)?;
        let executors = [executor_id];
        let requeue =
            database
                .engine
                .reenqueue_for_recovery(&executors, database.scope.version(), INTERNAL_QUEUE);
        requeue.await.map_err(text)
    };
    match database.bounded("handing jobs back", TIMEOUT, give_back).await {
        Ok(ids) => ids.len(),
        Err(error) => {
            warn!(executor_id, %error, "could not hand jobs back; a peer takes them ten seconds later");
            0
        }
    }
}
