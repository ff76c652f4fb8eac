//! One run of a job: whose its row is.
use super::deadline::{left_ms, put_back};
use crate::database::input;

/// Takes a row that this worker claimed, or that the engine's internal queue gave it, unless another run has it.
// One character more than `MAX_INPUT_BYTES` tells that an input is too long.
// The same token is this statement again, after its answer was lost. What it returns is computed after
// the update: the deadline is the one that was put back, and a wait for the row's lock counts.
pub(crate) const OWN_RUN: &str = concat!(
    "update dbos.workflow_status set owner_xid = $3, workflow_deadline_epoch_ms = ",
    put_back!(),
    " where workflow_uuid = $1 and executor_id = $2 and status = 'PENDING' \
     and (owner_xid is null or owner_xid = $3 or queue_name = $4) \
     returning coalesce(recovery_attempts, 1), \
     (select deaths from abaci.deaths where workflow_uuid = $1), \
     (select last_reason from abaci.deaths where workflow_uuid = $1), \
     (select memory_bytes from abaci.allowances where workflow_uuid = $1), ",
    left_ms!(),
    ", case when $5 then left(",
    input!(),
    ", 65537) end"
);

/// Tells if a row is still that of a run.
pub(crate) const STILL_OWNS: &str =
    "select exists (select 1 from dbos.workflow_status where workflow_uuid = $1 and owner_xid = $2)";
