//! Questions about rows.
use crate::database::input;

/// Executors that hold rows and have no presence row, so that nobody would ever look for them.
pub(crate) const ORPHANS: &str = "select distinct w.executor_id from dbos.workflow_status w \
     where w.status = 'PENDING' and w.application_version = $1 and w.executor_id is not null \
     and not exists (select 1 from abaci.presence p where p.executor_id = w.executor_id)";

/// The states of the jobs `$1`.
pub(crate) const STATUSES: &str =
    "select workflow_uuid, status from dbos.workflow_status where workflow_uuid = any($1)";

/// The inputs of the jobs `$1`, but for those that are too long to be one.
// 65536 is `MAX_INPUT_BYTES`, which a text that is put together at compile time cannot name.
pub(crate) const INPUTS: &str = concat!(
    "select workflow_uuid, ",
    input!(),
    " as inputs from dbos.workflow_status where workflow_uuid = any($1) and octet_length(",
    input!(),
    ") <= 65536"
);

/// The recorded steps of a job without what they returned, which may be megabytes.
pub(crate) const STEPS: &str = "select function_id, function_name, started_at_epoch_ms, completed_at_epoch_ms, error \
     from dbos.operation_outputs where workflow_uuid = $1 and function_id > $2 order by function_id limit $3";

/// Counts what waits and runs in the queue `$1`, by priority as well, and reads its limits. A row without a version is taken to be of `$2`, which is ours.
///
/// A job waits since it was submitted, or since it was due, or since it was given back by the worker that its row still
/// names. One that is due and that no worker has moved to the queue yet waits as well.
///
/// Of the priorities with due jobs, the ten that are claimed last are read, so that no number of them makes the answer large.
///
/// A client that only asks makes no tables: the column of an older program's may be missing.
/// The first part ends where it is to be said which presence rows are those of the living.
pub(crate) const QUEUE_STATUS: [&str; 2] = [
    // The known types come as one text, which a subselect splits once: as an array they were made anew for
    // each waiting row, and the statement took twice as long.
    "with live as materialized ( \
        select coalesce(array_agg(application_version), '{}') as versions, \
            coalesce(bool_or(to_jsonb(presence)->>'workflows' is null), false) as know_all, \
            coalesce(string_agg((select string_agg(value, '\n') from \
                jsonb_array_elements_text(nullif(to_jsonb(presence)->'workflows', 'null')) as value), '\n'), '') as known \
        from abaci.presence where queue = $1 and ",
    "), \
    enqueued as ( \
        select priority, count(*) as jobs, count(*) as due, \
            min(greatest(created_at, delay_until_epoch_ms, \
                case when executor_id is not null then updated_at end)) as since, \
            count(*) filter (where coalesce(application_version, $2) <> all ((select versions from live)::text[]) \
                or not (select know_all from live) and (name <> all ((select string_to_array(known, '\n') from live)::text[]) \
                    or class_name is not null or config_name is not null)) as stranded \
        from dbos.workflow_status where queue_name = $1 and status = 'ENQUEUED' group by 1), \
    delayed as ( \
        select priority, count(*) as jobs, count(*) filter (where delay_until_epoch_ms <= extract(epoch from now()) * 1000) as due, \
            min(delay_until_epoch_ms) filter (where delay_until_epoch_ms <= extract(epoch from now()) * 1000) as since, 0 as stranded \
        from dbos.workflow_status where queue_name = $1 and status = 'DELAYED' group by 1), \
    waiting as materialized (select * from enqueued union all select * from delayed), \
    waiting_in_all as ( \
        select coalesce(sum(jobs), 0)::bigint as jobs, min(since) as since, coalesce(sum(stranded), 0)::bigint as stranded \
        from waiting), \
    ranks as materialized ( \
        select priority, sum(due)::bigint as due, (extract(epoch from now()) - min(since) / 1000.0)::float8 as oldest \
        from waiting where due > 0 group by 1 order by 1 desc limit 10), \
    running as ( \
        select count(*) as jobs from dbos.workflow_status where queue_name = $1 and status = 'PENDING') \
    select waiting_in_all.jobs as queued, running.jobs as running, stranded, \
        (extract(epoch from now()) - since / 1000.0)::float8 as oldest, \
        concurrency, rate_limit_max, rate_limit_period_sec, \
        coalesce((select array_agg(priority order by priority) from ranks), '{}') as ranks, \
        coalesce((select array_agg(due order by priority) from ranks), '{}') as due_of_ranks, \
        coalesce((select array_agg(oldest order by priority) from ranks), '{}') as oldest_of_ranks \
    from waiting_in_all cross join running left join dbos.queues on queues.name = $1",
];
