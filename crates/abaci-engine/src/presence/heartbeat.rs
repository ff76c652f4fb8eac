//! The heartbeat: one small update every two seconds on the connection that holds the lock.
//!
//! When the connection breaks it is opened again and the lock taken again; another holder means that this process was
//! given up on, and it must not go on.
//! Each beat says how it went to whoever must know whether the database answers: nothing else in this process does.

use std::time::Duration;

use sqlx::{Connection, PgConnection};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Presence;
use super::registration::{TIMEOUT, try_lock};
use crate::database::Address;

/// A fifth of the expiry: four beats may be lost before anyone doubts.
const INTERVAL: Duration = Duration::from_secs(2);

/// How often a broken connection is tried again.
const RECONNECT_INTERVAL: Duration = Duration::from_millis(250);

pub(super) struct Heartbeat {
    address: Address,
    connection: Option<PgConnection>,
    executor_id: String,
    incarnation: String,
    /// Since when another session holds the lock that we lost with our connection.
    locked_out_since: Option<Instant>,
    contact: watch::Sender<Contact>,
}

/// How the last beats went.
pub(crate) struct Contact {
    /// When a beat last got through, or the registration did.
    pub(crate) last_beat: std::time::Instant,
    /// Why the beats since have not.
    pub(crate) failure: Option<String>,
}

/// What one beat showed.
enum Beat {
    Done,
    Failed(String),
    Lost(String),
}

impl Heartbeat {
    pub(super) fn new(
        address: Address,
        connection: PgConnection,
        executor_id: String,
        incarnation: String,
    ) -> Self {
        let (contact, _) = watch::channel(Contact::now());
        Self {
            contact,
            address,
            connection: Some(connection),
            executor_id,
            incarnation,
            locked_out_since: None,
        }
    }

    /// Follows how the beats go.
    pub(super) fn contact(&self) -> watch::Receiver<Contact> {
        self.contact.subscribe()
    }

    /// Beats until `stop`, then removes the row and hangs up, which releases the lock.
    pub(super) async fn run(
        mut self,
        stop: CancellationToken,
        mut draining: watch::Receiver<bool>,
        lost: watch::Sender<Option<String>>,
    ) {
        let mut beats = tokio::time::interval(INTERVAL);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = beats.tick() => {}
                Ok(()) = draining.changed() => {}
            }
            let is_draining = *draining.borrow_and_update();
            let beat = self.beat(is_draining).await;
            self.note(&beat);
            match beat {
                Beat::Done => {}
                Beat::Failed(_) => beats.reset_after(RECONNECT_INTERVAL),
                Beat::Lost(reason) => {
                    lost.send_replace(Some(reason));
                    return;
                }
            }
        }
        self.leave().await;
    }

    async fn beat(&mut self, draining: bool) -> Beat {
        let was_connected = self.connection.is_some();
        let beat = match self.connected().await {
            Ok(()) => self.stamp(draining).await,
            Err(beat) => beat,
        };
        match &beat {
            Beat::Done if !was_connected => info!(executor_id = %self.executor_id, "heartbeat again"),
            Beat::Failed(reason) if was_connected => {
                warn!(executor_id = %self.executor_id, reason, "heartbeat failed; trying again");
            }
            _ => {}
        }
        beat
    }

    fn note(&self, beat: &Beat) {
        match beat {
            Beat::Done => drop(self.contact.send_replace(Contact::now())),
            Beat::Failed(reason) | Beat::Lost(reason) => self
                .contact
                .send_modify(|contact| contact.failure = Some(reason.clone())),
        }
    }

    /// Opens the connection and takes the lock again where they are gone.
    async fn connected(&mut self) -> Result<(), Beat> {
        if self.connection.is_some() {
            return Ok(());
        }
        let mut connection = self
            .address
            .connect(TIMEOUT)
            .await
            .map_err(|error| Beat::Failed(error.to_string()))?;
        match timeout(TIMEOUT, try_lock(&mut connection, &self.executor_id)).await {
            Ok(Ok(true)) => {
                self.locked_out_since = None;
                self.connection = Some(connection);
                Ok(())
            }
            Ok(Ok(false)) => Err(self.locked_out()),
            Ok(Err(error)) => Err(Beat::Failed(error.to_string())),
            Err(_) => Err(Beat::Failed("no answer".to_owned())),
        }
    }

    /// The lock may still belong to our own broken session, so this becomes final only after the expiry.
    fn locked_out(&mut self) -> Beat {
        let since = *self.locked_out_since.get_or_insert_with(Instant::now);
        if since.elapsed() < Presence::EXPIRY {
            return Beat::Failed("the executor id is locked by another session".to_owned());
        }
        Beat::Lost("another process has held it since the connection to the database was lost".to_owned())
    }

    async fn stamp(&mut self, draining: bool) -> Beat {
        let Some(connection) = &mut self.connection else {
            return Beat::Failed("not connected".to_owned());
        };
        let update = sqlx::query(
            "update abaci.presence set heartbeat_at = now(), draining = $3 where executor_id = $1 and incarnation = $2",
        )
        .bind(&self.executor_id)
        .bind(&self.incarnation)
        .bind(draining)
        .execute(connection);
        let failure = match timeout(TIMEOUT, update).await {
            Ok(Ok(done)) if done.rows_affected() == 1 => return Beat::Done,
            Ok(Ok(_)) => {
                return Beat::Lost(
                    "its jobs were given to others while its heartbeat was missing".to_owned(),
                );
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer".to_owned(),
        };
        self.connection = None;
        Beat::Failed(failure)
    }

    async fn leave(mut self) {
        let Some(mut connection) = self.connection.take() else {
            return;
        };
        let delete = sqlx::query("delete from abaci.presence where executor_id = $1 and incarnation = $2")
            .bind(&self.executor_id)
            .bind(&self.incarnation)
            .execute(&mut connection);
        // What cannot be removed now expires by itself.
        let _ = timeout(TIMEOUT, delete).await;
        let _ = timeout(TIMEOUT, connection.close()).await;
    }
}

impl Contact {
    /// A beat that has just got through.
    fn now() -> Self {
        Self {
            last_beat: std::time::Instant::now(),
            failure: None,
        }
    }

    /// Whether the last beat got through on the connection that holds the lock; otherwise the executor id may not be ours,
    /// and nothing must begin in its name.
    pub(crate) fn stands(&self) -> bool {
        self.failure.is_none()
    }
}
