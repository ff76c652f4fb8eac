//! Claiming: how a job gets from the queue to this worker.
//!
//! The engine's own loop starts at one poll a second, takes ten seconds to reach its interval, sleeps after every claim
//! and cannot be stopped without aborting what runs; so this one takes its place.
//! The claim is one statement, which gives each row to one worker and makes it the row's undisputed owner; the start is the
//! engine's own.
//!
//! A claim is tried when a client says that it submitted (`NOTIFY`), when a job in hand ends, and every poll interval, since
//! a foreign client says nothing and a notification is no promise.
//! With no free slot nothing is asked, nor while this host fails its jobs ([`super::host`]).
//!
//! Each loop polls at moments of its own, which a claim in between does not move: workers of one host that start together,
//! or that one notification wakes, would otherwise ask together from then on.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dbos::{StartOptions, WorkflowRef};
use serde_json::Value;
use serde_json::value::RawValue;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, PgExecutor};
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use uuid::Uuid;

use super::claimed_row::{ClaimedRow, RowHolder, RowRefusal};
use super::host::Host;
use super::in_hand::{JobGuard, Jobs};
use super::queue_limits::{Claims, QueueLimits};
use crate::Error;
use crate::database::workflow_rows::{
    ALLOWANCE, BOUND_TURN, CLAIM, CLAIMED, CLAIMED_ROW, DEFUSE, IN_ORDER, LOCK_QUEUE, OWN_CLAIMED,
};
use crate::database::{Database, is_broken, text};
use crate::job::JobTypes;
use crate::presence::{Contact, Submissions};
use crate::record::{APPLICATION, Failure};

/// Bounds one round, so that an outage is met again and again instead of once for ever.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A started body begins within microseconds, if it begins here at all.
const TIME_TO_BEGIN: Duration = Duration::from_secs(3);

/// The pause before a failed round is tried again.
const RETRY_INTERVAL: Duration = Duration::from_millis(250);

/// No timeout is longer than a thousand years.
const MAX_TIMEOUT_MS: i64 = 1_000 * 366 * 86_400_000;

/// A registered workflow that takes whatever the row holds.
pub(super) type Workflow = WorkflowRef<Value, Box<RawValue>, Failure>;

/// The workflows as they are registered here, by the names of their job types.
pub(super) type Workflows = HashMap<&'static str, Workflow>;

/// The claim loop of one worker.
pub(crate) struct Claimer {
    pub(crate) database: Database,
    pub(crate) executor_id: String,
    pub(crate) queue: String,
    pub(crate) limits: QueueLimits,
    pub(crate) concurrency: usize,
    pub(crate) poll_interval: Duration,
    pub(crate) jobs: Jobs,
    pub(crate) workflows: Workflows,
    pub(crate) job_types: JobTypes,
    /// Says whether the executor id is ours; nothing is claimed in its name while it may not be.
    pub(crate) contact: watch::Receiver<Contact>,
    /// Wakes when a client says that it submitted to our queue.
    pub(crate) submissions: Submissions,
    /// True from the begin of a claim until its rows are known, and so after one that failed half-way: there may be rows of ours
    /// which nobody has in hand.
    pub(crate) has_strays: AtomicBool,
    /// Why the last claim failed, if no later one worked; closed when the loop has ended, however it did.
    pub(crate) failure: watch::Sender<Option<String>>,
    /// Says whether this host has what jobs need.
    pub(crate) host: Host,
    /// Drops the tasks of the jobs in hand, wherever they are.
    pub(crate) discarded: CancellationToken,
}

