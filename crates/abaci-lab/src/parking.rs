//! Parks a job that its workers die of, as abaci does and in its words.

use crate::actor::{Actor, StepFailed};

/// A job that was started this often before is not run any more.
pub(crate) const DEATHS_TO_PARK: i64 = 3;

/// The error that a job is parked with; as an outcome it is final, so no launch recovers the job.
pub(crate) const POISON: &str =
    "Poison: the job was running when its worker died 3 times; it is parked and will not start again unasked";

/// Returns how often the job that this is called in was started, this start included.
///
/// It is no step: a step would give back in every later start what it returned in the first one. Without an answer it is 0,
/// and the job runs.
pub(crate) async fn starts(actor: &Actor) -> i64 {
    let starts = "select recovery_attempts from workflow_status where workflow_uuid = $1";
    let asked = async {
        let mut session = actor.session().await?;
        let starts = sqlx::query_scalar(starts).bind(dbos::workflow_id());
        anyhow::Ok(starts.fetch_one(&mut session).await?)
    };
    asked.await.unwrap_or_default()
}

pub(crate) fn poison() -> StepFailed {
    StepFailed(POISON.to_owned())
}
