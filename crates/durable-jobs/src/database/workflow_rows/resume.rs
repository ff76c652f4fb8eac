//! Rows that are put back after their end.

/// Puts those of the rows `$1` back that ended without a value: each on the queue that it names, or else on the one that it
/// left, or else on the client's, `$2`, if it is of a type that the client knows, `$3`, or else on the engine's own, `$4`.
///
/// The rows are locked in one order, so that two who put the same back do not wait for each other.
pub(crate) const REQUEUE: &str = "with own as materialized (select workflow_uuid as id, coalesce(nullif(nullif(queue_name, ''), $4), \
         (select former.queue_name from abaci.former_queues former where former.workflow_uuid = job.workflow_uuid)) as queue \
         from dbos.workflow_status job where workflow_uuid = any($1) \
         and (status in ('ERROR', 'MAX_RECOVERY_ATTEMPTS_EXCEEDED') \
         or status = 'CANCELLED' and updated_at < extract(epoch from now()) * 1000 - 1000) \
         order by workflow_uuid for update of job) \
     update dbos.workflow_status \
     set status = 'ENQUEUED', queue_name = coalesce(own.queue, case when name = any($3) then $2 else $4 end), recovery_attempts = 0, \
     executor_id = null, owner_xid = null, output = null, error = null, workflow_deadline_epoch_ms = null, \
     started_at_epoch_ms = null, completed_at = null, delay_until_epoch_ms = null, updated_at = (extract(epoch from now()) * 1000)::bigint \
     from own where workflow_uuid = own.id \
     returning workflow_uuid, queue_name, own.queue is not null as is_own";

// Where no step failed the least is null, and nothing is deleted.
pub(crate) const FORGET_FAILED_STEPS: &str = "delete from dbos.operation_outputs step where workflow_uuid = any($1) and function_id >= \
     (select min(failed.function_id) from dbos.operation_outputs failed \
         where failed.workflow_uuid = step.workflow_uuid and failed.error is not null)";
