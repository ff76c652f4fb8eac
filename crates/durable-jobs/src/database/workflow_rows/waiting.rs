//! Questions about jobs that have not ended: who could take them, and what they wait for.

use super::queues::{counted_starts, left_of_concurrency, left_of_rate};

/// The queue, the version and the workflow that a row names, as SQL expressions with their names.
///
/// A job without a queue of its own is left to the engine's, `$2`; a row without a version is taken to be of ours, `$3`.
macro_rules! needs {
    () => {
        "coalesce(nullif(queue_name, ''), $2) as queue, coalesce(application_version, $3) as version, \
         concat(class_name || '.', config_name || '.', name) as workflow"
    };
}

/// The queues, versions and workflows of those of the jobs `$1` that have not ended, whether one of theirs is in hand and one
/// waits; with the limits of the queue, and whether they let no job start now.
// The rest of a limit costs a count of rows, so it is computed only for queues where one of the jobs waits.
pub(crate) const OPEN: &str = concat!(
    "with open as materialized (select ",
    needs!(),
    ", bool_or(status = 'PENDING') as is_running, bool_or(status <> 'PENDING') as is_waiting from dbos.workflow_status \
        where workflow_uuid = any($1) and status in ('ENQUEUED', 'DELAYED', 'PENDING') group by 1, 2, 3), \
     limits as materialized (select queue.*, coalesce(least(",
    left_of_concurrency!(),
    ", ",
    left_of_rate!(),
    ") <= 0, false) as is_reached from dbos.queues queue where name in (select queue from open where is_waiting)) \
     select open.queue, version, workflow, is_running, is_waiting, \
         concurrency, rate_limit_max, rate_limit_period_sec, coalesce(is_reached, false) as is_reached \
     from open left join limits on limits.name = open.queue and open.is_waiting"
);

/// Reads the job `$1`, what it needs of a worker, and until when it is delayed.
pub(crate) const WAITING_JOB: &str = concat!(
    "select status, ",
    needs!(),
    ", case when delay_until_epoch_ms > now_ms then delay_until_epoch_ms end as delayed_until_ms \
     from dbos.workflow_status, (select extract(epoch from now()) * 1000 as now_ms) as clock where workflow_uuid = $1"
);

/// Counts the due jobs in one status of the queue `$2` that some workers take, and those of them that come before `mine`.
macro_rules! due_jobs {
    ($status:literal, $due:literal) => {
        concat!(
            "select count(*) as due, count(*) filter (where (priority, created_at, ctid) < \
                ((select priority from mine), (select created_at from mine), (select place from mine))) as ahead \
            from dbos.workflow_status where queue_name = $2 and status = ",
            $status,
            " and (",
            $due,
            "extract(epoch from now()) * 1000) \
                and ($3::text[] is null or coalesce(application_version, $5) = any($3)) \
                and ($4::text[] is null or name = any($4) and class_name is null and config_name is null)"
        )
    };
}

/// Counts what the start of the waiting job `$1` of the queue `$2` depends on.
///
/// Of the due jobs of its queue, those count that its workers take: of the versions `$3` and the workflows `$4`, either absent
/// for all; a row without a version counts as one of `$5`. Claims take them in the order of the index, in which rows of one
/// date are in that of their places in the table.
/// The slots in use are those of the workers `$6`, which have `$7` each. The mean is that of the last 50 of the workflow `$8`
/// and this queue among the last thousand jobs that ended in the database, so that it costs little however many did.
pub(crate) const STANDING: &str = concat!(
    "with mine as materialized (select priority, created_at, ctid as place from dbos.workflow_status where workflow_uuid = $1), \
    counted as (",
    due_jobs!(
        "'ENQUEUED'",
        "delay_until_epoch_ms is null or delay_until_epoch_ms <= "
    ),
    " union all ",
    due_jobs!("'DELAYED'", "delay_until_epoch_ms <= "),
    "), \
    in_use as ( \
        select coalesce(sum(least(jobs, slots)), 0)::bigint as slots, max(last_start_ms) as last_start_ms \
        from (select executor_id, count(*) as jobs, max(started_at_epoch_ms) as last_start_ms from dbos.workflow_status \
            where status = 'PENDING' and executor_id = any($6) group by 1) as held \
            join unnest($6::text[], $7::bigint[]) as worker (executor_id, slots) using (executor_id)), \
    last as ( \
        select started_at_epoch_ms, completed_at from ( \
            select name, queue_name, status, started_at_epoch_ms, completed_at from dbos.workflow_status \
            where completed_at is not null order by completed_at desc limit 1000) as recent \
        where name = $8 and queue_name = $2 and status in ('SUCCESS', 'ERROR') and started_at_epoch_ms is not null \
        order by completed_at desc limit 50), \
    run as ( \
        select (avg(greatest(completed_at - started_at_epoch_ms, 0)) / 1000)::float8 as mean_seconds from last) \
    select counted.due, counted.ahead, in_use.slots as slots_in_use, in_use.last_start_ms, mean_seconds, concurrency, rate_limit_max, rate_limit_period_sec, ",
    left_of_concurrency!(),
    " as left_of_concurrency, ",
    left_of_rate!(),
    " as left_of_rate, (select least(started_at_epoch_ms + queue.rate_limit_period_sec * 1000, 9e15)::bigint ",
    counted_starts!(),
    " order by started_at_epoch_ms desc offset greatest(queue.rate_limit_max - 1, 0) limit 1) as next_start_ms, \
     (extract(epoch from clock_timestamp()) * 1000)::bigint as now_ms \
     from (select sum(due)::bigint as due, sum(ahead)::bigint as ahead from counted) as counted cross join in_use cross join run left join dbos.queues queue on queue.name = $2"
);
