//! Ending a worker whose executor id went to another, so that the same process can begin a new one.
//!
//! Its jobs are somebody else's by now, so nothing is finished, recorded or given back. All of it that could still write is
//! ended first, whatever its connections do: after a cut of the network they may hang for minutes. Then the sessions that
//! the server still has of its engine are ended there, with what they were asked and had not answered.
//!
//! Where something of it cannot be ended in this process, that is an error: then the process has to end.

use std::time::Duration;

use tokio::time::timeout;
use tracing::warn;

use super::Worker;
use crate::Error;
use crate::database::Database;
use crate::presence::Registration;

/// Bounds each part of it; all of them together take a few hundredths of a second unless something hangs.
const TIMEOUT: Duration = Duration::from_secs(5);

pub(super) async fn discard(worker: Worker) -> Result<(), Error> {
    let Worker {
        dbos,
        database,
        jobs,
        registration,
        claiming,
        claims_until_dropped,
        discarded,
        mut housekeeping,
        children,
        ..
    } = worker;
    // Its reports go on until there is a successor, and it does not drain.
    drop(claims_until_dropped.disarm());
    // The token stays cancelled, so a task that the loop still spawns ends at once.
    discarded.cancel();
    claiming.abort();
    // An error is the abort, or a panic that was logged.
    let _ = claiming.await;
    housekeeping.shutdown().await;
    // It aborts what runs, and then closes its connections, which may hang until the server ends them.
    let closing = tokio::spawn(async move { dbos.shutdown().await });
    let left = |what| move |_| Error::NotDiscarded { what };
    // Every guard is held by a task that is cancelled or being aborted, and goes with it.
    timeout(TIMEOUT, jobs.idle()).await.map_err(left("a job"))?;
    let gone = timeout(TIMEOUT, children.gone()).await;
    gone.map_err(left("a computing process"))?;
    end_sessions(&database, &registration).await;
    // Connections that hang hang all at once.
    let _ = timeout(TIMEOUT, async { tokio::join!(closing, database.close()) }).await;
    // Last: where only the claims broke off the id is still ours, and a successor has to wait for all of
    // this.
    registration.end().await;
    Ok(())
}

/// Ends the engine's sessions where the server still has them.
///
/// A server that cannot be asked is no reason to end this process: values are checked and failures are recorded by the owner
/// of the row only, so a late statement does no harm either.
async fn end_sessions(database: &Database, registration: &Registration) {
    let sessions = registration.engine_sessions();
    let end = sessions.end(&database.address);
    let failure = match timeout(TIMEOUT, end).await {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error.to_string(),
        Err(_) => "no answer".to_owned(),
    };
    let executor_id = registration.executor_id();
    warn!(
        executor_id,
        reason = failure,
        "could not end the sessions of a discarded worker"
    );
}