impl Claimer {
    /// Claims until `stop`; a round under way is finished first.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut polls = polls(self.poll_interval);
        while !stop.is_cancelled() {
            // A look may take its time, which a drain does not wait for.
            stop.run_until_cancelled(self.host.look()).await;
            // Listens before the round counts the jobs: one that leaves during the round wakes the loop at once.
            let left = self.jobs.left();
            tokio::pin!(left);
            left.as_mut().enable();
            let has_claimed = self.round().await.is_ok();
            if !has_claimed {
                stop.run_until_cancelled(self.defuse()).await;
            }
            let pause = async {
                if has_claimed {
                    polls.tick().await;
                } else {
                    tokio::time::sleep(RETRY_INTERVAL).await;
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = left => {}
                () = pause => {}
                () = self.submissions.notified() => {}
            }
        }
        // What claims nothing any more does not fail to.
        self.failure.send_replace(None);
    }

    /// Claims if there is a free slot, the host is good and the executor id is ours, and says for the report how that went.
    ///
    /// A round that asks nothing shows nothing, so what the last one showed stays.
    async fn round(&self) -> Result<(), Error> {
        let in_hand = self.jobs.count();
        let may_claim = self.host.takes_jobs() && self.contact.borrow().stands();
        if in_hand >= self.concurrency || !may_claim {
            return Ok(());
        }
        let claimed = self.claim(in_hand).await;
        let failure = claimed.as_ref().err().map(|error| match error {
            // Without the operation, which the words before it say already.
            Error::Database { reason, .. } => format!("cannot claim jobs: {reason}"),
            error => format!("cannot claim jobs: {error}"),
        });
        let was_failing = self.failure.borrow().is_some();
        // Only a change is news; who waits for the end of the loop must not wake at every poll.
        self.failure.send_if_modified(|shown| {
            let is_news = *shown != failure;
            *shown = failure;
            is_news
        });
        match &claimed {
            Ok(()) if was_failing => info!(executor_id = %self.executor_id, "claiming again"),
            Err(error) if !was_failing => {
                warn!(executor_id = %self.executor_id, %error, "cannot claim jobs; trying again");
            }
            _ => {}
        }
        claimed
    }

    /// Claims as many jobs as there are free slots beside those `in_hand` and starts them.
    async fn claim(&self, in_hand: usize) -> Result<(), Error> {
        let rows = self
            .database
            .bounded("claiming jobs", TIMEOUT, self.claimed_rows_soon(in_hand))
            .await?;
        // All are in hand before anything is awaited, or the janitor would take the last for stranded.
        let rows: Vec<_> = rows
            .into_iter()
            .map(|row| (self.jobs.enter(&row.id), row))
            .collect();
        for (place, row) in rows {
            match row.checked(&self.job_types) {
                Ok(details) => {
                    place.note(details);
                    self.start(place, row);
                }
                Err(refusal) => self.refuse(place, row, refusal),
            }
        }
        Ok(())
    }

    /// Claims rows, a second time at once where a connection of the pool broke, which is no outage.
    ///
    /// The claim may have got through, so the second time looks for its rows first.
    async fn claimed_rows_soon(&self, in_hand: usize) -> Result<Vec<ClaimedRow>, String> {
        let claimed = match self.claimed_rows(in_hand).await {
            Err(error) if is_broken(&error) => self.claimed_rows(in_hand).await,
            claimed => claimed,
        };
        claimed.map_err(text)
    }

    /// Claims rows and makes them ours; those of a claim that failed half-way come first, or failures would pile rows up.
    async fn claimed_rows(&self, in_hand: usize) -> Result<Vec<ClaimedRow>, sqlx::Error> {
        // Set first: a round that is given up at its timeout, or whose answer is lost, leaves it set.
        let may_have_strays = self.has_strays.swap(true, Ordering::Relaxed);
        let strays = if may_have_strays {
            self.strays(in_hand).await?
        } else {
            Vec::new()
        };
        // There may be more of them than free slots.
        let has_more = !strays.is_empty();
        let rows = if has_more {
            self.own(&strays).await?
        } else {
            self.claim_free(in_hand).await?
        };
        // An atomic only because a round borrows the loop: nobody else reads it, so no order is needed.
        self.has_strays.store(has_more, Ordering::Relaxed);
        Ok(rows)
    }

