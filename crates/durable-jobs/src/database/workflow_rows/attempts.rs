//! The starts of a job: the one that its row tells of, and those that are kept beside it.

/// Reads the last start of the job `$1` and, as JSON, those before it.
///
/// The worker's process is known as long as it has the executor id; one that came later had another job.
// A claim is dated in whole milliseconds and a worker's start is not: one millisecond between is allowed.
pub(crate) const ATTEMPTS: &str = "select status, executor_id, started_at_epoch_ms, completed_at, \
     coalesce(recovery_attempts, 0) as attempts, case when status = 'ERROR' then error end as error, \
     (select pid from abaci.presence worker where worker.executor_id = job.executor_id \
         and extract(epoch from worker.started_at) * 1000 <= job.started_at_epoch_ms + 1) as pid, \
     abaci.attempts_of(workflow_uuid)::text as kept \
     from dbos.workflow_status job where workflow_uuid = $1";

/// Keeps why the host ends the run `$2` of the job `$1`: `$3`.
pub(crate) const KEEP_HOST_FAULT: &str = "select abaci.keep_attempt(job, 'given_back', $3, null)::text \
     from dbos.workflow_status job where workflow_uuid = $1 and owner_xid = $2 and status = 'PENDING'";
