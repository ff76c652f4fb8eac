//! The heartbeat: one small update on the connection that holds the lock, every two seconds, and every half a second while
//! a job in hand is worth showing.
//!
//! When the connection breaks it is opened again and the lock taken again; another holder means that this process was
//! given up on, and it must not go on.
//! Each beat publishes its outcome as a [`Contact`], the one source in this process on whether the database answers.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, MissedTickBehavior, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Presence;
use super::acquire::{Acquisition, try_lock};
use super::former::Current;
use super::progress_schedule::{LOOK_INTERVAL, ProgressSchedule, RunningJobs};
use super::session::WorkerSession;
use super::sessions::has_lock;
use crate::database::{Address, is_read_only, local_ms, now_ms, try_room};

/// The time between two tries of a broken connection.
const RECONNECT_INTERVAL: Duration = Duration::from_millis(250);

/// Bounds every connection attempt and every question.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);

pub(super) struct Heartbeat {
    address: Address,
    session: Option<WorkerSession>,
    executor_id: String,
    incarnation: String,
    /// Others in this process see that it is over when this task is.
    _current: Current,
    schedule: ProgressSchedule,
    /// The queue whose submissions are announced.
    queue: String,
    submissions: Submissions,
    /// Since when another session holds the lock that we lost with our connection.
    locked_out_since: Option<Instant>,
    contact: watch::Sender<Contact>,
}

/// Wakes the claim loop at a submission; one wake-up may stand for many, and is kept while the loop does not wait.
pub(crate) type Submissions = Arc<Notify>;

/// The outcome of the last beats.
pub(crate) struct Contact {
    /// When a beat last got through, or the registration did.
    pub(crate) last_beat: std::time::Instant,
    /// Why the beats since have not.
    pub(crate) failure: Option<String>,
}

/// The outcome of one beat.
enum Beat {
    Done,
    Failed(String),
    /// It got through, and nothing else can be written; asking more often would need room as well.
    NoRoom(String),
    Lost(String),
}

impl Heartbeat {
    /// Keeps the executor id that `acquisition` took; its row says what `running` reads of the jobs in hand.
    pub(super) fn new(acquisition: Acquisition<'_>, executor_id: String, running: RunningJobs) -> Self {
        let (contact, _) = watch::channel(Contact::now());
        Self {
            contact,
            address: acquisition.address.clone(),
            session: Some(acquisition.session),
            executor_id,
            _current: Current(acquisition.incarnation.clone()),
            incarnation: acquisition.incarnation,
            schedule: ProgressSchedule::new(running),
            queue: acquisition.role.queue,
            submissions: Submissions::default(),
            locked_out_since: None,
        }
    }

    /// Returns the signal of submissions.
    pub(super) fn submissions(&self) -> Submissions {
        Arc::clone(&self.submissions)
    }

