//! Claims jobs and runs them: a worker, whose start and stop return when they are complete.
//!
//! [`Worker::start`] returns once jobs are being claimed; [`Worker::drain`] returns once nothing of this worker runs and
//! nothing is left behind that another could do.

mod claim;
mod claimed_row;
mod deadline;
mod discard;
mod drain;
mod execute;
mod given_back;
mod host;
mod in_hand;
mod loss;
mod maintenance;
mod predecessor;
mod queue_limits;
mod report;
mod settings;
mod setup;
mod stop_signal;
#[cfg(test)]
mod tests;

use std::time::Duration;

use dbos::DBOS;
use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::warn;

pub(crate) use claimed_row::{ClaimedRow, RowHolder};
pub use drain::DrainReport;
pub(crate) use execute::record_failure;
pub(crate) use given_back::{HeldRow, give_back, settle_claims, undo_claims};
pub use host::HostTrouble;
pub(crate) use in_hand::Jobs;
pub use loss::Loss;
pub use report::{DatabaseContact, WorkerObserver, WorkerReport};
pub use settings::{FEWEST_CONNECTIONS, WorkerSettings};
pub use stop_signal::asked_to_stop;

pub use crate::presence::Slot;

use self::host::Host;
use self::setup::Setup;
use crate::Reply;
use crate::database::Database;
use crate::presence::Registration;
use crate::process::Children;

/// A running worker.
///
/// Dropping it is no end of it: it claims nothing more and tells others that it drains, but what it has in hand goes on, and
/// the executor id, which protects that, stays taken until the process ends. [`Worker::drain`] ends it.
pub struct Worker {
    dbos: DBOS,
    database: Database,
    jobs: Jobs,
    registration: Registration,
    claiming: JoinHandle<()>,
    claim_failure: watch::Receiver<Option<String>>,
    host: Host,
    stop_claiming: CancellationToken,
    claims_until_dropped: DropGuard,
    /// Cancelled to drop the tasks that wait for the jobs in hand.
    discarded: CancellationToken,
    housekeeping: JoinSet<()>,
    children: Children,
}

impl Worker {
    /// Starts a worker and returns once it claims jobs.
    ///
    /// Jobs that a former holder of the same executor id left behind go back to their queue first.
    ///
    /// # Errors
    /// [`Error::Url`](crate::Error::Url), [`Error::Unreachable`](crate::Error::Unreachable),
    /// [`Error::Refused`](crate::Error::Refused), [`Error::Unsuitable`](crate::Error::Unsuitable),
    /// [`Error::SchemaNewer`](crate::Error::SchemaNewer), [`Error::SchemaOlder`](crate::Error::SchemaOlder),
    /// [`Error::ExecutorTaken`](crate::Error::ExecutorTaken), [`Error::Artifacts`](crate::Error::Artifacts),
    /// [`Error::BucketUnreachable`](crate::Error::BucketUnreachable), [`Error::Full`](crate::Error::Full),
    /// [`Error::NoTables`](crate::Error::NoTables) or [`Error::Database`](crate::Error::Database).
    pub fn start(settings: WorkerSettings) -> Reply<'static, Self> {
        Box::pin(async move {
            let setup = Setup::begin(settings).await?;
            match setup.launch().await {
                Ok((dbos, workflows)) => Ok(setup.into_worker(dbos, workflows)),
                Err(error) => {
                    // The heartbeat has a task of its own, which would go on and hold the executor id.
                    setup.registration.end().await;
                    Err(error)
                }
            }
        })
    }

    /// `<host>/<slot>`.
    #[must_use]
    pub fn executor_id(&self) -> &str {
        self.registration.executor_id()
    }

    /// The ids of the jobs that this process has in hand.
    #[must_use]
    pub fn running(&self) -> Vec<String> {
        self.jobs.ids()
    }

    /// Returns a reader of this worker's reports, also while it drains and after.
    #[must_use]
    pub fn observer(&self) -> WorkerObserver {
        WorkerObserver {
            executor_id: self.executor_id().to_owned(),
            jobs: self.jobs.clone(),
            contact: self.registration.contact(),
            claim_failure: self.claim_failure.clone(),
            host: self.host.clone(),
            draining: self.stop_claiming.clone(),
        }
    }

    /// Completes, with the reason, when the worker must not go on.
    pub async fn lost(&self) -> Loss {
        let mut claims = self.claim_failure.clone();
        // Closed by the end of the loop, which before a drain is a panic.
        let broken_off = async { while claims.changed().await.is_ok() {} };
        tokio::select! {
            reason = self.registration.lost() => Loss::ExecutorId(reason),
            () = broken_off => Loss::Claims,
        }
    }

    /// Works until `stop` completes, and drains then.
    ///
    /// # Errors
    /// The loss for which the worker must not go on; it is discarded then.
    pub async fn run_until<T>(
        self,
        stop: impl Future<Output = T>,
        grace: Duration,
    ) -> Result<DrainReport, Loss> {
        let loss = tokio::select! {
            loss = self.lost() => loss,
            _ = stop => return Ok(self.drain(grace).await),
        };
        if let Err(error) = self.discard().await {
            warn!(%error, "a worker that must not go on could not be ended");
        }
        Err(loss)
    }

    /// Ends a worker that has lost its executor id, and with it its jobs; returns once nothing of it can write any more.
    ///
    /// Nothing is finished, recorded or given back. The process may start another worker then.
    ///
    /// # Errors
    /// [`Error::NotDiscarded`](crate::Error::NotDiscarded) when something of it cannot be ended: then the process has to end.
    pub fn discard(self) -> Reply<'static, ()> {
        Box::pin(async move { discard::discard(self).await })
    }

    /// Stops claiming, lets what runs finish within `grace`, hands the rest back to the queue and stops.
    pub fn drain(self, grace: Duration) -> BoxFuture<'static, DrainReport> {
        Box::pin(async move { self.drain_until(grace, std::future::pending()).await })
    }

    /// Drains like [`Worker::drain`] until `hurry` completes, and then hands back at once whatever still runs.
    ///
    /// It returns half a second after that at the latest, whether the database answers or not. Jobs that could not be handed
    /// back by then count as those of a worker that died.
    pub async fn drain_until(self, grace: Duration, hurry: impl Future<Output = ()>) -> DrainReport {
        drain::drain(self, grace, hurry).await
    }
}
