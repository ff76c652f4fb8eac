//! An executor id while it is ours, from its taking until it is given back.

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::RunningJobs;
use super::acquire::{Acquisition, Role};
use super::heartbeat::{Contact, Heartbeat, Submissions};
use super::sessions::EngineSessions;
use crate::Error;
use crate::database::Address;

/// An executor id held by this process, with the heartbeat that keeps it.
pub(crate) struct Registration {
    executor_id: String,
    incarnation: String,
    draining: watch::Sender<bool>,
    lost: watch::Receiver<Option<String>>,
    contact: watch::Receiver<Contact>,
    submissions: Submissions,
    stop: CancellationToken,
    heartbeat: JoinHandle<()>,
}

impl Registration {
    /// Takes an executor id of this host and begins to beat, with what `running` says of the jobs in hand.
    pub(crate) async fn begin(
        address: &Address,
        role: Role,
        incarnation: String,
        running: RunningJobs,
    ) -> Result<Self, Error> {
        let mut acquisition = Acquisition::new(address, role, incarnation.clone()).await?;
        let executor_id = acquisition.take().await?;
        let heartbeat = Heartbeat::new(acquisition, executor_id.clone(), running);
        let (draining, draining_seen) = watch::channel(false);
        let (lost_said, lost) = watch::channel(None);
        let stop = CancellationToken::new();
        let (contact, submissions) = (heartbeat.contact(), heartbeat.submissions());
        // A task of its own: however long the start takes from here on, the id has its beats.
        let heartbeat = tokio::spawn(heartbeat.run(stop.clone(), draining_seen, lost_said));
        Ok(Self {
            executor_id,
            incarnation,
            draining,
            lost,
            contact,
            submissions,
            stop,
            heartbeat,
        })
    }

    /// Returns the name of the engine's sessions of this incarnation.
    pub(crate) fn engine_sessions(&self) -> EngineSessions {
        EngineSessions::of(&self.incarnation)
    }

    pub(crate) fn executor_id(&self) -> &str {
        &self.executor_id
    }

    /// Follows how the heartbeat goes, and so whether the id is held on a live connection.
    pub(crate) fn contact(&self) -> watch::Receiver<Contact> {
        self.contact.clone()
    }

    /// Returns the signal of submissions to this worker's queue.
    pub(crate) fn submissions(&self) -> Submissions {
        self.submissions.clone()
    }

    /// Tests whether the presence row is still the one that this registration wrote.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(crate) async fn is_ours(&self, pool: &sqlx::PgPool) -> Result<bool, sqlx::Error> {
        sqlx::query_scalar(
            "select exists (select 1 from abaci.presence where executor_id = $1 and incarnation = $2)",
        )
        .bind(&self.executor_id)
        .bind(&self.incarnation)
        .fetch_one(pool)
        .await
    }

    /// Says at once that this worker claims nothing more.
    pub(crate) fn announce_drain(&self) {
        self.draining.send_replace(true);
    }

    /// Completes with a reason when the id is no longer ours.
    pub(crate) async fn lost(&self) -> String {
        let mut lost = self.lost.clone();
        match lost.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            // It panicked, or it would live as long as this value: nobody beats for the id any more.
            Err(_) => "its heartbeat broke off, which is a fault of the program".to_owned(),
        }
    }

    /// Ends the heartbeat as by a panic in it.
    #[cfg(test)]
    pub(crate) fn break_off(&self) {
        self.heartbeat.abort();
    }

    /// Removes the row and releases the id.
    pub(crate) async fn end(self) {
        self.stop.cancel();
        // The task ends by itself within its timeouts; a panic in it was logged by the runtime.
        let _ = self.heartbeat.await;
    }
}