    /// Subscribes to the outcomes of the beats.
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
        let mut looks = tokio::time::interval(LOOK_INTERVAL);
        // Looks that were missed during a beat without an answer are not made up for.
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let due = tokio::select! {
                () = stop.cancelled() => break,
                _ = looks.tick() => self.schedule.look(),
                // The pattern switches this off when the sender is gone, instead of waking the loop for ever.
                Ok(()) = draining.changed() => Some(self.schedule.now()),
                heard = submitted(&mut self.session) => self.note_submission(heard.as_deref()),
            };
            let Some(running) = due else { continue };
            // Marked as seen: whatever this beat is for, it says that the worker drains, as one does that was dropped.
            let is_draining = draining.has_changed().is_err() || *draining.borrow_and_update();
            let beat = self.beat(is_draining, &running).await;
            self.note(&beat);
            match beat {
                Beat::Done | Beat::NoRoom(_) => {}
                Beat::Failed(_) => {
                    self.schedule.hurry();
                    looks.reset_after(RECONNECT_INTERVAL);
                }
                Beat::Lost(reason) => {
                    // Nothing is removed: the row is another's or cannot be written, or no session is there.
                    lost.send_replace(Some(reason));
                    return;
                }
            }
        }
        self.leave().await;
    }

    /// Beats once; `running` is the JSON of the jobs that are shown.
    async fn beat(&mut self, draining: bool, running: &str) -> Beat {
        let was_failing = self.contact.borrow().failure.is_some();
        let beat = match self.connected().await {
            Ok(()) => self.stamp(draining, running).await,
            Err(beat) => beat,
        };
        match &beat {
            Beat::Done if was_failing => info!(executor_id = %self.executor_id, "heartbeat again"),
            Beat::Failed(reason) | Beat::NoRoom(reason) if !was_failing => {
                warn!(executor_id = %self.executor_id, reason, "heartbeat failed; trying again");
            }
            _ => {}
        }
        beat
    }

    /// Passes a submission on; a connection that was lost is a reason to beat now, on a new one.
    fn note_submission(&mut self, queue: Option<&str>) -> Option<String> {
        if queue.is_none() {
            self.session = None;
            return Some(self.schedule.now());
        }
        if queue == Some(&*self.queue) {
            self.submissions.notify_one();
        }
        None
    }

    fn note(&self, beat: &Beat) {
        match beat {
            Beat::Done => drop(self.contact.send_replace(Contact::now())),
            Beat::Failed(reason) | Beat::NoRoom(reason) | Beat::Lost(reason) => self
                .contact
                .send_modify(|contact| contact.failure = Some(reason.clone())),
        }
    }

    /// Opens the connection and takes the lock again where they are gone.
    async fn connected(&mut self) -> Result<(), Beat> {
        if self.session.is_some() {
            return Ok(());
        }
        let mut session = WorkerSession::open(&self.address, TIMEOUT)
            .await
            .map_err(|error| Beat::Failed(error.to_string()))?;
        // The row is not written anew: the stamp that follows finds out whether it is still ours.
        let lock = async { try_lock(session.connection().await?, &self.executor_id).await };
        match timeout(TIMEOUT, lock).await {
            Ok(Ok(true)) => {
                self.locked_out_since = None;
                self.session = Some(session);
                // What was submitted while nobody listened.
                self.submissions.notify_one();
                Ok(())
            }
            Ok(Ok(false)) => Err(self.locked_out(&mut session).await),
            Ok(Err(error)) => Err(Beat::Failed(error.to_string())),
            Err(_) => Err(Beat::Failed("no answer".to_owned())),
        }
    }

    /// The lock may still belong to our own broken session, so this becomes final only after the expiry.
    ///
    /// That session does not go where a pooler stands behind a path that drops everything in silence, and what the other
    /// connections of this process were asked is lost there, too: so it must begin anew, and not only take the lock again.
    async fn locked_out(&mut self, session: &mut WorkerSession) -> Beat {
        let since = *self.locked_out_since.get_or_insert_with(Instant::now);
        if since.elapsed() < Presence::EXPIRY {
            return Beat::Failed("the executor id is locked by another session".to_owned());
        }
        let own = async { has_lock(session.connection().await?, &self.executor_id, &self.incarnation).await };
        let reason = match timeout(TIMEOUT, own).await {
            Ok(Ok(true)) => "its connection to the database was cut in silence, and its old session stands",
            _ => "another process has held it since the connection to the database was lost",
        };
        Beat::Lost(reason.to_owned())
    }

    async fn stamp(&mut self, draining: bool, running: &str) -> Beat {
        let Some(session) = &mut self.session else {
            return Beat::Failed("not connected".to_owned());
        };
        let update = sqlx::query(concat!(
            "update abaci.presence set heartbeat_at = now(), draining = $3, running = $4::jsonb, \
             clock_offset_ms = $5 - ",
            now_ms!(),
            " where executor_id = $1 and incarnation = $2"
        ))
        .bind(&self.executor_id)
        .bind(&self.incarnation)
        .bind(draining)
        .bind(running)
        .bind(local_ms());
        let update = async { update.execute(session.connection().await?).await };
        let failure = match timeout(TIMEOUT, update).await {
            Ok(Ok(done)) if done.rows_affected() == 1 => return self.done().await,
            Ok(Ok(_)) => {
                return Beat::Lost(
                    "its jobs were given to others while its heartbeat was missing".to_owned(),
                );
            }
            // A new connection of ours would write again, but those of the pools would not: all have to be given up.
            Ok(Err(error)) if is_read_only(&error) => {
                return Beat::Lost(
                    "its sessions cannot write any more; the database has another primary".to_owned(),
                );
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer".to_owned(),
        };
        self.session = None;
        Beat::Failed(failure)
    }

    /// The beat got through; but it overwrites a row that is there, which a full disk allows when no step can be recorded.
    async fn done(&mut self) -> Beat {
        let Some(session) = self.session.as_mut().filter(|_| self.schedule.doubts_room()) else {
            return Beat::Done;
        };
        let tried = async { try_room(session.connection().await?).await };
        let failure = match timeout(TIMEOUT, tried).await {
            Ok(Ok(None)) => {
                self.schedule.saw_room();
                return Beat::Done;
            }
            Ok(Ok(Some(reason))) => return Beat::NoRoom(format!("nothing can be written: {reason}")),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer".to_owned(),
        };
        self.session = None;
        Beat::Failed(failure)
    }

    async fn leave(mut self) {
        // Without a session there is no lock any more; the row expires by itself.
        let Some(mut session) = self.session.take() else {
            return;
        };
        let delete = sqlx::query("delete from abaci.presence where executor_id = $1 and incarnation = $2")
            .bind(&self.executor_id)
            .bind(&self.incarnation);
        let delete = async { delete.execute(session.connection().await?).await };
        // What cannot be removed now expires by itself.
        let _ = timeout(TIMEOUT, delete).await;
        let _ = timeout(TIMEOUT, session.close()).await;
    }
}

/// Completes when the session hears of a submission, or is lost; never without a session.
async fn submitted(session: &mut Option<WorkerSession>) -> Option<String> {
    match session {
        Some(session) => session.submitted().await,
        None => std::future::pending().await,
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

    /// Tests if the last beat got through on the connection that holds the lock, and not so long ago that peers may have
    /// given up on this process; otherwise the executor id may not be ours, and nothing must begin in its name.
    ///
    /// A process that was stopped finds an old beat and no failure when it goes on.
    pub(crate) fn stands(&self) -> bool {
        self.failure.is_none() && self.last_beat.elapsed() < Presence::EXPIRY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beat_as_old_as_the_expiry_stands_for_nothing() {
        let mut contact = Contact::now();
        assert!(contact.stands());
        contact.last_beat -= Presence::EXPIRY;
        assert!(!contact.stands(), "a process that stood still begins something");
    }
}
