//! The end of the process that had this worker's executor id before.
//!
//! Whoever took its jobs over saw only that it was gone; who started it may know more.

use std::time::Duration;

use super::Worker;
use crate::Reply;
use crate::record::milliseconds;

const TIMEOUT: Duration = Duration::from_secs(5);

// Postgres runs an update in a `with` to its end though nothing reads it. It is bound to our own pid, since
// another process may have the row by now.
const NAME_DEATH: &str = "with shown as (update abaci.presence set last_pid = $2, last_exit = $3, \
        last_exit_at = now() - $4 * interval '1 millisecond' where executor_id = $1 and pid = $5) \
     select abaci.name_death($1, $2, $3, $4)::text";

impl Worker {
    /// Keeps how an earlier process `pid` with this executor id ended, and how long ago, with this worker's presence and with
    /// the starts that ended with it.
    ///
    /// Starts of which more is known than that their worker is gone stay as they are.
    ///
    /// # Errors
    /// [`Error::Unreachable`](crate::Error::Unreachable) or [`Error::Database`](crate::Error::Database).
    pub fn name_death<'a>(&'a self, pid: u32, how: &'a str, age: Duration) -> Reply<'a, ()> {
        Box::pin(async move {
            let name = sqlx::query(NAME_DEATH)
                .bind(self.executor_id())
                .bind(i32::try_from(pid).unwrap_or_default())
                .bind(how)
                .bind(milliseconds(age))
                .bind(i32::try_from(std::process::id()).unwrap_or_default())
                .execute(&self.database.pool);
            self.database
                .bounded("keeping how a worker ended", TIMEOUT, name)
                .await
                .map(drop)
        })
    }
}
