//! The rows that a worker claims, and those that it holds.

use super::deadline::{claimed_deadline, put_away};
use crate::database::input;

/// Claims the first rows of the queue `$1` whose workflows `$2` are known here, makes them ours, sets their deadlines out of
/// the engine's reach and reads them.
///
/// It is the engine's own claim, but that a row of another type of job is left to others and that a delay passes by the
/// database's clock: the engine ends it by that of any worker. A row without a version goes to
/// the newest version whose workers know its type. It starts with the statement: a claim from a limited queue waits for its
/// turn first, in the same transaction.
///
/// The update names no status: the rows are locked, so that they have it still; and where the planner's statistics are from
/// before the jobs came, it would look for those rows among all that wait instead of by their ids, for each row anew.
// The choice has to run once: were it made anew for each row of the update, `limit` and `skip locked`
// would yield other rows each time. Its order is that of the engine's index and no more: with a further
// key, a claim sorted the whole backlog where the statistics were old.
pub(crate) const CLAIM: &str = concat!(
    "with free as materialized ( \
        select workflow_uuid from dbos.workflow_status \
        where queue_name = $1 and status = 'ENQUEUED' and name = any($2) \
            and class_name is null and config_name is null \
            and (delay_until_epoch_ms is null or delay_until_epoch_ms <= extract(epoch from now()) * 1000) \
            and (application_name is null or application_name = $5) \
            and (application_version = $3 or application_version is null and $3 = coalesce( \
                (select version_name from dbos.application_versions as versions \
                where (application_name is null or application_name = $5) and exists (select 1 from abaci.presence \
                    where application_version = version_name and (workflows is null or name = any(workflows))) \
                order by version_timestamp desc limit 1), $3)) \
        order by priority, created_at limit $6 for update skip locked), \
    claimed as ( \
        update dbos.workflow_status set status = 'PENDING', executor_id = $4, application_version = $3, \
            application_name = coalesce(application_name, $5), owner_xid = null, rate_limited = $7, \
            recovery_attempts = recovery_attempts + 1, \
            started_at_epoch_ms = (extract(epoch from statement_timestamp()) * 1000)::bigint, \
            updated_at = (extract(epoch from statement_timestamp()) * 1000)::bigint, \
            workflow_deadline_epoch_ms = ",
    claimed_deadline!(),
    " where workflow_uuid in (select workflow_uuid from free) returning *) \
    select "
);

/// Makes this worker the owner of rows that it claimed without learning so, and reads them.
pub(crate) const OWN_CLAIMED: &str = concat!(
    "with claimed as (update dbos.workflow_status set owner_xid = null, workflow_deadline_epoch_ms = ",
    put_away!(),
    " where workflow_uuid = any($1) and status = 'PENDING' and executor_id = $2 returning *) select "
);

/// The rows in the order of the queue.
pub(crate) const IN_ORDER: &str = " from claimed order by priority, created_at";

/// Rows that this worker claimed from its queue, the oldest first.
pub(crate) const CLAIMED: &str = "select workflow_uuid from dbos.workflow_status \
     where status = 'PENDING' and executor_id = $1 and queue_name = $2 and application_version = $3 \
     order by priority, created_at";

/// The columns of a row that a worker holds; a huge input stays where it is.
// 65536 is `MAX_INPUT_BYTES`, which a text that is put together at compile time cannot name.
pub(crate) const CLAIMED_ROW: &str = concat!(
    "workflow_uuid, owner_xid, name, serialization, coalesce(class_name, config_name) as class_or_instance, octet_length(",
    input!(),
    ")::bigint as bytes, case when octet_length(",
    input!(),
    ") <= 65536 then ",
    input!(),
    " end as inputs, \
     (extract(epoch from now()) - coalesce(started_at_epoch_ms, updated_at) / 1000.0)::float8 as age"
);

/// Queues jobs whose delay has passed by the database's clock, as the engine does by the clock of a worker; some at a time, of
/// the application `$1`.
// The bound is cast to the column's type: compared with a `numeric`, the index on it could not be used.
pub(crate) const RELEASE_DUE: &str = "update dbos.workflow_status set status = 'ENQUEUED', \
         updated_at = (extract(epoch from now()) * 1000)::bigint, \
         deduplication_id = case when is_debounced then null else deduplication_id end \
     where status = 'DELAYED' and workflow_uuid in (select workflow_uuid from dbos.workflow_status \
         where status = 'DELAYED' and delay_until_epoch_ms <= (extract(epoch from now()) * 1000)::bigint \
             and (application_name is null or application_name = $1) limit 1000 for update skip locked)";

/// The rows that an executor holds.
pub(crate) const HELD_ROWS: &str = " from dbos.workflow_status where status = 'PENDING' and executor_id = $1";

/// Takes away timeouts over `$2` milliseconds in a queue, whose addition to the clock would fail.
pub(crate) const DEFUSE: &str = "update dbos.workflow_status set workflow_timeout_ms = null \
     where status = 'ENQUEUED' and queue_name = $1 and workflow_timeout_ms > $2";

/// Labels a row that only Python reads as one that all clients read, for the reason why it cannot run; touches one of another
/// kind, if this worker still holds it as it was read.
pub(crate) const RELABEL: &str = "update dbos.workflow_status set \
     serialization = case serialization when 'py_pickle' then 'portable_json' else serialization end \
     where workflow_uuid = $1 and executor_id = $2 and owner_xid is not distinct from $3 and status = 'PENDING'";