    /// Rows that we claimed without learning so, as many as there are free slots.
    async fn strays(&self, in_hand: usize) -> Result<Vec<String>, sqlx::Error> {
        let ids = sqlx::query_scalar(CLAIMED)
            .bind(&self.executor_id)
            .bind(&self.queue)
            .bind(self.database.scope.version())
            .fetch_all(&self.database.pool);
        let mut ids: Vec<String> = ids.await?;
        // Not in the statement: only this process knows what it has in hand.
        ids.retain(|id| !self.jobs.holds(id));
        ids.truncate(self.concurrency.saturating_sub(in_hand));
        Ok(ids)
    }

    /// Claims as many rows as there are free slots, and as the limits of the queue allow.
    async fn claim_free(&self, in_hand: usize) -> Result<Vec<ClaimedRow>, sqlx::Error> {
        let free = i64::try_from(self.concurrency.saturating_sub(in_hand)).unwrap_or(i64::MAX);
        let pool = &self.database.pool;
        match self.limits.of(&self.queue, pool).await? {
            Claims::Paused => Ok(Vec::new()),
            Claims::Free => self.claim_up_to(free, Claims::Free, pool).await,
            Claims::Limited => self.claim_in_turn(free).await,
        }
    }

    /// Claims what the limits of the queue leave, after those who claim at the same moment.
    async fn claim_in_turn(&self, free: i64) -> Result<Vec<ClaimedRow>, sqlx::Error> {
        let mut turn = self.database.pool.begin().await?;
        // A process that is stopped in its turn must not hold up all others.
        sqlx::raw_sql(BOUND_TURN).execute(&mut *turn).await?;
        sqlx::query(LOCK_QUEUE)
            .bind(&self.queue)
            .execute(&mut *turn)
            .await?;
        // A statement of its own, which sees what was claimed before the lock was ours.
        let allowed: Option<i64> = sqlx::query_scalar(ALLOWANCE)
            .bind(&self.queue)
            .bind(free)
            .fetch_optional(&mut *turn)
            .await?;
        let rows = match allowed {
            // Below nothing where a limit was lowered under what runs, or the queue has just been paused.
            Some(..=0) => Vec::new(),
            // Absent where somebody has removed the queue's row since its limits were read: then it has none.
            allowed => {
                self.claim_up_to(allowed.unwrap_or(free), Claims::Limited, &mut *turn)
                    .await?
            }
        };
        turn.commit().await?;
        Ok(rows)
    }

    async fn claim_up_to(
        &self,
        rows: i64,
        claims: Claims,
        executor: impl PgExecutor<'_>,
    ) -> Result<Vec<ClaimedRow>, sqlx::Error> {
        let scope = &self.database.scope;
        let claim = sqlx::query(AssertSqlSafe(format!("{CLAIM}{CLAIMED_ROW}{IN_ORDER}")))
            .bind(&self.queue)
            .bind(scope.workflows())
            .bind(scope.version())
            .bind(&self.executor_id)
            .bind(APPLICATION)
            .bind(rows)
            .bind(claims == Claims::Limited);
        rows_of(&claim.fetch_all(executor).await?)
    }

    async fn own(&self, ids: &[String]) -> Result<Vec<ClaimedRow>, sqlx::Error> {
        let own = sqlx::query(AssertSqlSafe(format!("{OWN_CLAIMED}{CLAIMED_ROW}{IN_ORDER}")))
            .bind(ids)
            .bind(&self.executor_id);
        rows_of(&own.fetch_all(&self.database.pool).await?)
    }

    /// Takes away timeouts so long that adding them to the clock fails, which would fail the claim of every worker.
    ///
    /// Our own clients refuse them; a row of another client may have one.
    async fn defuse(&self) {
        let defuse = sqlx::query(DEFUSE)
            .bind(&self.queue)
            .bind(MAX_TIMEOUT_MS)
            .execute(&self.database.pool);
        match self
            .database
            .bounded("looking for endless timeouts", TIMEOUT, defuse)
            .await
        {
            Ok(done) if done.rows_affected() > 0 => {
                warn!(
                    rows = done.rows_affected(),
                    "took away timeouts of over a thousand years"
                );
            }
            Ok(_) => {}
            Err(error) => debug!(%error, "could not look for endless timeouts"),
        }
    }

