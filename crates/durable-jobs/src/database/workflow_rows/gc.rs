//! Old rows, and what refers to artifacts.

/// Jobs that ended before `$1`.
pub(crate) const ENDED: &str = "status in ('SUCCESS', 'ERROR', 'CANCELLED') and completed_at < $1";

/// Jobs that the engine itself parked before `$1`: it says of them only when it touched them last.
pub(crate) const PARKED_BY_ENGINE: &str = "status = 'MAX_RECOVERY_ATTEMPTS_EXCEEDED' and updated_at < $1";

/// Rows of ours whose job is gone.
// `abaci.attempts` is not among them: a trigger removes the starts of a job together with its row.
pub(crate) const LEFTOVERS: [&str; 3] = [
    "delete from abaci.deaths where not exists \
     (select 1 from dbos.workflow_status job where job.workflow_uuid = deaths.workflow_uuid)",
    "delete from abaci.allowances where not exists \
     (select 1 from dbos.workflow_status job where job.workflow_uuid = allowances.workflow_uuid)",
    "delete from abaci.former_queues where not exists \
     (select 1 from dbos.workflow_status job where job.workflow_uuid = former_queues.workflow_uuid)",
];

/// Counts the jobs of the workflows `$2` that ended before `$1`.
pub(crate) fn count_ended() -> String {
    format!(
        "select count(*) from dbos.workflow_status where name = any($2) and ({ENDED} or {PARKED_BY_ENGINE})"
    )
}

/// Deletes up to `batch` jobs of the workflows `$2` for which `which` holds, with their steps and whatever a newer DBOS keeps of
/// them, and counts them.
pub(crate) fn delete(which: &str, batch: u32) -> String {
    format!(
        // A row that somebody holds, such as one that is being resumed, is left to a later collection.
        "with old as materialized (select workflow_uuid from dbos.workflow_status \
         where name = any($2) and {which} limit {batch} for update skip locked), \
         gone as (delete from dbos.workflow_status job using old where job.workflow_uuid = old.workflow_uuid \
         returning job.workflow_uuid), \
         steps as (delete from dbos.operation_outputs step using old where step.workflow_uuid = old.workflow_uuid) \
         select count(*), abaci.forget_payloads(array_agg(workflow_uuid))::text from gone"
    )
}

/// Deletes those of the jobs `$1` that have ended, whatever their type, with their steps and whatever a newer DBOS keeps of
/// them, and names them.
// Unlike a collection it waits for rows that are locked, since these jobs were named; all who delete so
// lock them in one order, or two of them could wait for each other.
pub(crate) const DELETE_ENDED: &str = "with old as materialized (select workflow_uuid from dbos.workflow_status \
         where workflow_uuid = any($1) and (application_name is null or application_name = $2) \
         and status in ('SUCCESS', 'ERROR', 'CANCELLED', 'MAX_RECOVERY_ATTEMPTS_EXCEEDED') \
         order by workflow_uuid for update), \
     gone as (delete from dbos.workflow_status job using old where job.workflow_uuid = old.workflow_uuid \
         returning job.workflow_uuid), \
     steps as (delete from dbos.operation_outputs step using old where step.workflow_uuid = old.workflow_uuid) \
     select coalesce(array_agg(workflow_uuid), '{}'), abaci.forget_payloads(array_agg(workflow_uuid))::text from gone";

/// Names every artifact that a job refers to, but for those of jobs of the workflows `$2` that ended before `$1`.
pub(crate) fn references() -> String {
    // `not` would leave out a job of which something is unknown, such as when it ended.
    let counts = format!("(name = any($2) and ({ENDED} or {PARKED_BY_ENGINE})) is not true");
    format!(
        // `like` is cheap and spares the regular expression most of the outputs.
        r#"select found[1] from (
             select output from dbos.workflow_status
             where status = 'SUCCESS' and output like '%"uri"%' and {counts}
             union all
             select step.output from dbos.operation_outputs step
             join dbos.workflow_status job using (workflow_uuid)
             where (status <> 'SUCCESS' or status is null) and step.output like '%"uri"%' and {counts}
           ) recorded, regexp_matches(recorded.output, '"uri" *: *"[^"]*/([^"/]+)"', 'g') found"#
    )
}
