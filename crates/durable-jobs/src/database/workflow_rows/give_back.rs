//! The way of claimed rows back to their queues.

/// Puts a row back that has this owner: on its own queue, or on the one that it left for the engine's, or on this worker's.
///
/// The count of the claim is taken back with it, and so is the worker: such a job has waited since it was submitted.
/// A row that went to another meanwhile, or whose body has begun, has another owner or another executor.
pub(crate) const GIVE_BACK: &str = "update dbos.workflow_status set status = 'ENQUEUED', owner_xid = null, executor_id = null, \
     recovery_attempts = greatest(recovery_attempts - 1, 0), started_at_epoch_ms = null, \
     queue_name = coalesce(nullif(nullif(queue_name, ''), $4), \
     (select queue_name from abaci.former_queues where workflow_uuid = $1), $5), \
     updated_at = (extract(epoch from now()) * 1000)::bigint \
     where workflow_uuid = $1 and executor_id = $2 and owner_xid is not distinct from $3 and status = 'PENDING'";

/// Takes the claims of an executor back, before its rows are requeued; what was taken back already is marked so.
pub(crate) const UNDO_CLAIMS: &str = "update dbos.workflow_status set recovery_attempts = greatest(recovery_attempts - 1, 0), \
     owner_xid = 'abaci ' || greatest(recovery_attempts - 1, 0) \
     where executor_id = $1 and status = 'PENDING' \
     and owner_xid is distinct from 'abaci ' || coalesce(recovery_attempts, 0)";

/// Settles the counts of claims that nobody will go on with.
///
/// A body that began left the token of its run, a UUID of version 7, in the row; a client, the engine and a claim leave none
/// such. In its place comes the count that is settled, so that a later claim, which counts one more, is told from this one.
/// A row that an older program requeued keeps the token of its former run until it is claimed: a worker that dies between
/// the claim and the next statement counts as a death there.
// The fifteenth character of a UUID is its version.
pub(crate) const SETTLE_CLAIMS: &str = "with claimed as (select workflow_uuid as id, coalesce(recovery_attempts, 0) as claims, \
         coalesce(substr(owner_xid, 15, 1) = '7' or owner_xid = 'abaci ' || recovery_attempts, false) as is_settled \
         from dbos.workflow_status where executor_id = $1 and status = 'PENDING' for update), \
     counted as (select id, case when is_settled then claims else greatest(claims - 1, 0) end as claims from claimed) \
     update dbos.workflow_status set recovery_attempts = counted.claims, owner_xid = 'abaci ' || counted.claims \
     from counted where workflow_uuid = counted.id";
