//! An executor id while it is ours, from its taking until it is given back.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::Running;
use super::applicant::Applicant;
use super::heartbeat::{Contact, Heartbeat, Submissions, TIMEOUT};
use crate::database::Address;
use crate::worker::WorkerSettings;
use crate::{APPLICATION, Error};

/// The pause between two looks for sessions that are to go.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// The name under which the server knows the engine's sessions of one incarnation of a worker.
pub(crate) struct EngineSessions(String);

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
        settings: &WorkerSettings,
        running: Running,
    ) -> Result<Self, Error> {
        let mut applicant = Applicant::new(address, settings).await?;
        let executor_id = applicant.take(settings.slot).await?;
        let Applicant {
            session, incarnation, ..
        } = applicant;
        let heartbeat = Heartbeat::new(address.clone(), session, executor_id, incarnation);
        Ok(Self::beat(heartbeat.telling(running).announcing(&settings.queue)))
    }

    fn beat(heartbeat: Heartbeat) -> Self {
        let (executor_id, incarnation) = (heartbeat.executor_id.clone(), heartbeat.incarnation.clone());
        let (draining, draining_seen) = watch::channel(false);
        let (lost_said, lost) = watch::channel(None);
        let stop = CancellationToken::new();
        let (contact, submissions) = (heartbeat.contact(), heartbeat.submissions());
        let heartbeat = tokio::spawn(heartbeat.run(stop.clone(), draining_seen, lost_said));
        Self {
            executor_id,
            incarnation,
            draining,
            lost,
            contact,
            submissions,
            stop,
            heartbeat,
        }
    }

    /// How to tell the engine's sessions of this incarnation from all others.
    pub(crate) fn engine_sessions(&self) -> EngineSessions {
        EngineSessions(format!("{APPLICATION} {}", self.incarnation))
    }

    pub(crate) fn executor_id(&self) -> &str {
        &self.executor_id
    }

    /// Follows how the heartbeat goes, and so whether the id is held on a live connection.
    pub(crate) fn contact(&self) -> watch::Receiver<Contact> {
        self.contact.clone()
    }

    /// Hears of jobs that clients say they submitted to our queue.
    pub(crate) fn submissions(&self) -> Submissions {
        self.submissions.clone()
    }

    /// Whether the presence row is still the one that this registration wrote.
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
            Err(_) => std::future::pending().await,
        }
    }

    /// Removes the row and releases the id.
    pub(crate) async fn end(self) {
        self.stop.cancel();
        // The task ends by itself within its timeouts; a panic in it was logged by the runtime.
        let _ = self.heartbeat.await;
    }
}

impl EngineSessions {
    /// The URL of an address under which the engine's sessions carry this name.
    pub(crate) fn name_in(&self, url: &str) -> String {
        format!("{url}&application_name={}", self.0.replace(' ', "%20"))
    }

    /// Ends every one of them, and completes when they are gone; what they were asked and had not done is undone.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub(crate) async fn end(&self, address: &Address) -> Result<(), Error> {
        let mut connection = address.connect(TIMEOUT).await?;
        let end = "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name = $1";
        loop {
            let there = sqlx::query_scalar::<_, i64>(end)
                .bind(&self.0)
                .fetch_one(&mut connection);
            if address.ask("ending sessions", TIMEOUT, there).await? == 0 {
                return Ok(());
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    /// Completes when the server has ended every one of them, and so committed or undone all they asked for.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub(crate) async fn gone(&self, pool: &sqlx::PgPool) -> Result<(), sqlx::Error> {
        let any = "select exists (select 1 from pg_stat_activity where application_name = $1)";
        while sqlx::query_scalar(any).bind(&self.0).fetch_one(pool).await? {
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
        Ok(())
    }
}