    fn refuse(&self, place: JobGuard, row: ClaimedRow, refusal: RowRefusal) {
        let (database, held_by) = (self.database.clone(), self.holder());
        self.spawn(async move {
            let _place = place;
            row.refuse(&database, &held_by, &refusal).await;
        });
    }

    fn holder(&self) -> RowHolder {
        RowHolder {
            executor_id: self.executor_id.clone(),
            queue: self.queue.clone(),
        }
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let discarded = self.discarded.clone();
        // Nobody keeps the handle of such a task: the token is what ends it.
        tokio::spawn(discarded.run_until_cancelled_owned(task));
    }

    /// Starts a job in a task of its own, which keeps the place until the outcome is recorded.
    fn start(&self, place: JobGuard, row: ClaimedRow) {
        // Never absent: `checked` has refused every type that is not registered here.
        let Some(workflow) = self.workflows.get(row.workflow()).cloned() else {
            return;
        };
        let jobs = self.jobs.clone();
        self.spawn(async move {
            let _place = place;
            // Resumed a moment after it was cancelled; the run that was cancelled needs that moment to notice.
            let _ = tokio::time::timeout(TIME_TO_BEGIN, jobs.sole(&row.id)).await;
            let options = StartOptions {
                workflow_id: Some(&row.id),
                ..StartOptions::default()
            };
            // The row is there and names no owner, so the engine adds nothing to it and begins the body.
            match workflow.start_with(row.input_value(), options).await {
                // The outcome is in the row, or the job goes on elsewhere; either way it is not in hand any more.
                Ok(handle) => tokio::select! {
                    outcome = handle.result() => drop(outcome),
                    () = never_began(&jobs, &row.id) => warn!(workflow_id = row.id, "a claimed job runs elsewhere"),
                },
                Err(error) => {
                    warn!(workflow_id = row.id, %error, "could not start a claimed job; the janitor will see to it");
                }
            }
        });
    }
}

/// Polls every `interval`, from a random moment within the first one on, whatever is claimed in between.
fn polls(interval: Duration) -> Interval {
    // The clock of the runtime counts milliseconds.
    let interval = interval.max(Duration::from_millis(1));
    let mut polls = interval_at(Instant::now() + random_part_of(interval), interval);
    // `Skip` keeps to the moments of this loop; `Delay` would move them by every late round.
    polls.set_missed_tick_behavior(MissedTickBehavior::Skip);
    polls
}

fn random_part_of(interval: Duration) -> Duration {
    // The last 62 bits of such an id are random.
    let (_, random) = Uuid::now_v7().as_u64_pair();
    // An interval is a millisecond at least, so nothing is divided by zero, and the rest fits.
    let part = u128::from(random) % interval.as_nanos();
    Duration::from_nanos(u64::try_from(part).unwrap_or_default())
}

/// Completes when the body of a started job did not begin here: the engine then waits for a run of it elsewhere, for which
/// this worker keeps no slot.
async fn never_began(jobs: &Jobs, id: &str) {
    tokio::time::sleep(TIME_TO_BEGIN).await;
    if jobs.has_begun(id) {
        std::future::pending::<()>().await;
    }
}

fn rows_of(rows: &[PgRow]) -> Result<Vec<ClaimedRow>, sqlx::Error> {
    rows.iter().map(ClaimedRow::from_row).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[tokio::test]
    async fn no_interval_is_too_short_to_poll_by() {
        polls(Duration::ZERO).tick().await;
    }

    #[test]
    fn workers_that_start_together_poll_out_of_step() {
        let interval = Duration::from_millis(50);
        let phases: HashSet<_> = (0..8).map(|_| random_part_of(interval)).collect();
        assert!(phases.len() > 1, "eight workers poll at one moment");
    }
}
