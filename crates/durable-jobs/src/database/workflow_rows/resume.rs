//! Rows that are put back after their end.

/// Puts a row back: on the queue that it names, or else on the one that it left, or else on the client's, `$2`, if it is of
/// a type that the client knows, `$3`, or else on the engine's own, `$4`.
pub(crate) const REQUEUE: &str = "with own as (select coalesce(nullif(nullif(queue_name, ''), $4), \
         (select queue_name from abaci.former_queues where workflow_uuid = $1)) as queue \
         from dbos.workflow_status where workflow_uuid = $1) \
     update dbos.workflow_status \
     set status = 'ENQUEUED', queue_name = coalesce(own.queue, case when name = any($3) then $2 else $4 end), recovery_attempts = 0, \
     executor_id = null, owner_xid = null, output = null, error = null, workflow_deadline_epoch_ms = null, \
     started_at_epoch_ms = null, completed_at = null, delay_until_epoch_ms = null, updated_at = (extract(epoch from now()) * 1000)::bigint \
     from own where workflow_uuid = $1 \
     and (status in ('ERROR', 'MAX_RECOVERY_ATTEMPTS_EXCEEDED') \
     or status = 'CANCELLED' and updated_at < extract(epoch from now()) * 1000 - 1000) \
     returning queue_name, own.queue is not null";

pub(crate) const FORGET_FAILED_STEPS: &str = "delete from dbos.operation_outputs where workflow_uuid = $1 and function_id >= \
     (select min(function_id) from dbos.operation_outputs where workflow_uuid = $1 and error is not null)";
