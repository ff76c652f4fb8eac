//! The janitor, which keeps claimed rows from hanging for ever.
//!
//! A worker can claim a row and fail to start it: the connection broke between the two, or the engine met a row on its
//! internal queue whose workflow nobody registered or whose input does not decode.
//! Every half second the janitor looks at the rows that this worker holds and this process does not have in hand.
//! One that can never run is ended with its reason after two seconds; one that could run goes back to its queue after
//! fifteen, when no start can still be under way.
//! It touches no row of another executor, but that it queues jobs whose delay has passed: the engine does so by the clock of
//! its worker, which may be behind.

use std::time::Duration;

use sqlx::AssertSqlSafe;
use tokio::time::MissedTickBehavior;
use tracing::{debug, warn};

use crate::Error;
use crate::database::Database;
use crate::database::workflow_rows::{CLAIMED_ROW, HELD_ROWS, RELEASE_DUE};
use crate::job::JobTypes;
use crate::record::APPLICATION;
use crate::worker::{ClaimedRow, Jobs, RowHolder};

const INTERVAL: Duration = Duration::from_millis(500);
const TIMEOUT: Duration = Duration::from_secs(5);

/// A row that cannot run here is parked or given back at this age.
const HOPELESS_AFTER_SECONDS: f64 = 2.0;

/// A row that could run is given back at this age.
const STRANDED_AFTER_SECONDS: f64 = 15.0;

/// The janitor of one worker.
pub(crate) struct Janitor {
    pub(crate) database: Database,
    pub(crate) holder: RowHolder,
    pub(crate) job_types: JobTypes,
    pub(crate) jobs: Jobs,
}

impl Janitor {
    /// Sweeps until the task is aborted.
    pub(crate) async fn run(self) {
        let mut sweeps = tokio::time::interval(INTERVAL);
        sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            sweeps.tick().await;
            if let Err(error) = self.sweep().await {
                debug!(%error, "janitor sweep failed; trying again");
            }
        }
    }

    async fn sweep(&self) -> Result<(), Error> {
        let due = sqlx::query(RELEASE_DUE)
            .bind(APPLICATION)
            .execute(&self.database.pool);
        // The rows that are held are looked at in any case.
        if let Err(error) = self.database.bounded("releasing due jobs", TIMEOUT, due).await {
            debug!(%error, "could not release due jobs; trying again");
        }
        let rows = self
            .database
            .bounded("looking at claimed rows", TIMEOUT, self.held())
            .await?;
        for row in &rows {
            // While it is tidied, nobody else here takes it for a row to start.
            let Some(_guard) = self.jobs.enter_alone(&row.id) else {
                continue;
            };
            // One row that resists must not keep the others.
            if let Err(error) = self.tidy(row).await {
                warn!(workflow_id = row.id, %error, "could not tidy a claimed row; trying again");
            }
        }
        Ok(())
    }

    async fn held(&self) -> Result<Vec<ClaimedRow>, sqlx::Error> {
        let select = format!("select {CLAIMED_ROW}{HELD_ROWS}");
        let rows = sqlx::query(AssertSqlSafe(select))
            .bind(&self.holder.executor_id)
            .fetch_all(&self.database.pool)
            .await?;
        rows.iter().map(ClaimedRow::from_row).collect()
    }

    async fn tidy(&self, row: &ClaimedRow) -> Result<(), Error> {
        match row.checked(&self.job_types) {
            Err(refusal) if row.age_seconds > HOPELESS_AFTER_SECONDS => {
                // The engine's statement in it tries an outage for ever, so it is bounded here.
                let refuse = async {
                    row.refuse(&self.database, &self.holder, &refusal).await;
                    Ok::<_, Error>(())
                };
                self.database.bounded("refusing a row", TIMEOUT, refuse).await
            }
            Ok(_) if row.age_seconds > STRANDED_AFTER_SECONDS => {
                if row.give_back(&self.database, &self.holder).await? {
                    warn!(workflow_id = row.id, "gave back a claimed row that never started");
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
