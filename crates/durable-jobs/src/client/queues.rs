//! The queue that a job belongs to, also after it has left it.
//!
//! A row names its queue while it waits, runs and once it ended by itself. The engine clears the name when a job is
//! cancelled, by whatever client or by its timeout; what the row said before is in `abaci.former_queues` then, where a trigger
//! of ours keeps it. Another one keeps what another client resumes or forks from the engine's internal queue.
//! A job that is not over is where its row says, on the internal queue as well.
//!
//! It does not know the queue of a job that left it before that trigger was there.

use std::collections::HashMap;

use dbos::sysdb::INTERNAL_QUEUE;
use dbos::sysdb::types::WorkflowRecord;

use super::Client;
use super::list::state_of;
use crate::Error;

const FORMER: &str =
    "select workflow_uuid, queue_name from abaci.former_queues where workflow_uuid = any($1)";

impl Client {
    /// Gives those of `rows` that ended and have left their queue its name back.
    pub(super) async fn restore_queues<'a>(
        &self,
        rows: impl IntoIterator<Item = &'a mut WorkflowRecord>,
    ) -> Result<(), Error> {
        let has_left = |row: &&'a mut WorkflowRecord| {
            state_of(row).is_final() && !names_own_queue(row.queue_name.as_deref())
        };
        let rows: Vec<&mut WorkflowRecord> = rows.into_iter().filter(has_left).collect();
        if rows.is_empty() {
            return Ok(());
        }
        let ids: Vec<&str> = rows.iter().map(|row| row.workflow_id.as_str()).collect();
        let former = sqlx::query_as::<_, (String, String)>(FORMER)
            .bind(ids)
            .fetch_all(&self.database.pool);
        let former = self
            .database
            .bounded("looking for the queues of jobs", self.timeout, former)
            .await?;
        let mut former: HashMap<String, String> = former.into_iter().collect();
        for row in rows {
            let queue = former.remove(&row.workflow_id);
            row.queue_name = queue.or(row.queue_name.take()).filter(|queue| !queue.is_empty());
        }
        Ok(())
    }
}

/// Tells a job's own queue from the engine's and from none. [`super::resume`] repeats it in SQL.
fn names_own_queue(queue: Option<&str>) -> bool {
    !matches!(queue, None | Some("" | INTERNAL_QUEUE))
}
